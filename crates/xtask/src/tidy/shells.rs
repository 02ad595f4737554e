//! Rules about effects: only shell files wait, and only they look at the clock.
//!
//! Rules of the broker are plain synchronous code that is told the time, which is what lets them be
//! tested in microseconds and replayed from a seed.

use super::Findings;
use crate::source::{Source, lines_with};

const SHELL_FILES: [&str; 2] = ["serve.rs", "task.rs"];
/// Shell files that wait for threads, not for tasks.
const THREAD_FILES: [&str; 4] = ["bell.rs", "clock.rs", "threads.rs", "work.rs"];
const SHELL_CRATES: [&str; 3] = ["leveret", "management", "tests"];

const ASYNC: [&str; 3] = ["async", ".await", "tokio::spawn"];
const CLOCK: [&str; 3] = ["Instant::now", "SystemTime::now", ".elapsed()"];

/// `async`, `.await` and `tokio::spawn` stand in shell files only.
pub(super) fn no_async_elsewhere(source: &Source) -> Findings {
    if is_shell(source) {
        return Findings::new();
    }
    found(
        source,
        &ASYNC,
        "only in serve.rs, task.rs and the crates leveret and management",
    )
}

/// The clock is read in shell files, in tests and in the project's own commands only.
pub(super) fn no_clock_elsewhere(source: &Source) -> Findings {
    let waits = is_shell(source) || THREAD_FILES.contains(&source.file_name());
    if waits || source.is_test() || source.crate_folder() == "xtask" {
        return Findings::new();
    }
    found(
        source,
        &CLOCK,
        "only in shell files: rules are told the time",
    )
}

fn found(source: &Source, phrases: &[&str], why: &str) -> Findings {
    let lines = phrases.iter().flat_map(|phrase| {
        lines_with(&source.code, phrase)
            .into_iter()
            .map(move |line| (line, phrase))
    });
    lines
        .map(|(line, phrase)| format!("{}:{line}: `{phrase}` {why}", source.path))
        .collect()
}

/// A shell file, the tests of one, a test that runs a whole crate, or a file of a shell crate.
fn is_shell(source: &Source) -> bool {
    let parts: Vec<&str> = source.path.split('/').collect();
    SHELL_CRATES.contains(&source.crate_folder())
        || SHELL_FILES.contains(&source.file_name())
        || matches!(parts.as_slice(), [.., "serve" | "task", "tests.rs"])
        || matches!(parts.as_slice(), ["crates", _, "tests", ..])
}
