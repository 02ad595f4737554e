//! What the queues of a shard tell when they are asked.

use leveret_store::log::QueueId;

use crate::figures::{Detail, QueueSum, ShardFigures};
use crate::shard::Shard;

impl Shard {
    /// **Cost**: a look at each of the queues and, where that is asked for, at each of their consumers.
    pub(super) fn observe(&self, queues: &[QueueId], detail: Detail) -> ShardFigures {
        let there = queues.iter().filter_map(|id| self.queues.get(id));
        let mut sum = QueueSum::default();
        let mut told = Vec::new();
        for queue in there {
            let figures = queue.figures(detail);
            sum += &figures;
            if detail != Detail::Sum {
                told.push(figures);
            }
        }
        for stream in queues.iter().filter_map(|id| self.streams.get(id)) {
            let figures = stream.figures(detail == Detail::Consumers);
            sum += &figures;
            if detail != Detail::Sum {
                told.push(figures);
            }
        }
        for delay in queues.iter().filter_map(|id| self.delays.get(id)) {
            let figures = delay.figures();
            sum += &figures;
            if detail != Detail::Sum {
                told.push(figures);
            }
        }
        ShardFigures {
            queues: told,
            sum,
            ended: self.ended,
            created: self.created,
            deleted: self.deleted,
        }
    }
}
