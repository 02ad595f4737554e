//! The broker is killed with signal 9 while messages wait for their time: to expire, to be delivered later, for their turn by priority. The times go
//! on as they were.

use std::time::{Duration, Instant};

use amq_protocol::protocol::basic::AMQPMethod;
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::{Node, Running};

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
fn an_unused_queue_expires_though_the_broker_was_killed() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    let unused = table([("x-expires", AMQPValue::LongInt(2_000))]);
    declare(&channel, "unused", unused.clone());
    declare(&channel, "used", unused);
    channel.confirm_select();
    publish(&channel, "", "unused", persistent(), "goes with it");
    publish(&channel, "", "used", persistent(), "stays");
    let began = Instant::now();
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.consume("used");
    assert_eq!(channel.deliver().text(), "stays");
    // To declare it again would put it off, and to publish does not.
    channel.confirm_select();
    let returned = loop {
        channel.publish_mandatory("", "unused", "is it there?");
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(AMQPMethod::Ack(_)) => {}
            AMQPClass::Basic(AMQPMethod::Return(method)) => break channel.next_content_of(method),
            other => panic!("no confirm: {other:?}"),
        }
    };
    assert_eq!(returned.expect("it is whole").method.reply_code, 312);
    channel.expect::<basic::Ack>();
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(1_900) && took < Duration::from_secs(20),
        "{took:?}"
    );
    channel.inspect("used");
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

#[test]
fn priorities_of_quorum_queues_are_remembered_below_those_of_messages_without_too() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    let arguments = table([("x-queue-type", text("quorum"))]);
    declare(&channel, "quorum", arguments);
    channel.confirm_select();
    for (priority, body) in [(Some(0), "lowest"), (None, "none"), (Some(31), "highest")] {
        let properties = match priority {
            Some(priority) => persistent().with_priority(priority),
            None => persistent(),
        };
        publish(&channel, "", "quorum", properties, body);
    }
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    publish(&channel, "", "quorum", persistent().with_priority(3), "low");
    publish(&channel, "", "quorum", persistent(), "none again");
    channel.await_ready("quorum", 5);
    let expected = ["highest", "none", "none again", "low", "lowest"];
    assert_eq!(expected.map(|_| channel.take("quorum")), expected);
}

/// A durable queue whose messages wait when they come back.
fn declare_retrying(channel: &Channel, name: &str, ms: i32) {
    let arguments = table([
        ("x-delayed-retry-type", text("all")),
        ("x-delayed-retry-min", AMQPValue::LongInt(ms)),
        ("x-delayed-retry-max", AMQPValue::LongInt(60_000)),
    ]);
    declare(channel, name, arguments);
}

/// Takes the next message, which has to be this one, and gives it back: as failed, or only so.
fn give_back(channel: &Channel, queue: &str, body: &str, failed: bool) {
    let got = channel.get_with(queue, false).expect("it is there");
    assert_eq!(got.text(), body);
    channel.give_back(got.method.delivery_tag, failed);
}

fn delivery_count(headers: Option<FieldTable>) -> Option<AMQPValue> {
    headers?.inner().get("x-delivery-count").cloned()
}

#[test]
fn what_waits_to_be_delivered_again_waits_on_and_comes_once() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare_retrying(&channel, "retrying", 12_000);
    channel.confirm_select();
    for body in ["fails", "goes", "is given back", "is never taken"] {
        publish(&channel, "", "retrying", persistent(), body);
    }
    let began = Instant::now();
    give_back(&channel, "retrying", "fails", true);
    assert_eq!(channel.take("retrying"), "goes");
    give_back(&channel, "retrying", "is given back", false);
    channel.await_ready("retrying", 1);
    // A confirm behind them: what the log was told before is durable with it.
    publish(&channel, "", "retrying", persistent(), "comes later");
    channel.await_ready("retrying", 2);
    broker.kill();
    // Neither a kill nor an orderly end changes for how long they wait.
    let broker = node.start();
    assert_eq!(waiting(&broker), (2, 2));
    broker.stop();
    let broker = node.start();
    assert_eq!(waiting(&broker), (2, 2));
    let channel = broker.connect().channel(1);
    for body in ["is never taken", "comes later"] {
        assert_eq!(channel.take("retrying"), body);
    }
    assert!(channel.get("retrying").is_none());
    channel.await_ready("retrying", 2);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(11_900) && took < Duration::from_millis(15_000),
        "{took:?}"
    );
    let count = |got: &leveret_tests::client::Content<basic::GetOk>| {
        delivery_count(got.properties.headers().clone())
    };
    let failed = channel.get("retrying").expect("it is ready");
    assert_eq!((failed.text(), failed.method.redelivered), ("fails", true));
    assert_eq!(count(&failed), Some(AMQPValue::LongLongInt(1)));
    let returned = channel.get("retrying").expect("it is ready");
    assert_eq!(returned.text(), "is given back");
    assert!(returned.method.redelivered);
    assert_eq!(count(&returned), None);
    assert!(channel.get("retrying").is_none());
}

/// How many messages of the queue are ready, and how many wait.
fn waiting(broker: &Running) -> (u64, u64) {
    let told = Http::guest(broker.management()).get("/queues/%2F/retrying");
    let number = |key: &str| told[key].as_u64().expect("a number");
    (number("messages_ready"), number("messages_delayed"))
}

#[test]
fn a_wait_that_is_over_meanwhile_is_over() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare_retrying(&channel, "retrying", 300);
    channel.confirm_select();
    for body in ["first", "second", "third"] {
        publish(&channel, "", "retrying", persistent(), body);
    }
    let began = Instant::now();
    give_back(&channel, "retrying", "first", true);
    give_back(&channel, "retrying", "second", true);
    publish(&channel, "", "retrying", persistent(), "fourth");
    broker.kill();
    while began.elapsed() < Duration::from_millis(320) {
        std::thread::yield_now();
    }
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.await_ready("retrying", 4);
    let expected = ["first", "second", "third", "fourth"];
    assert_eq!(expected.map(|_| channel.take("retrying")), expected);
    assert!(channel.get("retrying").is_none());
}
