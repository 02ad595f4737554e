//! The words of RabbitMQ's `rabbitmqctl`, for scripts, health checks and clients' test suites that call it: `leveret rabbitmqctl list_queues name`.
//!
//! What prints, prints as RabbitMQ's does: a line that says what is done (not with `-q`), then columns with tabs between them, or JSON with
//! `--formatter json`. Exit codes are RabbitMQ's: 0, 64 for what is not understood, 65 for bad data, 67 for a user that is not there, 69 for
//! a broker that does not answer, 70 for anything else. <https://www.rabbitmq.com/docs/man/rabbitmqctl.8>
//!
//! `words` takes the command line apart, `changes`, `node` and `listings` have the commands.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;
use thiserror::Error;

use super::client::{Client, ClientError};
use super::requests::Ask;
use super::{Failure, table};
use crate::arguments::Flags;

mod changes;
mod listings;
mod node;
mod words;

use words::Words;

/// Commands whose first argument is a user, which is what is missing where something is.
const NAMES_USER: [&str; 12] = [
    "delete_user",
    "change_password",
    "clear_password",
    "set_user_tags",
    "set_user_limits",
    "set_permissions",
    "clear_permissions",
    "set_topic_permissions",
    "clear_topic_permissions",
    "list_user_permissions",
    "list_user_topic_permissions",
    "close_all_user_connections",
];

/// The exit code for a user that is not there.
const NO_SUCH_USER: u8 = 67;

/// Why a command was not carried out.
#[derive(Debug, Error)]
enum CtlError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Exists(String),
    #[error("{0}")]
    NotHere(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<ClientError> for CtlError {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for CtlError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl CtlError {
    /// RabbitMQ's own codes for what is not there differ from command to command.
    fn exit_code(&self, command: &str) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::BadData(_) => 65,
            Self::Exists(_) | Self::NotHere(_) => 70,
            Self::Failed(Failure::Client(ClientError::NoAnswer { .. })) => 69,
            Self::Failed(Failure::Client(ClientError::Refused { status, .. })) => match status {
                401 if command == "authenticate_user" => 65,
                404 if NAMES_USER.contains(&command) => NO_SUCH_USER,
                404 => match command {
                    "delete_queue" => 64,
                    "purge_queue" => 69,
                    clear if clear.starts_with("clear_") => 69,
                    // What is not there is the vhost.
                    _ => 65,
                },
                // As RabbitMQ's tool, also for what is no good value.
                400 | 503 => 69,
                _ => 70,
            },
            Self::Failed(_) => 70,
        }
    }
}

/// What a command does.
#[derive(Debug)]
enum Action {
    /// Requests, one after the other, each of which changes something.
    Change(Vec<Ask>),
    /// A request, and which columns of its answer are printed: how each is called, and where it stands in the answer.
    List(Ask, Vec<(String, String)>),
    /// A request whose answer only has to be a good one.
    Check(Ask),
    /// A request whose answer is printed as it is.
    Print(Ask),
    /// A request whose answer is written to a file.
    Save(Ask, String),
    /// A request that changes something, and what is printed then.
    Tell(Ask, &'static str),
    /// A text.
    Say(String),
}

/// A command that was understood.
#[derive(Debug)]
struct Command {
    /// What RabbitMQ's tool says that it does.
    banner: String,
    action: Action,
}

pub(super) fn run(flags: &Flags, words: &[String]) -> ExitCode {
    let name = Words::new(words)
        .map(|words| words.command)
        .unwrap_or_default();
    match carry_out(flags, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where it cannot be told either, the exit code tells.
            let code = error.exit_code(&name);
            let _ = match words.iter().skip_while(|word| **word != name).nth(1) {
                Some(user) if code == NO_SUCH_USER => {
                    writeln!(io::stderr(), "Error:\nUser \"{user}\" does not exist")
                }
                _ => writeln!(io::stderr(), "Error:\n{error}"),
            };
            ExitCode::from(code)
        }
    }
}

fn carry_out(flags: &Flags, words: &[String]) -> Result<(), CtlError> {
    let words = Words::new(words).map_err(CtlError::Usage)?;
    let client = Client::of(flags, None)?;
    let command = match changes::understand(&words, &client)? {
        Some(command) => Some(command),
        None => node::understand(&words, &client)?,
    };
    let command = match command {
        Some(command) => command,
        None => listings::understand(&words)?
            .ok_or_else(|| CtlError::Usage(format!("Command '{}' not found", words.command)))?,
    };
    let mut out = io::stdout().lock();
    if !words.quiet && !command.banner.is_empty() {
        writeln!(out, "{}", command.banner)?;
    }
    match command.action {
        Action::Change(asks) => {
            for ask in asks {
                client.request(&ask)?;
            }
        }
        Action::Check(ask) => {
            client.request(&ask)?;
        }
        Action::Print(ask) => match client.request(&ask)? {
            Value::String(text) => writeln!(out, "{text}")?,
            told => writeln!(out, "{told:#}")?,
        },
        Action::Save(ask, file) => {
            let told = client.request(&ask)?;
            fs::write(&file, format!("{told:#}\n"))
                .map_err(|error| CtlError::BadData(format!("{file}: {error}")))?;
        }
        Action::Tell(ask, text) => {
            client.request(&ask)?;
            writeln!(out, "{text}")?;
        }
        Action::Say(text) => writeln!(out, "{text}")?,
        Action::List(ask, columns) => print(&mut out, &words, &columns, &client.request(&ask)?)?,
    }
    Ok(())
}

fn print(
    out: &mut impl Write,
    words: &Words,
    columns: &[(String, String)],
    told: &Value,
) -> io::Result<()> {
    let items = told.as_array().map(Vec::as_slice).unwrap_or_default();
    if words.json {
        let item = |item: &Value| -> Value {
            let cells = columns.iter();
            let cells = cells.map(|(name, at)| (name.clone(), found(item, at)));
            Value::Object(cells.collect())
        };
        let all: Value = items.iter().map(item).collect();
        return writeln!(out, "{all}");
    }
    if words.headers {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        writeln!(out, "{}", names.join("\t"))?;
    }
    for item in items {
        let cells = columns.iter().map(|(_, at)| cell(&found(item, at)));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("\t"))?;
    }
    Ok(())
}

/// What stands there; behind a `=`, that text.
fn found(item: &Value, at: &str) -> Value {
    match at.strip_prefix('=') {
        Some(text) => text.into(),
        None => table::at(item, at).cloned().unwrap_or_default(),
    }
}

/// A value as RabbitMQ's tool writes it: tags in brackets.
fn cell(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| table::cell(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{{{key:?},{value}}}"))
                .collect();
            format!("[{}]", items.join(","))
        }
        other => table::cell(Some(other)),
    }
}
