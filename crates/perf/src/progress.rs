//! What is told while a run goes on: a line a second, which the report has as well.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::latency::{Percentiles, Taken, Times, no_times};
use crate::run::Run;

const EVERY: Duration = Duration::from_secs(1);
/// How many seconds the report has at most: a day.
const SAMPLES_MAX: usize = 86_400;

/// Watches a run.
pub(crate) struct Progress<'r> {
    run: &'r Run,
    out: &'r mut dyn Write,
    times: Series,
    confirm_times: Series,
    before: Before,
    samples: Vec<Sample>,
}

/// Times of a kind: of the workers, of this second, of all.
struct Series {
    taken: Vec<Arc<Taken>>,
    second: Times,
    all: Times,
}

/// What was counted until a second began.
#[derive(Debug, Default)]
struct Before {
    at: Duration,
    published: u64,
    confirmed: u64,
    received: u64,
}

/// A second: rates, and times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the start, at its end.
    pub(crate) at: f64,
    pub(crate) published_per_second: f64,
    pub(crate) confirmed_per_second: f64,
    pub(crate) received_per_second: f64,
    pub(crate) latency_us: Option<Percentiles>,
    pub(crate) confirm_latency_us: Option<Percentiles>,
}

impl Series {
    fn new(taken: Vec<Arc<Taken>>) -> Series {
        Series {
            taken,
            second: no_times(),
            all: no_times(),
        }
    }

    fn collect(&mut self) -> Option<Percentiles> {
        self.second.reset();
        for taken in &self.taken {
            taken.collect(&mut self.second);
        }
        self.all
            .add(&self.second)
            .expect("all have the same bounds");
        Percentiles::of(&self.second)
    }
}

impl<'r> Progress<'r> {
    pub(crate) fn new(
        run: &'r Run,
        (times, confirm_times): (Vec<Arc<Taken>>, Vec<Arc<Taken>>),
        out: &'r mut dyn Write,
    ) -> Progress<'r> {
        Progress {
            run,
            out,
            times: Series::new(times),
            confirm_times: Series::new(confirm_times),
            before: Before::default(),
            samples: Vec::new(),
        }
    }

    /// Tells of the last second, if one is over.
    pub(crate) fn tell(&mut self) {
        let now = self.run.clock.now();
        if now.saturating_sub(self.before.at) < EVERY {
            return;
        }
        let sample = self.sample(now);
        // Progress that nobody reads is no reason to end.
        let _ = writeln!(self.out, "{}", self.line(&sample));
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        }
    }

    fn sample(&mut self, now: Duration) -> Sample {
        let counts = &self.run.counts;
        let seconds = now.saturating_sub(self.before.at).as_secs_f64();
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round();
        let after = Before {
            at: now,
            published: counts.published.count(),
            confirmed: counts.confirmed.count(),
            received: counts.received.count(),
        };
        let sample = Sample {
            at: (now.as_secs_f64() * 1e3).round() / 1e3,
            published_per_second: rate(after.published, self.before.published),
            confirmed_per_second: rate(after.confirmed, self.before.confirmed),
            received_per_second: rate(after.received, self.before.received),
            latency_us: self.times.collect(),
            confirm_latency_us: self.confirm_times.collect(),
        };
        self.before = after;
        sample
    }

    fn line(&self, sample: &Sample) -> String {
        let mut line = format!(
            "{:6.1} s  published {:.0}/s  received {:.0}/s",
            sample.at, sample.published_per_second, sample.received_per_second
        );
        if sample.confirmed_per_second > 0.0 {
            line.push_str(&format!("  confirmed {:.0}/s", sample.confirmed_per_second));
        }
        let kinds = [
            ("latency", &sample.latency_us),
            ("confirms", &sample.confirm_latency_us),
        ];
        for (kind, times) in kinds {
            if let Some(Percentiles { p50, p99, .. }) = times {
                line.push_str(&format!("  {kind} p50 {p50:.0} p99 {p99:.0} µs"));
            }
        }
        if let Some(reason) = &*self.run.blocked.lock() {
            line.push_str(&format!("  publishers are blocked: {reason}"));
        }
        line
    }

    /// Takes in what came since the last second.
    pub(crate) fn end(&mut self) {
        self.times.collect();
        self.confirm_times.collect();
    }

    /// The times of the whole run, of messages and of confirms, and its seconds.
    pub(crate) fn taken(self) -> (Option<Percentiles>, Option<Percentiles>, Vec<Sample>) {
        (
            Percentiles::of(&self.times.all),
            Percentiles::of(&self.confirm_times.all),
            self.samples,
        )
    }
}
