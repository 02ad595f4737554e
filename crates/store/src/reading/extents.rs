//! Messages out of extents of segments.

use super::Taken;
use crate::entry::SegmentId;
use crate::index::LiveRun;
use crate::log::{Read, Wanted};
use crate::segment::{Messages, OpenSegments, Start};

/// Takes runs that are in one extent.
pub(super) fn take(
    segments: &mut OpenSegments,
    (id, extent): (SegmentId, u32),
    wanted: &Wanted,
    runs: &[LiveRun],
    read: &mut Read,
) -> Taken {
    let Some(first) = runs.first() else {
        return Taken::All;
    };
    let room = wanted.bytes_max.saturating_sub(read.records.len());
    if room == 0 {
        return Taken::Full(first.first_seq);
    }
    let reader = match segments.reader(id) {
        Ok(reader) => reader,
        Err(damage) => return Taken::Moved(first.first_seq, damage.to_string()),
    };
    let messages = match reader.read(extent as usize, Start::Seq(first.first_seq), room) {
        Ok(messages) => messages,
        Err(damage) => return Taken::Moved(first.first_seq, damage.to_string()),
    };
    add_live(messages, runs, read)
}

/// Adds those messages that are live. Messages of an extent come in the order of their sequence numbers, and so do the runs.
fn add_live(messages: Messages, runs: &[LiveRun], read: &mut Read) -> Taken {
    let Messages {
        records,
        list,
        next,
        ..
    } = messages;
    let last = list.last().map(|stored| stored.seq);
    let all_live = runs.first().zip(last).is_some_and(|(run, last)| {
        list.first().map(|stored| stored.seq) == Some(run.first_seq)
            && run.last_seq() >= last
            && last - run.first_seq + 1 == list.len() as u64
    });
    if all_live && read.records.is_empty() {
        for stored in &list {
            read.note(stored.seq, 1, stored.arrived_ms);
        }
        read.records = records;
        return behind(runs, last, next.is_none());
    }
    let mut list = list.iter().peekable();
    for run in runs {
        let mut expected = run.first_seq;
        while let Some(stored) = list.next_if(|stored| stored.seq <= run.last_seq()) {
            if stored.seq < run.first_seq {
                continue;
            }
            if stored.seq != expected {
                return missing(expected);
            }
            expected += 1;
            let record = records.get(stored.record.clone());
            read.records.extend_from_slice(record.unwrap_or_default());
            read.note(stored.seq, 1, stored.arrived_ms);
        }
        let is_cut = expected <= run.last_seq();
        if is_cut && (list.peek().is_some() || next.is_none()) {
            return missing(expected);
        }
        if is_cut {
            return Taken::Full(expected);
        }
    }
    Taken::All
}

fn missing(seq: u64) -> Taken {
    Taken::Moved(
        seq,
        "a segment has not the messages that it should have".to_owned(),
    )
}

/// All that was read was live, up to `last`.
fn behind(runs: &[LiveRun], last: Option<u64>, is_end: bool) -> Taken {
    let next = last.map_or(0, |last| last + 1);
    match runs.iter().find(|run| run.last_seq() >= next) {
        None => Taken::All,
        Some(run) if is_end => missing(run.first_seq.max(next)),
        Some(run) => Taken::Full(run.first_seq.max(next)),
    }
}

/// The last sequence number that is lost with a damaged message; none where the whole segment is.
pub(super) fn lost_upto(
    segments: &mut OpenSegments,
    (id, extent): (SegmentId, u32),
    seq: u64,
) -> Option<u64> {
    let reader = segments.reader(id).ok()?;
    match reader.read(extent as usize, Start::Seq(seq), 1) {
        Ok(messages) => {
            // It is only not there: up to before the next one that is.
            let next = messages.list.first().map(|stored| stored.seq);
            next.filter(|next| *next > seq).map(|next| next - 1)
        }
        Err(damage) => damage.lost.map(|lost| *lost.seqs.end()),
    }
}
