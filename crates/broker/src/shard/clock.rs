//! What time it is for a shard: the same for a whole turn, and never set back.

use std::time::{Duration, Instant};

use crate::queue::overdue::Tick;

/// The time of a turn; before the first one there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    began: Option<Instant>,
    /// When the turn began.
    pub(super) now: Option<Instant>,
    /// The same, as deliveries are marked with it.
    pub(super) tick: Tick,
    /// What the calendar said when the shard was started: it is not asked again, so that a clock that is set does not matter.
    began_unix: Duration,
}

impl Clock {
    /// The shard is started now, and the calendar says this.
    pub(super) fn begin(&mut self, now: Instant, unix: Duration) {
        self.began = Some(now);
        self.began_unix = unix;
    }

    /// A turn begins.
    pub(super) fn set(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        self.now = Some(now);
        self.tick = Tick::after(now - began);
    }

    /// The time of the turn, in seconds since 1970.
    pub(super) fn unix_secs(&self) -> u64 {
        self.unix().as_secs()
    }

    /// The time of the turn, in milliseconds since 1970.
    pub(super) fn unix_ms(&self) -> u64 {
        self.unix().as_millis() as u64
    }

    fn unix(&self) -> Duration {
        let since = self.now.zip(self.began).map(|(now, began)| now - began);
        self.began_unix + since.unwrap_or_default()
    }

    /// When it is a time in milliseconds since 1970; at the earliest when the shard was started.
    pub(super) fn instant(&self, unix_ms: u64) -> Option<Instant> {
        let since = Duration::from_millis(unix_ms).saturating_sub(self.began_unix);
        self.began?.checked_add(since)
    }
}
