//! What a connection shares with the shards: an outbox of events, and how many bytes of deliveries wait in it.
//!
//! Shards push and never wait. A connection whose outbox holds more than its limit gets no further deliveries; each shard that held some
//! back leaves its mark, and the connection tells those shards when it has room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use leveret_message::batch::Batch;
use leveret_store::log::QueueId;
use smallvec::SmallVec;

use crate::alarms::Alarms;
use crate::delay::search::Stretch;
use crate::error::Error;
use crate::figures::{Described, OffsetFigures};
use crate::ids::{ConnectionId, ConsumerSlot, SHARDS_MAX, ShardId};
use crate::mailbox::{Mailbox, take_gathered};

/// See the module.
#[derive(Debug)]
pub struct Link {
    /// Whose it is.
    pub connection: ConnectionId,
    /// What the shards tell the connection.
    pub events: Mailbox<Event>,
    /// Bytes of deliveries that were pushed and not yet written to the socket.
    waiting_bytes: AtomicUsize,
    waiting_bytes_max: usize,
    /// A bit for each shard that holds deliveries back.
    stalled: AtomicU64,
}

/// Consecutive messages of a batch on their way to a consumer.
#[derive(Clone, Debug)]
pub struct DeliveredRun {
    /// To whom.
    pub consumer: ConsumerSlot,
    /// Which queue they come from.
    pub queue: QueueId,
    /// The sequence number of the first one in that queue.
    pub first_seq: u64,
    /// The first one's index in the batch.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Whether they were handed out before.
    pub redelivered: bool,
    /// How often they came back from a consumer that failed with them.
    pub failed: u16,
    /// How often they were handed out before and came back, where their queue counts that.
    pub acquired: u16,
    /// Whether they come from a stream, and say at which offsets they are.
    pub has_offsets: bool,
}

/// Runs of messages on their way to a connection.
#[derive(Debug, Default)]
pub struct Deliveries {
    runs: Vec<DeliveredRun>,
    /// Each batch with how many runs are of it: those that follow each other mostly are of the same, and who refers to it is dear to count.
    batches: SmallVec<[(Arc<Batch>, usize); 1]>,
}

impl Deliveries {
    /// Adds a run of a batch.
    #[inline]
    pub(crate) fn push(&mut self, batch: &Arc<Batch>, run: DeliveredRun) {
        self.runs.push(run);
        match self.batches.last_mut() {
            Some((last, count)) if Arc::ptr_eq(last, batch) => *count += 1,
            _ => self.batches.push((Arc::clone(batch), 1)),
        }
    }

    /// Takes what was gathered, and leaves about as much room for what is gathered next.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            runs: take_gathered(&mut self.runs),
            batches: std::mem::take(&mut self.batches),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The first run.
    pub fn first(&self) -> Option<&DeliveredRun> {
        self.runs.first()
    }

    /// Each run with its batch, in the order in which they are to be delivered.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Batch>, &DeliveredRun)> {
        let batches = self.batches.iter();
        let each = batches.flat_map(|(batch, count)| std::iter::repeat_n(batch, *count));
        each.zip(&self.runs)
    }
}

/// A message that was asked for with `basic.get`.
#[derive(Clone, Debug)]
pub struct Got {
    /// Which queue it comes from.
    pub queue: QueueId,
    /// Its sequence number there.
    pub seq: u64,
    /// Where it is.
    pub batch: Arc<Batch>,
    /// Its index in the batch.
    pub index: u32,
    /// Whether it was handed out before.
    pub redelivered: bool,
    /// How often it came back from a consumer that failed with it.
    pub failed: u16,
    /// How often it was handed out before and came back, where its queue counts that.
    pub acquired: u16,
    /// How many ready messages are left in the queue.
    pub remaining: u64,
}

/// What a shard answers to a question. A connection has one open question to a shard at a time.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A queue's ready messages and consumers.
    Counts {
        /// Ready messages.
        ready: u64,
        /// Consumers.
        consumers: u64,
    },
    /// The consumer was added; its deliveries follow.
    Consuming,
    /// The consumer is gone; no delivery follows.
    Cancelled,
    /// The first ready message, if there was one.
    Got(Option<Got>),
    /// How many ready messages were removed.
    Purged(u64),
    /// Messages went to other queues.
    Moved {
        /// How many.
        moved: u64,
        /// How many were looked at and stayed, because there is no queue for them to go to, or no room in it.
        stayed: u64,
    },
    /// Ready messages, which stay where they are.
    Peeked(Vec<Got>),
    /// How far readers with names have come in a stream.
    Offsets(Vec<OffsetFigures>),
    /// It is forgotten how far readers with a name had come; whether it was known.
    OffsetForgotten(bool),
    /// Messages that an exchange holds back.
    Searched(Stretch),
    /// The queue is gone, and so many ready messages with it.
    Deleted(u64),
    /// What the channel held unacked from this shard is ready again; its consumers went if that was asked for.
    Released(ShardId),
    /// What a transaction does is done and durable, in all shards.
    Committed {
        /// Whether no full queue of this shard has refused a message of it.
        is_whole: bool,
    },
    /// The shard has forgotten the connection: unacked messages are ready again, exclusive queues gone.
    Disconnected,
    /// What was changed at the vhost's door survives a power cut. It comes from no shard, but answers as one does.
    Kept,
}

/// What a shard tells a connection.
#[derive(Debug)]
pub enum Event {
    /// Messages for its consumers, in the order in which they are to be delivered.
    Deliveries(Deliveries),
    /// Full queues have refused messages of a batch. Comes before the batch is done.
    Refused {
        /// Which shard.
        shard: ShardId,
        /// The number of the batch.
        number: u64,
        /// Indexes of the first ones, and how many each.
        refused: Vec<(u32, u32)>,
    },
    /// Publishing went on.
    Progress {
        /// Which shard.
        shard: ShardId,
        /// Every batch up to this number is in its queues, and safe where that was asked for.
        done: u64,
        /// So many bytes of allowance are given back.
        returned: usize,
    },
    /// The answer to the open question.
    Reply(Result<Reply, Error>),
    /// A consumer lost its queue.
    ConsumerCancelled(ConsumerSlot),
    /// Alarms went on or off; these are on now.
    Alarms(Alarms),
    /// What its user may do was changed.
    AccessChanged,
    /// The broker wants the connection closed, with this reason.
    Close(String),
    /// Somebody wants to know what the connection is doing.
    Describe(Described),
}

impl Link {
    /// A link with an empty outbox of at most about `waiting_bytes_max` bytes.
    pub fn new(connection: ConnectionId, waiting_bytes_max: usize) -> Self {
        Self {
            connection,
            events: Mailbox::default(),
            waiting_bytes: AtomicUsize::new(0),
            waiting_bytes_max,
            stalled: AtomicU64::new(0),
        }
    }

    /// Bytes of deliveries that wait to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::SeqCst)
    }

    /// A shard is about to push `bytes` of deliveries.
    pub(crate) fn reserve(&self, bytes: usize) {
        self.waiting_bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Whether there is room for deliveries, beside those that the shard is about to reserve. Where there is none, the shard's mark is left,
    /// and `Command::Resume` follows.
    pub(crate) fn has_room(&self, shard: ShardId, to_reserve: usize) -> bool {
        if self.waiting_bytes() + to_reserve < self.waiting_bytes_max {
            return true;
        }
        self.stalled.fetch_or(1 << shard.0, Ordering::SeqCst);
        // The connection may have written everything between the two: then nobody else would see the mark.
        self.waiting_bytes() + to_reserve <= self.waiting_bytes_max / 2
    }

    /// The connection has written (or dropped) `bytes` of deliveries. Calls `resume` for each shard that waits for room, once there is enough.
    pub fn written(&self, bytes: usize, mut resume: impl FnMut(ShardId)) {
        let before = self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(before >= bytes, "every delivered byte is reserved first");
        if before.saturating_sub(bytes) <= self.waiting_bytes_max / 2
            && self.stalled.load(Ordering::SeqCst) != 0
        {
            let stalled = self.stalled.swap(0, Ordering::SeqCst);
            (0..SHARDS_MAX as u16)
                .filter(|s| stalled & (1 << s) != 0)
                .for_each(|s| resume(ShardId(s)));
        }
    }
}
