//! What connections ask of shards. Everything about a queue's contents and consumers goes through here, in order.

use std::ops::Deref;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use leveret_message::batch::Batch;
use leveret_message::name::Name;
use leveret_store::log::{QueueId, Transaction};
use smallvec::SmallVec;

use crate::arguments::{Filter, Offset};
use crate::delay::search::Search;
use crate::figures::{Detail, Observed};
use crate::ids::{ConnectionId, ConsumerSlot, Holder, ShardId};
use crate::link::Link;
use crate::mailbox::Mailbox;
use crate::queue_handle::QueueHandle;
use crate::room::Room;

/// The queues that messages go to, each once. A single one stands here itself: counting who refers to it would be dear among cores.
#[derive(Clone, Debug)]
pub enum RunQueues {
    /// One queue.
    One(QueueId),
    /// Any other number of queues.
    Many(Arc<[QueueId]>),
}

impl RunQueues {
    /// Whether both came from the same route.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => one == other,
            (Self::Many(queues), Self::Many(others)) => Arc::ptr_eq(queues, others),
            _ => false,
        }
    }
}

impl Deref for RunQueues {
    type Target = [QueueId];

    fn deref(&self) -> &[QueueId] {
        match self {
            Self::One(queue) => slice::from_ref(queue),
            Self::Many(queues) => queues,
        }
    }
}

impl FromIterator<QueueId> for RunQueues {
    fn from_iter<I: IntoIterator<Item = QueueId>>(queues: I) -> Self {
        let queues: SmallVec<[QueueId; 8]> = queues.into_iter().collect();
        match queues.as_slice() {
            [queue] => Self::One(*queue),
            queues => Self::Many(queues.into()),
        }
    }
}

/// Consecutive messages of a batch that go to the same queues.
#[derive(Clone, Debug)]
pub struct Run {
    /// The queues.
    pub queues: RunQueues,
    /// Index of the first message.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// A batch of one connection for one shard.
#[derive(Debug)]
pub struct Publish {
    /// Who published it.
    pub connection: ConnectionId,
    /// Numbered from 1 for each connection and shard; comes back in `Event::Progress`.
    pub number: u64,
    /// The allowance it takes until the shard gives it back.
    pub bytes: usize,
    /// The messages.
    pub batch: Arc<Batch>,
    /// Which message goes where.
    pub runs: Vec<Run>,
}

/// What a transaction does in one shard.
#[derive(Debug)]
pub struct Part {
    /// Who waits for it; nobody where messages move by themselves.
    pub connection: Option<ConnectionId>,
    /// Which transaction.
    pub transaction: Transaction,
    /// The allowance it takes until the shard gives it back.
    pub bytes: usize,
    /// The messages; they come before what is settled.
    pub batch: Arc<Batch>,
    /// Which message goes where.
    pub runs: Vec<Run>,
    /// What is settled.
    pub settles: Vec<Settle>,
    /// Whether room was reserved for them in their queues, so that none refuses any.
    pub reserved: bool,
    /// How many windows of exchanges the messages have passed.
    pub passed: u8,
    /// What is taken of it in queues behind further windows.
    pub room: Option<Arc<Room>>,
}

impl Part {
    /// What enters the queues of a shard because messages move; nobody waits for it.
    pub(crate) fn moved(
        transaction: Transaction,
        (batch, runs): (Arc<Batch>, Vec<Run>),
        (reserved, passed): (bool, u8),
    ) -> Self {
        Self {
            connection: None,
            transaction,
            bytes: 0,
            batch,
            runs,
            settles: Vec::new(),
            reserved,
            passed,
            room: None,
        }
    }
}

/// What becomes of messages at a window, where a queue behind it has no room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfFull {
    /// They are refused: no queue takes them, and their publisher hears of it.
    Refused,
    /// They go to the other queues.
    LeftOut,
    /// There is room: it was taken for them.
    Entered,
}

/// What becomes of messages that were handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done with: `basic.ack`.
    Ack,
    /// Not wanted: `basic.reject` and `basic.nack` without requeue.
    Discard,
    /// Back to their place in the queue, as nobody failed with them: `basic.nack` with requeue.
    Return,
    /// Back to their place in the queue, and counted as failed: `basic.reject` with requeue.
    Fail,
}

/// Messages of one queue, in sequence, that a channel settles.
#[derive(Clone, Copy, Debug)]
pub struct Settle {
    /// The queue.
    pub queue: QueueId,
    /// The channel's number.
    pub channel: u16,
    /// The first sequence number.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
    /// What becomes of them.
    pub outcome: Outcome,
    /// Which reader of a stream had them: [`NewConsumer::reader`]. 0 where they are of no stream.
    pub reader: u32,
}

impl Settle {
    /// Adds it to others, or to the last of them where it continues that.
    pub fn add_to(self, settles: &mut Vec<Self>) {
        if let Some(last) = settles.last_mut()
            && last.queue == self.queue
            && last.channel == self.channel
            && last.outcome == self.outcome
            && last.reader == self.reader
            && last.first_seq + last.count == self.first_seq
        {
            last.count += self.count;
        } else {
            settles.push(self);
        }
    }
}

/// How many messages a channel with a limit of its own may still take; shared by its consumers on all shards.
pub type ChannelCredit = Arc<std::sync::atomic::AtomicI64>;

/// What `basic.consume` asks for.
#[derive(Clone, Debug)]
pub struct NewConsumer {
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    /// Its tag, unique on its channel.
    pub tag: Name,
    /// Whether messages are settled by being sent.
    pub no_ack: bool,
    /// Whether nobody else may consume from the queue.
    pub exclusive: bool,
    /// How many unacked messages it takes at most; 0 is no limit.
    pub prefetch: u16,
    /// The channel's own limit, where it has one.
    pub channel_credit: Option<ChannelCredit>,
    /// Higher ones are served first.
    pub priority: i64,
    /// How long it may keep a message unsettled; none is as the queue says, or the broker.
    pub timeout: Option<Duration>,
    /// Where it begins in a stream.
    pub offset: Offset,
    /// What it wants of a stream.
    pub filter: Option<Filter>,
    /// The name under which it is kept how far it has come in a stream.
    pub offset_name: Option<Name>,
    /// Which one it is of all readers of streams that its connection ever had, counted from 1; 0 where it reads no stream.
    pub reader: u32,
}

/// Where an operator moves messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveTo {
    /// To the queue of this name.
    Queue(Name),
    /// Each to the queue in which it first died, without what its headers say of deaths.
    Origin,
}

/// How many messages move where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// Where.
    pub to: MoveTo,
    /// How many from the front are passed over, as far as they stayed when they were to be moved before.
    pub position: u64,
    /// How many at the most; a shard may move fewer at a time.
    pub most: u64,
}

/// What operators do with messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Moves them from the front of their queue.
    Move(Moving),
    /// Looks at ready ones that are together in memory or on the disk, and leaves them as they are.
    Peek {
        /// How many from the front are passed over.
        position: u64,
        /// How many at the most.
        most: u64,
    },
    /// Tells how far readers with names have come in a stream. Replies `Offsets`.
    Offsets,
    /// Forgets how far readers with a name have come in a stream. Replies `OffsetForgotten`.
    ForgetOffset(Name),
    /// Looks for messages that an exchange holds back, and may cancel them.
    Search(Search),
}

/// See the module. Commands with a reply are answered by one `Event::Reply`; where the queue has gone meanwhile, with `Error::NotFound`.
#[derive(Debug)]
pub enum Command {
    /// The first command of a connection to a shard.
    Connect(Arc<Link>),
    /// The last one: forget it, requeue what it held, delete its exclusive queues. Replies `Disconnected`.
    Disconnect(ConnectionId),
    /// A new queue.
    Declare(Arc<QueueHandle>),
    /// Policies have changed what holds for a queue: [`QueueHandle::governed`].
    Govern(Arc<QueueHandle>),
    /// Messages.
    Publish(Publish),
    /// Settled messages.
    Settle(ConnectionId, Vec<Settle>),
    /// A part of a transaction. Replies `Committed` when all of them are durable.
    Transact(Box<Part>),
    /// Adds a consumer. Replies `Consuming`.
    Consume(Holder, Arc<QueueHandle>, NewConsumer),
    /// Removes a consumer; what it holds stays unacked. Replies `Cancelled`.
    Cancel(ConnectionId, QueueId, ConsumerSlot),
    /// Changes how many unacked messages a consumer takes at most; 0 is no limit.
    SetPrefetch {
        /// Whose consumer it is.
        connection: ConnectionId,
        /// From which queue.
        queue: QueueId,
        /// Which one.
        slot: ConsumerSlot,
        /// The new limit.
        prefetch: u16,
    },
    /// Takes one message. Replies `Got`.
    Get {
        /// Who asks.
        holder: Holder,
        /// From where.
        queue: Arc<QueueHandle>,
        /// Whether it is settled by being sent.
        no_ack: bool,
    },
    /// An operator wants something of a queue's messages. Replies `Moved`, `Peeked` or `Searched`.
    Operate(ConnectionId, Arc<QueueHandle>, Operation),
    /// Removes all ready messages. Replies `Purged`.
    Purge(ConnectionId, Arc<QueueHandle>),
    /// Deletes a queue. Replies `Deleted`.
    Delete {
        /// Who asks.
        connection: ConnectionId,
        /// Which one.
        queue: QueueId,
        /// Only if it has no consumer.
        if_unused: bool,
        /// Only if it has no ready message.
        if_empty: bool,
    },
    /// Replies `Counts`.
    Count(ConnectionId, Arc<QueueHandle>),
    /// Requeues everything that a channel holds and, with `close`, removes its consumers. Replies `Released`.
    Release {
        /// Whose.
        holder: Holder,
        /// Whether its consumers go too.
        close: bool,
    },
    /// Tells what queues have to tell. Whoever asks about many queues asks about some at a time, so that no turn is long.
    Observe {
        /// About which queues; those that are gone are left out.
        queues: Vec<QueueId>,
        /// What is to be told of each.
        detail: Detail,
        /// Takes the answer.
        then: Observed,
    },
    /// The connection has room for deliveries, or one of its channels has credit again.
    Resume(ConnectionId),
    /// These queues end, whoever uses them; then `done` is called.
    Drop {
        /// Which ones.
        queues: Vec<QueueId>,
        /// Called when they are gone.
        done: Done,
    },
    /// The broker ends: write down which messages were delivered.
    End(Done),
}

/// Is called when a shard has done what was asked.
#[derive(Clone)]
pub struct Done(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Done")
    }
}

/// The shards' mailboxes.
#[derive(Clone, Debug)]
pub struct Shards(Arc<[Mailbox<Command>]>);

impl Shards {
    /// `count` mailboxes.
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| Mailbox::default()).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The mailbox of one shard.
    ///
    /// **Panics** if there is no such shard: ids come from queue handles, which are made for these shards.
    pub fn mailbox(&self, shard: ShardId) -> &Mailbox<Command> {
        &self.0[shard.0 as usize]
    }

    /// Sends a command. **Waits**: never. **Order**: first in, first out for each shard.
    pub fn send(&self, shard: ShardId, command: Command) {
        self.mailbox(shard).push(command);
    }
}
