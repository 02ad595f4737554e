//! `basic.get`.

use amq_protocol::protocol::basic;
use leveret_tests::client::{Channel, Connection, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

#[test]
fn an_empty_queue_gives_get_empty() {
    let channel = channel();
    let queue = channel.queue();
    assert!(channel.get(&queue).is_none());
    channel.fill(&queue, &["one"]);
    channel.take(&queue);
    assert!(channel.get(&queue).is_none());
}

#[test]
fn get_ok_tells_where_from_and_how_many_are_left() {
    let channel = channel();
    let (queue, exchange) = (channel.queue(), channel.exchange("topic"));
    channel.bind(&queue, &exchange, "#");
    for body in ["one", "two", "three"] {
        channel.publish(&exchange, "a.key", body);
    }
    channel.await_ready(&queue, 3);
    for (tag, left, body) in [(1, 2, "one"), (2, 1, "two"), (3, 0, "three")] {
        let message = channel.get(&queue).expect("a message");
        let expected = basic::GetOk {
            delivery_tag: tag,
            redelivered: false,
            exchange: exchange.as_str().into(),
            routing_key: "a.key".into(),
            message_count: left,
        };
        assert_eq!((&message.method, message.text()), (&expected, body));
    }
}

#[test]
fn get_ok_counts_what_is_ready_right_after_a_publish() {
    let channel = channel();
    let queue = channel.queue();
    channel.publish("", &queue, "unacked");
    channel.get(&queue).expect("a message");
    for count in 0..100 {
        channel.publish("", &queue, "one");
        channel.publish("", &queue, "another");
        let got = channel.get_with(&queue, true).expect("a message");
        assert_eq!(got.method.message_count, count + 1);
    }
}

#[test]
fn a_message_got_with_ack_is_unacked_until_then() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.fill(&queue, &["unacked"]);
    let tag = channel
        .get(&queue)
        .expect("the message")
        .method
        .delivery_tag;
    let other = connection.channel(2);
    assert!(other.get(&queue).is_none());
    channel.close();
    other.await_ready(&queue, 1);
    let message = other.get(&queue).expect("the message is back");
    assert!(message.method.redelivered);
    assert_eq!((tag, message.method.delivery_tag), (1, 1));
    other.ack(1);
    other.close();
    other.reopen();
    assert!(other.get(&queue).is_none());
}

#[test]
fn a_message_got_without_ack_is_gone() {
    let channel = channel();
    let queue = channel.queue();
    channel.fill(&queue, &["gone"]);
    channel.take(&queue);
    channel.close();
    channel.reopen();
    assert!(channel.get(&queue).is_none());
}

#[test]
fn get_ignores_the_prefetch_limit() {
    let channel = channel();
    let queue = channel.queue();
    channel.fill(&queue, &["one", "two", "three"]);
    channel.qos(1, true);
    for body in ["one", "two", "three"] {
        assert_eq!(channel.get(&queue).expect("a message").text(), body);
    }
}

#[test]
fn get_from_a_missing_queue_is_not_found() {
    let name = unique("missing");
    let get = basic::Get {
        queue: name.as_str().into(),
        no_ack: false,
    };
    channel().fails(
        get,
        404,
        &format!("NOT_FOUND - no queue '{name}' in vhost '/'"),
    );
}

#[test]
fn get_takes_turns_with_nobody_while_a_consumer_has_all() {
    let connection = Connection::open();
    let (reader, getter) = (connection.channel(1), connection.channel(2));
    let queue = reader.queue();
    reader.consume(&queue);
    getter.publish("", &queue, "for the consumer");
    assert_eq!(reader.deliver().text(), "for the consumer");
    assert!(getter.get(&queue).is_none());
}
