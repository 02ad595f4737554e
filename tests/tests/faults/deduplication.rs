//! The broker is killed with signal 9 while publishers repeat everything that was not confirmed: with `x-message-deduplication` nothing is there twice
//! and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, basic, exchange, queue, tx};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, Login, table, text};
use leveret_tests::http::Http;
use leveret_tests::ledger::Message;
use leveret_tests::load::{Plan, Publisher as LoadPublisher};
use leveret_tests::node::{Node, Running};
use serde_json::{Value, json};

use super::moving::{held, kill_while_moving, take_one};

const QUEUE: &str = "unique";

/// How many messages each publisher has.
const MESSAGES: u64 = 1_500;

/// How many are under way at a time.
const UNDER_WAY: u64 = 50;

/// The broker is killed when its publishers have had so many confirms together.
const CONFIRMS: [u64; 4] = [1, 200, 700, 900];

/// A publisher: how many of its messages are confirmed.
#[derive(Clone, Copy, Debug)]
struct Publisher {
    number: u32,
    confirmed: u64,
}

impl Publisher {
    fn value(self, message: u64) -> String {
        format!("{} {message}", self.number)
    }

    /// Publishes what is not confirmed, from the first such message on, until all is or the broker is gone. Tells how many confirms there were.
    fn publish(mut self, channel: &Channel, to: (&str, &str), confirms: &Sender<u64>) -> Self {
        let before = self.confirmed;
        let mut sent = before;
        while self.confirmed < MESSAGES {
            while sent < MESSAGES && sent < self.confirmed + UNDER_WAY {
                sent += 1;
                self.send(channel, to, sent);
            }
            match channel.connection().next_method(channel.number()) {
                Some(AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) => {
                    let confirmed = before + ack.delivery_tag;
                    // Nobody counts any more once the broker is killed.
                    let _ = confirms.send(confirmed - self.confirmed);
                    self.confirmed = confirmed;
                }
                None => return self,
                Some(other) => panic!("a publish was answered by {other:?}"),
            }
        }
        self
    }

    fn send(self, channel: &Channel, (exchange, key): (&str, &str), message: u64) {
        let value = self.value(message);
        let headers = table([("x-deduplication-header", text(&value))]);
        let properties = AMQPProperties::default().with_delivery_mode(2);
        let method = basic::Publish {
            exchange: exchange.into(),
            routing_key: key.into(),
            ..Default::default()
        };
        channel.publish_content(method, &properties.with_headers(headers), value.as_bytes());
    }
}

/// Lets publishers publish, each with a connection of its own, until `enough` was confirmed or all is; then calls `end`.
fn publish_until(
    broker: Running,
    publishers: &mut [Publisher],
    to: (&'static str, &'static str),
    enough: u64,
    end: impl FnOnce(Running),
) {
    let (confirms, heard) = mpsc::channel();
    // One that is still connecting when the broker is killed would see something wrong.
    let connected = Arc::new(Barrier::new(publishers.len()));
    let of = |publisher: Publisher| {
        let (address, confirms) = (broker.amqp, confirms.clone());
        let connected = Arc::clone(&connected);
        thread::spawn(move || {
            let channel = Connection::open_at(address, &Login::default()).channel(1);
            channel.confirm_select();
            connected.wait();
            publisher.publish(&channel, to, &confirms)
        })
    };
    let threads: Vec<_> = publishers.iter().copied().map(of).collect();
    drop(confirms);
    let mut confirmed = 0;
    while confirmed < enough
        && let Ok(more) = heard.recv()
    {
        confirmed += more;
    }
    end(broker);
    for (publisher, thread) in publishers.iter_mut().zip(threads) {
        *publisher = thread.join().expect("the publisher saw nothing wrong");
    }
}

/// Lets publishers publish until all is confirmed.
fn publish_all(
    broker: Running,
    publishers: &mut [Publisher],
    to: (&'static str, &'static str),
) -> Running {
    let (give_back, given_back) = mpsc::channel();
    publish_until(broker, publishers, to, u64::MAX, |broker| {
        give_back.send(broker).expect("it is waited for");
    });
    given_back.recv().expect("it was given back")
}

fn declare(channel: &Channel, name: &str, deduplicates: bool) {
    let argument = ("x-message-deduplication", AMQPValue::Boolean(deduplicates));
    channel.call(queue::Declare {
        queue: name.into(),
        durable: true,
        arguments: table([argument]),
        ..Default::default()
    });
}

/// How often each body is in a queue.
fn bodies(channel: &Channel, queue: &str) -> BTreeMap<String, usize> {
    let mut bodies = BTreeMap::new();
    while let Some(message) = channel.get_with(queue, true) {
        *bodies.entry(message.text().to_owned()).or_default() += 1;
    }
    bodies
}

/// Every message of every publisher is there once.
fn check(bodies: &BTreeMap<String, usize>, publishers: &[Publisher]) {
    for publisher in publishers {
        for message in 1..=MESSAGES {
            let value = publisher.value(message);
            assert_eq!(bodies.get(&value), Some(&1), "message {value}");
        }
    }
    assert_eq!(bodies.len() as u64, publishers.len() as u64 * MESSAGES);
}

fn declare_exchange(channel: &Channel, name: &str) {
    channel.call(exchange::Declare {
        exchange: name.into(),
        kind: "x-message-deduplication".into(),
        durable: true,
        arguments: table([("x-cache-size", AMQPValue::LongInt(100_000))]),
        ..Default::default()
    });
}

fn publishers() -> Vec<Publisher> {
    let new = |number| Publisher {
        number,
        confirmed: 0,
    };
    (1..=3).map(new).collect()
}

/// Kills the broker again and again while publishers publish and, with what is not confirmed, publish again; then lets them publish all of it once more,
/// what was confirmed too. Returns a broker.
fn kill_again_and_again(
    node: &Node,
    mut broker: Running,
    publishers: &mut [Publisher],
    to: (&'static str, &'static str),
) -> Running {
    for enough in CONFIRMS {
        publish_until(broker, publishers, to, enough, Running::kill);
        broker = node.start();
    }
    let confirmed: u64 = publishers.iter().map(|of| of.confirmed).sum();
    assert!(confirmed >= CONFIRMS.iter().sum());
    publishers.iter_mut().for_each(|of| of.confirmed = 0);
    publish_all(broker, publishers, to)
}

#[test]
fn a_queue_knows_after_each_kill_what_it_has() {
    let node = Node::new().configured("limits.shards = 2\n");
    let broker = node.start();
    declare(&broker.connect().channel(1), QUEUE, true);
    let (mut publishers, to) = (publishers(), ("", QUEUE));
    let broker = kill_again_and_again(&node, broker, &mut publishers, to);
    let channel = broker.connect().channel(1);
    check(&bodies(&channel, QUEUE), &publishers);
    // What has left is known no more.
    broker.stop();
    let broker = node.start();
    assert_eq!(broker.connect().channel(1).ready(QUEUE), 0);
    publishers
        .iter_mut()
        .for_each(|of| of.confirmed = MESSAGES - 10);
    let broker = publish_all(broker, &mut publishers, to);
    assert_eq!(broker.connect().channel(1).ready(QUEUE), 30);
    broker.stop();
}

/// How many messages are in a long queue: their keys are more than is read at a time.
const LONG: u64 = 40_000;

/// Messages that are on the disk alone are known too.
#[test]
fn a_long_queue_is_known_after_a_kill() {
    let node = Node::new().configured("limits.queued_bytes_budget = 1048576\n");
    let broker = node.start();
    declare(&broker.connect().channel(1), QUEUE, true);
    let publish_all = |broker: &Running| {
        let channel = broker.connect().channel(1);
        channel.confirm_select();
        let publisher = Publisher {
            number: 1,
            confirmed: 0,
        };
        (1..=LONG).for_each(|message| publisher.send(&channel, ("", QUEUE), message));
        while channel.expect::<basic::Ack>().delivery_tag < LONG {}
        assert_eq!(u64::from(channel.ready(QUEUE)), LONG);
    };
    publish_all(&broker);
    publish_all(&broker);
    broker.kill();
    let broker = node.start();
    publish_all(&broker);
    broker.stop();
}

/// The queues are in several shards: a message is in each of them, or none, and once.
#[test]
fn an_exchange_knows_after_each_kill_what_came_through() {
    let node = Node::new().configured("limits.shards = 4\n");
    let broker = node.start();
    let queues = ["one", "two", "three", "four", "five"];
    let channel = broker.connect().channel(1);
    declare_exchange(&channel, "once");
    for queue in queues {
        declare(&channel, queue, false);
        channel.bind(queue, "once", "");
    }
    let (mut publishers, to) = (publishers(), ("once", ""));
    let broker = kill_again_and_again(&node, broker, &mut publishers, to);
    let channel = broker.connect().channel(1);
    for queue in queues {
        check(&bodies(&channel, queue), &publishers);
    }
    // It knows them though they have left, also after an orderly end.
    broker.stop();
    publishers.iter_mut().for_each(|of| of.confirmed = 0);
    let broker = publish_all(node.start(), &mut publishers, to);
    let channel = broker.connect().channel(1);
    for queue in queues {
        assert_eq!(channel.ready(queue), 0);
    }
    // Without the exchange nothing is known any more.
    channel.call(exchange::Delete {
        exchange: "once".into(),
        ..Default::default()
    });
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare_exchange(&channel, "once");
    channel.bind("one", "once", "");
    publishers.truncate(1);
    publishers[0].confirmed = MESSAGES - 1;
    let broker = publish_all(broker, &mut publishers, to);
    assert_eq!(broker.connect().channel(1).ready("one"), 1);
    broker.stop();
}

const FROM: &str = "from";

/// How many messages there are to be moved, and when the broker is killed.
const MOVED: u64 = 2_000;
const MOVES: [u64; 4] = [1, 100, 200, 300];

/// Transactions take a message from a queue and publish it through an exchange to queues in other shards: it is in the one, or in all of the others.
#[test]
fn a_transaction_through_an_exchange_is_there_wholly_or_not_at_all() {
    let node = Node::new().configured("limits.shards = 4\n");
    let broker = node.start();
    let connection = broker.connect();
    let channel = connection.channel(9);
    declare_exchange(&channel, "once");
    let queues = ["one", "two", "three", "four", "five"];
    for queue in queues {
        declare(&channel, queue, false);
        channel.bind(queue, "once", "");
    }
    declare(&channel, FROM, false);
    LoadPublisher::open(&connection, Plan::new(1, FROM)).publish_all(MOVED);
    let mut broker = broker;
    let mut committed = BTreeSet::new();
    for moves in MOVES {
        let select = |channel: &Channel| {
            channel.call(tx::Select {});
        };
        committed.extend(kill_while_moving(broker, moves, select, move_one));
        broker = node.start();
        let from = held(&broker, FROM);
        let to = queues.map(|queue| held(&broker, queue));
        for number in 1..=MOVED {
            let count = |held: &BTreeMap<u64, usize>| held.get(&number).copied();
            let is_whole = match count(&from) {
                None => to.iter().all(|to| count(to) == Some(1)),
                Some(1) => to.iter().all(|to| count(to).is_none()) && !committed.contains(&number),
                Some(_) => false,
            };
            assert!(is_whole, "message {number}");
        }
    }
    broker.stop();
}

/// Moves a message; none when the broker is gone before that was answered.
fn move_one(channel: &Channel) -> Option<u64> {
    let content = take_one(channel, FROM)?;
    let number = Message::of(&content.body).number;
    let headers = table([(
        "x-deduplication-header",
        AMQPValue::LongLongInt(number as i64),
    )]);
    let properties = AMQPProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    for _ in 0..2 {
        let method = basic::Publish {
            exchange: "once".into(),
            ..Default::default()
        };
        channel.publish_content(method, &properties, &content.body);
    }
    channel.ack(content.method.delivery_tag);
    channel.send(tx::Commit {});
    match channel.connection().next_method(channel.number())? {
        AMQPClass::Tx(tx::AMQPMethod::CommitOk(_)) => Some(number),
        other => panic!("a commit was answered by {other:?}"),
    }
}

fn publish_value(channel: &Channel, to: (&str, &str), value: &str) {
    let headers = table([("x-deduplication-header", text(value))]);
    let properties = AMQPProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    channel.publish_with(to.0, to.1, properties, value);
    channel.expect::<basic::Ack>();
}

fn set_policy(broker: &Running, name: &str, definition: &Value) {
    let policy = json!({"pattern": format!("^{name}$"), "definition": definition});
    let path = format!("/policies/%2F/{name}");
    let (status, answer) = Http::guest(broker.management()).put(&path, &policy);
    assert!(status < 300, "{status} {answer}");
}

fn confirming(broker: &Running) -> Channel {
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    channel
}

#[test]
fn what_a_policy_keeps_out_stays_out_after_a_kill_and_no_longer_than_the_policy_holds() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = confirming(&broker);
    declare(&channel, "later", false);
    let publish = |channel: &Channel, value| publish_value(channel, ("", "later"), value);
    for _ in 0..2 {
        publish(&channel, "a");
    }
    let keeps_out = json!({"x-message-deduplication": true});
    set_policy(&broker, "later", &keeps_out);
    // What was there before has no value.
    for value in ["b", "b", "a", "a"] {
        publish(&channel, value);
    }
    channel.await_ready("later", 4);
    broker.kill();

    let broker = node.start();
    let channel = confirming(&broker);
    for value in ["b", "a"] {
        publish(&channel, value);
    }
    assert_eq!(channel.ready("later"), 4);
    let deleted = Http::guest(broker.management()).delete("/policies/%2F/later");
    assert_eq!(deleted, 204);
    publish(&channel, "b");
    channel.await_ready("later", 5);
    broker.kill();

    let broker = node.start();
    let channel = confirming(&broker);
    set_policy(&broker, "later", &keeps_out);
    for value in ["b", "b"] {
        publish(&channel, value);
    }
    channel.await_ready("later", 6);
}

#[test]
fn a_policy_limits_what_an_exchange_knows_after_a_kill_too() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = confirming(&broker);
    declare_exchange(&channel, "once");
    declare(&channel, "once-q", false);
    channel.bind("once-q", "once", "");
    set_policy(&broker, "once", &json!({"cache-size": 1}));
    for value in ["a", "a", "b"] {
        publish_value(&channel, ("once", ""), value);
    }
    channel.await_ready("once-q", 2);
    broker.kill();
    let broker = node.start();
    let channel = confirming(&broker);
    for value in ["b", "a"] {
        publish_value(&channel, ("once", ""), value);
    }
    channel.await_ready("once-q", 3);
}
