//! Samples of one thing: the last two, or as far back as its kind is kept.

use std::collections::VecDeque;

use crate::figure::Kept;

/// Milliseconds since management was started.
pub(crate) type Millis = u64;

/// The time between two samples, and what a rate is taken over at least.
pub(crate) const INTERVAL: Millis = 5_000;

/// A rate is taken over less where there is nothing older, but not over less than this.
const INTERVAL_MIN: Millis = 1_000;

/// Samples are taken a little late or early; one that is early by so much counts as in time.
const SLACK: Millis = 500;

/// Values at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Millis,
    pub(crate) values: Kept,
}

/// The last two samples of something that lists tell of.
#[derive(Debug)]
pub(super) struct Pair {
    older: Option<Sample>,
    newer: Sample,
}

impl Pair {
    pub(super) fn new(first: Sample) -> Self {
        Self {
            older: None,
            newer: first,
        }
    }

    /// What a rate is taken against.
    pub(super) fn base(&self, now: Millis) -> Option<Sample> {
        base([Some(&self.newer), self.older.as_ref()].into_iter(), now)
    }

    /// Takes a sample, unless the last is too new.
    pub(super) fn note(&mut self, sample: impl FnOnce() -> Sample, now: Millis) {
        if now.saturating_sub(self.newer.at) >= INTERVAL {
            let older = std::mem::replace(&mut self.newer, sample());
            self.older = Some(older);
        }
    }
}

/// How often samples are kept, and how many.
type Retention = &'static [(Millis, usize)];

/// As RabbitMQ keeps samples of the whole: of 10 minutes, an hour, 8 hours and a day.
pub(super) const OF_THE_WHOLE: Retention = &[
    (INTERVAL, 121),
    (60_000, 61),
    (600_000, 49),
    (1_800_000, 49),
];

/// Of 10 minutes.
pub(super) const OF_ONE: Retention = &[(INTERVAL, 121)];

/// Samples, in a ring for each time between two.
#[derive(Debug)]
pub(super) struct History(Vec<Ring>);

#[derive(Debug)]
struct Ring {
    interval: Millis,
    max: usize,
    samples: VecDeque<Sample>,
}

impl History {
    pub(super) fn new(retention: Retention) -> Self {
        let rings = retention.iter().map(|(interval, max)| Ring {
            interval: *interval,
            max: *max,
            samples: VecDeque::new(),
        });
        Self(rings.collect())
    }

    pub(super) fn note(&mut self, sample: &Sample) {
        for ring in &mut self.0 {
            let last = ring.samples.back().map(|last| last.at);
            if last.is_some_and(|last| sample.at + SLACK < last + ring.interval) {
                continue;
            }
            if ring.samples.len() == ring.max {
                ring.samples.pop_front();
            }
            ring.samples.push_back(sample.clone());
        }
    }

    /// Whether no sample was noted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|ring| ring.samples.is_empty())
    }

    /// What a rate is taken against.
    pub(super) fn base(&self, now: Millis) -> Option<Sample> {
        let finest = self.0.first()?;
        base(finest.samples.iter().rev().map(Some), now)
    }

    /// The newest sample that is not newer than `at`, of the finest ring that goes back to `first`.
    pub(super) fn at(&self, first: Millis, at: Millis) -> Option<Sample> {
        let reaches = |ring: &&Ring| ring.samples.front().is_some_and(|s| s.at <= first);
        let ring = self.0.iter().find(reaches).or_else(|| self.longest())?;
        let behind = ring.samples.partition_point(|sample| sample.at <= at);
        ring.samples.get(behind.checked_sub(1)?).cloned()
    }

    /// The ring that goes back furthest; of several the finest.
    fn longest(&self) -> Option<&Ring> {
        let first = |ring: &&Ring| ring.samples.front().map_or(Millis::MAX, |s| s.at);
        self.0.iter().min_by_key(first)
    }
}

/// Of samples from new to old: the newest that is old enough, or the oldest that is not much too new.
fn base<'s>(samples: impl Iterator<Item = Option<&'s Sample>>, now: Millis) -> Option<Sample> {
    let mut found = None;
    for sample in samples.flatten() {
        let age = now.saturating_sub(sample.at);
        if age >= INTERVAL_MIN {
            found = Some(sample);
        }
        if age + SLACK >= INTERVAL {
            break;
        }
    }
    found.cloned()
}
