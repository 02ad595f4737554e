//! The broker is killed with signal 9 while clients reject messages of a queue with dead letters.
//!
//! Each rejected message moves to several queues, of several shards. So each is, after any number of kills, in the first queue or in all of the
//! others, and in none of them twice. Where letters must not be lost and their queue is full, they wait: each is in one of the two queues.

use std::collections::BTreeMap;

use amq_protocol::protocol::{basic, exchange, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, array, table, text};
use leveret_tests::load::{Plan, Publisher};
use leveret_tests::node::{Node, Running};

use super::moving::{held, kill_while_moving, take_one};

const FROM: &str = "from";
const TO: [&str; 5] = ["to.0", "to.1", "to.2", "to.3", "to.4"];
const LETTERS: &str = "letters";

/// How many messages there are to be rejected.
const MESSAGES: u64 = 4_000;

/// The broker is killed when its clients have rejected so many together.
const REJECTS: [u64; 3] = [1, 300, 1_500];

#[test]
fn after_each_kill_a_dead_letter_has_moved_wholly_or_not_at_all() {
    let node = Node::new().configured("limits.shards = 4\n");
    prepare(&node.start());
    let mut moved = 0;
    for rejects in REJECTS {
        kill_while_moving(node.start(), rejects, |_| {}, reject_one);
        moved = check(&node.start());
    }
    assert!(moved > 0, "what was rejected long before a kill has moved");
}

fn prepare(broker: &Running) {
    let connection = broker.connect();
    let channel = connection.channel(9);
    channel.call(exchange::Declare {
        exchange: LETTERS.into(),
        kind: "fanout".into(),
        durable: true,
        ..Default::default()
    });
    for queue in TO {
        channel.call(queue::Declare {
            queue: queue.into(),
            durable: true,
            ..Default::default()
        });
        channel.bind(queue, LETTERS, "");
    }
    channel.call(queue::Declare {
        queue: FROM.into(),
        durable: true,
        arguments: table([("x-dead-letter-exchange", text(LETTERS))]),
        ..Default::default()
    });
    Publisher::open(&connection, Plan::new(1, FROM)).publish_all(MESSAGES);
}

/// Rejects a message; none when the broker is gone.
fn reject_one(channel: &Channel) -> Option<()> {
    let content = take_one(channel, FROM)?;
    channel.send(basic::Reject {
        delivery_tag: content.method.delivery_tag,
        requeue: false,
    });
    Some(())
}

#[test]
fn a_letter_goes_to_its_blind_copies_after_a_kill() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.call(exchange::Declare {
        exchange: LETTERS.into(),
        kind: "direct".into(),
        durable: true,
        ..Default::default()
    });
    let arguments = table([("x-dead-letter-exchange", text(LETTERS))]);
    for (queue, arguments) in [(FROM, arguments), ("copy", table([]))] {
        channel.call(queue::Declare {
            queue: queue.into(),
            durable: true,
            arguments,
            ..Default::default()
        });
    }
    channel.bind("copy", LETTERS, "blind");
    channel.confirm_select();
    let properties = basic::AMQPProperties::default()
        .with_delivery_mode(2)
        .with_headers(table([("BCC", array(&["blind"]))]));
    channel.publish_with("", FROM, properties, "to die later");
    channel.confirms(1);
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    let got = channel.get(FROM).expect("it was confirmed");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: false,
    });
    channel.await_ready("copy", 1);
    let letter = channel.get("copy").expect("a letter");
    assert_eq!(letter.text(), "to die later");
    assert_eq!(letter.method.routing_key.as_str(), FROM);
}

/// Every message is in the one queue or in all the others. Returns how many are in these.
fn check(broker: &Running) -> u64 {
    let from = held(broker, FROM);
    let to = TO.map(|queue| held(broker, queue));
    let mut moved = 0;
    for number in 1..=MESSAGES {
        let count = |held: &BTreeMap<u64, usize>| held.get(&number).copied().unwrap_or_default();
        let (first, others) = (count(&from), to.each_ref().map(count));
        moved += u64::from(first == 0);
        assert!(
            (first, others) == (1, [0; TO.len()]) || (first, others) == (0, [1; TO.len()]),
            "message {number} is {first} times in the first queue, and in the others {others:?}"
        );
    }
    moved
}

/// How many letters there is room for.
const ROOM: u64 = 10;

#[test]
fn letters_that_wait_for_room_outlive_each_kill() {
    let node = Node::new().configured("limits.shards = 4\n");
    prepare_narrow(&node.start());
    for rejects in [1, 40, 80] {
        kill_while_moving(node.start(), rejects, |_| {}, reject_one);
        check_narrow(&node.start());
    }
    drain_narrow(&node.start());
}

fn prepare_narrow(broker: &Running) {
    let connection = broker.connect();
    let channel = connection.channel(9);
    channel.call(queue::Declare {
        queue: LETTERS.into(),
        durable: true,
        arguments: table([
            ("x-max-length", AMQPValue::LongLongInt(ROOM as i64)),
            ("x-overflow", text("reject-publish")),
        ]),
        ..Default::default()
    });
    channel.call(queue::Declare {
        queue: FROM.into(),
        durable: true,
        arguments: table([
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(LETTERS)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]),
        ..Default::default()
    });
    Publisher::open(&connection, Plan::new(1, FROM)).publish_all(NARROW);
}

/// How many messages there are to be rejected, where there is little room.
const NARROW: u64 = 400;

/// Every message is in one of the queues, and the narrow one has no more than there was room for.
fn check_narrow(broker: &Running) {
    let letters = held(broker, LETTERS);
    assert!(
        letters.len() as u64 <= ROOM,
        "{} letters are there",
        letters.len()
    );
    let from = held(broker, FROM);
    for number in 1..=NARROW {
        let count = |held: &BTreeMap<u64, usize>| held.get(&number).copied().unwrap_or_default();
        let times = count(&from) + count(&letters);
        assert_eq!(times, 1, "message {number}");
    }
}

/// Letters find their way as room is made for them.
fn drain_narrow(broker: &Running) {
    let letters = held(broker, LETTERS).len() as u64;
    let channel = broker.connect().channel(1);
    for _ in 0..ROOM {
        reject_one(&channel).expect("the broker is there");
    }
    for _ in 0..letters + ROOM {
        channel.await_counts(LETTERS, |counts| counts.message_count > 0);
        take_one(&channel, LETTERS).expect("the broker is there");
    }
    assert_eq!(channel.ready(LETTERS), 0);
}
