//! Up to 2,048 sequence numbers of one place as bits: what a stretch becomes that settling has cut into many pieces.
//!
//! A block begins at a multiple of 2,048 and never reaches into the next one. Its runs are in line: each is where it would be if nothing had
//! been cut out before it, so that the location of one gives that of all.

use super::bits::{BITS, Bits};
use super::location::{LiveRun, Location};

/// How many sequence numbers a block has room for.
pub(super) const BLOCK: u64 = BITS as u64;

/// See the module. **Invariant**: a block in use has a live number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The sequence number of bit 0.
    base: u64,
    /// Where the message of bit 0 would be, counted around zero.
    origin: Location,
    live: Bits,
}

impl Block {
    /// The block of some runs that are in line and within the same 2,048 numbers.
    pub(super) fn of(runs: &[LiveRun]) -> Option<Self> {
        let first = runs.first()?;
        let base = first.first_seq / BLOCK * BLOCK;
        let origin = first.location.skip(base.wrapping_sub(first.first_seq));
        let mut block = Self {
            base,
            origin,
            live: Bits::empty(),
        };
        runs.iter().all(|run| block.add(run)).then_some(block)
    }

    /// A block from its bits, of which the first stands for `base`; its message would be at `origin`.
    pub(super) fn new(base: u64, origin: Location, live: Bits) -> Self {
        Self { base, origin, live }
    }

    /// Which numbers are live.
    pub(super) fn bits(&self) -> &Bits {
        &self.live
    }

    /// Where the message of the first bit would be.
    pub(super) fn origin(&self) -> Location {
        self.origin
    }

    /// How many numbers are live.
    pub(super) fn count(&self) -> u64 {
        u64::from(self.live.count())
    }

    /// Whether no number is live.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The last live number.
    pub(super) fn last(&self) -> Option<u64> {
        Some(self.base + u64::from(self.live.last()?))
    }

    /// The first run of live numbers at or behind `seq`.
    pub(super) fn next_run(&self, seq: u64) -> Option<LiveRun> {
        let from = seq.saturating_sub(self.base);
        if from >= BLOCK {
            return None;
        }
        let (first, end) = self.live.next_run(from as u32)?;
        Some(LiveRun {
            first_seq: self.base + u64::from(first),
            count: u64::from(end - first),
            location: self.origin.skip(u64::from(first)),
        })
    }

    /// The runs of live numbers, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = LiveRun> {
        let next = |run: &LiveRun| self.next_run(run.last_seq() + 1);
        std::iter::successors(self.next_run(0), next)
    }

    /// Makes the numbers from `first` to `last` not live and says how many of them were.
    pub(super) fn clear(&mut self, first: u64, last: u64) -> u64 {
        let from = first.saturating_sub(self.base).min(BLOCK);
        let to = last.saturating_add(1).saturating_sub(self.base).min(BLOCK);
        u64::from(self.live.clear(from as u32, to as u32))
    }

    /// Takes a run, if it is within these numbers and in line.
    pub(super) fn add(&mut self, run: &LiveRun) -> bool {
        let is_within = run.first_seq >= self.base && run.last_seq() - self.base < BLOCK;
        if !is_within || self.origin.skip(run.first_seq - self.base) != run.location {
            return false;
        }
        let from = (run.first_seq - self.base) as u32;
        self.live.set(from, from + run.count as u32);
        true
    }
}
