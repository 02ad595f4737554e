//! Peers that mean harm or are broken: deep nesting, silence, floods, half a close. The broker and
//! its other connections go on.

use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, channel, connection, queue};
use leveret_tests::client::{
    Channel, Connection, Frame, Kind, Login, Method, PROTOCOL_HEADER, unique,
};

/// Beside a flood, no answer takes longer; much longer than it should, for the machine may have other things to do.
const SERVED: Duration = Duration::from_secs(5);

/// A field table with one field: arrays, `depth` of them one in the other.
fn nested_arrays(depth: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..depth {
        let length = u32::try_from(value.len()).expect("short").to_be_bytes();
        value = [b"A", &length[..], &value].concat();
    }
    let field = [b"\x01a", &value[..]].concat();
    [
        &u32::try_from(field.len()).expect("short").to_be_bytes()[..],
        &field,
    ]
    .concat()
}

/// Another connection still does all it should.
#[track_caller]
fn the_broker_lives() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    channel.publish("", &queue, "alive");
    assert_eq!(channel.deliver().text(), "alive");
}

#[test]
fn deep_nesting_in_client_properties_does_no_harm() {
    let connection = Connection::raw();
    connection.send_bytes(&PROTOCOL_HEADER);
    connection.expect::<connection::Start>(0);
    let rest = b"\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US";
    let payload = [&[0, 10, 0, 11][..], &nested_arrays(1500), rest].concat();
    assert!(payload.len() < 8192);
    connection.send_frame(&Frame::new(Kind::Method, 0, payload));
    // Closed with a word or without, or accepted: all is well as long as the broker lives.
    connection.next_on(0);
    the_broker_lives();
}

fn declare_with_nested_arrays(depth: usize) -> Frame {
    let name = unique("q");
    let head = [0, 50, 0, 10, 0, 0, u8::try_from(name.len()).expect("short")];
    let exclusive = [0b100];
    let payload = [
        &head[..],
        name.as_bytes(),
        &exclusive,
        &nested_arrays(depth),
    ]
    .concat();
    Frame::new(Kind::Method, 1, payload)
}

#[test]
fn moderate_nesting_in_arguments_is_accepted() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    connection.send_frame(&declare_with_nested_arrays(20));
    channel.expect::<queue::DeclareOk>();
}

#[test]
fn deep_nesting_in_arguments_is_a_syntax_error() {
    let connection = Connection::open();
    connection.channel(1);
    connection.send_frame(&declare_with_nested_arrays(1500));
    let close: connection::Close = connection.expect_first();
    assert_eq!(close.reply_code, 502);
    the_broker_lives();
}

#[test]
fn deep_nesting_in_message_headers_does_no_harm() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    let publish = basic::Publish {
        routing_key: queue.as_str().into(),
        ..Default::default()
    };
    channel.send(publish);
    let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0b0010_0000, 0];
    payload.extend(nested_arrays(1500));
    connection.send_frame(&Frame::new(Kind::Header, 1, payload));
    channel.send(queue::Purge {
        queue: queue.as_str().into(),
        nowait: false,
    });
    connection.next_frame();
    the_broker_lives();
}

#[test]
fn tables_whose_lengths_lie_do_no_harm() {
    let lies: [&[u8]; 5] = [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x07\x01aS\xff\xff\xff\xff",
        b"\x00\x00\x00\x07\x01aA\xff\xff\xff\xff",
        b"\x00\x00\x00\x07\x01aF\x7f\xff\xff\xff",
        b"\x00\x00\x00\x02\xffa",
    ];
    for table in lies {
        let connection = Connection::open();
        connection.channel(1);
        let payload = [&[0, 50, 0, 10, 0, 0, 1, b'q', 0b100], table].concat();
        connection.send_frame(&Frame::new(Kind::Method, 1, payload));
        let close: connection::Close = connection.expect(0);
        assert_eq!(close.reply_code, 502, "{table:?}");
    }
    the_broker_lives();
}

#[test]
fn random_octets_do_no_harm() {
    // A fixed sequence: a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut octet = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    for _ in 0..50 {
        let connection = Connection::open();
        connection.channel(1);
        let payload: Vec<u8> = (0..64).map(|_| octet()).collect();
        let classes = [10, 20, 40, 50, 60, 85];
        let class = classes[usize::from(octet()) % classes.len()];
        let method = [0, class, 0, octet() % 13 * 10];
        connection.send_frame(&Frame::new(
            Kind::Method,
            1,
            [&method[..], &payload].concat(),
        ));
        connection.send_bytes(&payload);
        connection.finish_sending();
        connection.read_to_end();
    }
    the_broker_lives();
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_frame_is_let_go() {
    let connection = Connection::open();
    let queue = unique("half");
    let declare = queue::Declare {
        queue: queue.as_str().into(),
        exclusive: true,
        ..Default::default()
    };
    connection.channel(1).call(declare);
    connection.send_bytes(&[Kind::Method as u8, 0, 1, 0, 0, 0, 200, 0, 60]);
    connection.cut();
    Connection::open().channel(1).await_queue_gone(&queue);
}

#[test]
fn a_half_open_connection_is_ended() {
    let connection = Connection::open();
    let queue = connection.channel(1).queue();
    connection.finish_sending();
    connection.expect_socket_closed();
    Connection::open().channel(1).await_queue_gone(&queue);
}

#[test]
fn a_consumer_that_never_reads_does_not_stop_its_neighbours() {
    let silent = Connection::open().channel(1);
    let (flooded, shared) = (silent.queue(), unique("shared"));
    silent.consume_no_ack(&flooded);
    let publisher = Connection::open();
    let (flood, watcher) = (publisher.channel(1), publisher.channel(2));
    watcher.call(queue::Declare {
        queue: shared.as_str().into(),
        exclusive: true,
        ..Default::default()
    });
    watcher.consume_no_ack(&shared);
    let body = "x".repeat(100_000);
    let neighbour = Connection::open().channel(1);
    let mut slowest = Duration::ZERO;
    for n in 0..300 {
        flood.publish("", &flooded, &body);
        flood.publish("", &shared, &n.to_string());
        // Its own publisher may be slowed down; others are not.
        slowest = slowest.max(slowest_of(&neighbour, 1));
        assert_eq!(watcher.deliver().text(), n.to_string());
    }
    eprintln!("the slowest answer beside who never reads took {slowest:?}");
    assert!(slowest < SERVED, "a neighbour waited {slowest:?}");
    the_broker_lives();
}

#[test]
fn many_connections_that_do_not_log_in_do_not_keep_others_out() {
    let idle: Vec<Connection> = (0..200).map(|_| Connection::raw()).collect();
    the_broker_lives();
    drop(idle);
}

#[test]
fn handshakes_that_come_octet_by_octet_end_in_time_and_keep_nobody_out() {
    let since = Instant::now();
    let slow: Vec<Connection> = (0..100).map(|_| Connection::raw()).collect();
    // A header, and the beginning of a long `start-ok`.
    let head = Frame::new(Kind::Method, 0, [0; 4000]).encode();
    let mut said = PROTOCOL_HEADER.iter().chain(&head);
    let mut slowest = Duration::ZERO;
    let neighbour = Connection::open().channel(1);
    while since.elapsed() < Duration::from_secs(12) {
        let octet = *said.next().expect("there is more to say");
        for connection in &slow {
            connection.send_bytes(&[octet]);
        }
        slowest = slowest.max(slowest_of(&neighbour, 10));
        thread::sleep(Duration::from_millis(100));
    }
    eprintln!("the slowest answer beside slow handshakes took {slowest:?}");
    assert!(slowest < SERVED, "a neighbour waited {slowest:?}");
    for connection in &slow {
        connection.read_to_end();
    }
    let waited = since.elapsed();
    assert!(waited < Duration::from_secs(18), "let go after {waited:?}");
    the_broker_lives();
}

#[test]
fn an_unfinished_content_is_dropped_with_its_channel() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    let publish = || basic::Publish {
        routing_key: queue.as_str().into(),
        ..Default::default()
    };
    let header = Frame::header(1, 1000, &basic::AMQPProperties::default());
    channel.send(publish());
    channel.connection().send_frame(&header);
    channel
        .connection()
        .send_frame(&Frame::new(Kind::Body, 1, [0; 10]));
    channel.connection().clone().cut();

    let channel = Connection::open_as(&Login::default()).channel(1);
    channel.send(basic::Publish::default());
    let bytes = Frame::method(1, &queue::Purge::default().into_class()).encode();
    channel.connection().send_bytes(&bytes);
    let close: connection::Close = channel.connection().expect(0);
    assert_eq!(close.reply_code, 505);
    the_broker_lives();
}

/// Publishes and gets, and returns the longest time that took.
fn slowest_of(neighbour: &Channel, rounds: u32) -> Duration {
    let queue = neighbour.queue();
    let rounds = (0..rounds).map(|round| {
        let began = Instant::now();
        neighbour.publish("", &queue, &round.to_string());
        assert_eq!(neighbour.take(&queue), round.to_string());
        began.elapsed()
    });
    rounds.max().expect("at least one round")
}

/// Runs a flood beside a neighbour, which has to be served meanwhile.
fn neighbour_of(flood: impl FnOnce(&Connection) + Send) {
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&Connection::open()));
        let neighbour = Connection::open().channel(1);
        let mut slowest = Duration::ZERO;
        while !flooding.is_finished() {
            slowest = slowest.max(slowest_of(&neighbour, 10));
        }
        // What is kept for tests that show what they print.
        eprintln!("the slowest answer beside the flood took {slowest:?}");
        assert!(slowest < SERVED, "a neighbour waited {slowest:?}");
        flooding.join().expect("the flood ends");
    });
    the_broker_lives();
}

#[test]
fn a_flood_of_channel_opens_leaves_neighbours_alone() {
    neighbour_of(|connection| {
        for _ in 0..20 {
            for number in 1..=500 {
                connection.send(number, channel::Open {});
            }
            for number in 1..=500 {
                connection.expect::<channel::OpenOk>(number);
                connection.send(number, channel_close());
            }
            for number in 1..=500 {
                connection.expect::<channel::CloseOk>(number);
            }
        }
    });
}

#[test]
fn a_flood_of_declares_leaves_neighbours_alone() {
    neighbour_of(|connection| {
        let channel = connection.channel(1);
        let prefix = unique("flood");
        for number in 0..1000 {
            channel.send(queue::Declare {
                queue: format!("{prefix}-{number}").into(),
                exclusive: true,
                nowait: true,
                ..Default::default()
            });
        }
        channel.sync();
    });
}

fn channel_close() -> channel::Close {
    channel::Close {
        reply_code: 200,
        reply_text: "".into(),
        class_id: 0,
        method_id: 0,
    }
}
