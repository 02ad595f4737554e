//! What came into a queue, by the exchange that it was published to.
//!
//! Whoever publishes tells it, from many threads. Most queues get all from one exchange: that one has a counter of its own, the others share a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::exchange::Exchange;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The first exchange that something came from. The queue does not keep it alive; its address is not used again while it stands here.
    first: OnceLock<Weak<Exchange>>,
    from_first: AtomicU64,
    /// The others that are there.
    others: Mutex<Vec<(Weak<Exchange>, u64)>>,
}

impl Incoming {
    #[inline]
    pub(super) fn note(&self, exchange: &Arc<Exchange>, count: u64) {
        let first = self.first.get_or_init(|| Arc::downgrade(exchange));
        if first.as_ptr() == Arc::as_ptr(exchange) {
            self.from_first.fetch_add(count, Ordering::Relaxed);
        } else {
            self.note_other(exchange, count);
        }
    }

    fn note_other(&self, exchange: &Arc<Exchange>, count: u64) {
        let mut others = self.others.lock();
        let is_same =
            |(other, _): &&mut (Weak<Exchange>, u64)| other.as_ptr() == Arc::as_ptr(exchange);
        if let Some((_, sum)) = others.iter_mut().find(is_same) {
            *sum += count;
            return;
        }
        // As many as there are exchanges.
        others.retain(|(other, _)| other.strong_count() > 0);
        others.push((Arc::downgrade(exchange), count));
    }

    /// Those that are still there.
    pub(super) fn all(&self) -> Vec<(Arc<Exchange>, u64)> {
        let first = self.first.get().map(Weak::upgrade);
        let from_first = self.from_first.load(Ordering::Relaxed);
        let first = first.flatten().map(|exchange| (exchange, from_first));
        let others = self.others.lock();
        let others = others
            .iter()
            .filter_map(|(of, count)| Some((of.upgrade()?, *count)));
        first
            .into_iter()
            .chain(others)
            .filter(|(of, _)| !of.is_deleted())
            .collect()
    }
}
