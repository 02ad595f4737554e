//! Where a message is: in an entry of the log or in an extent of a segment.
//!
//! In an entry by its index, since an entry's messages have no numbers of their own. In an extent by its sequence number, which stands beside
//! it there: which of a stream's messages were live when the extent was written is not known here.

use crate::entry::{Lsn, SegmentId};

/// Where the first message of a run is; the next one of the run is the next message there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// In an Enqueue entry of the log.
    Wal {
        /// The entry's place in the log; in a bundle that of the nested entry.
        lsn: Lsn,
        /// Index of the message in the entry.
        first: u32,
    },
    /// In an extent of a segment, under its sequence number.
    Segment {
        /// The segment.
        id: SegmentId,
        /// Index of the extent in the segment.
        extent: u32,
    },
}

impl Location {
    /// The location of the message `count` behind this one, or before it where `count` was counted around zero.
    pub(super) fn skip(self, count: u64) -> Self {
        match self {
            Self::Wal { lsn, first } => Self::Wal {
                lsn,
                first: first.wrapping_add(count as u32),
            },
            segment @ Self::Segment { .. } => segment,
        }
    }
}

/// Consecutive live messages that are one behind the other in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRun {
    /// The first sequence number.
    pub first_seq: u64,
    /// How many messages; never 0.
    pub count: u64,
    /// Where the first one is.
    pub location: Location,
}

impl LiveRun {
    /// The last sequence number.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + (self.count - 1)
    }

    /// The part of the run within two sequence numbers, which the run must touch.
    pub(crate) fn within(&self, first: u64, last: u64) -> Self {
        let first_seq = self.first_seq.max(first);
        Self {
            first_seq,
            count: self.last_seq().min(last) - first_seq + 1,
            location: self.location.skip(first_seq - self.first_seq),
        }
    }

    /// Whether a later run is where it would be if nothing had been cut out between the two.
    pub(super) fn is_in_line(&self, later: &Self) -> bool {
        self.location
            .skip(later.first_seq.wrapping_sub(self.first_seq))
            == later.location
    }
}
