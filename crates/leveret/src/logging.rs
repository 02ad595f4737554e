//! Logs: events of `tracing` to standard error, as text for people or as JSON.
//!
//! Panics are events too: a task that dies of a defect must be seen in the same place as everything else.

use std::backtrace::Backtrace;
use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process.
///
/// **Panics**: when called twice, or with a level that the configuration would have refused.
pub(crate) fn start(log: &Log) {
    let levels: Targets = log.level.parse().expect("the configuration was checked");
    let form = fmt::layer().with_writer(stderr);
    let form = match log.format {
        LogFormat::Human => form.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => form
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(form.with_filter(levels))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        tracing::error!(%backtrace, "defect: {panic}");
    }));
}

/// Says why the program ends: in the log, or where that is not started yet, as plain text.
pub(crate) fn last_words(failure: &dyn std::error::Error) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{failure}");
    } else {
        eprintln!("leveret: {failure}");
    }
}
