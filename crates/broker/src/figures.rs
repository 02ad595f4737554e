//! What queues, connections, channels and consumers tell of themselves when they are asked.
//!
//! Each owner counts in its own state, in plain numbers, and whoever wants to know asks it: a shard with `Command::Observe`, a connection with
//! `Event::Describe`. So nothing is counted twice, nothing is shared for the sake of statistics, and nobody pays while nobody asks. What a
//! connection has read and written ([`Traffic`]) is the exception: it is one writer's, may be read at any time, and is told once for each read or
//! write of the socket.
//!
//! Counts begin with the broker and only rise; what ends leaves its counts behind in sums.

use std::ops::AddAssign;

mod connections;
mod queues;
mod traffic;

pub use connections::{
    ChannelFigures, ConnectionFigures, ConnectionState, ConsumerFigures, DeliveryCounts, Described,
};
pub use queues::{
    BodyFigures, ConsumedBy, Detail, Observed, OffsetFigures, QueueFigures, QueueSum, ShardFigures,
};
pub use traffic::{Traffic, TrafficFigures};

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
