//! The broker is killed with signal 9 while a stream is written to: what was confirmed is there, once and in order, however far back it is read from; and
//! readers with names go on where they were, or a bit before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{BasicProperties, basic, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Content, next_second, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::{Node, Running};

const STREAM: &str = "kept";

/// How many messages are published before the kill, in windows of so many; all together more than stays in memory.
const MESSAGES: usize = 12_000;
const WINDOW: usize = 500;
const BODY: usize = 1_000;

fn declare(channel: &Channel, further: &[(&str, AMQPValue)]) {
    let mut arguments = table([("x-queue-type", text("stream"))]);
    for (key, value) in further {
        arguments.insert((*key).into(), value.clone());
    }
    channel.call(queue::Declare {
        queue: STREAM.into(),
        durable: true,
        arguments,
        ..Default::default()
    });
}

/// Publishes numbered messages, each window when the last one is confirmed.
fn publish(channel: &Channel, numbers: std::ops::Range<usize>) {
    let mut confirmed = 0;
    for window in numbers.collect::<Vec<_>>().chunks(WINDOW) {
        for number in window {
            let body = format!("{number:0BODY$}");
            channel.publish_with("", STREAM, BasicProperties::default(), &body);
        }
        confirmed += window.len() as u64;
        while channel.expect::<basic::Ack>().delivery_tag < confirmed {}
    }
}

fn offset_of(delivery: &Content<basic::Deliver>) -> i64 {
    let headers = delivery.properties.headers().clone().expect("headers");
    match headers.inner().get("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => *offset,
        _ => panic!("no offset: {headers:?}"),
    }
}

fn consume(channel: &Channel, arguments: FieldTable) {
    channel.qos(200, false);
    channel.consume_with(basic::Consume {
        queue: STREAM.into(),
        arguments,
        ..Default::default()
    });
}

fn by_name() -> FieldTable {
    table([
        ("x-stream-offset", text("first")),
        ("x-leveret-stream-offset-name", text("me")),
    ])
}

/// Takes and acknowledges messages, which follow each other; the offset of the first.
fn take(channel: &Channel, count: usize) -> i64 {
    let mut first = None;
    for number in 0..count {
        let delivery = channel.deliver();
        let offset = offset_of(&delivery);
        let first = *first.get_or_insert(offset);
        assert_eq!(offset, first + number as i64);
        channel.ack(delivery.method.delivery_tag);
    }
    first.expect("some are taken")
}

fn offsets(broker: &Running) -> serde_json::Value {
    Http::guest(broker.management()).get("/leveret/streams/%2F/kept/offsets")
}

/// Waits until it is written down that the reader goes on at an offset.
fn await_kept(broker: &Running, offset: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while offsets(broker)[0]["kept"] != offset {
        assert!(Instant::now() < deadline, "{}", offsets(broker));
        std::thread::yield_now();
    }
}

/// Reads from the first message there is up to one: numbers under their offsets.
fn read_upto(channel: &Channel, last: usize) -> BTreeMap<i64, usize> {
    channel.qos(200, false);
    let tag = channel.consume_with(basic::Consume {
        queue: STREAM.into(),
        arguments: table([("x-stream-offset", text("first"))]),
        ..Default::default()
    });
    let mut read = BTreeMap::new();
    loop {
        let delivery = channel.deliver();
        let offset = offset_of(&delivery);
        let number = delivery.text().parse().expect("a number");
        assert!(
            read.insert(offset, number).is_none(),
            "offset {offset} came twice"
        );
        channel.ack(delivery.method.delivery_tag);
        if number == last {
            channel.cancel(&tag);
            return read;
        }
    }
}

#[test]
fn what_was_confirmed_is_read_from_the_beginning_after_a_kill() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, &[]);
    channel.confirm_select();
    publish(&channel, 0..MESSAGES);
    let behind = broker.connect().channel(1);
    assert_eq!(read_upto(&behind, MESSAGES - 1).len(), MESSAGES);
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    publish(&channel, MESSAGES..MESSAGES + WINDOW);
    let read = read_upto(&broker.connect().channel(1), MESSAGES + WINDOW - 1);
    assert!(
        read.iter()
            .all(|(offset, number)| *offset == *number as i64)
    );
    assert_eq!(read.len(), MESSAGES + WINDOW);
}

#[test]
fn the_oldest_go_before_and_after_a_kill() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(
        &channel,
        &[("x-max-length-bytes", AMQPValue::LongInt(3_000_000))],
    );
    channel.confirm_select();
    publish(&channel, 0..MESSAGES);
    let kept = channel.ready(STREAM) as usize;
    assert!((1_500..=3_500).contains(&kept), "{kept} of 3 MB");
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    publish(&channel, MESSAGES..2 * MESSAGES);
    channel.await_counts(STREAM, |counts| {
        (1_500..=3_500).contains(&counts.message_count)
    });
    let read = read_upto(&broker.connect().channel(1), 2 * MESSAGES - 1);
    assert!(
        read.len() <= 3_500
            && read
                .keys()
                .next()
                .is_some_and(|first| *first > MESSAGES as i64)
    );
}

#[test]
fn a_reader_with_a_name_skips_nothing_after_a_kill() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, &[]);
    channel.confirm_select();
    publish(&channel, 0..5_000);
    let reader = broker.connect().channel(1);
    consume(&reader, by_name());
    assert_eq!(take(&reader, 1_000), 0);
    await_kept(&broker, 1_000);
    // Nobody knows how much of this is written down when the end comes.
    assert_eq!(take(&reader, 700), 1_000);
    broker.kill();
    let broker = node.start();
    let reader = broker.connect().channel(1);
    consume(&reader, by_name());
    let next = take(&reader, 1_000);
    assert!((1_000..=1_700).contains(&next), "{next}");
    // An end in order loses nothing.
    reader.connection().channel(2).close();
    broker.stop();
    let broker = node.start();
    let reader = broker.connect().channel(1);
    consume(&reader, by_name());
    assert_eq!(take(&reader, 500), next + 1_000);
}

#[test]
fn a_name_that_was_forgotten_stays_so_after_a_kill() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, &[]);
    channel.confirm_select();
    publish(&channel, 0..500);
    let reader = broker.connect().channel(1);
    consume(&reader, by_name());
    assert_eq!(take(&reader, 300), 0);
    await_kept(&broker, 300);
    broker.kill();
    let broker = node.start();
    let known = serde_json::json!([{"name": "me", "offset": 300, "kept": 300, "in_use": false}]);
    assert_eq!(offsets(&broker), known);
    let http = Http::guest(broker.management());
    assert_eq!(http.delete("/leveret/streams/%2F/kept/offsets/me"), 204);
    assert_eq!(http.delete("/leveret/streams/%2F/kept/offsets/me"), 404);
    broker.kill();
    let broker = node.start();
    assert_eq!(offsets(&broker), serde_json::json!([]));
    let reader = broker.connect().channel(1);
    consume(&reader, by_name());
    assert_eq!(take(&reader, 500), 0);
    // Nor has a stream anything to do with an earlier one of its name.
    await_kept(&broker, 500);
    let channel = broker.connect().channel(1);
    channel.call(queue::Delete {
        queue: STREAM.into(),
        ..Default::default()
    });
    declare(&channel, &[]);
    assert_eq!(offsets(&broker), serde_json::json!([]));
    broker.kill();
    let broker = node.start();
    assert_eq!(offsets(&broker), serde_json::json!([]));
}

fn confirming(broker: &Running) -> Channel {
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    channel
}

#[test]
fn a_timestamp_leads_to_what_was_published_before_a_kill() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel, &[]);
    channel.confirm_select();
    let mut began = Vec::new();
    for part in 0..4 {
        began.push((next_second(), part * 2_000));
        publish(&confirming(&broker), part * 2_000..(part + 1) * 2_000);
    }
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    let now = next_second();
    publish(&channel, 8_000..8_500);
    began.push((now, 8_000));
    began.push((0, 0));
    for (time, first) in began {
        let reader = broker.connect().channel(1);
        consume(
            &reader,
            table([("x-stream-offset", AMQPValue::Timestamp(time))]),
        );
        assert_eq!(take(&reader, 8_500 - first), first as i64);
    }
    let reader = broker.connect().channel(1);
    consume(
        &reader,
        table([("x-stream-offset", AMQPValue::Timestamp(now + 3_600))]),
    );
    publish(&confirming(&broker), 8_500..9_000);
    assert_eq!(take(&reader, 500), 8_500);
}

#[test]
fn no_offset_that_a_reader_has_seen_is_another_messages_after_a_kill() {
    let node = Node::new();
    let mut seen = BTreeMap::new();
    let mut next = 0;
    for round in 0..4 {
        let broker = node.start();
        let channel = broker.connect().channel(1);
        declare(&channel, &[]);
        let reader = broker.connect().channel(1);
        consume(&reader, table([("x-stream-offset", text("next"))]));
        // Nobody waits for these to be safe, and the end comes while some are not.
        for _ in 0..2_000 {
            let body = format!("{next:0BODY$}");
            channel.publish_with("", STREAM, BasicProperties::default(), &body);
            next += 1;
        }
        for _ in 0..500 * round + 1 {
            let delivery = reader.deliver();
            let number: usize = delivery.text().parse().expect("a number");
            let before = seen.insert(offset_of(&delivery), number);
            assert_eq!(before, None, "an offset that was seen before");
            reader.ack(delivery.method.delivery_tag);
        }
        broker.kill();
    }
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    publish(&channel, next..next + 1);
    let read = read_upto(&broker.connect().channel(1), next);
    for (offset, number) in seen {
        assert_eq!(read.get(&offset), Some(&number), "at {offset}");
    }
}
