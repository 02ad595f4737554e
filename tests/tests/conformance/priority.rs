//! Priority queues: `x-max-priority` (<https://www.rabbitmq.com/docs/priority>).

use amq_protocol::protocol::{BasicProperties, basic};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table};

fn queue(channel: &Channel, max: u8) -> String {
    let max = AMQPValue::LongInt(i32::from(max));
    channel.queue_with(table([("x-max-priority", max)]))
}

fn publish(channel: &Channel, queue: &str, priority: u8, body: &str) {
    let properties = BasicProperties::default().with_priority(priority);
    channel.publish_with("", queue, properties, body);
}

fn take_all(channel: &Channel, queue: &str) -> Vec<String> {
    let count = channel.ready(queue);
    (0..count).map(|_| channel.take(queue)).collect()
}

#[test]
fn the_highest_comes_first_then_the_oldest() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 9);
    for (priority, body) in [(1, "a"), (5, "b"), (1, "c"), (9, "d"), (5, "e"), (0, "f")] {
        publish(&channel, &queue, priority, body);
    }
    channel.await_ready(&queue, 6);
    assert_eq!(take_all(&channel, &queue), ["d", "b", "e", "a", "c", "f"]);
}

#[test]
fn beyond_the_maximum_is_the_maximum_and_none_is_the_lowest() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 3);
    channel.publish("", &queue, "none");
    publish(&channel, &queue, 3, "three");
    publish(&channel, &queue, 200, "far more");
    publish(&channel, &queue, 1, "one");
    publish(&channel, &queue, 0, "zero");
    channel.await_ready(&queue, 5);
    let expected = ["three", "far more", "one", "none", "zero"];
    assert_eq!(take_all(&channel, &queue), expected);
}

#[test]
fn without_a_maximum_priority_does_not_count() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    publish(&channel, &queue, 1, "first");
    publish(&channel, &queue, 9, "second");
    channel.await_ready(&queue, 2);
    assert_eq!(take_all(&channel, &queue), ["first", "second"]);
}

#[test]
fn a_requeued_message_keeps_its_priority_and_its_place() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 9);
    for (priority, body) in [(5, "a"), (5, "b"), (1, "c")] {
        publish(&channel, &queue, priority, body);
    }
    channel.await_ready(&queue, 3);
    let tags: Vec<u64> = (0..3)
        .map(|_| channel.get_with(&queue, false).expect("it is there"))
        .map(|got| got.method.delivery_tag)
        .collect();
    publish(&channel, &queue, 5, "d");
    publish(&channel, &queue, 9, "e");
    channel.await_ready(&queue, 2);
    channel.send(basic::Nack {
        delivery_tag: tags[2],
        multiple: true,
        requeue: true,
    });
    channel.await_ready(&queue, 5);
    assert_eq!(take_all(&channel, &queue), ["e", "a", "b", "d", "c"]);
}

#[test]
fn a_consumer_gets_the_highest_it_has_credit_for() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 9);
    channel.qos(1, false);
    channel.consume(&queue);
    publish(&channel, &queue, 0, "while nothing else is there");
    let first = channel.deliver();
    for (priority, body) in [(2, "low"), (8, "high")] {
        publish(&channel, &queue, priority, body);
    }
    channel.await_ready(&queue, 2);
    channel.ack(first.method.delivery_tag);
    let second = channel.deliver();
    assert_eq!(second.text(), "high");
    channel.ack(second.method.delivery_tag);
    assert_eq!(channel.deliver().text(), "low");
}

#[test]
fn a_purge_takes_all_priorities() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 9);
    for priority in 0..10 {
        publish(&channel, &queue, priority, "purged");
    }
    channel.await_ready(&queue, 10);
    let purged = channel.call(amq_protocol::protocol::queue::Purge {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    assert_eq!(purged.message_count, 10);
    assert_eq!(channel.ready(&queue), 0);
}

#[test]
fn an_expired_message_of_a_high_priority_does_not_hold_back_the_others() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, 9);
    let expiring = |priority, ms: &str| {
        let properties = BasicProperties::default().with_priority(priority);
        properties.with_expiration(ms.into())
    };
    channel.confirm_select();
    channel.publish_with("", &queue, expiring(9, "50"), "goes");
    channel.publish_with("", &queue, expiring(5, "60000"), "stays");
    channel.confirms(2);
    channel.await_ready(&queue, 1);
    assert_eq!(take_all(&channel, &queue), ["stays"]);
}
