//! The broker is killed with signal 9 while queues are as long as they may be in bytes: the limit holds after it, by the bodies and not by what they
//! take on the disk, though nobody has read a message yet.

use std::time::{Duration, Instant};

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, table, text};
use leveret_tests::node::Node;

/// How many bytes of bodies each queue may have.
const BYTES: i32 = 1_000;

fn declare(channel: &Channel, name: &str, mut arguments: FieldTable) {
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongInt(BYTES));
    channel.call(queue::Declare {
        queue: name.into(),
        durable: true,
        arguments,
        ..Default::default()
    });
}

fn refuses() -> FieldTable {
    table([("x-overflow", text("reject-publish"))])
}

/// Whether a persistent message was taken. What is beside the body takes more than the body, so that its bytes on the disk say little.
fn is_taken(channel: &Channel, queue: &str, body: &str) -> bool {
    let headers = table([("long", text(&"x".repeat(200)))]);
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    channel.publish_with("", queue, properties, body);
    match channel.connection().expect_any(channel.number()) {
        AMQPClass::Basic(basic::AMQPMethod::Ack(_)) => true,
        AMQPClass::Basic(basic::AMQPMethod::Nack(_)) => false,
        other => panic!("no confirm: {other:?}"),
    }
}

fn numbered(number: usize) -> String {
    format!("{number:010}")
}

#[test]
fn a_queue_that_was_full_of_bytes_refuses_after_a_kill_as_well() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, "full", refuses());
    channel.confirm_select();
    for number in 0..10 {
        assert!(is_taken(
            &channel,
            "full",
            &format!("{number}{}", "-".repeat(99))
        ));
    }
    assert!(!is_taken(&channel, "full", "more"));
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    assert!(!is_taken(&channel, "full", "more"));
    assert!(channel.take("full").starts_with('0'));
    assert!(is_taken(&channel, "full", "more"));
    channel.await_ready("full", 10);
}

#[test]
fn a_queue_has_room_after_a_kill_for_as_many_bytes_as_before() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, "half", refuses());
    channel.confirm_select();
    for number in 0..50 {
        assert!(is_taken(&channel, "half", &numbered(number)));
    }
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    // As soon as the 50 are counted: what they take on the disk is more than they may have.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_taken(&channel, "half", &numbered(50)) {
        assert!(Instant::now() < deadline, "it is never known to have room");
    }
    for number in 51..100 {
        assert!(is_taken(&channel, "half", &numbered(number)));
    }
    assert!(!is_taken(&channel, "half", "x"));
    channel.await_ready("half", 100);
}

#[test]
fn nothing_is_dropped_after_a_kill_but_what_is_too_much() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, "latest", FieldTable::default());
    channel.confirm_select();
    for number in 0..100 {
        assert!(is_taken(&channel, "latest", &numbered(number)));
    }
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    assert_eq!(channel.ready("latest"), 100);
    channel.confirm_select();
    for number in 100..103 {
        assert!(is_taken(&channel, "latest", &numbered(number)));
    }
    channel.await_ready("latest", 100);
    for number in 3..103 {
        assert_eq!(channel.take("latest"), numbered(number));
    }
}
