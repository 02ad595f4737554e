//! Whether the store is what the model says: the index, its counts, and every byte that can be read.

use std::collections::{BTreeMap, BTreeSet};

use super::Held;
use super::model::{Queue, State, record};
use super::rig::Rig;
use crate::entry::{SegmentId, Stream};
use crate::index::{Index, Location};
use crate::log::{Group, QueueId, Read, Wanted};
use crate::reading::{Lost, Reader};

const STREAM: Stream = Stream(0);

/// Whether the index has what a state has, and nothing else.
pub(super) fn index(index: &Index, state: &State) -> Held {
    for (group, last) in &state.last {
        let has = index.last_of(Group(*group)).map_or(0, |last| last.1);
        if has != *last {
            return Err(format!(
                "the last entry of group {group} is {last}, the index has {has}"
            ));
        }
    }
    let definitions: BTreeMap<Vec<u8>, Vec<u8>> = index
        .definitions()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect();
    if definitions != state.definitions {
        let (has, due) = (definitions.len(), state.definitions.len());
        return Err(format!(
            "there are {has} definitions, and not the {due} due"
        ));
    }
    let queues: Vec<u64> = index.queues().map(|queue| queue.queue.0).collect();
    let due: Vec<u64> = state.queues.keys().copied().collect();
    if queues != due {
        return Err(format!("there are queues {queues:?}, not {due:?}"));
    }
    let mut all = state.queues.iter();
    all.try_for_each(|(id, queue)| one_queue(index, *id, queue))
}

fn one_queue(index: &Index, id: u64, queue: &Queue) -> Held {
    let of = QueueId(id);
    let next = index.next_seq(of, STREAM);
    if next != queue.next_seq {
        let due = queue.next_seq;
        return Err(format!("queue {id} goes on with {next}, not with {due}"));
    }
    let live: Vec<u64> = index
        .live(of, STREAM, 0)
        .flat_map(|run| run.first_seq..=run.last_seq())
        .collect();
    if !live.iter().eq(queue.live.keys()) {
        return Err(format!(
            "queue {id} has messages {live:?}, not {:?}",
            queue.live.keys().collect::<Vec<_>>()
        ));
    }
    let count = index.count(of, STREAM);
    if count != live.len() as u64 {
        return Err(format!("queue {id} counts {count}, and has {}", live.len()));
    }
    let counted: BTreeMap<u64, (u32, u64)> = index
        .deliveries(of, STREAM, 0)
        .flat_map(|run| {
            let last = run.first_seq + run.count;
            (run.first_seq..last).map(move |seq| (seq, (run.delivery_count, run.ready_ms)))
        })
        .collect();
    let due: BTreeMap<u64, (u32, u64)> = queue
        .live
        .iter()
        .filter(|(_, message)| message.deliveries > (0, 0))
        .map(|(seq, message)| (*seq, message.deliveries))
        .collect();
    if counted != due {
        return Err(format!(
            "queue {id} has deliveries {counted:?}, not {due:?}"
        ));
    }
    Ok(())
}

/// Whether what is counted of files and segments is what the queues have there.
pub(super) fn counts(index: &Index) -> Held {
    let mut in_files: BTreeMap<u64, u64> = BTreeMap::new();
    let mut in_extents: BTreeMap<(SegmentId, u32), u64> = BTreeMap::new();
    for state in index.queues() {
        for run in index.live(state.queue, state.stream, 0) {
            match run.location {
                Location::Wal { lsn, .. } => {
                    let files = index.wal_files();
                    let behind = files.partition_point(|file| file.first_lsn <= lsn);
                    let file = behind.checked_sub(1).and_then(|at| files.get(at));
                    let file = file.ok_or("a live message is in no file of the log")?;
                    *in_files.entry(file.file_seq).or_default() += run.count;
                }
                Location::Segment { id, extent } => {
                    *in_extents.entry((id, extent)).or_default() += run.count;
                }
            }
        }
    }
    for file in index.wal_files() {
        let (seq, live) = (file.file_seq, file.live);
        let found = in_files.remove(&seq).unwrap_or_default();
        if found != live {
            return Err(format!(
                "file {seq:x} counts {live} messages, and has {found}"
            ));
        }
        let listed: u64 = index.runs_in_wal_file(seq).map(|run| run.run.count).sum();
        if listed != live {
            return Err(format!(
                "file {seq:x} counts {live} messages, and lists {listed}"
            ));
        }
    }
    for (id, segment) in index.segments() {
        let mut sum = 0;
        for (number, (_, live)) in (0..).zip(&segment.extents) {
            let found = in_extents.remove(&(id, number)).unwrap_or_default();
            if found != *live {
                let (id, extent) = (id.0, number);
                return Err(format!(
                    "extent {extent} of segment {id:x} counts {live}, and has {found}"
                ));
            }
            sum += found;
        }
        let listed: u64 = index.runs_in_segment(id).map(|run| run.run.count).sum();
        if sum != segment.live || listed != sum {
            let (id, live) = (id.0, segment.live);
            return Err(format!(
                "segment {id:x} counts {live}, lists {listed}, and has {sum}"
            ));
        }
    }
    match in_files.is_empty() && in_extents.is_empty() {
        true => Ok(()),
        false => Err("live messages are in files that are not known".to_owned()),
    }
}

/// What was read, and what was lost.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Messages that the model has and that did not come, each with its queue.
    pub(super) missing: BTreeSet<(u64, u64)>,
    pub(super) told: Vec<Lost>,
    /// As reading counts them.
    pub(super) lost: u64,
}

/// Reads a range of a queue, a piece of about `bytes_max` at a time: what comes must be the model's, byte for byte.
pub(super) fn range(
    reader: &mut Reader,
    (id, queue): (u64, &Queue),
    (first, last): (u64, u64),
    bytes_max: usize,
    seen: &mut Seen,
) -> Held {
    let mut wanted = Wanted {
        queue: QueueId(id),
        stream: STREAM,
        token: 0,
        first_seq: first,
        skip: 0,
        last_seq: last,
        bytes_max,
    };
    while wanted.first_seq <= last {
        let told = &mut seen.told;
        let read = reader.read(&wanted, &mut |lost| told.push(lost));
        let read = read.map_err(|error| format!("queue {id} cannot be read: {error}"))?;
        if read.next_seq <= wanted.first_seq {
            return Err(format!(
                "reading queue {id} does not go on at {}",
                read.next_seq
            ));
        }
        seen.lost += read.lost;
        piece((id, queue), wanted.first_seq, &read, &mut seen.missing)?;
        wanted.first_seq = read.next_seq;
    }
    Ok(())
}

fn piece(
    (id, queue): (u64, &Queue),
    first: u64,
    read: &Read,
    missing: &mut BTreeSet<(u64, u64)>,
) -> Held {
    let came = read.runs.iter();
    let came: Vec<u64> = came
        .flat_map(|run| run.first_seq..run.first_seq + run.count)
        .collect();
    if !came.is_sorted_by(|one, other| one < other) {
        return Err(format!("queue {id} is read as {came:?}"));
    }
    let mut due: BTreeSet<u64> = queue
        .live
        .range(first..read.next_seq)
        .map(|at| *at.0)
        .collect();
    let mut records = Vec::new();
    for seq in came {
        let Some(message) = queue.live.get(&seq).filter(|_| due.remove(&seq)) else {
            return Err(format!("message {seq} of queue {id} came, and is not live"));
        };
        records.extend(record(message.id));
    }
    if records != read.records {
        return Err(format!("queue {id} is read wrongly from {first} on"));
    }
    missing.extend(due.into_iter().map(|seq| (id, seq)));
    Ok(())
}

/// Reads everything.
pub(super) fn all(rig: &mut Rig, state: &State, bytes_max: usize) -> Held<Seen> {
    let mut seen = Seen::default();
    for (id, queue) in &state.queues {
        let end = queue.next_seq;
        range(
            &mut rig.reader,
            (*id, queue),
            (0, end),
            bytes_max,
            &mut seen,
        )?;
    }
    Ok(seen)
}

/// Reads everything, and nothing may be lost.
pub(super) fn all_whole(rig: &mut Rig, state: &State, bytes_max: usize) -> Held {
    nothing_lost(&all(rig, state, bytes_max)?)
}

/// Whether nothing was lost.
pub(super) fn nothing_lost(seen: &Seen) -> Held {
    if let Some(lost) = seen.told.first() {
        return Err(format!("without any damage: {lost}"));
    }
    match seen.missing.first() {
        None if seen.lost == 0 => Ok(()),
        None => Err(format!("{} messages are said to be lost", seen.lost)),
        Some((queue, seq)) => Err(format!("message {seq} of queue {queue} does not come")),
    }
}
