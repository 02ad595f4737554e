//! Stretches of time, and the streams of the log that stand for them.
//!
//! ```text
//! bits of a stream's number       30..31       29     28     the rest
//! a stretch of seconds            level 0..2   moved  the number of the stretch
//! a stretch of the widest level   3            moved  0      the number of the stretch
//! a millisecond                   3            1      1      the millisecond
//! ```
//!
//! Numbers are cut to their low bits: which of the times that have these is meant, follows from the time at which they are read.

use leveret_store::entry::Stream;

/// How many bits of the seconds a level is wider than the one below.
const LEVEL_BITS: u32 = 6;

/// The widest level: about three days.
const LEVEL_MAX: u32 = 3;

const LEVEL_AT: u32 = 30;
const MOVED: u32 = 1 << 29;
const INSTANT: u32 = 1 << 28;

/// How much earlier than a millisecond its stream may be filled: it is the last one with its number before this.
pub(super) const INSTANT_AHEAD_MS: u64 = 600_000;

/// How wide a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    /// 64 to the power of (the widest level, less this) seconds: the widest comes first.
    Seconds { narrowness: u32 },
    /// A millisecond.
    Instant,
}

/// How messages came into a stretch. Those that moved had come to the exchange before all that came directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Moved,
    Direct,
}

/// The messages that are due in a stretch of time and came there in one way; of those that begin together the widest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    start_ms: u64,
    width: Width,
    origin: Origin,
}

impl Bucket {
    fn new(secs: u64, level: u32, origin: Origin) -> Self {
        let shift = level * LEVEL_BITS;
        Self {
            start_ms: (secs >> shift << shift) * 1000,
            width: Width::Seconds {
                narrowness: LEVEL_MAX - level,
            },
            origin,
        }
    }

    /// The one for what is due at a time and comes now: the further away, the wider.
    pub fn at(due_ms: u64, now_ms: u64) -> Self {
        let (due, now) = (due_ms / 1000, now_ms / 1000);
        let away = due.saturating_sub(now);
        let level = (0..LEVEL_MAX).find(|level| away < 1 << ((level + 1) * LEVEL_BITS));
        Self::new(due.max(now), level.unwrap_or(LEVEL_MAX), Origin::Direct)
    }

    /// The narrower one that a message of this one moves to.
    pub fn below(self, due_ms: u64) -> Self {
        let due_ms = due_ms.max(self.start_ms);
        if self.is_second() {
            return Self {
                start_ms: due_ms,
                width: Width::Instant,
                origin: Origin::Moved,
            };
        }
        Self {
            origin: Origin::Moved,
            ..Self::at(due_ms, self.start_ms)
        }
    }

    /// The one that a stream stands for: of all those that it could stand for the one nearest to now, which are 17 years apart or more. Milliseconds
    /// are three days apart, and are filled just before they come.
    pub fn of(stream: Stream, now_ms: u64) -> Self {
        let level = (stream.0 >> LEVEL_AT).min(LEVEL_MAX);
        let origin = match stream.0 & MOVED {
            0 => Origin::Direct,
            _ => Origin::Moved,
        };
        if level == LEVEL_MAX && stream.0 & INSTANT != 0 {
            let mask = u64::from(INSTANT - 1);
            let latest = now_ms + INSTANT_AHEAD_MS;
            let back = latest.wrapping_sub(u64::from(stream.0)) & mask;
            return Self {
                start_ms: latest.saturating_sub(back),
                width: Width::Instant,
                origin,
            };
        }
        let mask = u64::from(MOVED - 1);
        let index = u64::from(stream.0) & mask;
        let now = (now_ms / 1000) >> (level * LEVEL_BITS);
        let round = now & !mask;
        let candidates = [
            (round + index).checked_sub(mask + 1),
            Some(round + index),
            Some(round + index + mask + 1),
        ];
        let nearest = candidates.into_iter().flatten();
        let nearest = nearest.min_by_key(|candidate| candidate.abs_diff(now));
        Self::new(
            nearest.unwrap_or(index) << (level * LEVEL_BITS),
            level,
            origin,
        )
    }

    /// The stream for it.
    pub fn stream(self) -> Stream {
        let moved = match self.origin {
            Origin::Moved => MOVED,
            Origin::Direct => 0,
        };
        let Some(level) = self.level() else {
            let index = self.start_ms as u32 & (INSTANT - 1);
            return Stream(LEVEL_MAX << LEVEL_AT | moved | INSTANT | index);
        };
        let index = (self.start_ms / 1000) >> (level * LEVEL_BITS);
        Stream(level << LEVEL_AT | moved | (index as u32 & (MOVED - 1)))
    }

    fn level(self) -> Option<u32> {
        match self.width {
            Width::Seconds { narrowness } => Some(LEVEL_MAX - narrowness),
            Width::Instant => None,
        }
    }

    /// When it begins, in milliseconds since 1970.
    pub fn start_ms(self) -> u64 {
        self.start_ms
    }

    /// When it is over: what is in it is due before.
    pub fn end_ms(self) -> u64 {
        let width_ms = self.level().map_or(1, |level| 1000 << (level * LEVEL_BITS));
        self.start_ms + width_ms
    }

    /// Whether it is one second wide.
    pub fn is_second(self) -> bool {
        self.level() == Some(0)
    }

    /// Whether it is one millisecond wide: then its messages are in the order in which they are released.
    pub fn is_instant(self) -> bool {
        self.width == Width::Instant
    }

    /// Whether its messages came from a wider one, which wrote down when they are due and what number they have.
    pub fn is_moved(self) -> bool {
        self.origin == Origin::Moved
    }
}
