//! What the log in memory keeps, and how it gives it back.

use super::*;
use crate::entry::{QueueRun, Run, Stream, Target};

const QUEUE: QueueId = QueueId(3);

fn enqueue(log: &mut MemoryLog, first_seq: u64, records: &[&[u8]]) -> Position {
    let targets = [Target {
        queue: QUEUE,
        stream: Stream(0),
        first: 0,
        count: records.len() as u32,
        flags: 0,
        first_seq,
        expires_ms: 0,
    }];
    let mut starts = vec![];
    let mut all = vec![];
    for record in records {
        starts.push(all.len() as u32);
        all.extend_from_slice(record);
    }
    let new = NewEnqueue {
        unix_ms: 0,
        targets: &targets,
        starts: &starts,
        records: &all,
        bodies: &[],
    };
    log.enqueue(Group::of(QUEUE), new, Urgency::Synced)
}

fn read(log: &mut MemoryLog, first_seq: u64, last_seq: u64, bytes_max: usize) -> Read {
    log.read(Wanted {
        queue: QUEUE,
        stream: Stream(0),
        token: 9,
        first_seq,
        skip: 0,
        last_seq,
        bytes_max,
    });
    let mut arrived = vec![];
    log.take_arrived(&mut arrived);
    match arrived.pop() {
        Some(Arrived::Read(wanted, read)) if arrived.is_empty() && wanted.token == 9 => read,
        other => panic!("{other:?}"),
    }
}

fn of_queue(run: Run) -> QueueRun {
    QueueRun {
        queue: QUEUE,
        stream: Stream(0),
        run,
    }
}

#[test]
fn every_entry_is_durable_at_once() {
    let mut log = MemoryLog::default();
    assert_eq!(enqueue(&mut log, 1, &[b"a"]), Position(1));
    let run = Run {
        first_seq: 1,
        count: 1,
    };
    let settled = log.settle(Group(1), Reason::Ack, &[of_queue(run)]);
    assert_eq!((settled, log.durable()), (Position(2), Position(2)));
}

#[test]
fn what_is_kept_comes_back_until_it_is_settled() {
    let mut log = MemoryLog::keeping();
    enqueue(&mut log, 1, &[b"one", b"two", b"three", b"four"]);
    let all = read(&mut log, 1, 4, 100);
    assert_eq!(
        (all.records.as_slice(), all.next_seq),
        (b"onetwothreefour".as_slice(), 5)
    );
    let some = read(&mut log, 2, 4, 8);
    assert_eq!(
        (some.records.as_slice(), some.next_seq),
        (b"twothree".as_slice(), 4)
    );
    let run = Run {
        first_seq: 2,
        count: 1,
    };
    log.settle(Group(1), Reason::Ack, &[of_queue(run)]);
    let rest = read(&mut log, 1, 4, 100);
    let runs: Vec<_> = rest
        .runs
        .iter()
        .map(|run| (run.first_seq, run.count))
        .collect();
    assert_eq!(
        (rest.records.as_slice(), runs),
        (b"onethreefour".as_slice(), vec![(1, 1), (3, 2)])
    );
    log.delete_queue(Group(1), QUEUE);
    assert_eq!(log.kept_count(), (0, 0));
}

#[test]
fn chunks_come_back_once() {
    let mut log = MemoryLog::default();
    let (one, two) = (log.put_away(b"one".to_vec()), log.put_away(b"two".to_vec()));
    log.fetch(two);
    log.fetch(two);
    log.forget(one);
    log.fetch(one);
    let mut arrived = vec![];
    log.take_arrived(&mut arrived);
    assert!(matches!(&arrived[..], [Arrived::Chunk(id, bytes)] if *id == two && bytes == b"two"));
}
