//! What a check found, for programs; `text.rs` says it to a person.

use super::range::DamagedRange;
use crate::entry::Stream;
use crate::log::QueueId;

/// What a check of a data folder found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The data folder's own number.
    pub store: u128,
    /// The generation of the checkpoint that was read; none without one.
    pub generation: Option<u64>,
    /// How much there is.
    pub counts: Counts,
    /// What is damaged.
    pub findings: Vec<Finding>,
    /// What an operator may want to know, and what no harm comes from.
    pub remarks: Vec<String>,
    /// Files in the quarantine, with their lengths.
    pub quarantine: Vec<(String, u64)>,
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How much there is in a data folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files of the log.
    pub log_files: u64,
    /// Batches that were read behind the checkpoint.
    pub batches: u64,
    /// Segments that the index names.
    pub segments: u64,
    /// Queues that have live messages.
    pub queues: u64,
    /// Live messages that can be read.
    pub messages: u64,
    /// Definitions.
    pub definitions: u64,
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: DamagedRange,
    /// What is wrong.
    pub what: String,
    /// Whether something is lost by it.
    pub loses: Loses,
    /// The queues concerned, as far as that can be told.
    pub queues: Vec<Concerned>,
}

/// Whether something is lost by a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loses {
    /// No: what is damaged is there a second time, or is not needed. A repair needs nobody's consent.
    Nothing,
    /// Yes, or it cannot be told. A repair needs the range in its list of what is accepted.
    Something,
}

/// A queue that a damage concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The queue.
    pub queue: QueueId,
    /// What it is called, if that is known.
    pub name: Option<String>,
    /// The stream of the queue.
    pub stream: Stream,
    /// How it is concerned.
    pub how: How,
}

/// How a queue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// `count` of its live messages cannot be read; their sequence numbers are `first_seq` to `last_seq`.
    Lost {
        /// The first of the sequence numbers.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
        /// How many messages.
        count: u64,
    },
    /// These sequence numbers appear nowhere behind the damage, and may have been in it.
    Missing {
        /// The first of the sequence numbers.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
    /// Entries beside the damage are about it; there may have been more in the damage.
    Near,
}
