//! The only place where the store looks at the clock of the day; everything else is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in ms.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
