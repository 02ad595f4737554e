//! Message groups: `x-leveret-message-group` names a header; messages with the same value in it go to one consumer at a time, in order.

use amq_protocol::protocol::{BasicProperties, basic};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, Content, table, text, unique};

const HEADER: &str = "customer";

/// A queue that all channels may use; it goes with its last consumer.
fn queue(channel: &Channel) -> String {
    let name = unique("grouped");
    channel.call(amq_protocol::protocol::queue::Declare {
        queue: name.as_str().into(),
        auto_delete: true,
        arguments: table([("x-leveret-message-group", text(HEADER))]),
        ..Default::default()
    });
    name
}

fn publish(channel: &Channel, queue: &str, group: &str, body: &str) {
    let properties = BasicProperties::default().with_headers(table([(HEADER, text(group))]));
    channel.publish_with("", queue, properties, body);
}

fn reader(queue: &str, prefetch: u16) -> Channel {
    let channel = Connection::open().channel(1);
    channel.qos(prefetch, false);
    channel.consume(queue);
    channel
}

fn told(delivery: &Content<basic::Deliver>) -> (String, u64) {
    (delivery.text().to_owned(), delivery.method.delivery_tag)
}

#[test]
fn a_group_stays_with_its_consumer_while_that_has_some_of_it() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let (one, other) = (reader(&queue, 2), reader(&queue, 2));
    publish(&channel, &queue, "a", "a1");
    let (first, tag) = told(&one.deliver());
    assert_eq!(first, "a1");
    // The other one has the next turn, but not with this group.
    publish(&channel, &queue, "a", "a2");
    assert_eq!(told(&one.deliver()).0, "a2");
    publish(&channel, &queue, "a", "a3");
    publish(&channel, &queue, "b", "b1");
    assert_eq!(told(&other.deliver()).0, "b1");
    one.ack(tag);
    assert_eq!(told(&one.deliver()).0, "a3");
    other.quiet(&queue);
}

#[test]
fn a_group_that_is_done_with_goes_to_whoever_is_next() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let one = reader(&queue, 1);
    publish(&channel, &queue, "a", "a1");
    let (_, tag) = told(&one.deliver());
    publish(&channel, &queue, "a", "a2");
    let other = reader(&queue, 1);
    channel.await_ready(&queue, 1);
    other.quiet(&queue);
    one.ack(tag);
    channel.await_ready(&queue, 0);
}

#[test]
fn what_comes_back_is_first_in_its_group() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let one = reader(&queue, 1);
    for body in ["a1", "a2", "a3"] {
        publish(&channel, &queue, "a", body);
    }
    let (body, delivery_tag) = told(&one.deliver());
    assert_eq!(body, "a1");
    channel.await_ready(&queue, 2);
    one.send(basic::Reject {
        delivery_tag,
        requeue: true,
    });
    for expected in ["a1", "a2", "a3"] {
        let (body, tag) = told(&one.deliver());
        assert_eq!(body, expected);
        one.ack(tag);
    }
}

#[test]
fn a_lost_consumer_gives_its_groups_back_in_order() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let (one, other) = (reader(&queue, 10), reader(&queue, 10));
    for body in ["a1", "a2", "a3"] {
        publish(&channel, &queue, "a", body);
    }
    assert_eq!(one.deliveries(3), ["a1", "a2", "a3"]);
    other.quiet(&queue);
    one.connection().clone().cut();
    assert_eq!(other.deliveries(3), ["a1", "a2", "a3"]);
}

#[test]
fn what_is_set_aside_expires_in_order() {
    let channel = Connection::open().channel(1);
    let letters = channel.queue();
    let queue = unique("grouped");
    channel.call(amq_protocol::protocol::queue::Declare {
        queue: queue.as_str().into(),
        auto_delete: true,
        arguments: table([
            ("x-leveret-message-group", text(HEADER)),
            ("x-message-ttl", AMQPValue::LongInt(300)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&letters)),
        ]),
        ..Default::default()
    });
    let (one, other) = (reader(&queue, 1), reader(&queue, 1));
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        publish(&channel, &queue, group, body);
    }
    assert_eq!(told(&one.deliver()).0, "a1");
    let (body, tag) = told(&other.deliver());
    assert_eq!(body, "b1");
    channel.await_ready(&letters, 2);
    assert_eq!(channel.take(&letters), "a2");
    assert_eq!(channel.take(&letters), "a3");
    // Nothing is left that could go to the other one.
    other.ack(tag);
    other.quiet(&queue);
    assert_eq!(channel.ready(&queue), 0);
}

#[test]
fn a_get_takes_what_is_set_aside() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel);
    let (one, other) = (reader(&queue, 1), reader(&queue, 1));
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        publish(&channel, &queue, group, body);
    }
    assert_eq!(told(&one.deliver()).0, "a1");
    assert_eq!(told(&other.deliver()).0, "b1");
    channel.await_ready(&queue, 2);
    assert_eq!(channel.take(&queue), "a2");
    assert_eq!(channel.take(&queue), "a3");
    assert!(channel.get(&queue).is_none());
}
