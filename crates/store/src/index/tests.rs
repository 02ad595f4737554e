//! The index against a model that knows each message, with random entries; bundles; what it costs in memory.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::{Header, decode, encode};
use crate::entry::{self, Extent, Lsn, Run, Stamp};

mod model;
pub(crate) mod script;

use model::Model;
use script::{Log, Step, enqueue, group, steps, target};

const HEADER: Header = Header {
    generation: 1,
    store: 5,
    applied: Lsn(0),
    durable: Lsn(0),
};

fn bytes(index: &Index) -> Vec<u8> {
    encode(index, &HEADER)
}

/// Applies to a model what was written since, and compares.
fn follow(log: &Log, model: &mut Model, from: usize, from_seq: u64) -> usize {
    for written in &log.entries[from..] {
        let decoded = entry::decode(written.lsn, &written.bytes).unwrap();
        let refused = model.apply(&decoded, written.file_seq).is_err();
        assert_eq!(written.refused, refused, "{:?}", decoded.entry);
    }
    model.compare(&log.index, from_seq);
    log.entries.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn answers_as_a_model_that_knows_each_message(steps in steps(50), from_seq in 0..300u64) {
        let (mut log, mut model, mut followed) = (Log::default(), Model::default(), 0);
        for step in &steps {
            log.step(step);
            followed = follow(&log, &mut model, followed, from_seq);
        }
    }

    #[test]
    fn the_same_entries_make_the_same_bytes_from_any_checkpoint(steps in steps(60), cut in 0..60usize) {
        let mut log = Log::default();
        steps.iter().for_each(|step| log.step(step));
        let mut again = Index::default();
        for (number, written) in log.entries.iter().enumerate() {
            if number == cut {
                again = decode(&bytes(&again)).unwrap().1;
            }
            let before = bytes(&again);
            let decoded = entry::decode(written.lsn, &written.bytes).unwrap();
            let refused = again.apply(&decoded, written.file_seq).is_err();
            prop_assert_eq!(refused, written.refused);
            prop_assert!(!refused || bytes(&again) == before, "a refused entry changes nothing");
        }
        prop_assert_eq!(bytes(&again), bytes(&log.index));
    }
}

fn log_with(count: u32) -> Log {
    let mut log = Log::default();
    log.write(|out| enqueue(out, group(0), &[target(0, 0, 0, count)]))
        .unwrap();
    log
}

fn only(seqs: impl IntoIterator<Item = u64>) -> Vec<Run> {
    seqs.into_iter()
        .map(|first_seq| Run {
            first_seq,
            count: 1,
        })
        .collect()
}

/// A stream of messages, a hundred thousand in each entry.
fn long_log(count: u64) -> Log {
    let mut log = Log::default();
    for first_seq in (0..count).step_by(100_000) {
        log.write(|out| enqueue(out, group(0), &[target(0, 0, first_seq, 100_000)]))
            .unwrap();
        log.entries.clear();
    }
    log
}

/// Settles a thousand at a time and says how many bits of memory each of all the messages takes then.
fn settle(log: &mut Log, seqs: &[u64], of: u64) -> f64 {
    for seqs in seqs.chunks(1000) {
        log.settle(0, 0, only(seqs.iter().copied()));
    }
    log.entries.clear();
    bits_each(log, of)
}

fn bits_each(log: &Log, of: u64) -> f64 {
    log.index.heap_bytes() as f64 * 8.0 / of as f64
}

#[test]
fn every_other_message_settled_costs_little_more_than_a_bit_each() {
    // Ten million cost the same each.
    const COUNT: u64 = 2_000_000;
    let mut log = long_log(COUNT);
    let bits = settle(&mut log, &(0..COUNT).step_by(2).collect::<Vec<_>>(), COUNT);
    println!("in the log: {bits:.2} bits a message");
    assert!(bits < 1.5, "{bits}");

    log.file_seq += 1;
    // Settles the first one too, between copying and saying so.
    log.page_out(0, 0, 1);
    assert_eq!(
        log.index.wal_files()[0].live,
        0,
        "nothing is left in the log"
    );
    let bits = bits_each(&log, COUNT);
    println!("in a segment: {bits:.2} bits a message");
    assert!(bits < 1.5, "{bits}");
    assert_eq!(log.index.count(QueueId(0), Stream(0)), COUNT / 2 - 1);
}

#[test]
fn holes_cost_little_in_whatever_order_they_come() {
    const COUNT: u64 = 1_000_000;
    let mut log = long_log(COUNT);
    // Steps of a prime visit numbers once, scattered.
    let scattered: Vec<_> = (0..COUNT / 2).map(|i| i * 736_877 % COUNT).collect();
    let mut most: f64 = 0.0;
    for seqs in scattered.chunks(10_000) {
        most = most.max(settle(&mut log, seqs, COUNT));
    }
    println!("scattered: at most {most:.2} bits a message");
    assert!(most < 2.5, "{most}");
    assert_eq!(log.index.count(QueueId(0), Stream(0)), COUNT / 2);

    let mut log = long_log(COUNT);
    let backwards: Vec<_> = (0..COUNT / 2).rev().map(|i| i * 2).collect();
    let bits = settle(&mut log, &backwards, COUNT);
    println!("backwards: {bits:.2} bits a message");
    assert!(bits < 1.5, "{bits}");
}

#[test]
fn page_out_makes_one_run_of_single_messages() {
    let mut log = Log::default();
    for seq in 0..5000 {
        log.write(|out| enqueue(out, group(0), &[target(0, 0, seq, 1)]))
            .unwrap();
    }
    assert_eq!(log.index.live(QueueId(0), Stream(0), 0).count(), 5000);
    log.file_seq += 1;
    log.page_out(0, 10, 1);
    let runs: Vec<_> = log
        .index
        .live(QueueId(0), Stream(0), 0)
        .map(|run| (run.first_seq, run.count))
        .collect();
    assert_eq!(runs, [(0, 10), (11, 4989)]);
}

#[test]
fn compaction_moves_from_the_segments_it_drops_and_no_others() {
    let mut log = Log::default();
    for file in 0..3u64 {
        log.write(|out| enqueue(out, group(0), &[target(0, 0, file * 100, 100)]))
            .unwrap();
        log.file_seq += 1;
    }
    for _ in 0..3 {
        log.page_out(0, 0, 1);
    }
    let ids: Vec<_> = log.index.segments().map(|(id, _)| id).collect();
    // The extent of the first and the third reaches over the second.
    log.compact(&[0, 2], 50, 1);
    let now: Vec<_> = log
        .index
        .segments()
        .map(|(id, segment)| (id, segment.live))
        .collect();
    assert_eq!(now.len(), 2);
    assert_eq!(now[0].0, ids[1]);
    assert_eq!((now[0].1, now[1].1), (99, 197));
    assert_eq!(log.index.count(QueueId(0), Stream(0)), 296);
}

#[test]
fn a_bundle_with_one_wrong_entry_changes_nothing() {
    let mut log = log_with(100);
    log.page_out(0, 0, 1);
    let id = log.index.segments().next().unwrap().0;
    let before = bytes(&log.index);
    let refused = log.write(|out| {
        entry::bundle(out, group(0), |out| {
            entry::define(out, group(0), b"key", b"value")?;
            enqueue(out, group(0), &[target(0, 0, 100, 5)])?;
            entry::segment_drop(out, group(0), id)
        })
    });
    assert_eq!(
        refused,
        Err(Inconsistent::SegmentLive {
            segment: id,
            queue: QueueId(0)
        })
    );
    assert_eq!(bytes(&log.index), before);
}

#[test]
fn a_bundle_is_checked_as_its_entries_follow_on_each_other() {
    let mut log = log_with(100);
    log.page_out(0, 0, 1);
    let id = log.index.segments().next().unwrap().0;
    let moved = log.write(|out| {
        entry::bundle(out, group(0), |out| {
            entry::queue_delete(out, group(0), QueueId(0))?;
            entry::segment_drop(out, group(0), id)?;
            enqueue(out, group(0), &[target(0, 1, 0, 5)])?;
            enqueue(out, group(0), &[target(0, 1, 5, 5)])
        })
    });
    assert_eq!(moved, Ok(()));
    assert_eq!(log.index.segments().len(), 0);
    assert_eq!(log.index.count(QueueId(0), Stream(1)), 10);
    let again = log.write(|out| {
        entry::bundle(out, group(0), |out| {
            enqueue(out, group(0), &[target(0, 1, 10, 5)])?;
            enqueue(out, group(0), &[target(0, 1, 14, 5)])
        })
    });
    assert!(
        matches!(again, Err(Inconsistent::SequenceUsed { next_seq: 15, .. })),
        "{again:?}"
    );
}

#[test]
fn an_older_file_or_another_group_is_refused() {
    let mut log = log_with(10);
    log.file_seq -= 1;
    let refused = log.write(|out| entry::seal(out, group(0)));
    assert_eq!(
        refused,
        Err(Inconsistent::FileOrder {
            file_seq: 0,
            newest: 1
        })
    );
    log.file_seq += 1;
    let refused = log.write(|out| enqueue(out, group(1), &[target(0, 0, 10, 1)]));
    assert!(
        matches!(refused, Err(Inconsistent::OtherGroup { .. })),
        "{refused:?}"
    );
}

#[test]
fn the_last_entry_of_each_group_is_known() {
    let mut log = Log::default();
    let stamp = Stamp {
        group: Group(9),
        term: 2,
        index: 44,
    };
    log.write(|out| entry::undefine(out, stamp, b"key"))
        .unwrap();
    assert_eq!(log.index.last_of(Group(9)), Some((2, 44)));
    assert_eq!(log.index.last_of(Group(8)), None);
    let (_, read) = decode(&bytes(&log.index)).unwrap();
    assert_eq!(read.last_of(Group(9)), Some((2, 44)));
}

#[test]
fn a_seal_is_nobodys_last_entry() {
    let mut log = Log::default();
    let stamp = Stamp {
        group: Group::DEFINITIONS,
        term: 0,
        index: 7,
    };
    log.write(|out| entry::undefine(out, stamp, b"key"))
        .unwrap();
    // The log seals itself; what runs does not apply that, a recovery does, and both must know the same.
    let seal = Stamp { index: 0, ..stamp };
    log.write(|out| entry::seal(out, seal)).unwrap();
    assert_eq!(log.index.last_of(Group::DEFINITIONS), Some((0, 7)));
}

#[test]
fn steps_make_all_that_there_is_to_test() {
    // A script by hand that the random ones contain: bits in the log, cut by page-out, bits in a segment, compacted.
    let mut log = log_with(5000);
    log.step(&Step::SettleEvery(0, 0, 0, 2, true));
    log.file_seq += 1;
    log.page_out(0, 17, 30);
    log.compact(&[0], 2_222, 50);
    let mut model = Model::default();
    follow(&log, &mut model, 0, 100);
    assert_eq!(log.index.segments().len(), 1);
    assert!(log.index.heap_bytes() < 3_000, "{}", log.index.heap_bytes());
}

#[test]
fn ever_new_streams_leave_nothing_but_the_highest_number() {
    let mut log = Log::default();
    for number in 0..2_000 {
        let (stream, seq) = (1_000_000 + number, 1 + u64::from(number) * 3);
        log.write(|out| enqueue(out, group(1), &[target(1, stream, seq, 3)]))
            .unwrap();
        let run = |first_seq, count| Run { first_seq, count };
        log.settle(1, stream, [run(seq, 1)]);
        log.settle(1, stream, [run(seq + 1, 2)]);
    }
    let highest = |index: &Index| index.queues().map(|stream| stream.next_seq).max();
    assert_eq!(log.index.queues().len(), 1);
    assert_eq!(highest(&log.index), Some(6_001));
    let again = decode(&bytes(&log.index)).unwrap().1;
    assert_eq!((again.queues().len(), highest(&again)), (1, Some(6_001)));
    // Such a number can be used again, and the priorities of a queue stay.
    for stream in [1_000_000, 7] {
        log.write(|out| enqueue(out, group(1), &[target(1, stream, 7_000, 1)]))
            .unwrap();
        log.settle(
            1,
            stream,
            [Run {
                first_seq: 7_000,
                count: 1,
            }],
        );
    }
    assert_eq!(log.index.queues().len(), 2);
    assert_eq!(log.index.next_seq(QueueId(1), Stream(7)), 7_001);
}
