//! What queues, connections, channels and consumers tell of themselves when they are asked.
//!
//! Each owner counts in its own state, in plain numbers, and whoever wants to know asks it: a shard with `Command::Observe`, a connection with
//! `Event::Describe`. So nothing is counted twice, nothing is shared for the sake of statistics, and nobody pays while nobody asks. What a
//! connection has read and written ([`Traffic`]) is the exception: it is one writer's, may be read at any time, and is told once for each read or
//! write of the socket.
//!
//! Counts begin with the broker and only rise; what ends leaves its counts behind in sums.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::Table;
use leveret_store::log::QueueId;

use crate::command::Holder;
use crate::exchange::Exchange;
use crate::queue_handle::QueueHandle;

/// What became of a queue's messages, or of what a channel sent and was sent. Counts of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Came: into the queue, or from the channel's client.
    pub published: u64,
    /// Confirmed to the publisher.
    pub confirmed: u64,
    /// Sent back to the publisher, because no queue took them.
    pub returned: u64,
    /// Taken by no queue, and not sent back.
    pub dropped: u64,
    /// Sent to consumers that settle.
    pub delivered: u64,
    /// Sent to consumers that do not.
    pub delivered_no_ack: u64,
    /// Sent in answer to a get, to be settled.
    pub got: u64,
    /// Sent in answer to a get, not to be settled.
    pub got_no_ack: u64,
    /// Gets that found nothing.
    pub got_empty: u64,
    /// Of those that were sent: sent before.
    pub redelivered: u64,
    /// Acknowledged.
    pub acked: u64,
}

impl AddAssign for MessageCounts {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.confirmed += other.confirmed;
        self.returned += other.returned;
        self.dropped += other.dropped;
        self.delivered += other.delivered;
        self.delivered_no_ack += other.delivered_no_ack;
        self.got += other.got;
        self.got_no_ack += other.got_no_ack;
        self.got_empty += other.got_empty;
        self.redelivered += other.redelivered;
        self.acked += other.acked;
    }
}

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

/// Takes a connection's answer. Called in the connection's task, so it must not wait.
pub struct Described(Box<dyn FnOnce(ConnectionFigures) + Send>);

impl Observed {
    /// An answer goes to `take`.
    pub fn new(take: impl FnOnce(ShardFigures) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    pub(crate) fn answer(self, figures: ShardFigures) {
        (self.0)(figures);
    }
}

impl Described {
    /// An answer goes to `take`; a connection that ends first gives none.
    pub fn new(take: impl FnOnce(ConnectionFigures) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Answers.
    pub fn answer(self, figures: ConnectionFigures) {
        (self.0)(figures);
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Described")
    }
}

/// What an open connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It is read from as fast as it sends.
    Running,
    /// An alarm is on; it will be blocked when it publishes.
    Blocking,
    /// An alarm is on, and it has published since.
    Blocked,
    /// It publishes faster than its queues take.
    Flow,
    /// It is being closed.
    Closing,
}

/// An open connection at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionFigures {
    /// What it is doing.
    pub state: ConnectionState,
    /// Its channels, in no order.
    pub channels: Vec<ChannelFigures>,
}

/// A channel at one moment.
#[derive(Clone, Debug)]
pub struct ChannelFigures {
    /// Its number.
    pub number: u16,
    /// Whether it is in confirm mode.
    pub confirm: bool,
    /// Whether it is in transaction mode.
    pub transactional: bool,
    /// What consumers that are started from now on take unacked at most; 0 is no limit.
    pub prefetch: u16,
    /// What all its consumers take unacked at most; 0 is no limit of the client's.
    pub global_prefetch: u32,
    /// Deliveries that are not settled.
    pub unacked: u64,
    /// Publishes that are not confirmed.
    pub unconfirmed: u64,
    /// Publishes of its transaction.
    pub uncommitted: u64,
    /// Deliveries that its transaction has settled.
    pub acks_uncommitted: u64,
    /// Its consumers, in no order.
    pub consumers: Vec<ConsumerFigures>,
    /// What it sent and was sent.
    pub counts: MessageCounts,
    /// What it sent, by exchange.
    pub published_to: Vec<(Arc<Exchange>, u64)>,
    /// What it was sent, by queue: of those that are there.
    pub delivered_from: Vec<(Arc<QueueHandle>, DeliveryCounts)>,
    /// For how long nothing has happened on it.
    pub idle_for: Duration,
}

/// What was sent from a queue: to all, or to one channel or consumer. Counts of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Sent to consumers that settle.
    pub delivered: u64,
    /// Sent to consumers that do not.
    pub delivered_no_ack: u64,
    /// Sent in answer to a get, to be settled.
    pub got: u64,
    /// Sent in answer to a get, not to be settled.
    pub got_no_ack: u64,
    /// Gets that found nothing.
    pub got_empty: u64,
    /// Of those that were sent: sent before.
    pub redelivered: u64,
    /// Acknowledged.
    pub acked: u64,
}

impl DeliveryCounts {
    /// A message was sent in answer to a get.
    pub fn of_got(no_ack: bool, redelivered: bool) -> Self {
        Self {
            got: u64::from(!no_ack),
            got_no_ack: u64::from(no_ack),
            redelivered: u64::from(redelivered),
            ..Self::default()
        }
    }
}

impl AddAssign for DeliveryCounts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.delivered_no_ack += other.delivered_no_ack;
        self.got += other.got;
        self.got_no_ack += other.got_no_ack;
        self.got_empty += other.got_empty;
        self.redelivered += other.redelivered;
        self.acked += other.acked;
    }
}

impl From<DeliveryCounts> for MessageCounts {
    fn from(counts: DeliveryCounts) -> Self {
        Self {
            delivered: counts.delivered,
            delivered_no_ack: counts.delivered_no_ack,
            got: counts.got,
            got_no_ack: counts.got_no_ack,
            got_empty: counts.got_empty,
            redelivered: counts.redelivered,
            acked: counts.acked,
            ..Self::default()
        }
    }
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct ConsumerFigures {
    /// Its tag, unique on its channel.
    pub tag: Name,
    /// Its queue.
    pub queue: Name,
    /// Whether what it is sent is settled by that.
    pub no_ack: bool,
    /// Whether it has the queue for itself.
    pub exclusive: bool,
    /// How many unacked messages it takes at most; 0 is no limit.
    pub prefetch: u16,
    /// Its arguments.
    pub arguments: Table,
}

/// What one connection has read, written and done: written by its task alone, read by anyone, without order among the fields.
#[derive(Debug, Default)]
pub struct Traffic {
    received_bytes: AtomicU64,
    received: AtomicU64,
    sent_bytes: AtomicU64,
    sent: AtomicU64,
    channels: AtomicU64,
    channels_opened: AtomicU64,
    queues_declared: AtomicU64,
    published: AtomicU64,
    confirmed: AtomicU64,
    returned: AtomicU64,
    dropped: AtomicU64,
}

/// [`Traffic`] at one moment, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficFigures {
    /// Bytes that were read from the socket.
    pub received_bytes: u64,
    /// How often something was read.
    pub received: u64,
    /// Bytes that the socket took.
    pub sent_bytes: u64,
    /// How often it took something.
    pub sent: u64,
    /// Open channels.
    pub channels: u64,
    /// Channels that were opened.
    pub channels_opened: u64,
    /// Queue declarations that did not fail.
    pub queues_declared: u64,
    /// Messages from the client that were handed over to the shards.
    pub published: u64,
    /// Those of them that were confirmed.
    pub confirmed: u64,
    /// Those of them that were sent back.
    pub returned: u64,
    /// Those of them that no queue took, and that were not sent back.
    pub dropped: u64,
}

impl AddAssign for TrafficFigures {
    fn add_assign(&mut self, other: Self) {
        self.received_bytes += other.received_bytes;
        self.received += other.received;
        self.sent_bytes += other.sent_bytes;
        self.sent += other.sent;
        self.channels += other.channels;
        self.channels_opened += other.channels_opened;
        self.queues_declared += other.queues_declared;
        self.published += other.published;
        self.confirmed += other.confirmed;
        self.returned += other.returned;
        self.dropped += other.dropped;
    }
}

impl Traffic {
    /// One read of the socket brought so many bytes.
    pub fn note_received(&self, bytes: usize) {
        rise(&self.received_bytes, bytes as u64);
        rise(&self.received, 1);
    }

    /// One write to the socket took so many bytes.
    pub fn note_sent(&self, bytes: usize) {
        rise(&self.sent_bytes, bytes as u64);
        rise(&self.sent, 1);
    }

    /// So many channels are open; whether another one was opened.
    pub fn note_channels(&self, count: usize, opened: bool) {
        self.channels.store(count as u64, Ordering::Relaxed);
        rise(&self.channels_opened, u64::from(opened));
    }

    /// A queue was declared.
    pub fn note_declared(&self) {
        rise(&self.queues_declared, 1);
    }

    /// So many messages have come by now, and this became of them: the counts of publishing.
    pub fn note_messages(&self, counts: &MessageCounts) {
        for (counter, count) in [
            (&self.published, counts.published),
            (&self.confirmed, counts.confirmed),
            (&self.returned, counts.returned),
            (&self.dropped, counts.dropped),
        ] {
            counter.store(count, Ordering::Relaxed);
        }
    }

    /// What it says now.
    pub fn figures(&self) -> TrafficFigures {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficFigures {
            received_bytes: at(&self.received_bytes),
            received: at(&self.received),
            sent_bytes: at(&self.sent_bytes),
            sent: at(&self.sent),
            channels: at(&self.channels),
            channels_opened: at(&self.channels_opened),
            queues_declared: at(&self.queues_declared),
            published: at(&self.published),
            confirmed: at(&self.confirmed),
            returned: at(&self.returned),
            dropped: at(&self.dropped),
        }
    }
}

/// Adds to a counter that has one writer: no need to lock it against others.
fn rise(counter: &AtomicU64, by: u64) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(by);
    counter.store(sum, Ordering::Relaxed);
}
