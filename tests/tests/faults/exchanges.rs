//! What exchanges of the types and names of RabbitMQ's plugins promise beyond a kill: hashes lead where they led before, a confirmed message is in
//! the history, and who listens to events goes on listening.

use std::collections::BTreeMap;

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, exchange, queue};
use leveret_tests::client::{Channel, table};
use leveret_tests::node::{Node, Running};

const HASHES: [&str; 2] = ["x-consistent-hash", "x-modulus-hash"];
const HISTORY: &str = "x-recent-history";

/// How many queues are bound to each hash.
const QUEUES: usize = 12;

/// How many messages each hash gets.
const MESSAGES: usize = 300;

fn declare(channel: &Channel) {
    for kind in HASHES.into_iter().chain([HISTORY]) {
        channel.call(exchange::Declare {
            exchange: kind.into(),
            kind: kind.into(),
            durable: true,
            arguments: table([("x-recent-history-length", 3.into())]),
            ..Default::default()
        });
    }
    for (number, kind) in (0..QUEUES).flat_map(|number| HASHES.map(|kind| (number, kind))) {
        let name = format!("{kind} {number}");
        declare_queue(channel, &name);
        channel.bind(&name, kind, ["1", "3"][number % 2]);
    }
}

fn declare_queue(channel: &Channel, name: &str) {
    channel.call(queue::Declare {
        queue: name.into(),
        durable: true,
        ..Default::default()
    });
}

/// Where each message goes.
fn places(channel: &Channel) -> BTreeMap<String, String> {
    for (number, kind) in (0..MESSAGES).flat_map(|number| HASHES.map(|kind| (number, kind))) {
        let text = format!("{kind}: {number}");
        channel.publish(kind, &format!("key.{number}"), &text);
    }
    let mut places = BTreeMap::new();
    for (number, kind) in (0..QUEUES).flat_map(|number| HASHES.map(|kind| (number, kind))) {
        let name = format!("{kind} {number}");
        while let Some(message) = channel.get_with(&name, true) {
            places.insert(message.text().to_owned(), name.clone());
        }
    }
    assert_eq!(places.len(), HASHES.len() * MESSAGES);
    places
}

/// What a new binding finds in the history.
fn recent(broker: &Running) -> Vec<String> {
    let channel = broker.connect().channel(1);
    let queue = channel.queue();
    channel.bind(&queue, HISTORY, "");
    let found = (0..channel.ready(&queue)).map(|_| channel.take(&queue));
    found.collect()
}

/// Publishes persistently to the history, and waits until all is confirmed.
fn publish_history(channel: &Channel, numbers: std::ops::RangeInclusive<u64>) {
    declare_queue(channel, "all");
    channel.bind("all", HISTORY, "");
    channel.confirm_select();
    let last = numbers.end() - numbers.start() + 1;
    for number in numbers {
        let publish = basic::Publish {
            exchange: HISTORY.into(),
            routing_key: "k".into(),
            ..Default::default()
        };
        let properties = AMQPProperties::default().with_delivery_mode(2);
        channel.publish_content(publish, &properties, number.to_string().as_bytes());
    }
    channel.confirms(last);
}

#[test]
fn hashes_and_histories_go_on_after_a_kill() {
    let node = Node::new();
    let broker = node.start();
    let connection = broker.connect();
    let channel = connection.channel(1);
    declare(&channel);
    let before = places(&channel);
    publish_history(&channel, 1..=5);
    broker.kill();

    let broker = node.start();
    assert_eq!(recent(&broker), ["3", "4", "5"]);
    let connection = broker.connect();
    assert_eq!(places(&connection.channel(1)), before);
    publish_history(&connection.channel(2), 6..=6);
    broker.stop();

    let broker = node.start();
    assert_eq!(recent(&broker), ["4", "5", "6"]);
    let connection = broker.connect();
    assert_eq!(places(&connection.channel(1)), before);
    let channel = connection.channel(2);
    channel.call(exchange::Delete {
        exchange: HISTORY.into(),
        ..Default::default()
    });
    broker.kill();
    node.start().stop();
}

/// Whether there is an exchange of that name.
fn is_there(broker: &Running, exchange: &str) -> bool {
    let connection = broker.connect();
    let channel = connection.channel(1);
    channel.send(exchange::Declare {
        exchange: exchange.into(),
        passive: true,
        ..Default::default()
    });
    let answer = connection.expect_any(1);
    matches!(
        answer,
        AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_))
    )
}

#[test]
fn the_event_exchange_outlives_a_kill_and_goes_with_its_configuration() {
    const EVENTS: &str = "amq.rabbitmq.event";
    let on = "events.exchange = true\n";
    let node = Node::new().configured(on);
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare_queue(&channel, "heard");
    channel.bind("heard", EVENTS, "queue.created");
    broker.kill();

    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare_queue(&channel, "new");
    channel.await_counts("heard", |counts| counts.message_count > 0);
    broker.kill();

    let node = node.configured("");
    let broker = node.start();
    assert!(!is_there(&broker, EVENTS));
    broker.kill();
    let node = node.configured(on);
    let broker = node.start();
    assert!(is_there(&broker, EVENTS));
    let channel = broker.connect().channel(1);
    declare_queue(&channel, "another");
    channel.quiet("heard");
    broker.stop();
}
