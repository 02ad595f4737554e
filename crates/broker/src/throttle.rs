//! How fast a user's connections, or those of a vhost, may publish together: whoever is faster is read from later.
//!
//! Of what was published only the time is kept at which it would have been, at the rate that is allowed; a tenth of a second of it is free.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[cfg(test)]
mod tests;

/// The name of the limit, in messages a second, of a user or a vhost.
pub const MAX_PUBLISH_RATE: &str = "x-leveret-max-publish-rate";

/// How far ahead of its rate somebody may be.
const FREE: Duration = Duration::from_millis(100);

/// The longest pause at a time: a rate that is raised is felt soon.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Throttle {
    paid_until: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Messages were published, where so many a second are allowed. Returns until when nothing more should be.
    pub fn note(&self, messages: u64, rate: u64, now: Instant) -> Option<Instant> {
        let cost = match rate {
            0 => PAUSE_MAX,
            rate => Duration::from_secs_f64(messages as f64 / rate as f64),
        };
        let mut paid_until = self.paid_until.lock();
        let from = paid_until.filter(|until| *until > now).unwrap_or(now);
        let until = from.checked_add(cost).unwrap_or(from);
        *paid_until = Some(until);
        let pause = until.saturating_duration_since(now).saturating_sub(FREE);
        (!pause.is_zero()).then(|| now + pause.min(PAUSE_MAX))
    }
}
