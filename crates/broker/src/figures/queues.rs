//! What shards tell: of queues, their consumers, and how far readers of streams have come.

use std::fmt;
use std::ops::AddAssign;

use leveret_message::name::Name;
use leveret_store::log::QueueId;

use super::MessageCounts;
use crate::ids::Holder;

/// A queue at one moment.
#[derive(Clone, Debug)]
pub struct QueueFigures {
    /// Which one.
    pub id: QueueId,
    /// Ready messages.
    pub ready: u64,
    /// Messages that were handed out and are not settled.
    pub unacked: u64,
    /// Messages that came back and wait before they are ready again.
    pub waiting: u64,
    /// Consumers.
    pub consumers: u64,
    /// The tag of the consumer that has the queue for itself.
    pub exclusive_tag: Option<Name>,
    /// The tag of the only one that gets messages, where that is one at a time.
    pub active_tag: Option<Name>,
    /// When it was used last, in milliseconds since 1970; none where it was not since the broker was started.
    pub used_ms: Option<u64>,
    /// The bodies of its messages; none where it does not know of them.
    pub bodies: Option<BodyFigures>,
    /// What the oldest message says of its time, in seconds since 1970; none where it says nothing, is not in memory, or all are told as a sum.
    pub oldest_timestamp: Option<u64>,
    /// Ready messages that are not in memory.
    pub ready_away: u64,
    /// The memory that ready messages take, in bytes.
    pub ready_bytes: u64,
    /// The memory that unacked messages take, in bytes.
    pub unacked_bytes: u64,
    /// What became of its messages.
    pub counts: MessageCounts,
    /// The consumers; told only where that was asked for.
    pub consumed_by: Vec<ConsumedBy>,
    /// The channels that hold some of its messages; told only where that was asked for.
    pub held_by: Vec<Holder>,
}

/// What bodies a queue has. Exact while all is in memory and little, else as the part that was looked at says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyFigures {
    /// Bytes of the bodies of ready messages.
    pub ready_bytes: u64,
    /// Bytes of the bodies of unacked messages, and of those that wait before they are ready again.
    pub unacked_bytes: u64,
    /// How many messages of all these survive a restart.
    pub persistent: u64,
    /// Bytes of their bodies.
    pub persistent_bytes: u64,
}

/// A consumer, as its queue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedBy {
    /// Its channel.
    pub holder: Holder,
    /// Its tag, unique on that channel.
    pub tag: Name,
    /// Whether it gets messages: not while another one is the only one that does.
    pub active: bool,
}

/// How much is told of each queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: the sum of all is enough.
    Sum,
    /// Its figures.
    Each,
    /// Its figures, and who consumes from it.
    Consumers,
}

/// Several queues together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSum {
    /// Ready messages.
    pub ready: u64,
    /// Messages that were handed out and are not settled.
    pub unacked: u64,
    /// Messages that came back and wait before they are ready again.
    pub waiting: u64,
    /// Consumers.
    pub consumers: u64,
    /// What became of their messages.
    pub counts: MessageCounts,
}

impl AddAssign<&QueueFigures> for QueueSum {
    fn add_assign(&mut self, queue: &QueueFigures) {
        self.ready += queue.ready;
        self.unacked += queue.unacked;
        self.waiting += queue.waiting;
        self.consumers += queue.consumers;
        self.counts += queue.counts;
    }
}

impl AddAssign for QueueSum {
    fn add_assign(&mut self, other: Self) {
        self.ready += other.ready;
        self.unacked += other.unacked;
        self.waiting += other.waiting;
        self.consumers += other.consumers;
        self.counts += other.counts;
    }
}

/// What a shard answers to `Command::Observe`.
#[derive(Clone, Debug, Default)]
pub struct ShardFigures {
    /// Those of the queues it was asked about that are there, if more than their sum was asked for.
    pub queues: Vec<QueueFigures>,
    /// All of them together.
    pub sum: QueueSum,
    /// What became of the messages of queues that have ended.
    pub ended: MessageCounts,
    /// How many queues it was given since the broker was started.
    pub created: u64,
    /// How many queues have ended.
    pub deleted: u64,
}

/// Takes a shard's answer. Called in the shard's turn, so it must not wait.
pub struct Observed(Box<dyn FnOnce(ShardFigures) + Send>);

impl Observed {
    /// An answer goes to `take`.
    pub fn new(take: impl FnOnce(ShardFigures) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    pub(crate) fn answer(self, figures: ShardFigures) {
        (self.0)(figures);
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}

/// A name under which it is kept how far its reader has come in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFigures {
    /// The name.
    pub name: Box<str>,
    /// The offset at which its reader begins, or has not acknowledged.
    pub offset: u64,
    /// The same as it was written down last, where it was.
    pub kept: Option<u64>,
    /// Whether there is a reader.
    pub in_use: bool,
}
