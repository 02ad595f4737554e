//! Data folders that earlier versions left: every later version has to open them and find what is in them.
//!
//! A folder lies in `tests/fixtures` as an archive for each format, made once by [`make`] with the version that introduced the format, and
//! never made again: a version that cannot read it has broken the format.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::Channel;
use leveret_tests::node::Node;

const FORMAT_1: &str = "format-1.tar.gz";

/// A queue so long that most of it moved to segments, of which then most was acked.
const LONG: &str = "old.long";
const LONG_COUNT: u32 = 20_000;
/// Of the long queue, every message of which the number can be divided by this was not acked.
const LEFT: u32 = 500;
const SHORT: &str = "old.short";
const TOPIC: &str = "old.topic";
/// Logs so small that messages move to segments.
const CONFIG: &str = "store.log_bytes = 16777216\n";

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn tar(arguments: &[&std::ffi::OsStr]) {
    let done = Command::new("tar").args(arguments).status();
    assert!(done.expect("tar runs").success());
}

fn long_body(number: u32) -> String {
    format!("{number} {}", "x".repeat(1500))
}

fn arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-expires".into(), AMQPValue::LongInt(86_400_000));
    arguments
}

fn declare_all(channel: &Channel) {
    for (name, arguments) in [(LONG, FieldTable::default()), (SHORT, arguments())] {
        channel.call(queue::Declare {
            queue: name.into(),
            durable: true,
            arguments,
            ..Default::default()
        });
    }
    channel.call(exchange::Declare {
        exchange: TOPIC.into(),
        kind: "topic".into(),
        durable: true,
        ..Default::default()
    });
    channel.bind(SHORT, TOPIC, "a.#");
}

fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) {
    let method = basic::Publish {
        exchange: exchange.into(),
        routing_key: key.into(),
        ..Default::default()
    };
    let properties = AMQPProperties::default()
        .with_delivery_mode(2)
        .with_message_id(body.get(..1).unwrap_or_default().into());
    channel.publish_content(method, &properties, body.as_bytes());
}

#[test]
#[ignore = "makes the fixture, which is to be made once for each format"]
fn make() {
    let node = Node::new().configured(CONFIG);
    let broker = node.start();
    let connection = broker.connect();
    let channel = connection.channel(1);
    declare_all(&channel);
    channel.confirm_select();
    for number in 1..=LONG_COUNT {
        publish(&channel, "", LONG, &long_body(number));
    }
    channel.confirms(u64::from(LONG_COUNT));
    let segments = node.data_dir().join("seg");
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::read_dir(&segments)
        .expect("it is there")
        .next()
        .is_none()
    {
        assert!(Instant::now() < deadline, "nothing moves to a segment");
        std::thread::yield_now();
    }
    channel.consume(LONG);
    for _ in 0..LONG_COUNT {
        let delivery = channel.deliver();
        let number: u32 = delivery
            .text()
            .split(' ')
            .next()
            .expect("a word")
            .parse()
            .expect("a number");
        if !number.is_multiple_of(LEFT) {
            channel.ack(delivery.method.delivery_tag);
        }
    }
    for body in ["one", "two", "three"] {
        publish(&channel, TOPIC, "a.b.c", body);
    }
    channel.confirms(u64::from(LONG_COUNT) + 3);
    let first = channel.get(SHORT).expect("there are three");
    channel.ack(first.method.delivery_tag);
    channel.sync();
    // Acks are written a few milliseconds later; an answer that waits for the disk comes behind them.
    channel.call(queue::Declare {
        queue: "old.empty".into(),
        durable: true,
        ..Default::default()
    });
    broker.kill();
    let (file, folder) = (archive(FORMAT_1), node.data_dir());
    tar(&[
        "-czf".as_ref(),
        file.as_ref(),
        "-C".as_ref(),
        folder.as_ref(),
        ".".as_ref(),
    ]);
}

#[test]
fn a_folder_of_format_1_is_read() {
    let node = Node::new().configured(CONFIG);
    std::fs::create_dir(node.data_dir()).expect("a folder of our own");
    let (file, folder) = (archive(FORMAT_1), node.data_dir());
    tar(&[
        "-xzf".as_ref(),
        file.as_ref(),
        "-C".as_ref(),
        folder.as_ref(),
    ]);
    // Twice: what the first one writes is read as well.
    for round in 0..2 {
        let broker = node.start();
        let connection = broker.connect();
        let channel = connection.channel(1);
        assert_eq!(channel.ready(LONG), LONG_COUNT / LEFT, "{round}");
        assert_eq!(channel.ready(SHORT), 2);
        assert_eq!(channel.ready("old.empty"), 0);
        declare_all(&channel);
        connection.close();
        broker.kill();
    }
    let broker = node.start();
    let channel = broker.connect().channel(1);
    for number in (LEFT..=LONG_COUNT).step_by(LEFT as usize) {
        let got = channel.get(LONG).expect("it is not empty yet");
        assert_eq!(got.text(), long_body(number));
        assert!(got.method.redelivered);
    }
    channel.publish(TOPIC, "a", "four");
    for body in ["two", "three", "four"] {
        let got = channel.get(SHORT).expect("it is not empty yet");
        assert_eq!((got.text(), got.method.redelivered), (body, body != "four"));
        if body != "four" {
            assert_eq!(got.method.exchange.as_str(), TOPIC);
            assert_eq!(got.method.routing_key.as_str(), "a.b.c");
        }
    }
}
