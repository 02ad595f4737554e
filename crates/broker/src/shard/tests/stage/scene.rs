//! What a stage is set up with, and what follows from it for messages and for the order in which they are heard of.

use leveret_store::log::QueueId;

use crate::shard::tests::fixture::{Seen, Sort};

/// What it is played in.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard::tests) enum Scene {
    Plain,
    /// Batches of one message: only then is the outbox looked at before every single one.
    SmallOutboxes(usize),
    /// Messages of all sorts and of this length leave memory and come back. A step for each turn, and no credit of channels: who gets which
    /// message when several queues compete, or a purge overtakes a get, depends on what is in memory.
    LittleMemory {
        resident_max: usize,
        budget: usize,
        body_len: usize,
    },
}

impl Scene {
    pub(super) fn is_of_little_memory(self) -> bool {
        matches!(self, Self::LittleMemory { .. })
    }
}

/// Messages of one queue come in their order, whatever comes from others meanwhile; answers before them.
pub(super) fn by_queue(seen: &Seen) -> Option<QueueId> {
    match seen {
        Seen::Delivery(delivery) => Some(delivery.queue),
        _ => None,
    }
}

/// Messages of all sorts, with neighbours that are of one.
pub(super) fn sort(message: u64) -> Sort {
    Sort {
        persistent: message.is_multiple_of(7) || message % 16 < 8,
        shared: message.is_multiple_of(5),
    }
}
