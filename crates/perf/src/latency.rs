//! Times as histograms: from 1 µs to an hour, to three digits, in nanoseconds.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Times that were taken.
pub(crate) type Times = Histogram<u64>;

pub(crate) fn no_times() -> Times {
    let times = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS);
    times.expect("the bounds are in order and the digits at most five")
}

/// The times of one worker since they were collected last. About 200 KiB.
#[derive(Debug)]
pub(crate) struct Taken(Mutex<Times>);

impl Default for Taken {
    fn default() -> Taken {
        Taken(Mutex::new(no_times()))
    }
}

impl Taken {
    /// Lets times be written down, under one lock for all that one read brought.
    pub(crate) fn write(&self) -> parking_lot::MutexGuard<'_, Times> {
        self.0.lock()
    }

    /// Moves them over.
    pub(crate) fn collect(&self, into: &mut Times) {
        let mut taken = self.0.lock();
        into.add(&*taken).expect("all have the same bounds");
        taken.reset();
    }
}

/// What a histogram says, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Percentiles {
    /// How many times were taken.
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p999: f64,
    #[serde(rename = "p99.99")]
    pub(crate) p9999: f64,
    pub(crate) max: f64,
}

impl Percentiles {
    /// `None` if no time was taken.
    pub(crate) fn of(times: &Times) -> Option<Percentiles> {
        if times.is_empty() {
            return None;
        }
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile: f64| us(times.value_at_quantile(quantile));
        Some(Percentiles {
            count: times.len(),
            min: us(times.min()),
            mean: (times.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: us(times.max()),
        })
    }
}
