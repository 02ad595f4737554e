//! Streams whose readers have names (`x-leveret-stream-offset-name`), under which the broker keeps how far they have come; and those with a single active
//! consumer.

use amq_protocol::protocol::basic;
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table, text, unique};

use super::stream::{fill, numbered, stream, stream_with, take};

fn reader() -> Channel {
    let channel = Connection::open().channel(1);
    channel.qos(100, false);
    channel
}

/// Consumes under a name; without anything kept, from the beginning.
fn consume_as(channel: &Channel, stream: &str, name: &str) -> String {
    channel.consume_with(basic::Consume {
        queue: stream.into(),
        arguments: table([
            ("x-stream-offset", text("first")),
            ("x-leveret-stream-offset-name", text(name)),
        ]),
        ..Default::default()
    })
}

/// What a channel acknowledged before has reached the stream, whatever is on its way to it.
fn settled(channel: &Channel) {
    channel.connection().channel(2).close();
}

#[test]
fn a_name_goes_on_behind_what_was_acknowledged() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..5);
    let first = reader();
    let tag = consume_as(&first, &stream.name, "me");
    assert_eq!(take(&first, 5), numbered(0..5));
    first.cancel(&tag);
    fill(&channel, &stream.name, 5..10);
    consume_as(&first, &stream.name, "me");
    assert_eq!(take(&first, 5), numbered(5..10));
    first.close();
    fill(&channel, &stream.name, 10..20);
    let second = reader();
    consume_as(&second, &stream.name, "me");
    assert_eq!(take(&second, 3), numbered(10..13));
    settled(&second);
    drop(second);
    let third = reader();
    consume_as(&third, &stream.name, "me");
    assert_eq!(take(&third, 7), numbered(13..20));
    let other = reader();
    consume_as(&other, &stream.name, "other");
    assert_eq!(take(&other, 20), numbered(0..20));
}

#[test]
fn what_is_acknowledged_out_of_order_counts_from_the_first_that_is_not() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..6);
    let first = reader();
    consume_as(&first, &stream.name, "me");
    let tags: Vec<u64> = (0..6)
        .map(|_| first.deliver().method.delivery_tag)
        .collect();
    for at in [0, 1, 3, 4] {
        first.ack(tags[at]);
    }
    first.close();
    let second = reader();
    consume_as(&second, &stream.name, "me");
    assert_eq!(take(&second, 4), numbered(2..6));
}

#[test]
fn a_consumer_that_was_cancelled_may_yet_acknowledge() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..6);
    let first = reader();
    let tag = consume_as(&first, &stream.name, "me");
    let tags: Vec<u64> = (0..6)
        .map(|_| first.deliver().method.delivery_tag)
        .collect();
    first.cancel(&tag);
    assert_eq!(channel.inspect(&stream.name).consumer_count, 0);
    tags[..4].iter().for_each(|tag| first.ack(*tag));
    first.sync();
    let second = reader();
    consume_as(&second, &stream.name, "me");
    assert_eq!(take(&second, 2), numbered(4..6));
    // The name has passed to another: this counts no more.
    first.ack(tags[5]);
    first.close();
    second.close();
    let third = reader();
    consume_as(&third, &stream.name, "me");
    fill(&channel, &stream.name, 6..8);
    assert_eq!(take(&third, 2), numbered(6..8));
}

#[test]
fn a_name_belongs_to_the_consumer_that_came_last() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..10);
    let (old, new) = (reader(), reader());
    consume_as(&old, &stream.name, "me");
    assert_eq!(take(&old, 2), numbered(0..2));
    settled(&old);
    consume_as(&new, &stream.name, "me");
    assert_eq!(take(&new, 3), numbered(2..5));
    assert_eq!(take(&old, 8), numbered(2..10));
    settled(&old);
    settled(&new);
    let next = reader();
    consume_as(&next, &stream.name, "me");
    assert_eq!(take(&next, 5), numbered(5..10));
}

#[test]
fn a_name_that_begins_at_the_end_misses_nothing_after_that() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..3);
    let consume = |channel: &Channel| {
        channel.consume_with(basic::Consume {
            queue: stream.name.as_str().into(),
            arguments: table([("x-leveret-stream-offset-name", text("me"))]),
            ..Default::default()
        })
    };
    let first = reader();
    consume(&first);
    first.close();
    fill(&channel, &stream.name, 3..5);
    let second = reader();
    consume(&second);
    assert_eq!(take(&second, 2), numbered(3..5));
}

#[test]
fn a_name_has_to_be_one() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    for value in [text(""), text(&"n".repeat(256)), AMQPValue::LongInt(1)] {
        let reader = reader();
        reader.send(basic::Consume {
            queue: stream.name.as_str().into(),
            arguments: table([("x-leveret-stream-offset-name", value)]),
            ..Default::default()
        });
        let close: amq_protocol::protocol::channel::Close = reader.expect();
        assert_eq!(close.reply_code, 406);
    }
}

#[test]
fn there_are_so_many_names_of_a_stream() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let reader = reader();
    for number in 0..1024 {
        let tag = consume_as(&reader, &stream.name, &format!("reader-{number}"));
        reader.cancel(&tag);
    }
    let tag = consume_as(&reader, &stream.name, "reader-7");
    reader.cancel(&tag);
    let one_more = basic::Consume {
        queue: stream.name.as_str().into(),
        arguments: table([("x-leveret-stream-offset-name", text("one more"))]),
        ..Default::default()
    };
    let explanation = format!(
        "PRECONDITION_FAILED - the stream keeps 1024 offset names, and has room for no other: queue '{}' in vhost '/'",
        stream.name
    );
    reader.fails(one_more, 406, &explanation);
}

#[test]
fn a_single_active_consumer_takes_its_turn_and_another_goes_on() {
    let channel = Connection::open().channel(1);
    let single = [("x-single-active-consumer", AMQPValue::Boolean(true))];
    let stream = stream_with(&channel, &single);
    fill(&channel, &stream.name, 0..10);
    let (first, second, third) = (reader(), reader(), reader());
    let name = unique("group");
    consume_as(&first, &stream.name, &name);
    consume_as(&second, &stream.name, &name);
    consume_as(&third, &stream.name, &name);
    assert_eq!(take(&first, 4), numbered(0..4));
    settled(&first);
    second.quiet(&stream.name);
    assert_eq!(channel.inspect(&stream.name).consumer_count, 3);
    drop(first);
    assert_eq!(take(&second, 3), numbered(4..7));
    settled(&second);
    third.quiet(&stream.name);
    drop(second);
    assert_eq!(take(&third, 3), numbered(7..10));
}
