//! What a connection has read and written, and what became of what it published.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MessageCounts;

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
