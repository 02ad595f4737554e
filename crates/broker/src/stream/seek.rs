//! Finding the first message that arrived at a time or after it, among those of which only the log knows when they did: by halves, a message at a time.

use leveret_store::log::Read;

/// See the module. It is at `low` or behind it, and at `high` at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seek {
    low: u64,
    high: u64,
    /// Behind all that is looked at.
    end: u64,
    unix_ms: u64,
    /// Where the reader begins if all of these came before: with which message, and from which time on.
    otherwise: (u64, Option<u64>),
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first message from the first number on, up to the second, is to be looked at.
    Look(u64, u64),
    /// The reader begins with this message, or the next one that there is, and passes over what came before a time.
    Begin(u64, Option<u64>),
}

impl Seek {
    /// Between a number and before another.
    pub(super) fn new(
        (first, end): (u64, u64),
        unix_ms: u64,
        otherwise: (u64, Option<u64>),
    ) -> Self {
        Self {
            otherwise,
            low: first,
            high: end,
            end,
            unix_ms,
        }
    }

    pub(super) fn step(&self) -> Step {
        if self.low < self.high {
            return Step::Look(self.middle(), self.end - 1);
        }
        match self.low < self.end {
            true => Step::Begin(self.low, Some(self.unix_ms)),
            false => Step::Begin(self.otherwise.0, self.otherwise.1),
        }
    }

    /// What is before a number is gone.
    pub(super) fn skip_to(&mut self, first_seq: u64) {
        self.low = self.low.max(first_seq).min(self.end);
        self.high = self.high.max(self.low);
    }

    /// What was to be looked at has come.
    pub(super) fn learn(&mut self, read: &Read) {
        let first = read.runs.first().zip(read.arrivals.first());
        match first {
            Some((run, (_, ms))) if *ms < self.unix_ms => {
                self.low = self.low.max(run.first_seq + 1).min(self.high);
            }
            // What is lost counts as late: the next one is looked at again when it is passed.
            _ => self.high = self.middle(),
        }
    }

    fn middle(&self) -> u64 {
        self.low + (self.high - self.low) / 2
    }
}
