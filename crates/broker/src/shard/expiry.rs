//! Queues that are deleted when nobody has used them for a while: `x-expires`.
//!
//! A queue is used by a consumer, a `basic.get` or a declaration (<https://www.rabbitmq.com/docs/ttl#queue-ttl>). A queue that can expire has at
//! most one entry here, and one that is used often costs nothing: the entry is looked at, and moved, when it is due.

use std::time::Instant;

use leveret_store::log::QueueId;

use crate::shard::Shard;

impl Shard {
    /// Notes that a queue was used now.
    pub(super) fn used(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let Some((expires, now)) = queue.settings.expires.zip(self.table.clock.now) else {
            return;
        };
        queue.used_at = Some(now);
        if queue.expiry_due.is_none() {
            self.expiries.add(id, &mut queue.expiry_due, now + expires);
        }
    }

    /// Deletes the queues that have not been used for as long as they were told to wait.
    pub(super) fn expire_queues(&mut self, now: Instant) {
        while let Some(id) = self.expiries.pop(now) {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.expiry_due = None;
            let Some((expires, used_at)) = queue.settings.expires.zip(queue.used_at) else {
                continue;
            };
            if !queue.consumers.is_empty() {
                continue;
            }
            let due = used_at + expires;
            if due <= now {
                self.drop_queue(id);
            } else {
                self.expiries.add(id, &mut queue.expiry_due, due);
            }
        }
    }
}
