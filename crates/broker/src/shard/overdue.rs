//! Consumers that keep a message for too long lose it and are cancelled; what else they hold stays with them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use leveret_store::log::QueueId;

use crate::command::Outcome;
use crate::queue::Queue;
use crate::queue::overdue::{Overdue, Tick};
use crate::shard::{Shard, peer};

/// When queues are to be looked through. A queue has at most one entry.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeSet<(Instant, QueueId)>);

/// The time of a turn; before the first one there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    began: Option<Instant>,
    /// When the turn began.
    pub(super) now: Option<Instant>,
    /// The same, as deliveries are marked with it.
    pub(super) tick: Tick,
    /// What the calendar said when the shard was started: it is not asked again, so that a clock that is set does not matter.
    pub(super) began_unix: Duration,
}

impl Clock {
    /// A turn begins.
    pub(super) fn set(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        self.now = Some(now);
        self.tick = Tick::after(now - began);
    }

    /// The time of the turn, in seconds since 1970.
    pub(super) fn unix_secs(&self) -> u64 {
        let since = self.now.zip(self.began).map(|(now, began)| now - began);
        (self.began_unix + since.unwrap_or_default()).as_secs()
    }
}

impl Looks {
    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    /// A queue has handed a message to a consumer with a timeout.
    pub(super) fn note(&mut self, queue: &mut Queue, timeout: Duration, clock: Clock) {
        if let Some(now) = clock.now.filter(|_| queue.overdue_look.is_none()) {
            self.add(queue, now + timeout);
        }
    }

    fn add(&mut self, queue: &mut Queue, due: Instant) {
        queue.overdue_look = Some(due);
        self.0.insert((due, queue.id));
    }

    /// A queue has gone.
    pub(super) fn forget(&mut self, queue: &Queue) {
        if let Some(due) = queue.overdue_look {
            self.0.remove(&(due, queue.id));
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<QueueId> {
        let first = *self.0.first()?;
        (first.0 <= now).then(|| {
            self.0.remove(&first);
            first.1
        })
    }
}

impl Shard {
    /// Takes back what was not settled in time, and cancels the consumers.
    pub(super) fn take_overdue(&mut self, now: Instant) {
        while let Some(id) = self.looks.pop_due(now) {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.overdue_look = None;
            let (overdue, next) = queue.overdue(self.clock.tick);
            if let Some(next) = next {
                self.looks.add(queue, now + next);
            }
            for delivery in overdue {
                self.take_back(id, delivery);
            }
        }
    }

    fn take_back(&mut self, id: QueueId, overdue: Overdue) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        tracing::warn!(
            queue = %queue.handle.resource(),
            channel = overdue.holder.channel,
            "a delivery was not settled in time: its consumer is cancelled"
        );
        let before = queue.held_bytes();
        let run = (overdue.first_seq, overdue.count);
        queue.settle(overdue.holder, run, Outcome::Requeue, |_, _| {});
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
        let consumer = queue
            .consumers
            .iter()
            .find(|one| one.key == overdue.consumer);
        if let Some(slot) = consumer.map(|consumer| consumer.slot) {
            let connection = overdue.holder.connection;
            if let Some(peer) = peer(&mut self.peers, &mut self.spoken_to, connection) {
                peer.cancelled(slot);
            }
            self.remove_consumers(id, |one| one.key == overdue.consumer);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            super::touch(&mut self.touched, queue);
        }
    }
}
