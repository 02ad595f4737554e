//! The log as a shard sees it: what it is told, what it promises, and how messages come back. Formats on disk do not belong here.

use crate::entry::{NewEnqueue, QueueRun, Reason, RequeueRun, Run, Stream};

pub use crate::transactions::Transaction;

/// A place in a log. Positions rise; an entry is safe once [`Log::durable`] is at or past its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A queue's number, never used twice in a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// One of the fixed groups that queues are spread over; a group's entries are totally ordered. Group 0 has the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u16);

/// How many groups of queues a data folder has, for ever: 1 to 64.
pub const GROUPS: u16 = 64;

impl Group {
    /// The group of the definitions.
    pub const DEFINITIONS: Self = Self(0);

    /// What concerns the files of this data folder alone, and no copy of it.
    pub const LOCAL: Self = Self(GROUPS + 1);

    /// The group of a queue, for ever the same.
    pub fn of(queue: QueueId) -> Self {
        Self(1 + (queue.0 % u64::from(GROUPS)) as u16)
    }
}

/// What depends on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it to be synced: a confirm, a `declare-ok`.
    Synced,
    /// Somebody waits for it to be written, which the end of the process does not undo, but a power cut may.
    Written,
    /// Nobody waits; it is written soon, and synced with the next that is urgent, or when there is time. Lost, it is only done again.
    Whenever,
}

/// Messages that were put away together, see [`Log::put_away`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub u64);

/// A wish to have messages of a queue back that are in the log, see [`Log::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// Comes back with the answer.
    pub token: u64,
    /// The first sequence number that is wanted.
    pub first_seq: u64,
    /// How many live messages from there on are passed over without being read.
    pub skip: u64,
    /// The last one. Everything up to it that was appended must be durable.
    pub last_seq: u64,
    /// About how many bytes may come at once; one message comes in any case.
    pub bytes_max: usize,
}

/// Messages that were read from the log.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Their records, one behind the other, in the order of their sequence numbers.
    pub records: Vec<u8>,
    /// How many they are.
    pub count: u32,
    /// Their sequence numbers.
    pub runs: Vec<Run>,
    /// Those of them that were delivered and went back, as far as the log was told.
    pub returned: Vec<RequeueRun>,
    /// When they arrived, in milliseconds since 1970, each with the index of the first that did.
    pub arrivals: Vec<(u32, u64)>,
    /// Everything that is live from the first number that was wanted up to this one, exclusively, is here, or is lost.
    pub next_seq: u64,
    /// How many messages are damaged, and so will never come. The log has told of them.
    pub lost: u64,
}

impl Read {
    /// The next `count` messages in `records` have these sequence numbers, and arrived then.
    pub fn note(&mut self, first_seq: u64, count: u32, arrived_ms: u64) {
        if self.arrivals.last().is_none_or(|(_, ms)| *ms != arrived_ms) {
            self.arrivals.push((self.count, arrived_ms));
        }
        self.count += count;
        let count = u64::from(count);
        match self.runs.last_mut() {
            Some(run) if run.first_seq + run.count == first_seq => run.count += count,
            _ => self.runs.push(Run { first_seq, count }),
        }
    }
}

/// What comes back with [`Log::take_arrived`].
#[derive(Clone, Debug)]
pub enum Arrived {
    /// The answer to [`Log::read`].
    Read(Wanted, Read),
    /// The answer to [`Log::fetch`].
    Chunk(ChunkId, Vec<u8>),
}

/// Where a shard's entries go, and the messages of its queues that are not in memory.
///
/// Records are opaque here. A log that has failed appends nothing any more and is never durable past the failure; whoever made it hears of it
/// and ends the program.
pub trait Log: Send {
    /// Messages enter queues of a group.
    ///
    /// **Effect**: in memory; safe once [`Log::durable`] has reached the position. **Order**: as appended. **Waits**: never.
    fn enqueue(&mut self, group: Group, new: NewEnqueue<'_>, urgency: Urgency) -> Position;

    /// Messages of queues of a group are settled for good. **Effect**, **Order**, **Waits** as [`Log::enqueue`].
    fn settle(&mut self, group: Group, reason: Reason, runs: &[QueueRun]) -> Position;

    /// Messages of a stream of a queue were delivered, and went back. That some wait for their next delivery is written at once. **Effect**, **Order**,
    /// **Waits** as [`Log::enqueue`].
    fn requeue(&mut self, group: Group, of: (QueueId, Stream), runs: &[RequeueRun]) -> Position;

    /// A queue is gone with all its messages. **Effect**, **Order**, **Waits** as [`Log::enqueue`].
    fn delete_queue(&mut self, group: Group, queue: QueueId) -> Position;

    /// What is told from here on, up to [`Log::end_part`], is this log's part of a transaction: it becomes durable together with the parts that
    /// other logs are told, or not at all. Where two begin at the same place, both become durable together, or neither. What is told behind it waits with it. **Waits**: for no other shard, and never for the disk.
    fn begin_part(&mut self, transaction: Transaction);

    /// The part is complete. Once all are, they are made durable soon; the position is the part's last one, where anything was told in it.
    fn end_part(&mut self, transaction: Transaction) -> Option<Position>;

    /// The position of the last entry.
    fn last(&self) -> Position;

    /// Everything at or before this position survives a power cut.
    fn durable(&self) -> Position;

    /// Everything at or before this position survives the end of the process.
    fn written(&self) -> Position;

    /// Whether much was appended or put away that is not written yet: publishers should be slowed down.
    fn is_behind(&self) -> bool;

    /// Asks for everything that was appended to be made durable soon, though nobody waits for a confirm.
    fn hurry(&mut self);

    /// Asks for messages that were appended. They come with a later [`Log::take_arrived`]. **Waits**: never.
    fn read(&mut self, wanted: Wanted);

    /// Takes records that a queue cannot keep in memory and that are in no entry. **Effect**: kept until they are fetched or forgotten, or the
    /// process ends. **Waits**: never.
    fn put_away(&mut self, records: Vec<u8>) -> ChunkId;

    /// Asks for what was put away, once. It comes with a later [`Log::take_arrived`]. **Waits**: never.
    fn fetch(&mut self, chunk: ChunkId);

    /// What was put away is not needed any more.
    fn forget(&mut self, chunk: ChunkId);

    /// Moves what was asked for and has come into `into`.
    fn take_arrived(&mut self, into: &mut Vec<Arrived>);
}

/// Where definitions go: keys and values that outlive the process, opaque here. Shared by all who define something.
pub trait Definitions: Send + Sync + std::fmt::Debug {
    /// A key has this value from now on.
    ///
    /// **Effect**: in memory; safe once [`Definitions::durable`] has reached what [`Definitions::last`] is then. **Order**: as called; what a
    /// shard's log is told afterwards is never durable without it. **Waits**: never.
    fn define(&self, key: &[u8], value: &[u8]);

    /// A key has no value any more. **Effect**, **Order**, **Waits** as [`Definitions::define`].
    fn undefine(&self, key: &[u8]);

    /// The position of the last definition.
    fn last(&self) -> Position;

    /// Every definition at or before this position survives a power cut.
    fn durable(&self) -> Position;

    /// Calls `then` when the definitions are durable up to a position: now, if they are. It must not wait.
    fn when_durable(&self, at: Position, then: Box<dyn FnOnce() + Send>);
}
