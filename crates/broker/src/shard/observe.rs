//! What the queues of a shard tell when they are asked.

use leveret_store::log::QueueId;

use crate::figures::ShardFigures;
use crate::shard::Shard;

impl Shard {
    /// **Cost**: a look at each of the queues and, where that is asked for, at each of their consumers.
    pub(super) fn observe(&self, queues: &[QueueId], with_consumers: bool) -> ShardFigures {
        let there = queues.iter().filter_map(|id| self.queues.get(id));
        ShardFigures {
            queues: there.map(|queue| queue.figures(with_consumers)).collect(),
            ended: self.ended,
            created: self.created,
            deleted: self.deleted,
        }
    }
}
