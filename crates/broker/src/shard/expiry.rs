//! Queues that are deleted when nobody has used them for a while: `x-expires`.
//!
//! A queue is used by a consumer, a `basic.get` or a declaration (<https://www.rabbitmq.com/docs/ttl#queue-ttl>). A queue that can expire has at
//! most one entry here, and one that is used often costs nothing: the entry is looked at, and moved, when it is due.

use std::collections::BTreeSet;
use std::time::Instant;

use leveret_store::log::QueueId;

use crate::queue::Queue;
use crate::shard::Shard;

/// When queues are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Instant, QueueId)>);

impl Expiries {
    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    /// A queue has gone before its time.
    pub(super) fn forget(&mut self, queue: &Queue) {
        if let Some(due) = queue.expiry_due {
            self.0.remove(&(due, queue.handle.id));
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
    /// Notes that a queue was used now.
    pub(super) fn used(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let Some((expires, now)) = queue.handle.settings.expires.zip(self.clock.now) else {
            return;
        };
        queue.used_at = Some(now);
        if queue.expiry_due.is_none() {
            let due = now + expires;
            queue.expiry_due = Some(due);
            self.expiries.0.insert((due, id));
        }
    }

    /// Deletes the queues that have not been used for as long as they were told to wait.
    pub(super) fn expire_queues(&mut self, now: Instant) {
        while let Some(id) = self.expiries.pop_due(now) {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.expiry_due = None;
            let Some((expires, used_at)) = queue.handle.settings.expires.zip(queue.used_at) else {
                continue;
            };
            if !queue.consumers.is_empty() {
                continue;
            }
            let due = used_at + expires;
            if due <= now {
                self.drop_queue(id);
            } else {
                queue.expiry_due = Some(due);
                self.expiries.0.insert((due, id));
            }
        }
    }
}
