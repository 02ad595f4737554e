//! The broker is killed with signal 9 while a full queue refuses messages: what it refused is not in it, what it confirmed is.

use std::sync::mpsc;
use std::thread;

use amq_protocol::protocol::queue;
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Connection, Login, table, text};
use leveret_tests::ledger::{Ledger, Message, Published};
use leveret_tests::load::{Consumer, Event, Plan, Publisher, messages, take_all};
use leveret_tests::node::{Node, Running};

const QUEUE: &str = "small";
const ROOM: i64 = 50;
const CYCLES: u32 = 3;

/// What the consumer holds does not count as in the queue.
const PREFETCH: u16 = 10;

/// The broker is killed when so many messages were refused, and as many acked.
const ENOUGH: u64 = 200;

#[test]
fn what_was_refused_is_not_there_after_a_kill_and_what_was_confirmed_is() {
    let node = Node::new();
    declare(&node.start().connect());
    let mut ledger = Ledger::default();
    for cycle in 0..CYCLES {
        kill_while_refusing(node.start(), &mut ledger, cycle);
        let broker = node.start();
        let connection = broker.connect();
        let found = messages(&take_all(&connection, QUEUE));
        let most = ROOM + i64::from(PREFETCH);
        assert!(found.len() as i64 <= most, "{} are in it", found.len());
        ledger.check(&found);
        connection.close();
    }
}

fn declare(connection: &Connection) {
    connection.channel(1).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        arguments: table([
            ("x-max-length", AMQPValue::LongLongInt(ROOM)),
            ("x-overflow", text("reject-publish")),
        ]),
        ..Default::default()
    });
}

/// A publisher that is faster than the consumer, until the broker is gone.
fn kill_while_refusing(broker: Running, ledger: &mut Ledger, cycle: u32) {
    let address = broker.amqp;
    let connect = move || Connection::open_at(address, &Login::default());
    let (refused, refusals) = mpsc::channel();
    let (acked, acks) = mpsc::channel();
    let publisher = thread::spawn(move || publish(cycle, &connect(), &refused));
    let consumer = thread::spawn(move || consume(&connect(), &acked));
    for _ in 0..ENOUGH {
        refusals.recv().expect("the publisher runs");
        acks.recv().expect("the consumer runs");
    }
    broker.kill();
    ledger.published(publisher.join().expect("the publisher saw nothing wrong"));
    ledger.acked(consumer.join().expect("the consumer saw nothing wrong"));
}

fn publish(cycle: u32, connection: &Connection, refused: &mpsc::Sender<()>) -> Published {
    let mut publisher = Publisher::open(connection, Plan::new(cycle, QUEUE));
    loop {
        match publisher.go_on() {
            Event::Confirmed(_) => {}
            Event::Refused(_) => {
                // Nobody counts any more once the broker is killed.
                let _ = refused.send(());
            }
            Event::Closed => return publisher.end(),
            other => panic!("a publisher heard {other:?}"),
        }
    }
}

fn consume(connection: &Connection, told: &mpsc::Sender<()>) -> Vec<Message> {
    let mut consumer = Consumer::open(connection, QUEUE, PREFETCH);
    let mut acked = Vec::new();
    while let Some(taken) = consumer.take() {
        consumer.ack_upto(taken.tag);
        acked.push(taken.message);
        // As above.
        let _ = told.send(());
    }
    acked
}
