//! The log's trait and the entries it takes. Formats on disk do not belong here.

use bytes::Bytes;

/// A place in a log. Positions rise; an entry is safe once [`Log::durable`] is at or past its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A queue's number, never used twice in a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// One of the fixed groups that queues are spread over; a group's entries are totally ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u16);

/// How many groups a data folder has, for ever.
pub const GROUPS: u16 = 64;

/// Consecutive messages of a batch that one queue takes: `count` messages from `first` on get the sequence numbers from `first_seq` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The queue that takes them.
    pub queue: QueueId,
    /// Index of the first message in the batch.
    pub first: u32,
    /// How many messages.
    pub count: u32,
    /// The sequence number that the first one gets in the queue.
    pub first_seq: u64,
}

/// What happened, as the log is told.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A batch entered queues.
    Enqueue {
        /// The group of all the targets.
        group: Group,
        /// The batch's records, one behind the other.
        records: &'a [u8],
        /// Bodies that the records name by index.
        bodies: &'a [Bytes],
        /// Which queue takes which of them.
        targets: &'a [Target],
    },
    /// Messages of a queue are settled for good.
    Settle {
        /// The queue's group.
        group: Group,
        /// The queue.
        queue: QueueId,
        /// The first sequence number.
        first_seq: u64,
        /// How many, in sequence.
        count: u64,
    },
}

/// Why a log cannot go on. None of these is ever retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device refused a write or a sync: nothing more may be confirmed.
    #[error("the log cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

/// Messages that come back from [`Log::put_away`].
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where they were.
    pub at: Position,
    /// Their records, one behind the other.
    pub records: Vec<u8>,
    /// Bodies that the records name by index.
    pub bodies: Vec<Bytes>,
}

/// Where a shard's entries go, and the messages of its queues that are not in memory.
pub trait Log: Send {
    /// Appends an entry and gives its position.
    ///
    /// **Effect**: in memory; it is safe once [`Log::durable`] has reached the position. **Order**: as appended. **Waits**: never.
    fn append(&mut self, entry: Entry<'_>) -> Result<Position, Error>;

    /// Everything at or before this position is as safe as this log makes it.
    fn durable(&self) -> Position;

    /// Takes messages that a queue cannot keep in memory; the queue remembers the position only.
    ///
    /// **Effect**: what is safe does not change; the memory is the log's. **Waits**: never.
    fn put_away(&mut self, records: &[u8], bodies: &[Bytes]) -> Result<Position, Error>;

    /// Asks for what was put away at a position, once. It comes with a later [`Log::take_fetched`]. **Waits**: never.
    fn fetch(&mut self, at: Position);

    /// Moves what was asked for and has come into `into`, in the order in which it came.
    fn take_fetched(&mut self, into: &mut Vec<Fetched>);

    /// What was put away at a position is not needed any more.
    fn forget(&mut self, at: Position);
}
