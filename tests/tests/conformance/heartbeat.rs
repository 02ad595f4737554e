//! Heartbeats with an interval of one second. The broker's own heartbeats are the clock.

use std::time::{Duration, Instant};

use leveret_tests::client::{Connection, Frame, Kind, Login};

fn open_with_heartbeat(heartbeat_secs: u16) -> Connection {
    Connection::open_as(&Login {
        heartbeat_secs,
        ..Login::default()
    })
}

/// Waits for the broker's next heartbeat, which is empty and on channel 0.
#[track_caller]
fn await_heartbeat(connection: &Connection) {
    let frame = connection.next_frame().expect("the connection stays open");
    assert_eq!(frame, Frame::new(Kind::Heartbeat, 0, []));
}

fn send_heartbeat(connection: &Connection) {
    connection.send_frame(&Frame::new(Kind::Heartbeat, 0, []));
}

#[test]
fn the_broker_sends_heartbeats_at_the_negotiated_interval_or_sooner() {
    let connection = open_with_heartbeat(1);
    let since = Instant::now();
    for _ in 0..3 {
        await_heartbeat(&connection);
        send_heartbeat(&connection);
    }
    let waited = since.elapsed();
    assert!(
        waited < Duration::from_secs(4),
        "three heartbeats took {waited:?}"
    );
}

#[test]
fn a_silent_client_is_dropped_after_two_intervals() {
    let connection = open_with_heartbeat(1);
    let since = Instant::now();
    connection.expect_socket_closed();
    let waited = since.elapsed();
    assert!(
        waited > Duration::from_millis(1500),
        "dropped after {waited:?}"
    );
    assert!(waited < Duration::from_secs(6), "dropped after {waited:?}");
}

#[test]
fn a_client_that_sends_heartbeats_is_kept() {
    let connection = open_with_heartbeat(1);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        await_heartbeat(&connection);
        send_heartbeat(&connection);
    }
    connection.channel(1).sync();
}

#[test]
fn any_other_traffic_counts_as_a_heartbeat() {
    let connection = open_with_heartbeat(1);
    let channel = connection.channel(1);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        await_heartbeat(&connection);
        channel.sync();
    }
    connection.close();
}

#[test]
fn interval_zero_turns_heartbeats_off() {
    let connection = open_with_heartbeat(0);
    let clock = open_with_heartbeat(1);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        await_heartbeat(&clock);
        send_heartbeat(&clock);
    }
    let channel = connection.channel(1);
    channel.sync();
    assert_eq!(connection.waiting_on(0), 0, "heartbeats were sent");
}

#[test]
fn a_heartbeat_on_another_channel_than_0_is_an_unexpected_frame() {
    let connection = Connection::open();
    connection.channel(1);
    connection.send_frame(&Frame::new(Kind::Heartbeat, 1, []));
    connection.expect_close(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>");
}
