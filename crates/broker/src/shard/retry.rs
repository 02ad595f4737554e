//! Messages that came back are ready again when they have waited for long enough: see `queue/retry.rs`.

use std::time::Instant;

use leveret_store::log::QueueId;

use crate::shard::bury::Dead;
use crate::shard::{Shard, touch};

impl Shard {
    /// What has waited for long enough is ready from this turn on.
    pub(super) fn end_waits(&mut self, now: Instant) {
        let now_ms = self.table.clock.unix_ms();
        while let Some(id) = self.retries.pop(now) {
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.retry_due = None;
                let (mut died, before) = (Vec::new(), queue.held_bytes());
                queue.end_waits(now_ms, |reason, piece| died.push((reason, piece)));
                let died = died.into_iter();
                self.dead
                    .extend(died.map(|(reason, piece)| Dead::of(queue, piece, reason)));
                self.held_bytes -= before as i64 - queue.held_bytes() as i64;
                touch(&mut self.touched, queue);
            }
        }
    }

    /// Notes when the next message that waits in a queue is ready.
    pub(super) fn note_retry(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id)
            && let Some(due) = queue
                .next_retry()
                .and_then(|ms| self.table.clock.instant(ms))
        {
            self.retries.add(id, &mut queue.retry_due, due);
        }
    }
}
