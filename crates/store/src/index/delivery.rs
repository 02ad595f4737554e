//! How often requeued messages of a stream were delivered, and when they are ready again: runs of sequence numbers that are alike in both.
//!
//! Only what was requeued is in here, and only while it is live.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Consecutive messages that were delivered equally often, and are ready at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The first sequence number.
    pub first_seq: u64,
    /// How many messages.
    pub count: u64,
    /// How often each was delivered.
    pub delivery_count: u32,
    /// When they are ready again, in ms of unix time; 0 where they did not wait.
    pub ready_ms: u64,
}

impl Delivered {
    fn last_seq(&self) -> u64 {
        self.first_seq + (self.count - 1)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.delivery_count, self.ready_ms) == (other.delivery_count, other.ready_ms)
    }
}

/// See the module. Runs never overlap; each is under its last number, and runs that touch differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deliveries(BTreeMap<u64, Delivered>);

impl Deliveries {
    /// How many runs.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The runs, from the one that has `seq` or comes behind it.
    pub(super) fn runs_from(&self, seq: u64) -> impl Iterator<Item = Delivered> {
        self.0.range(seq..).map(move |(_, run)| {
            let skipped = seq.saturating_sub(run.first_seq);
            Delivered {
                first_seq: run.first_seq + skipped,
                count: run.count - skipped,
                ..*run
            }
        })
    }

    /// Forgets the counts of a range.
    pub(super) fn remove(&mut self, range: RangeInclusive<u64>) {
        let (first, last) = range.into_inner();
        while let Some((&key, run)) = self.0.range_mut(first..).next() {
            let was = *run;
            if was.first_seq > last {
                return;
            }
            if key > last {
                run.first_seq = last + 1;
                run.count = key - last;
            } else {
                self.0.remove(&key);
            }
            if was.first_seq < first {
                self.0.insert(
                    first - 1,
                    Delivered {
                        count: first - was.first_seq,
                        ..was
                    },
                );
            }
        }
    }

    /// Says that the messages of a run were delivered so often, or more often where that is known, and when they are ready.
    pub(super) fn raise(&mut self, run: Delivered) {
        let last = run.last_seq();
        let known = self.runs_from(run.first_seq);
        let known = known.take_while(|known| known.first_seq <= last);
        let known = known.filter(|known| known.delivery_count > run.delivery_count);
        let known: Vec<Delivered> = known.collect();
        self.set(run);
        for known in known {
            self.set(Delivered {
                count: known.count.min(last - known.first_seq + 1),
                ready_ms: run.ready_ms,
                ..known
            });
        }
    }

    /// Says how often the messages of a run were delivered and when they are ready, whatever was known before.
    pub(super) fn set(&mut self, run: Delivered) {
        self.remove(run.first_seq..=run.last_seq());
        if (run.delivery_count, run.ready_ms) == (0, 0) {
            return;
        }
        let mut run = run;
        let before = run
            .first_seq
            .checked_sub(1)
            .and_then(|last| self.0.get(&last).copied());
        if let Some(before) = before.filter(|before| before.is_like(&run)) {
            self.0.remove(&before.last_seq());
            run = Delivered {
                first_seq: before.first_seq,
                count: before.count + run.count,
                ..run
            };
        }
        let behind = self
            .0
            .range_mut(run.last_seq()..)
            .next()
            .map(|(_, behind)| behind);
        match behind {
            Some(behind) if behind.first_seq == run.last_seq() + 1 && behind.is_like(&run) => {
                behind.first_seq = run.first_seq;
                behind.count += run.count;
            }
            _ => {
                self.0.insert(run.last_seq(), run);
            }
        }
    }
}
