//! What came into a queue, by the exchange that it was published to.
//!
//! Whoever publishes tells it, from many threads. Most queues get all from one exchange: that one has a counter of its own, the others share a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::exchange::Exchange;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The address of the first exchange that something came from; 0 before that. It is among `all`, so that no other exchange gets its address.
    first: AtomicUsize,
    from_first: AtomicU64,
    /// The exchanges that are there, and how many messages came from each; of the first one `from_first` says it. They are not kept alive.
    all: Mutex<Vec<(Weak<Exchange>, u64)>>,
}

impl Incoming {
    #[inline]
    pub(super) fn note(&self, exchange: &Arc<Exchange>, count: u64) {
        if self.first.load(Ordering::Relaxed) == address(Arc::as_ptr(exchange)) {
            self.from_first.fetch_add(count, Ordering::Relaxed);
        } else {
            self.note_other(exchange, count);
        }
    }

    fn note_other(&self, exchange: &Arc<Exchange>, count: u64) {
        let mut all = self.all.lock();
        let at = address(Arc::as_ptr(exchange));
        if let Some((_, sum)) = all.iter_mut().find(|(of, _)| address(of.as_ptr()) == at) {
            *sum += count;
            return;
        }
        // So there are no more than there are exchanges.
        let first = self.first.load(Ordering::Relaxed);
        all.retain(|(of, _)| of.strong_count() > 0 || address(of.as_ptr()) == first);
        all.push((Arc::downgrade(exchange), count));
        if first == 0 {
            self.first.store(at, Ordering::Relaxed);
        }
    }

    /// Those that are still there.
    pub(super) fn all(&self) -> Vec<(Arc<Exchange>, u64)> {
        let (first, from_first) = (&self.first, &self.from_first);
        let all = self.all.lock();
        let there = all.iter().filter_map(|(of, count)| {
            let is_first = address(of.as_ptr()) == first.load(Ordering::Relaxed);
            let more = if is_first {
                from_first.load(Ordering::Relaxed)
            } else {
                0
            };
            Some((of.upgrade()?, count + more))
        });
        there.filter(|(of, _)| !of.is_deleted()).collect()
    }
}

fn address(exchange: *const Exchange) -> usize {
    exchange.addr()
}
