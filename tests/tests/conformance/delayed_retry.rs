//! Messages that wait before they are delivered again: `x-delayed-retry-type`, `-min`, `-max` (<https://www.rabbitmq.com/docs/quorum-queues>).

use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table, text};

fn queue(channel: &Channel, kind: &str, min: i32, max: i32) -> String {
    channel.queue_with(table([
        ("x-delayed-retry-type", text(kind)),
        ("x-delayed-retry-min", AMQPValue::LongInt(min)),
        ("x-delayed-retry-max", AMQPValue::LongInt(max)),
    ]))
}

fn take(channel: &Channel, queue: &str) -> u64 {
    channel.await_ready(queue, 1);
    let got = channel.get_with(queue, false).expect("it is there");
    got.method.delivery_tag
}

fn fail(channel: &Channel, queue: &str) {
    let delivery_tag = take(channel, queue);
    channel.send(basic::Reject {
        delivery_tag,
        requeue: true,
    });
}

fn give_back(channel: &Channel, queue: &str) {
    let delivery_tag = take(channel, queue);
    channel.send(basic::Nack {
        delivery_tag,
        requeue: true,
        ..Default::default()
    });
}

/// Waits until a message is ready that is not now.
fn wait_for_one(channel: &Channel, queue: &str) -> Duration {
    let began = Instant::now();
    assert_eq!(channel.ready(queue), 0);
    channel.await_ready(queue, 1);
    began.elapsed()
}

fn assert_about(took: Duration, ms: u64) {
    let due = Duration::from_millis(ms);
    let slack = Duration::from_millis(60);
    assert!(
        took + slack >= due && took < due * 2 + slack * 10,
        "{took:?}, not {due:?}"
    );
}

#[test]
fn each_failure_makes_the_wait_longer_up_to_the_maximum() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, "failed", 150, 300);
    channel.publish("", &queue, "fails");
    for ms in [150, 300, 300] {
        fail(&channel, &queue);
        assert_about(wait_for_one(&channel, &queue), ms);
    }
}

#[test]
fn what_is_only_given_back_waits_where_all_do() {
    let channel = Connection::open().channel(1);
    let all = queue(&channel, "all", 150, 1000);
    channel.publish("", &all, "given back");
    give_back(&channel, &all);
    assert_about(wait_for_one(&channel, &all), 150);
    let failed = queue(&channel, "failed", 60_000, 60_000);
    channel.publish("", &failed, "given back");
    give_back(&channel, &failed);
    channel.await_ready(&failed, 1);
    let returned = queue(&channel, "returned", 60_000, 60_000);
    channel.publish("", &returned, "failed");
    fail(&channel, &returned);
    channel.await_ready(&returned, 1);
}

#[test]
fn others_pass_by_what_waits() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, "all", 60_000, 60_000);
    channel.publish("", &queue, "fails");
    fail(&channel, &queue);
    channel.publish("", &queue, "passes");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "passes");
}

#[test]
fn a_purge_takes_what_waits() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, "all", 60_000, 60_000);
    channel.publish("", &queue, "fails");
    fail(&channel, &queue);
    let purged = channel.call(queue::Purge {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    assert_eq!(purged.message_count, 1);
}
