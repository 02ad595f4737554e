//! Where new queues go: the next number, the next group, and the shard that runs that group. No number is ever given twice, restarts
//! included: they are written down as given out before they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_store::log::{Definitions, Group, QueueId};
use parking_lot::Mutex;

use crate::definitions;
use crate::ids::ShardId;

/// So many ids are written down as given out at a time.
const IDS_RESERVED: u64 = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Placement {
    next: AtomicU64,
    /// Ids below this one are written down as given out.
    reserved: Mutex<u64>,
    shards: u16,
    definitions: Arc<dyn Definitions>,
}

impl Placement {
    /// Over `shards` shards, at least one. Queues get ids from `first` on.
    pub(crate) fn new(shards: u16, first: u64, definitions: Arc<dyn Definitions>) -> Self {
        Self {
            next: AtomicU64::new(first.max(1)),
            reserved: Mutex::new(0),
            shards: shards.max(1),
            definitions,
        }
    }

    /// The number of the next queue.
    pub(crate) fn next_queue(&self) -> QueueId {
        let id = QueueId(self.next.fetch_add(1, Ordering::Relaxed));
        let mut reserved = self.reserved.lock();
        if id.0 >= *reserved {
            *reserved = id.0 + IDS_RESERVED;
            let value = definitions::ids_value(*reserved);
            self.definitions.define(definitions::IDS, &value);
        }
        id
    }

    /// The group of a queue, and the shard that runs it. Queues are dealt to the groups in turn, and the groups to the shards.
    pub(crate) fn place(&self, queue: QueueId) -> (Group, ShardId) {
        let group = Group::of(queue);
        (group, ShardId((group.0 - 1) % self.shards))
    }
}
