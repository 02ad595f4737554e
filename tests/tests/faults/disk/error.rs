//! The disk fails for good: the broker says so, confirms nothing more and ends with 70.

use amq_protocol::protocol::queue;
use leveret_tests::disk::Machine;
use leveret_tests::disk::power::Refuses;
use leveret_tests::ledger::Ledger;
use leveret_tests::load::{Event, Plan, Publisher, messages, take_all};
use leveret_tests::node::Node;

const DISK: u64 = 256 << 20;
const QUEUE: &str = "kept";

/// The disk fails when so many messages are confirmed.
const CONFIRMS: u64 = 500;

#[test]
fn when_writes_fail_the_broker_ends_with_70_and_nothing_confirmed_is_lost() {
    fails(Refuses::Writes);
}

#[test]
fn when_flushes_fail_the_broker_ends_with_70_and_nothing_confirmed_is_lost() {
    fails(Refuses::Flushes);
}

fn fails(how: Refuses) {
    if !super::can_mount() {
        return;
    }
    let machine = Machine::new(DISK).expect("a disk");
    let broker = Node::on(&machine.folder().join("data")).start();
    broker.connect().channel(1).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });
    let mut publisher = Publisher::open(&broker.connect(), Plan::new(1, QUEUE));
    let mut has_failed = false;
    loop {
        match publisher.go_on() {
            Event::Confirmed(count) if count >= CONFIRMS && !has_failed => {
                machine.disk().refuse(how);
                has_failed = true;
            }
            Event::Confirmed(_) => {}
            Event::Closed => break,
            other => panic!("a publisher heard {other:?}"),
        }
    }
    let ended = broker.await_end();
    assert!(machine.disk().refused() > 0, "the disk refused nothing");
    assert_eq!(ended.code, Some(70), "{}", ended.errors);
    let words = "the store has failed, so the broker ends";
    assert!(ended.errors.contains(words), "{}", ended.errors);
    assert!(ended.errors.contains("os error 5"), "{}", ended.errors);

    let mut ledger = Ledger::default();
    ledger.published(publisher.end());
    let flushed = machine.flushed().expect("an image that mounts");
    let broker = Node::on(&flushed.folder().join("data")).start();
    ledger.check(&messages(&take_all(&broker.connect(), QUEUE)));
}
