//! Since when nothing has happened, as RabbitMQ writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(test)]
mod tests;

/// What happened so lately is no idleness; RabbitMQ waits as long.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// The time since when something is idle: none where it is not.
pub(crate) fn since(idle_for: Duration) -> Option<String> {
    let since = SystemTime::now().checked_sub(idle_for)?;
    (idle_for >= IDLE_MIN).then(|| text(since))?
}

/// As [`since`], of the last use in milliseconds since 1970.
pub(crate) fn since_ms(used_ms: u64) -> Option<String> {
    let used = UNIX_EPOCH.checked_add(Duration::from_millis(used_ms))?;
    // A clock that was set back makes nothing idle.
    since(SystemTime::now().duration_since(used).unwrap_or_default())
}

/// `2026-11-29T23:29:41.904+00:00`.
fn text(at: SystemTime) -> Option<String> {
    let since_1970 = at.duration_since(UNIX_EPOCH).ok()?;
    let (secs, ms) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (year, month, day) = date(secs / 86_400);
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00"
    ))
}

/// Year, month and day of the day that comes so many after the first of 1970. Years are counted from March on, so that the day too much is their last
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}
