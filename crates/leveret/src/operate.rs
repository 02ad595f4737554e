//! The subcommands for operators: each is one request to the management API of a running broker, and prints what it tells as a table or JSON.
//!
//! `arguments` says what can be asked for, `requests` which request that is; `client` asks; `table` prints. `rabbitmqctl` understands the words of
//! RabbitMQ's own tool.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;
use thiserror::Error;

use crate::arguments::Flags;
use crate::config::ConfigError;
use crate::logging;

mod arguments;
mod client;
mod rabbitmqctl;
mod requests;
mod table;

pub(crate) use arguments::{OperatorCommand, RabbitmqctlArguments};

use arguments::Target;
use client::{Client, ClientError};
use requests::Ask;

/// Why nothing was done, or nothing is told.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{file}: {error}")]
    File { file: String, error: String },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Asks what the command says. Exit 0 if it was done, 1 if not.
pub(crate) fn run(flags: &Flags, command: &OperatorCommand) -> ExitCode {
    match ask(flags, command.target(), command) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads what is printed, as `head`, has seen enough.
        Err(Failure::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            logging::last_words(&failure);
            ExitCode::FAILURE
        }
    }
}

fn ask(flags: &Flags, target: &Target, command: &OperatorCommand) -> Result<(), Failure> {
    let client = Client::of(flags, target.url.as_deref())?;
    let ask = command
        .ask(&target.vhost)
        .map_err(|(file, error)| Failure::File { file, error })?;
    let answer = client.request(&ask)?;
    show(&ask, &answer, target.json)
}

fn show(ask: &Ask, answer: &Value, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if answer.is_null() {
        return Ok(());
    }
    if json || ask.columns.is_empty() {
        writeln!(out, "{answer:#}")?;
    } else {
        table::print(&mut out, ask.columns, answer)?;
    }
    Ok(())
}

/// `leveret rabbitmqctl ...`, with RabbitMQ's exit codes.
pub(crate) fn rabbitmqctl(flags: &Flags, given: &RabbitmqctlArguments) -> ExitCode {
    rabbitmqctl::run(flags, &given.words)
}
