//! A queue's contents, without consumers and shard: order, places, counts and bytes, whatever runs the messages came and went in.

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::table::Table;
use leveret_store::log::{Group, QueueId};
use leveret_store::memory::MemoryLog;

use super::*;
use crate::arguments::QueueSettings;
use crate::command::Outcome;
use crate::ids::{ConnectionId, ShardId};
use crate::queue_handle::QueueDeclaration;

/// What a message stands for: its record, with a body of one byte.
const SIZE: usize = 17;

const ONE: Holder = Holder {
    connection: ConnectionId(1),
    channel: 1,
};
const TWO: Holder = Holder {
    connection: ConnectionId(1),
    channel: 2,
};

fn batch(count: u8) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for body in 0..count {
        let message = NewMessage {
            exchange_and_key: b"\0\0",
            properties: &[0, 0],
            persistent: false,
            priority: 0,
        };
        builder.push(message, &[body]);
    }
    builder.seal()
}

/// A queue of batches of so many messages.
fn queue(batches: &[u8]) -> Queue {
    let declaration = QueueDeclaration {
        name: Name::new("q").unwrap(),
        durable: false,
        owner: None,
        auto_delete: false,
        arguments: Table::default(),
    };
    let settings = QueueSettings::parse(declaration.arguments.view()).unwrap();
    let vhost = (Name::new("/").unwrap(), std::sync::Weak::new());
    let place = (Group(0), ShardId(0));
    let handle = QueueHandle::new(QueueId(1), place, vhost, declaration, settings);
    let mut queue = Queue::new(Arc::new(handle));
    for count in batches {
        enqueue(&mut queue, &batch(*count), 0, u32::from(*count));
    }
    queue
}

/// Adds messages that are in the log, and in memory.
fn enqueue(queue: &mut Queue, batch: &Arc<Batch>, first: u32, count: u32) {
    let log = &mut MemoryLog::default();
    let place = Place {
        home: Home::Log,
        level: Level(0),
    };
    queue.enqueue((batch, first, count), place, true, log);
}

/// Takes messages, and lets a channel hold them; their numbers, bodies, and whether they were handed out before.
fn take(queue: &mut Queue, holder: Holder, most: u64) -> Vec<(u64, u8, bool)> {
    let Some(taken) = queue.take_ready(most) else {
        return Vec::new();
    };
    assert_eq!(taken.bytes, taken.piece.count as usize * SIZE);
    let piece = taken.piece.clone();
    queue.hold(holder, taken.clone(), None, Tick(0));
    (0..piece.count)
        .map(|i| {
            let index = piece.value.index + i as u32;
            let message = piece.value.batch.message(index).unwrap();
            let body = message.body.as_bytes()[0];
            (piece.first + i, body, taken.redelivered)
        })
        .collect()
}

/// As [`take`], until nothing is left.
fn take_all(queue: &mut Queue, holder: Holder) -> Vec<(u64, u8, bool)> {
    let mut all = Vec::new();
    while queue.first_run_len() > 0 {
        all.extend(take(queue, holder, u64::MAX));
    }
    all
}

/// Settles, and returns the runs that are gone.
fn settle(queue: &mut Queue, holder: Holder, run: (u64, u64), outcome: Outcome) -> Vec<(u64, u64)> {
    let mut gone = Vec::new();
    queue.settle(holder, run, outcome, 0, |fate, piece| {
        assert_eq!((fate, piece.value.home), (Fate::Gone, Home::Log));
        gone.push((piece.first, piece.count));
    });
    gone
}

/// Ready, unacked, and the bytes of both.
fn counts(queue: &Queue) -> (u64, u64, usize, usize) {
    let (ready, unacked) = (queue.ready_count(), queue.unacked_count());
    let (ready_bytes, held_bytes) = (queue.ready_bytes(), queue.held_bytes());
    (ready, unacked, ready_bytes, held_bytes)
}

#[test]
fn messages_come_as_they_went_in_run_by_run() {
    let mut queue = queue(&[2, 3]);
    assert_eq!(counts(&queue), (5, 0, 5 * SIZE, 5 * SIZE));
    assert_eq!(queue.first_run_len(), 2);
    let first = take(&mut queue, ONE, 10);
    assert_eq!(first, [(1, 0, false), (2, 1, false)]);
    assert_eq!(take(&mut queue, ONE, 1), [(3, 0, false)]);
    assert_eq!(queue.first_run_len(), 2);
    assert_eq!(counts(&queue), (2, 3, 2 * SIZE, 5 * SIZE));
    let rest = take_all(&mut queue, ONE);
    assert_eq!(rest, [(4, 1, false), (5, 2, false)]);
    assert!(queue.take_ready(1).is_none());
    assert_eq!(queue.next_seq(), 6);
}

#[test]
fn part_of_a_batch_is_part_of_a_batch() {
    let mut queue = queue(&[]);
    enqueue(&mut queue, &batch(9), 4, 2);
    assert_eq!(take_all(&mut queue, ONE), [(1, 4, false), (2, 5, false)]);
}

#[test]
fn requeued_messages_are_back_in_their_places() {
    let mut queue = queue(&[3, 3, 3]);
    take_all(&mut queue, ONE);
    for run in [(8, 1), (2, 3), (6, 1), (1, 1), (9, 1)] {
        assert_eq!(settle(&mut queue, ONE, run, Outcome::Return), []);
    }
    enqueue(&mut queue, &batch(1), 0, 1);
    assert_eq!(counts(&queue), (8, 2, 8 * SIZE, 10 * SIZE));
    let expected = [
        (1, 0, true),
        (2, 1, true),
        (3, 2, true),
        (4, 0, true),
        (6, 2, true),
        (8, 1, true),
        (9, 2, true),
        (10, 0, false),
    ];
    assert_eq!(take_all(&mut queue, TWO), expected);
}

#[test]
fn a_requeued_message_overtakes_nothing_and_is_overtaken_by_nothing() {
    let mut queue = queue(&[4]);
    take(&mut queue, ONE, 3);
    settle(&mut queue, ONE, (3, 1), Outcome::Return);
    assert_eq!(take(&mut queue, TWO, 9), [(3, 2, true)]);
    settle(&mut queue, ONE, (1, 1), Outcome::Return);
    settle(&mut queue, TWO, (3, 1), Outcome::Return);
    settle(&mut queue, ONE, (2, 1), Outcome::Return);
    let order: Vec<u64> = take_all(&mut queue, TWO).iter().map(|m| m.0).collect();
    assert_eq!(order, [1, 2, 3, 4]);
}

#[test]
fn settling_says_what_is_gone_and_passes_over_what_is_not_held() {
    let mut queue = queue(&[5, 5]);
    take_all(&mut queue, ONE);
    assert_eq!(settle(&mut queue, TWO, (1, 10), Outcome::Ack), []);
    assert_eq!(settle(&mut queue, ONE, (3, 1), Outcome::Ack), [(3, 1)]);
    let gone = settle(&mut queue, ONE, (2, 5), Outcome::Discard);
    assert_eq!(gone, [(2, 1), (4, 2), (6, 1)]);
    assert_eq!(counts(&queue), (0, 5, 0, 5 * SIZE));
    let gone = settle(&mut queue, ONE, (1, 100), Outcome::Ack);
    assert_eq!(gone, [(1, 1), (7, 4)]);
    assert_eq!(counts(&queue), (0, 0, 0, 0));
    assert_eq!(settle(&mut queue, ONE, (1, 100), Outcome::Return), []);
    assert!(queue.unacked.values_mut().all(|held| held.is_empty()));
}

#[test]
fn a_channel_that_is_released_lets_go_of_its_own() {
    let mut queue = queue(&[6]);
    for holder in [ONE, TWO, ONE, TWO] {
        take(&mut queue, holder, 1);
    }
    queue.release(ONE, false, 0, |fate, _| panic!("{fate:?}"));
    queue.release(ONE, false, 0, |fate, _| panic!("{fate:?}"));
    assert_eq!(counts(&queue), (4, 2, 4 * SIZE, 6 * SIZE));
    let seqs: Vec<(u64, bool)> = take_all(&mut queue, ONE)
        .iter()
        .map(|(seq, _, redelivered)| (*seq, *redelivered))
        .collect();
    assert_eq!(seqs, [(1, true), (3, true), (5, false), (6, false)]);
}

#[test]
fn a_purge_takes_what_is_ready_and_leaves_what_is_held() {
    let mut queue = queue(&[4]);
    take(&mut queue, ONE, 3);
    settle(&mut queue, ONE, (2, 1), Outcome::Return);
    let mut gone = Vec::new();
    let log = &mut MemoryLog::default();
    let count = queue.purge(log, |_, first, count| gone.push((first, count)));
    assert_eq!(count, 2);
    assert_eq!(gone, [(2, 1), (4, 1)]);
    assert_eq!(counts(&queue), (0, 2, 0, 2 * SIZE));
    assert!(queue.take_ready(1).is_none());
    // What is held can still come back.
    settle(&mut queue, ONE, (1, 4), Outcome::Return);
    assert_eq!(take_all(&mut queue, ONE), [(1, 0, true), (3, 2, true)]);
    assert_eq!(queue.next_seq(), 5);
}

#[test]
fn of_a_run_that_was_delivered_in_part_only_that_part_is_marked() {
    let mut queue = queue(&[5]);
    queue.redelivered_below = 3;
    assert_eq!(queue.first_run_len(), 2);
    let all = [
        (1, 0, true),
        (2, 1, true),
        (3, 2, false),
        (4, 3, false),
        (5, 4, false),
    ];
    assert_eq!(take_all(&mut queue, ONE), all);
}
