//! The broker is killed with signal 9 while consumers share a queue whose messages are in groups: each group goes on in its order.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use amq_protocol::protocol::queue;
use leveret_tests::client::{Connection, Login, table, text};
use leveret_tests::ledger::{Ledger, Message};
use leveret_tests::load::{Consumer, GROUP, Plan, Publisher, messages, take_all};
use leveret_tests::node::{Node, Running};

const QUEUE: &str = "grouped";
const GROUPS: u64 = 7;
const CONSUMERS: usize = 3;
const MESSAGES: u64 = 3_000;

/// The broker is killed when its consumers have acked so many together.
const ACKS: [u64; 3] = [1, 200, 600];

#[test]
fn after_each_kill_groups_are_whole_and_in_order() {
    let node = Node::new();
    let mut ledger = Ledger::default();
    prepare(&node.start(), &mut ledger);
    for acks in ACKS {
        kill_while_acking(node.start(), &mut ledger, acks);
        let broker = node.start();
        let connection = broker.connect();
        ledger.check(&messages(&take_all(&connection, QUEUE)));
        connection.close();
    }
}

fn prepare(broker: &Running, ledger: &mut Ledger) {
    let connection = broker.connect();
    connection.channel(9).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        arguments: table([("x-leveret-message-group", text(GROUP))]),
        ..Default::default()
    });
    let plan = Plan {
        groups: GROUPS,
        ..Plan::new(1, QUEUE)
    };
    let mut publisher = Publisher::open(&connection, plan);
    publisher.publish_all(MESSAGES);
    ledger.published(publisher.end());
}

/// Each consumer acks one message after the other until the broker is gone.
fn kill_while_acking(broker: Running, ledger: &mut Ledger, acks: u64) {
    let (acked, heard) = mpsc::channel();
    // A consumer that is still connecting when the broker is killed would see something wrong.
    let connected = Arc::new(Barrier::new(CONSUMERS));
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let (address, acked) = (broker.amqp, acked.clone());
            let connected = Arc::clone(&connected);
            thread::spawn(move || {
                let connection = Connection::open_at(address, &Login::default());
                let consumer = Consumer::open(&connection, QUEUE, 5);
                connected.wait();
                consume(consumer, &acked)
            })
        })
        .collect();
    drop(acked);
    for _ in 0..acks {
        heard.recv().expect("the consumers run");
    }
    broker.kill();
    for consumer in consumers {
        ledger.acked(consumer.join().expect("the consumer saw nothing wrong"));
    }
}

/// What comes of each group comes in its order.
fn consume(mut consumer: Consumer, told: &mpsc::Sender<()>) -> Vec<Message> {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut acked = Vec::new();
    while let Some(taken) = consumer.take() {
        let number = taken.message.number;
        let before = last.insert(number % GROUPS, number).unwrap_or_default();
        assert!(before < number, "{number} of a group came after {before}");
        consumer.ack_upto(taken.tag);
        acked.push(taken.message);
        // Nobody counts any more once the broker is killed.
        let _ = told.send(());
    }
    acked
}
