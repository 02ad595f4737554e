//! The management API of a running broker: what it tells, what it changes, and what clients over AMQP see of that.

mod access;
mod breakdowns;
mod cli;
mod configured;
mod definitions;
mod delayed;
mod lists;
mod live;
mod moving;
mod policies;
mod rabbitmqctl;
mod rates;
mod topology;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use leveret_tests::broker;
use leveret_tests::http::Http;

/// Nothing that is waited for takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// The broker of this process, as `guest`.
fn api() -> Http {
    Http::guest(broker::own().management)
}

/// A name that no other test has.
fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks again and again until it is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
    }
}
