//! What quorum queues do beyond others, as in RabbitMQ 4.3 (<https://www.rabbitmq.com/docs/quorum-queues>).

use amq_protocol::protocol::{BasicProperties, basic};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, Content, table, text, unique};

/// A durable queue, which goes when the test deletes it.
fn quorum(channel: &Channel, further: &[(&str, AMQPValue)]) -> String {
    let name = unique("quorum");
    let mut arguments = table([("x-queue-type", text("quorum"))]);
    for (key, value) in further {
        arguments.insert((*key).into(), value.clone());
    }
    channel.call(amq_protocol::protocol::queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        arguments,
        ..Default::default()
    });
    name
}

fn delete(channel: &Channel, queue: &str) {
    channel.call(amq_protocol::protocol::queue::Delete {
        queue: queue.into(),
        ..Default::default()
    });
}

fn publish(channel: &Channel, queue: &str, priority: Option<u8>, body: &str) {
    let properties = match priority {
        Some(priority) => BasicProperties::default().with_priority(priority),
        None => BasicProperties::default(),
    };
    channel.publish_with("", queue, properties, body);
}

#[test]
fn priorities_are_told_apart_and_4_is_that_of_messages_without() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[]);
    let messages = [
        (Some(0), "lowest"),
        (Some(3), "low"),
        (None, "none"),
        (Some(4), "as none"),
        (Some(5), "high"),
        (Some(31), "highest"),
        (Some(200), "no higher"),
        (Some(1), "very low"),
        (None, "none again"),
    ];
    for (priority, body) in messages {
        publish(&channel, &queue, priority, body);
    }
    channel.await_ready(&queue, 9);
    let expected = [
        "highest",
        "no higher",
        "high",
        "none",
        "as none",
        "none again",
        "low",
        "very low",
        "lowest",
    ];
    assert_eq!(expected.map(|_| channel.take(&queue)), expected);
    delete(&channel, &queue);
}

#[test]
fn what_comes_back_is_served_first_as_it_came_back() {
    let channel = Connection::open().channel(1);
    // Without a limit RabbitMQ before 4.0 puts it behind all others.
    let queue = quorum(&channel, &[("x-delivery-limit", AMQPValue::LongInt(20))]);
    for body in ["a", "b", "c"] {
        publish(&channel, &queue, None, body);
    }
    channel.await_ready(&queue, 3);
    let tags: Vec<u64> = (0..3)
        .map(|_| {
            channel
                .get(&queue)
                .expect("it is there")
                .method
                .delivery_tag
        })
        .collect();
    publish(&channel, &queue, Some(31), "urgent");
    for (at, fails) in [(2, false), (0, true), (1, false)] {
        channel.give_back(tags[at], fails);
    }
    channel.await_ready(&queue, 4);
    let expected = ["c", "a", "b", "urgent"];
    assert_eq!(expected.map(|_| channel.take(&queue)), expected);
    // What is given back at once stays in its order.
    for body in ["d", "e"] {
        publish(&channel, &queue, Some(1), body);
    }
    channel.await_ready(&queue, 2);
    channel.get(&queue).expect("it is there");
    let last = channel
        .get(&queue)
        .expect("it is there")
        .method
        .delivery_tag;
    publish(&channel, &queue, Some(31), "urgent");
    channel.send(basic::Nack {
        delivery_tag: last,
        multiple: true,
        requeue: true,
    });
    channel.await_ready(&queue, 3);
    let expected = ["d", "e", "urgent"];
    assert_eq!(expected.map(|_| channel.take(&queue)), expected);
    delete(&channel, &queue);
}

#[test]
fn what_a_lost_channel_held_is_served_first_as_it_was_delivered() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[("x-delivery-limit", AMQPValue::LongInt(20))]);
    for (priority, body) in [(1, "low"), (9, "high"), (1, "low again"), (5, "middle")] {
        publish(&channel, &queue, Some(priority), body);
    }
    channel.await_ready(&queue, 4);
    let other = Connection::open().channel(1);
    other.qos(4, false);
    other.consume(&queue);
    let expected = ["high", "middle", "low", "low again"];
    assert_eq!(other.deliveries(4), expected);
    publish(&channel, &queue, Some(31), "urgent");
    other.close();
    channel.await_ready(&queue, 5);
    let returned = expected.map(|_| channel.take(&queue));
    assert_eq!(returned, expected);
    assert_eq!(channel.take(&queue), "urgent");
    delete(&channel, &queue);
}

fn counts(content: &Content<basic::GetOk>) -> [Option<i64>; 2] {
    let headers = content.properties.headers().clone().unwrap_or_default();
    ["x-acquired-count", "x-delivery-count"].map(|name| match headers.inner().get(name) {
        Some(AMQPValue::LongLongInt(count)) => Some(*count),
        None => None,
        other => panic!("{name} is {other:?}"),
    })
}

#[test]
fn a_message_that_comes_back_tells_how_often_it_was_handed_out_and_failed() {
    let channel = Connection::open().channel(1);
    let queue = quorum(&channel, &[("x-delivery-limit", AMQPValue::LongInt(-1))]);
    publish(&channel, &queue, None, "message");
    channel.await_ready(&queue, 1);
    let mut told = Vec::new();
    for fails in [false, true, false, false, true] {
        let got = channel.get(&queue).expect("it is there");
        told.push(counts(&got));
        channel.give_back(got.method.delivery_tag, fails);
        channel.await_ready(&queue, 1);
    }
    // A consumer is told the same, and that its channel ends is one failure more.
    let other = Connection::open().channel(1);
    other.consume(&queue);
    let delivered = other.deliver();
    let headers = delivered.properties.headers().clone().unwrap_or_default();
    let count = |name: &str| headers.inner().get(name).cloned();
    assert_eq!(count("x-acquired-count"), Some(AMQPValue::LongLongInt(5)));
    assert_eq!(count("x-delivery-count"), Some(AMQPValue::LongLongInt(2)));
    other.close();
    channel.await_ready(&queue, 1);
    told.push(counts(&channel.get(&queue).expect("it is there")));
    let expected = [
        [None, None],
        [Some(1), None],
        [Some(2), Some(1)],
        [Some(3), Some(1)],
        [Some(4), Some(1)],
        [Some(6), Some(3)],
    ];
    assert_eq!(told, expected);
    delete(&channel, &queue);
}
