//! What a channel has published to each exchange, and was sent from each queue. Consumers count for themselves while they are there
//! (`ConsumerEntry::counts`); here is what they leave, and what was got.

use std::sync::Arc;

use leveret_broker::exchange::Exchange;
use leveret_broker::figures::DeliveryCounts;
use leveret_broker::queue_handle::{QueueHandle, QueueId};

/// So many exchanges of a channel are told apart, and so many queues. Of more, those that were used first are forgotten.
const KEPT_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Breakdown {
    /// Those that were used last are likely to be used again.
    exchanges: Vec<(Arc<Exchange>, u64)>,
    queues: Vec<(Arc<QueueHandle>, DeliveryCounts)>,
}

impl Breakdown {
    /// So many messages were published to an exchange. Told once for each hand-over.
    pub(crate) fn note_published(&mut self, exchange: Arc<Exchange>, count: u64) {
        let found = self.exchanges.iter_mut().rev();
        let mut found = found.filter(|(known, _)| Arc::ptr_eq(known, &exchange));
        if let Some((_, sum)) = found.next() {
            *sum += count;
            return;
        }
        drop(found);
        make_room(&mut self.exchanges, |exchange| exchange.is_deleted());
        self.exchanges.push((exchange, count));
    }

    /// What was sent from a queue.
    pub(crate) fn of(&mut self, queue: &Arc<QueueHandle>) -> &mut DeliveryCounts {
        let at = self.queues.iter().rposition(|(of, _)| of.id == queue.id);
        let at = at.unwrap_or_else(|| {
            make_room(&mut self.queues, |queue| queue.is_deleted());
            self.queues
                .push((Arc::clone(queue), DeliveryCounts::default()));
            self.queues.len() - 1
        });
        &mut self.queues[at].1
    }

    /// So many messages of a queue were acknowledged that no consumer counts.
    pub(crate) fn note_acked(&mut self, queue: QueueId, count: u64) {
        let mut queues = self.queues.iter_mut().rev();
        if let Some((_, counts)) = queues.find(|(of, _)| of.id == queue) {
            counts.acked += count;
        }
    }

    /// What was published, by exchanges that are there.
    pub(crate) fn published_to(&self) -> Vec<(Arc<Exchange>, u64)> {
        let there = self.exchanges.iter().filter(|(of, _)| !of.is_deleted());
        there.cloned().collect()
    }

    /// What was sent, by queues that are there, with what running consumers have counted.
    pub(crate) fn delivered_from<'a>(
        &'a self,
        running: impl Iterator<Item = (&'a Arc<QueueHandle>, DeliveryCounts)>,
    ) -> Vec<(Arc<QueueHandle>, DeliveryCounts)> {
        let all = self.queues.iter().map(|(queue, counts)| (queue, *counts));
        let all = all.chain(running).filter(|(queue, _)| !queue.is_deleted());
        let mut all: Vec<_> = all
            .map(|(queue, counts)| (Arc::clone(queue), counts))
            .collect();
        all.sort_by_key(|(queue, _)| queue.id);
        all.dedup_by(|(queue, counts), (before, sum)| {
            let is_same = queue.id == before.id;
            if is_same {
                *sum += *counts;
            }
            is_same
        });
        all.retain(|(_, counts)| *counts != DeliveryCounts::default());
        all
    }
}

fn make_room<T, C>(kept: &mut Vec<(T, C)>, is_gone: impl Fn(&T) -> bool) {
    if kept.len() < KEPT_MAX {
        return;
    }
    kept.retain(|(of, _)| !is_gone(of));
    if kept.len() >= KEPT_MAX {
        kept.remove(0);
    }
}
