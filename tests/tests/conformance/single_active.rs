//! `x-single-active-consumer`: one consumer at a time, the others wait in the order in which they came (<https://www.rabbitmq.com/docs/consumers#single-active-consumer>).

use amq_protocol::protocol::{basic, queue};
use leveret_tests::client::{Channel, Connection, table, text};

fn queue(channel: &Channel) -> String {
    channel.queue_with(table([("x-single-active-consumer", true.into())]))
}

fn consume(channel: &Channel, queue: &str, tag: &str) {
    channel.consume_with(basic::Consume {
        queue: queue.into(),
        consumer_tag: tag.into(),
        ..Default::default()
    });
}

#[test]
fn the_first_one_takes_everything() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    consume(&channel, &queue, "first");
    consume(&channel, &queue, "second");
    for _ in 0..6 {
        channel.publish("", &queue, "for the first");
        assert_eq!(channel.deliver().method.consumer_tag.as_str(), "first");
    }
}

#[test]
fn a_cancel_hands_over_to_the_one_that_came_next() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    for tag in ["first", "second", "third"] {
        consume(&channel, &queue, tag);
    }
    for tag in ["first", "second", "third"] {
        channel.publish("", &queue, "for one");
        assert_eq!(channel.deliver().method.consumer_tag.as_str(), tag);
        channel.cancel(tag);
    }
}

#[test]
fn a_lost_connection_hands_over_with_what_it_held() {
    let first = Connection::open().channel(1);
    let second = Connection::open().channel(1);
    // Not exclusive: two connections use it.
    let name = leveret_tests::client::unique("single");
    first.call(queue::Declare {
        queue: name.as_str().into(),
        auto_delete: true,
        durable: true,
        arguments: table([("x-single-active-consumer", true.into())]),
        ..Default::default()
    });
    consume(&first, &name, "first");
    consume(&second, &name, "second");
    for body in ["one", "two"] {
        second.publish("", &name, body);
        assert_eq!(first.deliver().text(), body);
    }
    first.connection().clone().cut();
    for body in ["one", "two"] {
        let delivery = second.deliver();
        assert_eq!(delivery.text(), body);
        assert!(delivery.method.redelivered);
    }
}

#[test]
fn the_active_one_without_credit_is_waited_for() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    channel.qos(1, false);
    consume(&channel, &queue, "first");
    consume(&channel, &queue, "second");
    channel.publish("", &queue, "held");
    let held = channel.deliver().method;
    channel.publish("", &queue, "waits");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
    channel.ack(held.delivery_tag);
    assert_eq!(channel.deliver().method.consumer_tag.as_str(), "first");
}

fn quorum_queue(channel: &Channel) -> String {
    let name = leveret_tests::client::unique("single");
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        arguments: table([
            ("x-queue-type", text("quorum")),
            ("x-single-active-consumer", true.into()),
        ]),
        ..Default::default()
    });
    name
}

fn delete(channel: &Channel, queue: &str) {
    channel.call(queue::Delete {
        queue: queue.into(),
        ..Default::default()
    });
}

#[test]
fn in_a_quorum_queue_one_of_a_higher_priority_takes_over_once_all_is_settled() {
    let channel = Connection::open().channel(1);
    let queue = quorum_queue(&channel);
    let with_priority = |tag: &str, priority: i32| {
        channel.consume_with(basic::Consume {
            queue: queue.as_str().into(),
            consumer_tag: tag.into(),
            arguments: table([("x-priority", priority.into())]),
            ..Default::default()
        });
    };
    let next = || {
        let delivery = channel.deliver();
        let tag = delivery.method.consumer_tag.to_string();
        (
            tag,
            delivery.text().to_owned(),
            delivery.method.delivery_tag,
        )
    };
    consume(&channel, &queue, "first");
    channel.publish("", &queue, "held");
    let (_, _, held) = next();
    with_priority("second", 1);
    channel.publish("", &queue, "waits");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
    channel.ack(held);
    let (tag, text, held) = next();
    assert_eq!((tag.as_str(), text.as_str()), ("second", "waits"));
    // Nothing is ready: the next message finds the next one.
    channel.ack(held);
    with_priority("third", 2);
    channel.publish("", &queue, "one more");
    let (tag, text, _) = next();
    assert_eq!((tag.as_str(), text.as_str()), ("third", "one more"));
    // Who would take over has gone again.
    with_priority("fourth", 3);
    channel.cancel("fourth");
    channel.publish("", &queue, "the last");
    assert_eq!(next().0, "third");
    delete(&channel, &queue);
}

#[test]
fn a_quorum_queue_is_not_got_from() {
    let channel = Connection::open().channel(1);
    let name = quorum_queue(&channel);
    let get = basic::Get {
        queue: name.as_str().into(),
        ..Default::default()
    };
    let told = format!(
        "RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'. basic.get operations are not supported by quorum queues with single active consumer"
    );
    channel.fails(get, 405, &told);
    delete(&channel.connection().channel(2), &name);
}

/// One of a classic queue goes past the active one.
#[test]
fn a_classic_queue_is_got_from() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    channel.publish("", &queue, "message");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "message");
}

#[test]
fn nobody_consumes_exclusively() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let text = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    let consume = basic::Consume {
        queue: queue.as_str().into(),
        exclusive: true,
        ..Default::default()
    };
    channel.fails(consume, 403, &text);
}
