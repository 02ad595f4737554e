//! Where new queues go: the next number, the next group, and the shard that runs that group.

use std::sync::atomic::{AtomicU64, Ordering};

use leveret_store::log::{GROUPS, Group, QueueId};

use crate::queue_handle::ShardId;

/// See the module.
#[derive(Debug)]
pub(crate) struct Placement {
    next: AtomicU64,
    shards: u16,
}

impl Placement {
    /// Over `shards` shards, at least one.
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            next: AtomicU64::new(1),
            shards: shards.max(1),
        }
    }

    /// Queues are dealt to the groups in turn, and the groups to the shards.
    pub(crate) fn next_queue(&self) -> (QueueId, Group, ShardId) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let group = (id % u64::from(GROUPS)) as u16;
        (QueueId(id), Group(group), ShardId(group % self.shards))
    }
}
