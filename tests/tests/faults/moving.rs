//! Clients that take messages from one queue and move them to others until the broker is killed, and what the queues have after that.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use amq_protocol::protocol::{AMQPClass, basic};
use leveret_tests::client::{Channel, Connection, Content, Login};
use leveret_tests::load::{messages, take_all};
use leveret_tests::node::Running;

/// How many clients move messages, each with a connection of its own.
const CLIENTS: usize = 4;

/// Lets clients move messages, one at a time, until they have moved `enough` together; kills the broker then. Returns what all moves gave.
///
/// Each client has a channel that `prepare` gets first; `move_one` gives nothing once the broker is gone.
pub(super) fn kill_while_moving<T: Send + 'static>(
    broker: Running,
    enough: u64,
    prepare: fn(&Channel),
    move_one: fn(&Channel) -> Option<T>,
) -> Vec<T> {
    let (moves, heard) = mpsc::channel();
    // A client that is still connecting when the broker is killed would see something wrong.
    let connected = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, moves) = (broker.amqp, moves.clone());
            let connected = Arc::clone(&connected);
            thread::spawn(move || {
                let channel = Connection::open_at(address, &Login::default()).channel(1);
                prepare(&channel);
                connected.wait();
                let mut moved = Vec::new();
                while let Some(one) = move_one(&channel) {
                    moved.push(one);
                    // Nobody counts any more once the broker is killed.
                    let _ = moves.send(());
                }
                moved
            })
        })
        .collect();
    drop(moves);
    for _ in 0..enough {
        heard.recv().expect("the clients run");
    }
    broker.kill();
    let moved = clients.into_iter().map(|client| client.join());
    moved
        .flat_map(|moved| moved.expect("the client saw nothing wrong"))
        .collect()
}

/// The next message of a queue that always has one; none when the broker is gone.
pub(super) fn take_one(channel: &Channel, queue: &str) -> Option<Content<basic::GetOk>> {
    channel.send(basic::Get {
        queue: queue.into(),
        no_ack: false,
    });
    let method = match channel.connection().next_method(channel.number())? {
        AMQPClass::Basic(basic::AMQPMethod::GetOk(method)) => method,
        other => panic!("there are always some left, but the broker says {other:?}"),
    };
    channel.next_content_of(method)
}

/// The messages of a queue, and how often it has each; they go back to it.
pub(super) fn held(broker: &Running, queue: &str) -> BTreeMap<u64, usize> {
    let connection = broker.connect();
    let mut held = BTreeMap::new();
    for message in messages(&take_all(&connection, queue)) {
        *held.entry(message.number).or_default() += 1;
    }
    connection.close();
    held
}
