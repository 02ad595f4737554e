//! Streams over AMQP 0-9-1 (<https://www.rabbitmq.com/docs/streams>).

use amq_protocol::protocol::{BasicProperties, basic, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, next_second, table, text, unique};

/// A stream. It goes with the test.
pub(super) struct Stream<'a> {
    channel: &'a Channel,
    pub(super) name: String,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.channel.call(queue::Delete {
                queue: self.name.as_str().into(),
                ..Default::default()
            });
        }
    }
}

pub(super) fn declare(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        durable: true,
        arguments: table([("x-queue-type", text("stream"))]),
        ..Default::default()
    }
}

pub(super) fn stream(channel: &Channel) -> Stream<'_> {
    stream_with(channel, &[])
}

pub(super) fn stream_with<'a>(channel: &'a Channel, further: &[(&str, AMQPValue)]) -> Stream<'a> {
    let name = unique("stream");
    let mut declare = declare(&name);
    for (key, value) in further {
        declare.arguments.insert((*key).into(), value.clone());
    }
    channel.call(declare);
    Stream { channel, name }
}

/// Publishes, and waits until that is confirmed.
pub(super) fn fill(channel: &Channel, stream: &str, bodies: std::ops::Range<usize>) {
    let publisher = channel.connection().channel(channel.number() + 100);
    publisher.confirm_select();
    let count = bodies.len() as u64;
    for body in bodies {
        publisher.publish("", stream, &body.to_string());
    }
    publisher.confirms(count);
    publisher.close();
}

pub(super) fn consume(channel: &Channel, stream: &str, arguments: FieldTable) -> String {
    channel.consume_with(basic::Consume {
        queue: stream.into(),
        arguments,
        ..Default::default()
    })
}

pub(super) fn from(offset: AMQPValue) -> FieldTable {
    table([("x-stream-offset", offset)])
}

/// Takes deliveries and acknowledges them: bodies, and offsets.
pub(super) fn take(channel: &Channel, count: usize) -> Vec<(usize, i64)> {
    let one = |_| {
        let delivery = channel.deliver();
        channel.ack(delivery.method.delivery_tag);
        let headers = delivery.properties.headers().clone().expect("headers");
        let Some(AMQPValue::LongLongInt(offset)) = headers.inner().get("x-stream-offset") else {
            panic!("no offset: {headers:?}");
        };
        (delivery.text().parse().expect("a number"), *offset)
    };
    (0..count).map(one).collect()
}

pub(super) fn numbered(range: std::ops::Range<usize>) -> Vec<(usize, i64)> {
    range.map(|number| (number, number as i64)).collect()
}

#[test]
fn it_is_read_from_the_beginning_as_often_as_anybody_likes() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..100);
    channel.qos(10, false);
    for _ in 0..2 {
        let tag = consume(&channel, &stream.name, from(text("first")));
        assert_eq!(take(&channel, 100), numbered(0..100));
        channel.cancel(&tag);
    }
}

#[test]
fn readers_begin_at_an_offset() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..50);
    channel.qos(100, false);
    let tag = consume(&channel, &stream.name, from(AMQPValue::LongLongInt(42)));
    assert_eq!(take(&channel, 8), numbered(42..50));
    channel.cancel(&tag);
}

#[test]
fn without_an_offset_they_begin_at_the_end() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..5);
    channel.qos(100, false);
    consume(&channel, &stream.name, FieldTable::default());
    fill(&channel, &stream.name, 5..8);
    assert_eq!(take(&channel, 3), numbered(5..8));
}

#[test]
fn several_read_the_same_at_their_own_pace() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..20);
    let (fast, slow) = (Connection::open().channel(1), Connection::open().channel(1));
    fast.qos(100, false);
    slow.qos(1, false);
    consume(&fast, &stream.name, from(text("first")));
    consume(&slow, &stream.name, from(text("first")));
    assert_eq!(take(&fast, 20), numbered(0..20));
    assert_eq!(take(&slow, 20), numbered(0..20));
}

#[test]
fn a_reader_takes_no_more_than_its_prefetch() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..10);
    channel.qos(3, false);
    consume(&channel, &stream.name, from(text("first")));
    let tags: Vec<u64> = (0..3)
        .map(|_| channel.deliver().method.delivery_tag)
        .collect();
    channel.quiet(&stream.name);
    channel.ack(tags[0]);
    assert_eq!(channel.deliver().text(), "3");
    channel.quiet(&stream.name);
}

#[test]
fn a_message_of_a_stream_cannot_be_rejected() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..2);
    let reader = Connection::open().channel(1);
    reader.qos(10, false);
    consume(&reader, &stream.name, from(text("first")));
    let first = reader.deliver();
    reader.deliver();
    let nack = basic::Nack {
        delivery_tag: first.method.delivery_tag,
        ..Default::default()
    };
    let explanation = format!(
        "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue '{}' in vhost '/'",
        stream.name
    );
    reader.breaks(nack, 540, &explanation);
}

#[test]
fn a_reader_has_to_say_how_much_it_takes() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let reader = Connection::open().channel(1);
    let consume = basic::Consume {
        queue: stream.name.as_str().into(),
        ..Default::default()
    };
    let explanation = format!(
        "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '{}' in vhost '/'",
        stream.name
    );
    reader.fails(consume, 406, &explanation);
}

#[test]
fn streams_are_not_read_with_get_nor_purged_nor_without_acks() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let name = || stream.name.as_str().into();
    let get = basic::Get {
        queue: name(),
        ..Default::default()
    };
    let of = format!("queue '{}' in vhost '/'", stream.name);
    let text = format!("NOT_IMPLEMENTED - basic.get not supported by stream queues {of}");
    Connection::open().channel(1).breaks(get, 540, &text);
    let purge = queue::Purge {
        queue: name(),
        ..Default::default()
    };
    let text = format!("NOT_IMPLEMENTED - queue.purge not supported by stream queues {of}");
    Connection::open().channel(1).breaks(purge, 540, &text);
    let reader = Connection::open().channel(1);
    reader.qos(10, false);
    let consume = basic::Consume {
        queue: name(),
        no_ack: true,
        ..Default::default()
    };
    let text =
        format!("NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues {of}");
    reader.breaks(consume, 540, &text);
}

#[test]
fn a_stream_is_durable_and_shared() {
    let channel = Connection::open().channel(1);
    for (what, change) in [
        ("non-durable", (false, false, false)),
        ("exclusive-owner", (true, true, false)),
        ("auto-delete", (true, false, true)),
    ] {
        let (durable, exclusive, auto_delete) = change;
        let name = unique("stream");
        let declare = queue::Declare {
            durable,
            exclusive,
            auto_delete,
            ..declare(&name)
        };
        let explanation = format!(
            "PRECONDITION_FAILED - invalid property '{what}' for queue '{name}' in vhost '/'"
        );
        channel.fails(declare, 406, &explanation);
        channel.reopen();
    }
}

#[test]
fn an_offset_that_is_none_is_refused() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let reader = Connection::open().channel(1);
    reader.qos(10, false);
    let consume = basic::Consume {
        queue: stream.name.as_str().into(),
        arguments: from(text("somewhere")),
        ..Default::default()
    };
    reader.send(consume);
    reader.expect::<amq_protocol::protocol::channel::Close>();
}

#[test]
fn readers_hear_of_the_end_of_their_stream() {
    let channel = Connection::open().channel(1);
    let name = unique("stream");
    channel.call(declare(&name));
    let reader = Connection::open().channel(1);
    reader.qos(10, false);
    let tag = consume(&reader, &name, from(text("first")));
    channel.call(queue::Delete {
        queue: name.as_str().into(),
        ..Default::default()
    });
    assert_eq!(reader.expect::<basic::Cancel>().consumer_tag.as_str(), tag);
}

#[test]
fn properties_come_as_they_were_published() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    channel.confirm_select();
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(table([("own", text("kept"))]));
    channel.publish_with("", &stream.name, properties, "1");
    channel.confirms(1);
    channel.qos(10, false);
    consume(&channel, &stream.name, from(text("first")));
    let delivery = channel.deliver();
    let headers = delivery.properties.headers().clone().expect("headers");
    assert_eq!(headers.inner().get("own"), Some(&text("kept")));
    assert_eq!(
        delivery
            .properties
            .content_type()
            .as_ref()
            .map(|of| of.as_str()),
        Some("text/plain")
    );
    assert!(!delivery.method.redelivered);
}

#[test]
fn a_timestamp_leads_to_what_was_published_then() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let before = next_second();
    fill(&channel, &stream.name, 0..5);
    let between = next_second();
    fill(&channel, &stream.name, 5..8);
    let after = next_second() + 3_600;
    for (time, first) in [(0, 0), (before, 0), (between, 5)] {
        let reader = Connection::open().channel(1);
        reader.qos(100, false);
        consume(&reader, &stream.name, from(AMQPValue::Timestamp(time)));
        assert_eq!(take(&reader, 8 - first), numbered(first..8));
    }
    let reader = Connection::open().channel(1);
    reader.qos(100, false);
    consume(&reader, &stream.name, from(AMQPValue::Timestamp(after)));
    fill(&channel, &stream.name, 8..10);
    assert_eq!(take(&reader, 2), numbered(8..10));
}

#[test]
fn an_interval_leads_to_what_was_published_so_long_ago() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..5);
    for interval in ["1h", "7D", "100Y"] {
        let reader = Connection::open().channel(1);
        reader.qos(100, false);
        consume(&reader, &stream.name, from(text(interval)));
        assert_eq!(take(&reader, 5), numbered(0..5), "{interval}");
    }
    // What is more than a second old is older than that.
    next_second();
    next_second();
    let reader = Connection::open().channel(1);
    reader.qos(100, false);
    consume(&reader, &stream.name, from(text("1s")));
    fill(&channel, &stream.name, 5..7);
    assert_eq!(take(&reader, 2), numbered(5..7));
}

#[test]
fn consumers_of_one_channel_have_acks_and_prefetches_of_their_own() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..3);
    let reader = Connection::open().channel(1);
    reader.qos(1, false);
    let one = consume(&reader, &stream.name, from(text("first")));
    let of_one = reader.deliver().method.delivery_tag;
    let other = consume(&reader, &stream.name, from(text("first")));
    let of_other = reader.deliver().method.delivery_tag;
    reader.ack(of_other);
    let next = reader.deliver();
    let told = (next.method.consumer_tag.as_str(), next.text());
    assert_eq!(told, (other.as_str(), "1"));
    reader.ack(of_one);
    let next = reader.deliver();
    let told = (next.method.consumer_tag.as_str(), next.text());
    assert_eq!(told, (one.as_str(), "1"));
}

#[test]
fn a_filter_passes_over_very_many() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let publisher = channel.connection().channel(101);
    publisher.confirm_select();
    let of = |value: &str| {
        BasicProperties::default().with_headers(table([("x-stream-filter-value", text(value))]))
    };
    for _ in 0..25_000 {
        publisher.publish_with("", &stream.name, of("other"), "0");
    }
    publisher.publish_with("", &stream.name, of("mine"), "1");
    while publisher.expect::<basic::Ack>().delivery_tag < 25_001 {}
    channel.qos(1, false);
    let arguments = table([
        ("x-stream-offset", text("first")),
        ("x-stream-filter", text("mine")),
    ]);
    consume(&channel, &stream.name, arguments);
    assert_eq!(take(&channel, 1), [(1, 25_000)]);
}

#[test]
fn what_was_not_acknowledged_comes_again_after_recover() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    fill(&channel, &stream.name, 0..5);
    let reader = Connection::open().channel(1);
    reader.qos(3, false);
    consume(&reader, &stream.name, from(text("first")));
    assert_eq!(take(&reader, 1), numbered(0..1));
    assert_eq!(reader.deliveries(3), ["1", "2", "3"]);
    reader.call(basic::Recover { requeue: true });
    assert_eq!(take(&reader, 4), numbered(1..5));
}

#[test]
fn very_many_read_the_same() {
    let channel = Connection::open().channel(1);
    let stream = stream(&channel);
    let readers: Vec<Channel> = (0..10)
        .flat_map(|_| {
            let connection = Connection::open();
            (1..=10).map(move |number| connection.channel(number))
        })
        .collect();
    for (number, reader) in (0..).zip(&readers) {
        reader.qos(1 + number % 7, false);
        consume(reader, &stream.name, from(text("first")));
    }
    assert_eq!(channel.inspect(&stream.name).consumer_count, 100);
    fill(&channel, &stream.name, 0..50);
    for reader in &readers {
        assert_eq!(take(reader, 50), numbered(0..50));
    }
}
