//! The broker is killed with signal 9 while clients reject messages of a queue with dead letters.
//!
//! Each rejected message moves to several queues, of several shards. So each is, after any number of kills, in the first queue or in all of the
//! others, and in none of them twice.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use leveret_tests::client::{Channel, Connection, Login, table, text};
use leveret_tests::load::{Plan, Publisher, messages, take_all};
use leveret_tests::node::{Node, Running};

const FROM: &str = "from";
const TO: [&str; 5] = ["to.0", "to.1", "to.2", "to.3", "to.4"];
const LETTERS: &str = "letters";

/// How many messages there are to be rejected.
const MESSAGES: u64 = 4_000;

/// How many clients reject some, each with a connection of its own.
const REJECTING: usize = 4;

/// The broker is killed when its clients have rejected so many together.
const REJECTS: [u64; 3] = [1, 300, 1_500];

#[test]
fn after_each_kill_a_dead_letter_has_moved_wholly_or_not_at_all() {
    let node = Node::new().configured("limits.shards = 4\n");
    prepare(&node.start());
    let mut moved = 0;
    for rejects in REJECTS {
        kill_while_rejecting(node.start(), rejects);
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

fn kill_while_rejecting(broker: Running, rejects: u64) {
    let (rejected, heard) = mpsc::channel();
    let clients: Vec<_> = (0..REJECTING)
        .map(|_| {
            let (address, rejected) = (broker.amqp, rejected.clone());
            thread::spawn(move || {
                let channel = Connection::open_at(address, &Login::default()).channel(1);
                while reject_one(&channel).is_some() {
                    // Nobody counts any more once the broker is killed.
                    let _ = rejected.send(());
                }
            })
        })
        .collect();
    drop(rejected);
    for _ in 0..rejects {
        heard.recv().expect("the clients run");
    }
    broker.kill();
    for client in clients {
        client.join().expect("the client saw nothing wrong");
    }
}

/// Rejects a message; none when the broker is gone.
fn reject_one(channel: &Channel) -> Option<()> {
    channel.send(basic::Get {
        queue: FROM.into(),
        no_ack: false,
    });
    let method = match channel.connection().next_method(channel.number())? {
        AMQPClass::Basic(basic::AMQPMethod::GetOk(method)) => method,
        other => panic!("there are always some left, but the broker says {other:?}"),
    };
    let content = channel.next_content_of(method)?;
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

/// The messages of a queue, and how often it has each; they go back to it.
fn held(broker: &Running, queue: &str) -> BTreeMap<u64, usize> {
    let connection = broker.connect();
    let mut held = BTreeMap::new();
    for message in messages(&take_all(&connection, queue)) {
        *held.entry(message.number).or_default() += 1;
    }
    connection.close();
    held
}
