//! How often a message may fail: `x-delivery-limit` and `x-delivery-count` (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table, text, unique};

/// A quorum queue: only such have limits in RabbitMQ. It goes with the test.
struct Quorum<'a> {
    channel: &'a Channel,
    name: String,
}

impl Drop for Quorum<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.channel.call(queue::Delete {
                queue: self.name.as_str().into(),
                ..Default::default()
            });
        }
    }
}

fn quorum<'a>(channel: &'a Channel, further: &[(&str, AMQPValue)]) -> Quorum<'a> {
    let mut arguments = table([("x-queue-type", text("quorum"))]);
    for (key, value) in further {
        arguments.insert((*key).into(), value.clone());
    }
    let name = unique("limited");
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        arguments,
        ..Default::default()
    });
    Quorum { channel, name }
}

/// Takes the next message and fails with it: its delivery count. One that is not told is 0: RabbitMQ 4 does not, and 3.10 does.
fn fail(channel: &Channel, queue: &str) -> i64 {
    channel.await_ready(queue, 1);
    let got = channel.get_with(queue, false).expect("it is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: true,
    });
    let headers = got.properties.headers().clone().unwrap_or_default();
    match headers.inner().get("x-delivery-count") {
        None => 0,
        Some(AMQPValue::LongLongInt(count)) => *count,
        Some(other) => panic!("no count: {other:?}"),
    }
}

#[test]
fn each_failure_counts() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[]);
    channel.publish("", &queue.name, "fails");
    let counts = [0; 4].map(|_| fail(&channel, &queue.name));
    assert_eq!(counts, [0, 1, 2, 3]);
}

#[test]
fn beyond_the_limit_it_is_a_dead_letter() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    let limited = [
        ("x-delivery-limit", AMQPValue::LongInt(2)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&target)),
    ];
    let queue = quorum(&channel, &limited);
    channel.publish("", &queue.name, "fails");
    for _ in 0..3 {
        fail(&channel, &queue.name);
    }
    channel.await_ready(&target, 1);
    let got = channel.get(&target).expect("the dead letter");
    let headers = got.properties.headers().clone().expect("headers");
    let reason = headers.inner().get("x-first-death-reason").cloned();
    assert_eq!(reason, Some(text("delivery_limit")));
    assert_eq!(channel.ready(&queue.name), 0);
}

#[test]
fn beyond_the_limit_without_dead_letters_it_is_gone() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[("x-delivery-limit", AMQPValue::LongInt(1))]);
    channel.publish("", &queue.name, "fails");
    for _ in 0..2 {
        fail(&channel, &queue.name);
    }
    channel.await_ready(&queue.name, 0);
    channel.quiet(&queue.name);
    assert!(channel.get(&queue.name).is_none());
}

#[test]
fn a_lost_connection_counts() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[]);
    channel.publish("", &queue.name, "fails");
    channel.await_ready(&queue.name, 1);
    let lost = Connection::open().channel(1);
    lost.get_with(&queue.name, false).expect("it is there");
    lost.connection().clone().cut();
    assert_eq!(fail(&channel, &queue.name), 1);
}

#[test]
fn every_type_of_queue_can_have_a_limit() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([("x-delivery-limit", AMQPValue::LongInt(1))]));
    channel.publish("", &queue, "fails");
    assert_eq!([0; 2].map(|_| fail(&channel, &queue)), [0, 1]);
    channel.await_ready(&queue, 0);
    assert!(channel.get(&queue).is_none());
}
