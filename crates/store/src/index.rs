//! The index: what is live, and where it is, as the log tells it.
//!
//! A state machine fed with the log's durable entries in their order, the same while running and in recovery: definitions, and for each stream
//! of each queue the live messages as runs of sequence numbers with their location. It holds no message and reads no file. It asks neither
//! clock nor chance: the same entries make the same index, to the byte of its checkpoint.
//!
//! Invariants: a stream's sequence numbers only rise, and one is never live twice. A live message is in one place. What is counted for a file
//! or a segment is what the streams say is there. An entry that cannot be is refused before anything of it is applied.
//!
//! A SegmentAdd moves messages into a segment. By itself it is page-out: it moves what lies in the log. In a bundle with SegmentDrops it is
//! compaction: it moves what lies in the segments that the bundle drops. Either way only what is still live and within the sequence numbers of
//! one of its extents, so that an extent's range may reach over messages that are elsewhere.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::entry::{
    Decoded, Enqueue, Entries, Entry, Extents, Malformed, QueueRun, SegmentId, Stamp, Stream,
    Target,
};
use crate::log::{Group, QueueId};

mod bits;
mod block;
mod check;
mod delivery;
mod live;
mod location;
mod places;
mod questions;
pub(crate) mod record;
mod streams;
#[cfg(test)]
pub(crate) mod tests;

use delivery::Deliveries;
use live::Live;
use places::Places;
use streams::Streams;

pub use delivery::Delivered;
pub use location::{LiveRun, Location};
pub use places::{FileState, SegmentState};
pub use questions::{PlacedRun, StreamState};

/// Of the streams of a queue those with higher numbers go when they are empty: there may be ever new ones. This one stays, and knows up to which sequence
/// number they came.
const LAST_KEPT: Stream = Stream(256);

/// Stands for no file where a stream names the last one that it is listed in.
const NO_FILE: u64 = u64::MAX;

/// An entry that cannot follow on those before it: the log is damaged, or was written wrongly. Nothing of the entry was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Sequence numbers are given that were given before.
    #[error(
        "queue {} stream {} gives sequence number {first_seq} again, {next_seq} is the next",
        queue.0, stream.0
    )]
    SequenceUsed {
        /// The queue.
        queue: QueueId,
        /// The stream.
        stream: Stream,
        /// The number that is given.
        first_seq: u64,
        /// The lowest one that may be.
        next_seq: u64,
    },
    /// A queue is in another group than it was.
    #[error("queue {} is in group {}, not in {}", queue.0, group.0, named.0)]
    OtherGroup {
        /// The queue.
        queue: QueueId,
        /// Its group.
        group: Group,
        /// The entry's group.
        named: Group,
    },
    /// An entry comes from an older file of the log than one before it.
    #[error("an entry of log file {file_seq:x} comes behind one of file {newest:x}")]
    FileOrder {
        /// The entry's file.
        file_seq: u64,
        /// The newest one so far.
        newest: u64,
    },
    /// A segment is added that is there.
    #[error("segment {:x} is added twice", segment.0)]
    SegmentKnown {
        /// The segment.
        segment: SegmentId,
    },
    /// A segment is dropped that is not there.
    #[error("segment {:x} is dropped, but is not there", segment.0)]
    SegmentUnknown {
        /// The segment.
        segment: SegmentId,
    },
    /// A segment is dropped that has live messages.
    #[error("segment {:x} is dropped with live messages of queue {}", segment.0, queue.0)]
    SegmentLive {
        /// The segment.
        segment: SegmentId,
        /// A queue that has messages in it.
        queue: QueueId,
    },
    /// More messages would move to an extent than are in it.
    #[error("segment {:x} has not all messages of queue {} that are moved to it", segment.0, queue.0)]
    ExtentShort {
        /// The segment.
        segment: SegmentId,
        /// The queue of the extent.
        queue: QueueId,
    },
    /// An extent has messages that its stream never had.
    #[error("segment {:x} has messages that queue {} never had", segment.0, queue.0)]
    ExtentUnknown {
        /// The segment.
        segment: SegmentId,
        /// The queue of the extent.
        queue: QueueId,
    },
    /// An entry of a bundle cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// One stream of a queue.
#[derive(Clone, Debug)]
struct Messages {
    group: Group,
    next_seq: u64,
    live: Live,
    deliveries: Deliveries,
    /// The newest file of the log in whose list of streams this one stands.
    listed_in: u64,
    /// The last check that named it, by number, and what the next sequence number is if that entry is applied.
    checked: (u64, u64),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Index {
    definitions: BTreeMap<Box<[u8]>, Box<[u8]>>,
    streams: Streams,
    places: Places,
    /// Term and index of the last entry of each group, by its number.
    groups: Vec<Option<(u32, u64)>>,
    /// How many entries were checked that name streams.
    checks: u64,
}

impl Index {
    /// Applies the next entry of the log, which lies in the file `file_seq`, or refuses it and changes nothing.
    ///
    /// **Order**: that of the log; the entry must be durable. **Cost**: a few tree operations for each target or run that the entry names and
    /// each run of live messages that it touches.
    pub fn apply(&mut self, decoded: &Decoded<'_>, file_seq: u64) -> Result<(), Inconsistent> {
        self.check(decoded, file_seq)?;
        match &decoded.entry {
            Entry::Bundle(entries) => self.apply_bundle(entries, file_seq),
            _ => self.apply_checked(decoded, file_seq, &[]),
        }
        Ok(())
    }

    fn apply_bundle(&mut self, entries: &Entries<'_>, file_seq: u64) {
        let dropped = dropped_in(entries);
        for decoded in entries.flatten() {
            self.apply_checked(&decoded, file_seq, &dropped);
        }
    }

    /// Applies an entry that was checked; `sources` are the segments that its bundle drops.
    fn apply_checked(&mut self, decoded: &Decoded<'_>, file_seq: u64, sources: &[SegmentId]) {
        let Stamp { group, term, index } = decoded.stamp;
        match decoded.entry {
            // It belongs to no group: its stamp says nothing.
            Entry::Seal => return,
            _ => self.set_last(group, (term, index)),
        }
        match decoded.entry {
            Entry::Enqueue(enqueue) => self.enqueue(decoded, &enqueue, file_seq),
            Entry::Settle {
                queue,
                stream,
                runs,
                ..
            } => {
                for run in runs {
                    self.remove(queue, stream, run.first_seq..=run.last_seq());
                }
            }
            Entry::SettleEach { runs, .. } => {
                for QueueRun { queue, stream, run } in runs {
                    self.remove(queue, stream, run.first_seq..=run.last_seq());
                }
            }
            Entry::Requeue {
                queue,
                stream,
                runs,
                ..
            } => {
                for run in runs {
                    let Some(messages) = self.streams.get_mut((queue, stream)) else {
                        return;
                    };
                    messages.requeue(&Delivered {
                        first_seq: run.first_seq,
                        count: run.count,
                        delivery_count: run.delivery_count,
                        ready_ms: run.ready_ms,
                    });
                }
            }
            Entry::Purge {
                queue,
                stream,
                upto,
            } => self.remove(queue, stream, 0..=upto),
            Entry::QueueDelete { queue } => self.delete_queue(queue),
            Entry::Define { key, value } => {
                self.definitions.insert(key.into(), value.into());
            }
            Entry::Undefine { key } => {
                self.definitions.remove(key);
            }
            Entry::SegmentAdd {
                segment,
                file_len,
                extents,
            } => {
                self.add_segment(segment, file_len, extents, sources);
            }
            Entry::SegmentDrop { segment } => {
                self.places.segments.remove(&segment);
            }
            Entry::Bundle(_) | Entry::Seal => {}
        }
    }

    fn set_last(&mut self, group: Group, last: (u32, u64)) {
        let at = usize::from(group.0);
        if self.groups.len() <= at {
            self.groups.resize(at + 1, None);
        }
        self.groups[at] = Some(last);
    }

    fn enqueue(&mut self, decoded: &Decoded<'_>, enqueue: &Enqueue<'_>, file_seq: u64) {
        let Some(file) = self.places.file_for(file_seq, decoded.lsn) else {
            return;
        };
        file.bytes += decoded.bytes.len() as u64;
        for target in enqueue.targets {
            let count = u64::from(target.count);
            file.messages += count;
            file.live += count;
            let Target {
                queue,
                stream,
                first_seq,
                ..
            } = target;
            let make = || Messages::new(decoded.stamp.group);
            let messages = self.streams.get_or_make((queue, stream), make);
            if messages.listed_in != file_seq {
                messages.listed_in = file_seq;
                file.streams.push((queue, stream, first_seq));
            }
            messages.next_seq = first_seq + count;
            let location = Location::Wal {
                lsn: decoded.lsn,
                first: target.first,
            };
            messages.live.push(&LiveRun {
                first_seq,
                count,
                location,
            });
        }
    }

    /// Messages of a stream are live no more; those that were not are left alone.
    fn remove(&mut self, queue: QueueId, stream: Stream, range: RangeInclusive<u64>) {
        let Some(messages) = self.streams.get_mut((queue, stream)) else {
            return;
        };
        messages.deliveries.remove(range.clone());
        messages
            .live
            .remove(range, |place, count| self.places.leave(place, count));
        if stream > LAST_KEPT && messages.live.count() == 0 {
            self.forget(queue, stream);
        }
    }

    fn forget(&mut self, queue: QueueId, stream: Stream) {
        if let Some(gone) = self.streams.remove((queue, stream)) {
            let make = || Messages::new(gone.group);
            let kept = self.streams.get_or_make((queue, LAST_KEPT), make);
            kept.next_seq = kept.next_seq.max(gone.next_seq);
        }
    }

    fn delete_queue(&mut self, queue: QueueId) {
        for messages in self.streams.remove_queue(queue) {
            for (place, _, count) in messages.live.places() {
                self.places.leave(place, count);
            }
        }
    }

    fn add_segment(
        &mut self,
        id: SegmentId,
        file_len: u64,
        extents: Extents<'_>,
        sources: &[SegmentId],
    ) {
        self.places
            .segments
            .insert(id, SegmentState::new(file_len, extents));
        for (number, extent) in extents.enumerate() {
            let Some(messages) = self.streams.get_mut((extent.queue, extent.stream)) else {
                continue;
            };
            let to = Location::Segment {
                id,
                extent: number as u32,
            };
            let mut moved = 0;
            messages.live.relocate(
                extent.first_seq..=extent.last_seq,
                to,
                |place| is_source(place, sources),
                |place, count| {
                    moved += count;
                    self.places.leave(place, count);
                },
            );
            let fits = self.places.enter(to, moved);
            debug_assert!(fits, "the check has counted");
        }
    }
}

impl Messages {
    fn new(group: Group) -> Self {
        Self {
            group,
            next_seq: 0,
            live: Live::default(),
            deliveries: Deliveries::default(),
            listed_in: NO_FILE,
            checked: (0, 0),
        }
    }

    /// Says how often messages were delivered, those of a range that are live.
    fn requeue(&mut self, run: &Delivered) {
        let last = run.first_seq + (run.count - 1);
        let live = self
            .live
            .runs_from(run.first_seq)
            .take_while(|live| live.first_seq <= last);
        for live in live {
            let part = live.within(run.first_seq, last);
            self.deliveries.raise(Delivered {
                first_seq: part.first_seq,
                count: part.count,
                ..*run
            });
        }
    }
}

/// The segments that a bundle drops.
fn dropped_in(entries: &Entries<'_>) -> Vec<SegmentId> {
    let drop = |decoded: Decoded<'_>| match decoded.entry {
        Entry::SegmentDrop { segment } => Some(segment),
        _ => None,
    };
    entries.flatten().filter_map(drop).collect()
}

/// Whether a SegmentAdd moves what is at a place; `sources` are the segments that its bundle drops.
fn is_source(place: &Location, sources: &[SegmentId]) -> bool {
    match place {
        Location::Wal { .. } => sources.is_empty(),
        Location::Segment { id, .. } => sources.contains(id),
    }
}
