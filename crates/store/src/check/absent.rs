//! Messages that the index places in a segment, and that are not in it.
//!
//! It comes to that where the settling of messages was lost in a gap of the log, and a segment was added behind it: the messages seem to be
//! live and to move to the segment with the others of its range. The segment has all of the range that was live when it was written, so that
//! they were settled by then.

use std::collections::BTreeSet;

use super::{Look, LostRun};
use crate::index::Location;
use crate::segment::{SegmentReader, Start};

/// How much is read at once.
const READ_LEN: usize = 1 << 20;

impl Look {
    /// Finds the messages that a segment must have by the index and has not, those aside that cannot be read.
    pub(super) fn find_absent(&mut self, reader: &SegmentReader) {
        for placed in self.index.runs_in_segment(reader.id()) {
            let Location::Segment { extent, .. } = placed.run.location else {
                continue;
            };
            let (first, last) = (placed.run.first_seq, placed.run.last_seq());
            let there = numbers(reader, extent as usize, first, last);
            for seq in (first..=last).filter(|seq| !there.contains(seq)) {
                let is_lost = |run: &LostRun| {
                    (run.queue, run.stream) == (placed.queue, placed.stream)
                        && (run.first_seq..run.first_seq + run.count).contains(&seq)
                };
                if !self.lost.iter().any(is_lost) {
                    self.settled.push(LostRun {
                        queue: placed.queue,
                        stream: placed.stream,
                        first_seq: seq,
                        count: 1,
                    });
                }
            }
        }
    }
}

/// The numbers within two that an extent has and that can be read.
fn numbers(reader: &SegmentReader, extent: usize, first: u64, last: u64) -> BTreeSet<u64> {
    let mut there = BTreeSet::new();
    let mut from = Start::Seq(first);
    loop {
        match reader.read(extent, from, READ_LEN) {
            Ok(messages) => {
                there.extend(messages.list.iter().map(|stored| stored.seq));
                let is_behind = messages.list.last().is_none_or(|stored| stored.seq >= last);
                match messages.next.filter(|_| !is_behind) {
                    Some(next) => from = Start::Place(next),
                    None => return there,
                }
            }
            Err(damage) => match damage.lost {
                Some(lost) if *lost.seqs.start() <= last => from = Start::Place(lost.resume),
                _ => return there,
            },
        }
    }
}
