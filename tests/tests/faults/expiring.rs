//! The broker is killed with signal 9 while messages wait for their time: to expire, to be delivered later, for their turn by priority. The times go
//! on as they were.

use std::time::{Duration, Instant};

use amq_protocol::protocol::{BasicProperties, basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, table, text};
use leveret_tests::node::Node;

fn declare(channel: &Channel, name: &str, arguments: FieldTable) {
    channel.call(queue::Declare {
        queue: name.into(),
        durable: true,
        arguments,
        ..Default::default()
    });
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Publishes, and waits until that is confirmed. The channel is in confirm mode.
fn publish(channel: &Channel, exchange: &str, key: &str, properties: BasicProperties, body: &str) {
    channel.publish_with(exchange, key, properties, body);
    channel.expect::<basic::Ack>();
}

#[test]
fn messages_expire_at_the_time_they_had() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, "letters", FieldTable::default());
    let dying = table([
        ("x-message-ttl", AMQPValue::LongInt(4_000)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("letters")),
    ]);
    declare(&channel, "dying", dying);
    declare(&channel, "own", FieldTable::default());
    channel.confirm_select();
    let began = Instant::now();
    publish(&channel, "", "dying", persistent(), "dies");
    let expiring = persistent().with_expiration("4000".into());
    publish(&channel, "", "own", expiring, "goes");
    publish(&channel, "", "own", persistent(), "stays");
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.await_ready("letters", 1);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(3_900) && took < Duration::from_millis(7_000),
        "{took:?}"
    );
    channel.await_ready("own", 1);
    assert_eq!(channel.take("own"), "stays");
    assert_eq!(channel.ready("dying"), 0);
}

#[test]
fn delayed_messages_are_delivered_at_the_time_they_had_and_once() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.call(exchange::Declare {
        exchange: "later".into(),
        kind: "x-delayed-message".into(),
        durable: true,
        arguments: table([("x-delayed-type", text("fanout"))]),
        ..Default::default()
    });
    declare(&channel, "target", FieldTable::default());
    channel.bind("target", "later", "");
    channel.confirm_select();
    let began = Instant::now();
    for (ms, body) in [(5_000, "second"), (1, "at once"), (4_000, "first")] {
        let headers = table([("x-delay", AMQPValue::LongInt(ms))]);
        publish(
            &channel,
            "later",
            "",
            persistent().with_headers(headers),
            body,
        );
    }
    channel.await_ready("target", 1);
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.await_ready("target", 3);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(4_900) && took < Duration::from_millis(8_000),
        "{took:?}"
    );
    let expected = ["at once", "first", "second"];
    assert_eq!(expected.map(|_| channel.take("target")), expected);
    assert!(channel.get("target").is_none());
}

#[test]
fn priorities_and_failures_are_remembered() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    let arguments = table([
        ("x-max-priority", AMQPValue::LongInt(9)),
        ("x-delivery-limit", AMQPValue::LongInt(5)),
    ]);
    declare(&channel, "ranked", arguments);
    channel.confirm_select();
    for (priority, body) in [(1, "low"), (9, "high"), (5, "middle")] {
        publish(
            &channel,
            "",
            "ranked",
            persistent().with_priority(priority),
            body,
        );
    }
    for _ in 0..2 {
        let got = channel.get_with("ranked", false).expect("it is there");
        assert_eq!(got.text(), "high");
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: true,
        });
        channel.await_ready("ranked", 3);
    }
    // A confirm behind the failures: what the log was told of them before is durable with it.
    publish(&channel, "", "ranked", persistent(), "lowest");
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    let got = channel.get_with("ranked", true).expect("it is there");
    assert_eq!(got.text(), "high");
    let headers = got.properties.headers().clone().expect("headers");
    let count = headers.inner().get("x-delivery-count").cloned();
    assert_eq!(count, Some(AMQPValue::LongLongInt(2)));
    let expected = ["middle", "low", "lowest"];
    assert_eq!(expected.map(|_| channel.take("ranked")), expected);
}
