//! A piece of the live messages of a stream: a run, or bits.

use crate::entry::{Lsn, SegmentId};
use crate::index::block::Block;
use crate::index::location::{LiveRun, Location};

/// A run without its first sequence number, or a block: kept small, since there may be a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::index) enum Piece {
    /// A run in an entry of the log.
    Wal { lsn: Lsn, first: u32, count: u32 },
    /// A run in an extent.
    Segment {
        id: SegmentId,
        extent: u32,
        count: u64,
    },
    /// Bits.
    Block(Box<Block>),
}

impl Piece {
    /// A run as a piece, and how many numbers it takes: all of a run in an extent, as many as an entry can have of one in the log.
    pub(super) fn of(run: &LiveRun) -> Self {
        match run.location {
            Location::Wal { lsn, first } => Self::Wal {
                lsn,
                first,
                count: run.count as u32,
            },
            Location::Segment { id, extent } => Self::Segment {
                id,
                extent,
                count: run.count,
            },
        }
    }

    /// The run that ends with `last`, if this is one.
    pub(in crate::index) fn run(&self, last: u64) -> Option<LiveRun> {
        let (location, count) = match self {
            Self::Wal { lsn, first, count } => (
                Location::Wal {
                    lsn: *lsn,
                    first: *first,
                },
                u64::from(*count),
            ),
            Self::Segment { id, extent, count } => (
                Location::Segment {
                    id: *id,
                    extent: *extent,
                },
                *count,
            ),
            Self::Block(_) => return None,
        };
        Some(LiveRun {
            first_seq: last - (count - 1),
            count,
            location,
        })
    }

    /// Where its first message is; of bits, where that of the first would be.
    pub(in crate::index) fn origin(&self) -> Location {
        match self {
            Self::Wal { lsn, first, .. } => Location::Wal {
                lsn: *lsn,
                first: *first,
            },
            Self::Segment { id, extent, .. } => Location::Segment {
                id: *id,
                extent: *extent,
            },
            Self::Block(block) => block.origin(),
        }
    }

    /// The first live number.
    pub(super) fn first(&self, last: u64) -> u64 {
        let run = match self {
            Self::Block(block) => block.next_run(0),
            run => run.run(last),
        };
        run.map_or(last, |run| run.first_seq)
    }

    /// How many messages.
    pub(in crate::index) fn count(&self) -> u64 {
        match self {
            Self::Wal { count, .. } => u64::from(*count),
            Self::Segment { count, .. } => *count,
            Self::Block(block) => block.count(),
        }
    }
}
