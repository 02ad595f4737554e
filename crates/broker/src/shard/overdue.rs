//! Consumers that keep a message for too long lose it and are cancelled; what else they hold stays with them.

use std::time::{Duration, Instant};

use leveret_store::log::QueueId;

use crate::command::Outcome;
use crate::queue::Queue;
use crate::queue::overdue::Overdue;
use crate::shard::clock::Clock;
use crate::shard::due::Due;
use crate::shard::{Shard, peer};

/// A queue has handed a message to a consumer with a timeout, or its timeout has changed.
pub(super) fn look_after(looks: &mut Due, queue: &mut Queue, timeout: Duration, clock: Clock) {
    let is_sooner = queue.overdue_look.is_none() || timeout.is_zero();
    if let Some(now) = clock.now.filter(|_| is_sooner) {
        looks.add(queue.id, &mut queue.overdue_look, now + timeout);
    }
}

impl Shard {
    /// Takes back what was not settled in time, and cancels the consumers.
    pub(super) fn take_overdue(&mut self, now: Instant) {
        while let Some(id) = self.table.looks.pop(now) {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.overdue_look = None;
            let (overdue, next) = queue.overdue(self.table.clock.tick);
            if let Some(next) = next {
                self.table
                    .looks
                    .add(id, &mut queue.overdue_look, now + next);
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
        let now_ms = self.table.clock.unix_ms();
        queue.settle(overdue.holder, run, Outcome::Return, now_ms, |_, _| {});
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
        let consumer = queue
            .consumers
            .iter()
            .find(|one| one.key == overdue.consumer);
        if let Some(slot) = consumer.map(|consumer| consumer.slot) {
            let connection = overdue.holder.connection;
            if let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection) {
                peer.cancelled(slot);
            }
            self.remove_consumers(id, |one| one.key == overdue.consumer);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            super::touch(&mut self.touched, queue);
        }
    }
}
