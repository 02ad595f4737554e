//! The broker is killed with signal 9 while a stream is written to: what was confirmed is there, once and in order, however far back it is read from.

use std::collections::BTreeMap;

use amq_protocol::protocol::{BasicProperties, basic, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, table, text};
use leveret_tests::node::Node;

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
        let headers = delivery.properties.headers().clone().expect("headers");
        let Some(AMQPValue::LongLongInt(offset)) = headers.inner().get("x-stream-offset") else {
            panic!("no offset: {headers:?}");
        };
        let number = delivery.text().parse().expect("a number");
        assert!(
            read.insert(*offset, number).is_none(),
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
