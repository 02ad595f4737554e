//! Logs: events of `tracing` to standard error, as text for people or as JSON, and to an exchange where that is asked for.
//!
//! Panics are events too: a task that dies of a defect must be seen in the same place as everything else.

use std::backtrace::Backtrace;
use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{Log, LogFormat};

mod exchange;

use exchange::ToExchange;
pub(crate) use exchange::also_to;

/// What is told of the exchange itself goes to standard error alone.
const NOT_TO_EXCHANGE: &str = "leveret_broker::events";

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
    let to_exchange = log.exchange.then(|| {
        let levels = levels
            .clone()
            .with_target(NOT_TO_EXCHANGE, LevelFilter::OFF);
        let form = fmt::layer().with_ansi(false);
        match log.format {
            LogFormat::Human => {
                let content_type = "text/plain";
                let form = form.with_writer(ToExchange { content_type });
                form.with_filter(levels).boxed()
            }
            LogFormat::Json => {
                let content_type = "application/json";
                let form = form.with_writer(ToExchange { content_type });
                let form = form.json().flatten_event(true).with_current_span(false);
                form.with_filter(levels).boxed()
            }
        }
    });
    tracing_subscriber::registry()
        .with(form.with_filter(levels))
        .with(to_exchange)
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
