//! Counting: how many, and when the first and the last.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

/// A count that several workers add to, once for each read or write.
#[derive(Debug)]
pub(crate) struct Meter {
    count: AtomicU64,
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            count: AtomicU64::new(0),
            first_ns: AtomicU64::new(u64::MAX),
            last_ns: AtomicU64::new(0),
        }
    }
}

impl Meter {
    #[inline]
    pub(crate) fn add(&self, count: u64, now_ns: u64) {
        if count == 0 {
            return;
        }
        self.count.fetch_add(count, Relaxed);
        self.last_ns.fetch_max(now_ns, Relaxed);
        if now_ns < self.first_ns.load(Relaxed) {
            self.first_ns.fetch_min(now_ns, Relaxed);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns.load(Relaxed)
    }

    /// The count, and its rate between that moment and the last one that was counted.
    pub(crate) fn flow(&self, from_ns: u64) -> Flow {
        let count = self.count();
        let seconds = self.last_ns().saturating_sub(from_ns) as f64 / 1e9;
        let per_second = match seconds > 0.0 {
            true => count as f64 / seconds,
            false => 0.0,
        };
        Flow {
            messages: count,
            seconds: (seconds * 1e3).round() / 1e3,
            per_second: per_second.round(),
        }
    }
}

/// How many there were in which time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flow {
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
}
