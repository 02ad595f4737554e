//! What the log's files and the segments hold: how much of it is live, and how to find that.
//!
//! Which message is where stands in the streams alone. Here is the other direction, as little of it as page-out, recycling and compaction
//! need: counts, and in which streams to look. Sizes of single messages are not known, so live bytes are the share of the messages.

use std::collections::BTreeMap;

use super::location::Location;
use crate::entry::{Extent, Lsn, SegmentId, Stream};
use crate::log::QueueId;

/// A file of the log that holds live messages, or the newest one with messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The file's number.
    pub file_seq: u64,
    /// The lowest place of an entry with messages.
    pub first_lsn: Lsn,
    /// How many messages were put into streams by entries of this file.
    pub messages: u64,
    /// How long these entries are.
    pub bytes: u64,
    /// How many of the messages are live and still here.
    pub live: u64,
    /// The streams that got messages here, each with the sequence number of the first; a stream may stand here twice.
    pub(super) streams: Vec<(QueueId, Stream, u64)>,
}

impl FileState {
    /// About how many bytes of the entries belong to live messages.
    pub fn live_bytes(&self) -> u64 {
        share(self.bytes, self.live, self.messages)
    }
}

/// A segment that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// How long its file is, in bytes.
    pub file_len: u64,
    /// Its extents, in the order of the file, each with how many live messages are in it.
    pub extents: Box<[(Extent, u64)]>,
    /// How many messages were written to it.
    pub messages: u64,
    /// How many of them are live and in no newer segment.
    pub live: u64,
}

impl SegmentState {
    /// A segment of which nothing is live yet.
    pub(super) fn new(file_len: u64, extents: impl Iterator<Item = Extent>) -> Self {
        let extents: Box<[_]> = extents.map(|extent| (extent, 0)).collect();
        let messages = extents
            .iter()
            .fold(0, |sum: u64, (extent, _)| sum.saturating_add(extent.count));
        Self {
            file_len,
            extents,
            messages,
            live: 0,
        }
    }

    /// How many bytes its extents take.
    pub fn bytes(&self) -> u64 {
        self.extents
            .iter()
            .fold(0, |sum, (extent, _)| sum.saturating_add(extent.len))
    }

    /// About how many of them belong to live messages.
    pub fn live_bytes(&self) -> u64 {
        self.extents.iter().fold(0, |sum, (extent, live)| {
            sum.saturating_add(share(extent.len, *live, extent.count))
        })
    }
}

/// `bytes * part / whole`.
fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(bytes) * u128::from(part);
    product.checked_div(u128::from(whole)).unwrap_or(0) as u64
}

/// All files and segments that the index knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// By rising number, and by rising place.
    pub(super) files: Vec<FileState>,
    pub(super) segments: BTreeMap<SegmentId, SegmentState>,
}

impl Places {
    /// The file that entries come from now. `None` where a newer one was there already.
    pub(super) fn file_for(&mut self, file_seq: u64, lsn: Lsn) -> Option<&mut FileState> {
        if self
            .files
            .last()
            .is_none_or(|newest| newest.file_seq < file_seq)
        {
            // What was the newest file may have stayed for that alone.
            self.files.retain(|file| file.live > 0);
            self.files.push(FileState {
                file_seq,
                first_lsn: lsn,
                messages: 0,
                bytes: 0,
                live: 0,
                streams: vec![],
            });
        }
        self.files
            .last_mut()
            .filter(|newest| newest.file_seq == file_seq)
    }

    /// The file that an entry lies in, as its position in the list.
    pub(super) fn file_of(&self, lsn: Lsn) -> Option<usize> {
        self.files
            .partition_point(|file| file.first_lsn <= lsn)
            .checked_sub(1)
    }

    /// About how many bytes so many messages take at a place.
    pub(super) fn bytes_of(&self, place: Location, count: u64) -> u64 {
        match place {
            Location::Wal { lsn, .. } => {
                let file = self.file_of(lsn).and_then(|at| self.files.get(at));
                file.map_or(0, |file| share(file.bytes, count, file.messages))
            }
            Location::Segment { id, extent } => {
                let segment = self.segments.get(&id);
                let extent = segment.and_then(|of| of.extents.get(extent as usize));
                extent.map_or(0, |(extent, _)| share(extent.len, count, extent.count))
            }
        }
    }

    /// Messages that were at a place are there no more.
    pub(super) fn leave(&mut self, place: Location, count: u64) {
        match place {
            Location::Wal { lsn, .. } => self.leave_file(lsn, count),
            Location::Segment { id, extent } => {
                let Some(segment) = self.segments.get_mut(&id) else {
                    return;
                };
                segment.live -= count;
                if let Some((_, live)) = segment.extents.get_mut(extent as usize) {
                    *live -= count;
                }
            }
        }
    }

    fn leave_file(&mut self, lsn: Lsn, count: u64) {
        let Some(index) = self.file_of(lsn) else {
            return;
        };
        let is_newest = index + 1 == self.files.len();
        let Some(file) = self.files.get_mut(index) else {
            return;
        };
        file.live -= count;
        if file.live == 0 && !is_newest {
            self.files.remove(index);
        }
    }

    /// Messages are at a place. `false` where the place is not known, or never had so many.
    pub(super) fn enter(&mut self, place: Location, count: u64) -> bool {
        let (live, most) = match place {
            Location::Wal { lsn, .. } => {
                let file = self
                    .file_of(lsn)
                    .and_then(|index| self.files.get_mut(index));
                let Some(file) = file else {
                    return false;
                };
                (&mut file.live, file.messages)
            }
            Location::Segment { id, extent } => {
                let Some(segment) = self.segments.get_mut(&id) else {
                    return false;
                };
                let Some((held, live)) = segment.extents.get_mut(extent as usize) else {
                    return false;
                };
                if live.saturating_add(count) > held.count {
                    return false;
                }
                *live += count;
                (&mut segment.live, segment.messages)
            }
        };
        let fits = live.saturating_add(count) <= most;
        *live = live.saturating_add(count).min(most);
        fits
    }
}
