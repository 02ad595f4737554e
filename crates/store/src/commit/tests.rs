//! What was told to be durable is there after any crash, in order; what is there was staged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::bell::Bell;
use crate::disk::{Disk, Faults, SimDisk};
use crate::entry::{self, NewEnqueue, Run, Stamp, Stream, Target};
use crate::index::Index;
use crate::log::{Group, QueueId, Urgency};
use crate::recovery::{FileLens, Recovered, WAL_FOLDER, recover};

mod cost;
mod transactions;

/// Files so small that the log goes from one to the next all the time.
const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 32 * 1024,
};

const STAMP: Stamp = Stamp {
    group: Group(1),
    term: 0,
    index: 0,
};

struct Rig {
    commit: Commit,
    orders: Arc<Orders>,
    applied: Arc<RwLock<Applied>>,
    stagings: Vec<Arc<Staging>>,
    transactions: Arc<Transactions>,
    told: Arc<AtomicU64>,
}

fn rig(disk: &SimDisk, random: u128) -> Option<Rig> {
    rig_on(Arc::new(disk.clone()), LENS, random)
}

fn rig_on(disk: Arc<dyn Disk>, lens: FileLens, random: u128) -> Option<Rig> {
    let Recovered { index, wal, .. } = recover(&disk, lens, random).ok()?;
    let upto = Lsn(0);
    let applied = Arc::new(RwLock::new(Applied { index, upto }));
    let bell = Arc::new(Bell::default());
    let told = Arc::new(AtomicU64::new(0));
    let stagings: Vec<_> = (0..2)
        .map(|_| {
            let told = Arc::clone(&told);
            let tell = Box::new(move |_| _ = told.fetch_add(1, Ordering::SeqCst));
            Arc::new(Staging::new(Arc::clone(&bell), tell))
        })
        .collect();
    let (files, orders) = (WalFiles::new(WAL_FOLDER.into()), Orders::default());
    let (files, orders) = (Arc::new(files), Arc::new(orders));
    let told_of = Arc::clone(&orders);
    let transactions = Arc::<Transactions>::default();
    let from = (stagings.clone(), Arc::clone(&transactions));
    let commit = Commit::new(wal, Arc::clone(&applied), files, told_of, from);
    Some(Rig {
        commit,
        orders,
        applied,
        stagings,
        transactions,
        told,
    })
}

/// Messages of a queue as numbers: `count` of them from `first_seq` on.
fn enqueue(staging: &Staging, urgency: Urgency, queue: u64, first_seq: u64, count: u32) -> u64 {
    let starts: Vec<u32> = (0..count).map(|i| i * 100).collect();
    let target = Target {
        queue: QueueId(queue),
        stream: Stream(0),
        first: 0,
        count,
        flags: 0,
        first_seq,
        expires_ms: 0,
    };
    let new = NewEnqueue {
        unix_ms: 1,
        targets: &[target],
        starts: &starts,
        records: &vec![7; count as usize * 100],
        bodies: &[],
    };
    staging
        .push(urgency, |out| entry::enqueue(out, STAMP, &new))
        .unwrap()
        .0
}

fn settle(staging: &Staging, queue: u64, first_seq: u64, count: u64) -> u64 {
    let runs = [Run { first_seq, count }];
    let reason = entry::Reason::Ack;
    let encode =
        |out: &mut Vec<u8>| entry::settle(out, STAMP, (QueueId(queue), Stream(0)), reason, runs);
    staging.push(Urgency::Whenever, encode).unwrap().0
}

#[test]
fn what_is_urgent_is_durable_after_one_turn_and_told() {
    let mut rig = rig(&SimDisk::new(1), 5).unwrap();
    assert_eq!(rig.commit.turn(1).unwrap(), Turn::Nothing);
    let first = enqueue(&rig.stagings[1], Urgency::Synced, 9, 1, 10);
    assert_eq!(rig.stagings[1].durable().0, 0);
    assert_eq!(rig.commit.turn(2).unwrap(), Turn::Wrote);
    assert_eq!(
        (rig.stagings[1].durable().0, rig.stagings[0].durable().0),
        (first, 0)
    );
    assert_eq!(rig.told.load(Ordering::SeqCst), 1, "that it is durable");
    assert_eq!(rig.applied.read().index.count(QueueId(9), Stream(0)), 10);

    let second = settle(&rig.stagings[1], 9, 3, 4);
    rig.commit.turn(3).unwrap();
    assert_eq!(
        rig.stagings[1].durable().0,
        first,
        "nobody waits for a settle"
    );
    assert_eq!(rig.applied.read().index.count(QueueId(9), Stream(0)), 10);
    rig.commit.rest(4).unwrap();
    assert_eq!(rig.stagings[1].durable().0, second);
    assert_eq!(rig.applied.read().index.count(QueueId(9), Stream(0)), 6);
}

#[test]
fn what_is_waited_for_to_be_written_is_told_before_the_sync() {
    let mut rig = rig(&SimDisk::new(1), 5).unwrap();
    enqueue(&rig.stagings[0], Urgency::Written, 1, 1, 1);
    enqueue(&rig.stagings[1], Urgency::Synced, 2, 1, 1);
    rig.commit.turn(1).unwrap();
    let told = || rig.told.load(Ordering::SeqCst);
    assert_eq!(told(), 3, "one staging twice, the other once");
    enqueue(&rig.stagings[0], Urgency::Whenever, 1, 2, 1);
    rig.commit.turn(2).unwrap();
    assert_eq!(told(), 4, "no sync follows");
}

#[test]
fn one_batch_and_one_sync_serve_all_stagings() {
    let disk = SimDisk::new(1);
    let mut rig = rig(&disk, 5).unwrap();
    enqueue(&rig.stagings[0], Urgency::Synced, 1, 1, 1);
    enqueue(&rig.stagings[1], Urgency::Synced, 2, 1, 1);
    enqueue(&rig.stagings[1], Urgency::Synced, 3, 1, 1);
    let before = disk.counts();
    rig.commit.turn(1).unwrap();
    let after = disk.counts();
    assert_eq!(
        (after.writes - before.writes, after.syncs - before.syncs),
        (1, 1)
    );
}

#[test]
fn entries_of_an_earlier_staging_come_first_and_all_are_taken_once() {
    let disk = SimDisk::new(1);
    let mut rig = rig(&disk, 5).unwrap();
    for round in 0..4 {
        // In turns there is one to swap buffers with, and another to copy from.
        enqueue(&rig.stagings[1], Urgency::Synced, 2, round * 2 + 1, 2);
        if round % 2 == 1 {
            enqueue(&rig.stagings[0], Urgency::Synced, 1, round, 1);
            enqueue(&rig.stagings[0], Urgency::Synced, 1, round + 1, 1);
        }
        rig.commit.turn(1).unwrap();
        assert_eq!(
            rig.commit.turn(1).unwrap(),
            Turn::Nothing,
            "everything was taken"
        );
    }
    let applied = rig.applied.read();
    let index = &applied.index;
    let (first, second) = (QueueId(1), QueueId(2));
    assert_eq!(index.count(first, Stream(0)), 4);
    assert_eq!(index.count(second, Stream(0)), 8);
    let lsn = |queue, seq| match index.live(queue, Stream(0), seq).next() {
        Some(run) => run.location,
        None => panic!("message {seq} is not there"),
    };
    assert!(lsn(first, 1) < lsn(second, 3), "in the second turn");
    assert!(lsn(second, 1) < lsn(first, 1));
}

/// Runs a fixed script until the disk stops; returns what was told to be durable, by queue: how many messages, and how many at most are settled.
fn script(disk: &SimDisk) -> (BTreeMap<u64, u64>, BTreeMap<u64, (u64, u64)>) {
    let (mut durable, mut staged) = (BTreeMap::new(), BTreeMap::new());
    let Some(mut rig) = rig(disk, 11) else {
        return (durable, staged);
    };
    let mut waiting = Vec::new();
    for round in 0..40u64 {
        let queue = round % 3;
        let (next, settled) = *staged.get(&queue).unwrap_or(&(0, 0));
        let count = 1 + (round * 7 % 13) as u32;
        let urgency = if round % 4 == 3 {
            Urgency::Whenever
        } else {
            Urgency::Synced
        };
        let staging = &rig.stagings[(queue % 2) as usize];
        let at = enqueue(staging, urgency, queue, next + 1, count);
        waiting.push((queue, next + u64::from(count), at));
        let gone = if round % 5 == 4 {
            (next / 2).max(settled)
        } else {
            settled
        };
        if gone > settled {
            settle(staging, queue, settled + 1, gone - settled);
        }
        staged.insert(queue, (next + u64::from(count), gone));
        let turned = match round % 6 {
            5 => rig.commit.rest(round),
            _ => rig.commit.turn(round).map(drop),
        };
        for (queue, upto, at) in &waiting {
            if rig.stagings[(queue % 2) as usize].durable().0 >= *at {
                durable.insert(*queue, *upto);
            }
        }
        if turned.is_err() {
            break;
        }
    }
    (durable, staged)
}

#[test]
fn nothing_that_was_told_is_lost_at_any_crash() {
    let calls = {
        let disk = SimDisk::new(3);
        script(&disk);
        disk.calls()
    };
    assert!(calls > 100, "{calls}");
    for at in 1..=calls {
        for seed in 0..6 {
            let disk = SimDisk::new(seed);
            disk.set_faults(Faults {
                crash_at: Some(at),
                garbage: true,
                ..Faults::default()
            });
            let (durable, staged) = script(&disk);
            let after: Arc<dyn Disk> = Arc::new(disk.crash(seed));
            let recovered = recover(&after, LENS, 12);
            let recovered = recovered.unwrap_or_else(|e| panic!("call {at} seed {seed}: {e}"));
            check(
                &recovered.index,
                &durable,
                &staged,
                &format!("call {at} seed {seed}"),
            );
        }
    }
}

/// Every message that was told and not settled is live, and none that was never staged.
fn check(
    index: &Index,
    durable: &BTreeMap<u64, u64>,
    staged: &BTreeMap<u64, (u64, u64)>,
    when: &str,
) {
    for (queue, (upto, settled)) in staged {
        let live: Vec<u64> = index
            .live(QueueId(*queue), Stream(0), 0)
            .flat_map(|run| run.first_seq..=run.last_seq())
            .collect();
        assert!(
            live.is_sorted() && live.last().is_none_or(|last| last <= upto),
            "{when}"
        );
        let told = durable.get(queue).copied().unwrap_or_default();
        for seq in settled + 1..=told {
            assert!(
                live.contains(&seq),
                "{when}: message {seq} of queue {queue} is lost"
            );
        }
    }
    let unknown = index
        .queues()
        .filter(|state| !staged.contains_key(&state.queue.0));
    assert_eq!(unknown.count(), 0, "{when}");
}

#[test]
fn after_an_error_nothing_becomes_durable() {
    for fail in 1..60 {
        let disk = SimDisk::new(fail);
        let mut rig = rig(&disk, 5).unwrap();
        let syncs = disk.counts().syncs;
        disk.set_faults(Faults {
            fail_sync: Some(syncs + fail),
            ..Faults::default()
        });
        let mut failed = None;
        for round in 0..80u64 {
            enqueue(&rig.stagings[0], Urgency::Synced, 1, round * 20 + 1, 20);
            let turned = rig.commit.turn(round);
            match failed {
                None if turned.is_err() => failed = Some(rig.stagings[0].durable()),
                None => assert_eq!(rig.stagings[0].durable().0, round + 1),
                Some(durable) => {
                    assert!(turned.is_err(), "an error is for good");
                    assert_eq!(rig.stagings[0].durable(), durable);
                }
            }
        }
        assert!(failed.is_some(), "sync {fail} failed and nobody noticed");
    }
}

/// Writes until the log's files have their full length, and makes nothing that is ordered meanwhile. The next sequence number.
fn fill(rig: &mut Rig) -> u64 {
    let mut seq = 1;
    while rig.commit.wal().files().next_back().unwrap().len < LENS.full {
        enqueue(&rig.stagings[0], Urgency::Synced, 1, seq, 20);
        seq += 20;
        rig.commit.turn(1).unwrap();
    }
    seq
}

/// What the keeper does for the commit, until nothing is ordered any more.
fn make_all(rig: &mut Rig, disk: &SimDisk, unix_ms: u64) {
    while rig.orders.make_blank(disk) {
        rig.commit.turn(unix_ms).unwrap();
    }
}

#[test]
fn every_file_that_is_ordered_is_made_though_more_were_ordered_before() {
    let disk = SimDisk::new(3);
    let mut rig = rig(&disk, 5).unwrap();
    let first = fill(&mut rig);
    for seq in first..first + 3 {
        enqueue(&rig.stagings[0], Urgency::Synced, 1, seq, 1);
        rig.commit.turn(2).unwrap();
    }
    make_all(&mut rig, &disk, 2);
    assert_eq!(rig.commit.wal().spares(), 2);
}

#[test]
fn the_log_is_full_as_long_as_it_lacks_a_file_and_nobody_need_write_to_end_that() {
    let disk = SimDisk::new(4);
    let mut rig = rig(&disk, 5).unwrap();
    let mut seq = fill(&mut rig);
    make_all(&mut rig, &disk, 1);
    assert!(!rig.orders.is_full());
    disk.set_faults(Faults {
        capacity: Some(0),
        ..Faults::default()
    });
    let spares = rig.commit.wal().spares();
    while rig.commit.wal().spares() == spares {
        enqueue(&rig.stagings[0], Urgency::Synced, 1, seq, 20);
        seq += 20;
        assert_eq!(rig.commit.turn(2).unwrap(), Turn::Wrote);
        make_all(&mut rig, &disk, 2);
    }
    assert!(rig.orders.is_full());
    enqueue(&rig.stagings[0], Urgency::Synced, 1, seq, 1);
    assert_eq!(rig.commit.turn(3).unwrap(), Turn::Wrote, "there is room");
    assert!(rig.orders.is_full(), "what is left is not for more of this");
    assert!(!rig.orders.is_wanting(), "it was asked for just now");
    rig.commit.turn(1000).unwrap();
    make_all(&mut rig, &disk, 1000);
    assert!(rig.orders.is_full(), "there still is no room");
    disk.set_faults(Faults::default());
    rig.commit.turn(2000).unwrap();
    make_all(&mut rig, &disk, 2000);
    assert!(!rig.orders.is_full());
}
