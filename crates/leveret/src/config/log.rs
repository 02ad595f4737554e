//! `[log]`: how much is logged, and in which form. Logs go to standard error.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// A level, and perhaps others for parts of the broker: `info,leveret_amqp=debug`.
    pub(crate) level: String,
    /// One line of text, or one JSON object, for each event.
    pub(crate) format: LogFormat,
    /// Whether the log is published to `amq.rabbitmq.log` as well.
    pub(crate) exchange: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: "info".to_owned(),
            format: LogFormat::Human,
            exchange: false,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object in a line.
    Json,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Refuses what is not a list of levels.
///
/// The subscriber's own parser takes a misspelt level for the name of a part, and then logs nothing else.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    for directive in level.split(',') {
        let word = match directive.split_once('=') {
            Some(("", _)) => return Err(format!("`{directive}` names no part of the broker")),
            Some((_, word)) => word,
            None => directive,
        };
        if !LEVELS.contains(&word) {
            return Err(format!(
                "`{word}` is not a level; levels are {}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}
