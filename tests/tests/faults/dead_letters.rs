//! The broker is killed with signal 9 while clients reject messages of a queue with dead letters.
//!
//! Each rejected message moves to several queues, of several shards. So each is, after any number of kills, in the first queue or in all of the
//! others, and in none of them twice.

use std::collections::BTreeMap;

use amq_protocol::protocol::{basic, exchange, queue};
use leveret_tests::client::{Channel, table, text};
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
