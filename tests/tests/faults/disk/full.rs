//! The disk fills up: publishers are blocked, consumers go on and make room, publishers resume. The broker lives through it.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use amq_protocol::protocol::queue;
use leveret_tests::client::{Connection, Login};
use leveret_tests::disk;
use leveret_tests::ledger::{Ledger, Message, Published};
use leveret_tests::load::{Consumer, Event, Plan, Publisher, messages, take_all};
use leveret_tests::node::{Node, Running};

const DISK: u64 = 64 << 20;
const QUEUE: &str = "kept";

/// How many messages are to be confirmed after publishers go on.
const MORE: u64 = 200;

/// Publishers are blocked before the disk is full.
#[test]
fn short_of_room_publishers_wait_until_consumers_have_made_some() {
    fill_drain_and_go_on("[alarms]\ndisk_free_min = 20000000\n");
}

/// Nothing warns before the disk has no room at all.
#[test]
fn on_a_full_disk_publishers_wait_until_consumers_have_made_room() {
    fill_drain_and_go_on("[alarms]\ndisk_free_min = 0\n");
}

fn fill_drain_and_go_on(toml: &str) {
    if !super::can_mount() {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let image = home.path().join("image");
    disk::make_image(&image, DISK).expect("a disk");
    let mounted = disk::Mounted::image(&image, &home.path().join("mounted"));
    let mounted = mounted.expect("an image that mounts");
    let node = Node::on(&mounted.folder().join("data")).configured(toml);
    let mut broker = node.start();
    broker.connect().channel(1).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });

    let (tell, events) = mpsc::channel();
    let address = broker.amqp;
    let publisher = thread::spawn(move || {
        publish(
            &Connection::open_at(address, &Login::hearing_of_alarms()),
            &tell,
        )
    });
    let reason = next(&events, "the disk to fill", &broker);
    assert_eq!(reason, Event::Blocked("low on disk".to_owned()));
    let address = broker.amqp;
    let consumer = thread::spawn(move || drain(&Connection::open_at(address, &Login::default())));
    assert_eq!(next(&events, "room", &broker), Event::Unblocked);
    // The disk may fill up more than once, as publishers are faster than consumers.
    while !matches!(next(&events, "more confirms", &broker), Event::Confirmed(_)) {}
    assert!(broker.is_alive());
    broker.kill();

    let mut ledger = Ledger::default();
    ledger.published(publisher.join().expect("the publisher saw nothing wrong"));
    ledger.acked(consumer.join().expect("the consumer saw nothing wrong"));
    ledger.check(&messages(&take_all(&node.start().connect(), QUEUE)));
}

#[track_caller]
fn next(events: &Receiver<Event>, what: &str, broker: &Running) -> Event {
    events
        .recv_timeout(Duration::from_secs(30))
        .unwrap_or_else(|error| panic!("waiting for {what}: {error}: {}", broker.errors()))
}

/// Publishes until it was blocked, until it may go on and so many more are confirmed, and until the broker is gone.
fn publish(connection: &Connection, tell: &Sender<Event>) -> Published {
    let mut plan = Plan::new(1, QUEUE);
    plan.body_len = 4000;
    let mut publisher = Publisher::open(connection, plan);
    let (mut enough, mut is_enough) = (None, false);
    loop {
        let event = publisher.go_on();
        match &event {
            Event::Confirmed(count) => {
                if !is_enough && enough.is_some_and(|enough| *count >= enough) {
                    is_enough = true;
                    tell.send(event).expect("the test waits");
                }
            }
            // Later ones may come when the test has seen enough.
            Event::Blocked(_) if is_enough => {}
            Event::Unblocked if is_enough => {}
            Event::Refused(_) => panic!("there is no limit to the queue"),
            Event::Blocked(_) => tell.send(event).expect("the test waits"),
            Event::Unblocked => {
                let confirmed = publisher.published().confirmed.len() as u64;
                enough.get_or_insert(confirmed + MORE);
                tell.send(event).expect("the test waits");
            }
            Event::Closed => return publisher.end(),
        }
    }
}

fn drain(connection: &Connection) -> Vec<Message> {
    let mut consumer = Consumer::open(connection, QUEUE, 100);
    let mut acked = Vec::new();
    while let Some(taken) = consumer.take() {
        consumer.ack_upto(taken.tag);
        acked.push(taken.message);
    }
    acked
}
