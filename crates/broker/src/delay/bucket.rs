//! Stretches of time, and the streams of the log that stand for them.

use leveret_store::entry::Stream;

/// How many bits of the seconds a level is wider than the one below.
const LEVEL_BITS: u32 = 6;

/// The widest level: about three days.
const LEVEL_MAX: u32 = 3;

/// How many bits of a stream's number say which stretch it is; those above are the level.
const INDEX_BITS: u32 = 30;

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// A stretch of time; of those that begin together the widest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    start_secs: u64,
    narrowness: u32,
}

impl Bucket {
    fn new(secs: u64, level: u32) -> Self {
        let shift = level * LEVEL_BITS;
        Self {
            start_secs: secs >> shift << shift,
            narrowness: LEVEL_MAX - level,
        }
    }

    /// The one for what is due at a time, seen from now: the further away, the wider.
    pub fn at(due_ms: u64, now_ms: u64) -> Self {
        let (due, now) = (due_ms / 1000, now_ms / 1000);
        let away = due.saturating_sub(now);
        let level = (0..LEVEL_MAX).find(|level| away < 1 << ((level + 1) * LEVEL_BITS));
        Self::new(due.max(now), level.unwrap_or(LEVEL_MAX))
    }

    /// The one that a stream stands for, of all those that it could stand for the one nearest to now: they are 34 years apart.
    pub fn of(stream: Stream, now_ms: u64) -> Self {
        let level = (stream.0 >> INDEX_BITS).min(LEVEL_MAX);
        let index = u64::from(stream.0) & INDEX_MASK;
        let now = (now_ms / 1000) >> (level * LEVEL_BITS);
        let round = now & !INDEX_MASK;
        let candidates = [
            (round + index).checked_sub(INDEX_MASK + 1),
            Some(round + index),
            Some(round + index + INDEX_MASK + 1),
        ];
        let nearest = candidates.into_iter().flatten();
        let nearest = nearest.min_by_key(|candidate| candidate.abs_diff(now));
        Self::new(nearest.unwrap_or(index) << (level * LEVEL_BITS), level)
    }

    fn level(self) -> u32 {
        LEVEL_MAX - self.narrowness
    }

    /// The stream for it.
    pub fn stream(self) -> Stream {
        let level = self.level();
        let index = (self.start_secs >> (level * LEVEL_BITS)) & INDEX_MASK;
        Stream(level << INDEX_BITS | index as u32)
    }

    /// When it begins, in milliseconds since 1970.
    pub fn start_ms(self) -> u64 {
        self.start_secs * 1000
    }

    /// Whether its messages are released from it.
    pub fn is_narrow(self) -> bool {
        self.level() == 0
    }
}
