//! The broker is killed with signal 9 while clients commit transactions over several queues.
//!
//! Each transaction moves a message: it acks it in one queue and publishes it to several others. So each message is, after any number of kills,
//! in the first queue or in all of the others, and in none of them twice.

use std::collections::{BTreeMap, BTreeSet};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, basic, queue, tx};
use leveret_tests::client::Channel;
use leveret_tests::ledger::Message;
use leveret_tests::load::{Plan, Publisher};
use leveret_tests::node::{Node, Running};

use super::moving::{held, kill_while_moving, take_one};

const FROM: &str = "from";
const TO: [&str; 5] = ["to.0", "to.1", "to.2", "to.3", "to.4"];

/// How many messages there are to be moved.
const MESSAGES: u64 = 4_000;

/// The broker is killed when its clients have had so many commits together.
const COMMITS: [u64; 4] = [1, 150, 300, 500];

#[test]
fn after_each_kill_a_transaction_is_there_wholly_or_not_at_all() {
    let node = Node::new().configured("limits.shards = 4\n");
    prepare(&node.start());
    let mut committed = BTreeSet::new();
    for commits in COMMITS {
        let select = |channel: &Channel| {
            channel.call(tx::Select {});
        };
        // Those whose commit was answered.
        committed.extend(kill_while_moving(node.start(), commits, select, move_one));
        check(&node.start(), &committed);
    }
}

fn prepare(broker: &Running) {
    let connection = broker.connect();
    let channel = connection.channel(9);
    for queue in TO.iter().chain([&FROM]) {
        channel.call(queue::Declare {
            queue: (*queue).into(),
            durable: true,
            ..Default::default()
        });
    }
    Publisher::open(&connection, Plan::new(1, FROM)).publish_all(MESSAGES);
}

/// Moves a message; none when the broker is gone before that was answered.
fn move_one(channel: &Channel) -> Option<u64> {
    let content = take_one(channel, FROM)?;
    let message = Message::of(&content.body);
    let persistent = AMQPProperties::default().with_delivery_mode(2);
    for queue in TO {
        let method = basic::Publish {
            routing_key: queue.into(),
            ..Default::default()
        };
        channel.publish_content(method, &persistent, &content.body);
    }
    channel.ack(content.method.delivery_tag);
    channel.send(tx::Commit {});
    match channel.connection().next_method(channel.number())? {
        AMQPClass::Tx(tx::AMQPMethod::CommitOk(_)) => Some(message.number),
        other => panic!("a commit was answered by {other:?}"),
    }
}

/// Every message is in the one queue or in all the others, and in these if that was committed.
fn check(broker: &Running, committed: &BTreeSet<u64>) {
    let from = held(broker, FROM);
    let to = TO.map(|queue| held(broker, queue));
    for number in 1..=MESSAGES {
        let count = |held: &BTreeMap<u64, usize>| held.get(&number).copied().unwrap_or_default();
        let counts = to.each_ref().map(count);
        let is_whole = match count(&from) {
            0 => counts == [1; TO.len()],
            1 => counts == [0; TO.len()] && !committed.contains(&number),
            _ => false,
        };
        assert!(
            is_whole,
            "message {number}, committed: {}, is {} times in the first queue, and in the others {counts:?}",
            committed.contains(&number),
            count(&from)
        );
    }
}
