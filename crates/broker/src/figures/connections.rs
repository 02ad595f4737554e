//! What connections tell: of themselves, their channels and consumers.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::Table;

use super::MessageCounts;
use crate::exchange::Exchange;
use crate::queue_handle::QueueHandle;

/// Takes a connection's answer. Called in the connection's task, so it must not wait.
pub struct Described(Box<dyn FnOnce(ConnectionFigures) + Send>);

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
