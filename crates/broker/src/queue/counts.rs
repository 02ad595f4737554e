//! What became of a queue's messages, counted, and what the queue tells of itself.

use crate::figures::{ConsumedBy, DeliveryCounts, Detail, MessageCounts, QueueFigures};
use crate::queue::Queue;
use crate::queue::consumers::Consumer;

/// So many ready messages of a queue are looked at, and so many unacked ones, to tell what bodies they have: of each of a list, so that it stays quick.
const LOOK_MAX_EACH: u64 = 256;

/// Of one that was asked about alone.
const LOOK_MAX_ONE: u64 = 16 * 1024;

impl DeliveryCounts {
    /// A consumer was dealt `count` messages.
    #[inline]
    pub fn note_delivered(&mut self, no_ack: bool, redelivered: bool, count: u64) {
        match no_ack {
            true => self.delivered_no_ack += count,
            false => self.delivered += count,
        }
        if redelivered {
            self.redelivered += count;
        }
    }

    /// A message was taken by a get.
    pub fn note_got(&mut self, no_ack: bool, redelivered: bool) {
        *self += Self::of_got(no_ack, redelivered);
    }

    /// So many messages were acknowledged.
    #[inline]
    pub(super) fn note_acked(&mut self, count: u64) {
        self.acked += count;
    }
}

impl Queue {
    /// What became of its messages since the broker was started.
    pub fn message_counts(&self) -> MessageCounts {
        MessageCounts {
            published: self.next_seq - self.first_seq,
            ..self.counts.into()
        }
    }

    /// What it tells of itself.
    pub fn figures(&self, detail: Detail) -> QueueFigures {
        let (consumed_by, held_by) = match detail {
            Detail::Consumers => (self.consumed_by(), self.unacked.holders().collect()),
            Detail::Each | Detail::Sum => Default::default(),
        };
        let bodies = match detail {
            Detail::Sum => None,
            Detail::Each => Some(self.bodies(LOOK_MAX_EACH)),
            Detail::Consumers => Some(self.bodies(LOOK_MAX_ONE)),
        };
        let oldest_timestamp = match detail {
            Detail::Sum => None,
            Detail::Each | Detail::Consumers => self.oldest_timestamp(),
        };
        let tag = |consumer: Option<&Consumer>| consumer.map(|of| of.tag.clone());
        QueueFigures {
            id: self.id,
            ready: self.ready_count(),
            unacked: self.unacked_count,
            waiting: self.waiting_count(),
            consumers: self.consumers.len() as u64,
            exclusive_tag: tag(self.consumers.exclusive()),
            active_tag: tag(self.consumers.single_active()),
            used_ms: (self.used_ms > 0).then_some(self.used_ms),
            bodies,
            oldest_timestamp,
            ready_away: self.lines.iter().map(|line| line.away.count()).sum(),
            ready_bytes: self.ready_bytes() as u64,
            unacked_bytes: self.unacked_bytes as u64,
            counts: self.message_counts(),
            consumed_by,
            held_by,
        }
    }

    fn consumed_by(&self) -> Vec<ConsumedBy> {
        let consumers = self.consumers.iter();
        let told = consumers.map(|consumer| ConsumedBy {
            holder: consumer.holder,
            tag: consumer.tag.clone(),
            active: self.consumers.is_active(consumer),
        });
        told.collect()
    }
}
