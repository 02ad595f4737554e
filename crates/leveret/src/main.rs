//! The Leveret daemon: arguments, configuration, listeners, logging, signals, and the wiring of the rest.
//!
//! This file is the table of contents: [`run`] and [`broker`] say in which order things start and end. The broker's rules are not
//! in this crate, nor is any protocol; `serve` is the one place that knows the crates that have them.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use leveret_management::Wish;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::arguments::{Arguments, Command, Flags};
use crate::config::{Config, ConfigError, Environment, Loaded};
use crate::connections::Connections;
use crate::listen::{ListenError, Open};
use crate::machine::Machine;
use crate::serve::{Server, StartError};
use crate::signals::{HANGUP, Signals};
use crate::tls::{Encryption, TlsError};

mod alarms;
mod arguments;
mod config;
mod connections;
mod events;
mod health;
mod listen;
mod logging;
mod machine;
mod node;
mod operate;
mod perf;
mod serve;
mod signals;
mod storage;
mod store_command;
mod tls;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long tasks that did not end may hold up the exit.
const TASKS_WAIT: Duration = Duration::from_secs(1);

/// After so many tasks a thread that is never idle looks at the sockets of all others. A task may take half a millisecond here: the usual 61 of them would
/// let a quiet connection wait for tens of milliseconds beside a loud one.
const SOCKET_LOOKS: u32 = 2;

/// Why the program ends with 1.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot make the data folder {}: {error}", folder.display())]
    DataDir { folder: PathBuf, error: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Unwell(#[from] health::Unwell),
}

fn main() -> ExitCode {
    let Arguments { command, flags } = Arguments::parse();
    let done = match command {
        None => run(&flags),
        Some(Command::CheckConfig) => check_config(&flags),
        Some(Command::Health) => ask_health(&flags),
        Some(Command::Store(command)) => return store_command::run(&flags, &command),
        Some(Command::Perf(arguments)) => return perf::run(&arguments),
        Some(Command::Operate(command)) => return operate::run(&flags, &command),
        Some(Command::Rabbitmqctl(words)) => return operate::rabbitmqctl(&flags, &words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::last_words(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Runs the broker from configuration to exit.
fn run(flags: &Flags) -> Result<(), Failure> {
    let loaded = load(flags)?;
    logging::start(&loaded.config.log);
    let machine = Machine::measure();
    announce(&loaded, &machine);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(SOCKET_LOOKS)
        .build()?;
    let ended = runtime.block_on(broker(&loaded.config, &machine));
    runtime.shutdown_timeout(TASKS_WAIT);
    ended
}

/// Listens, recovers, serves, waits for a signal, and shuts down.
async fn broker(config: &Config, machine: &Machine) -> Result<(), Failure> {
    let since = Instant::now();
    let tls = Encryption::new(config)?;
    let handshake = Duration::from_secs(config.limits.handshake_timeout_secs);
    let bound = listen::bind(&config.listeners, &tls, handshake)?;
    let mut signals = Signals::catch()?;
    make_data_dir(&config.data_dir)?;
    let server = Arc::new(Server::start(config, machine)?);
    let connections = Connections::new(config.limits.connections(machine));
    let (wishes, wished) = mpsc::channel(1);
    let node = node::describe(config, machine, (bound.listeners()?, wishes), since);
    let mut open = Open::new(bound, &server, &connections, &server.management(node))?;

    let signal = until_signal(&mut signals, &tls, (&mut open, wished)).await;
    tracing::info!(signal, connections = connections.open(), "shutting down");
    open.stop_accepting().await;
    server.close_connections();
    let wait = Duration::from_secs(config.shutdown.wait_secs);
    tokio::select! {
        () = connections.all_closed() => {}
        () = tokio::time::sleep(wait) => {}
        signal = signals.next_end() => tracing::warn!(signal, "not waiting any longer"),
    }
    open.stop_management().await;
    server.end().await;
    tracing::info!(connections_cut = connections.open(), "stopped");
    Ok(())
}

/// Waits for a signal that ends the broker; its name. Until then files are read again and listeners closed and opened as is wished.
async fn until_signal(
    signals: &mut Signals,
    tls: &Encryption,
    (open, mut wished): (&mut Open, mpsc::Receiver<Wish>),
) -> &'static str {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                HANGUP => tls.reload(),
                signal => return signal,
            },
            Some(wish) = wished.recv() => open.grant(wish).await,
        }
    }
}

fn load(flags: &Flags) -> Result<Loaded, ConfigError> {
    config::load(flags, &Environment::new(std::env::vars_os()))
}

/// Says at the top of the log what runs, and what its operator has to know.
fn announce(loaded: &Loaded, machine: &Machine) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = loaded
            .file
            .as_deref()
            .map(|file| tracing::field::display(file.display())),
        cores = machine.cores,
        memory_bytes = machine.memory_bytes,
        descriptors = machine.descriptors,
        "leveret starts"
    );
    for variable in &loaded.unknown_variables {
        tracing::warn!(
            variable,
            "environment variable names no key of the configuration"
        );
    }
}

fn make_data_dir(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .map_err(|error| Failure::DataDir {
            folder: folder.to_owned(),
            error,
        })
}

fn check_config(flags: &Flags) -> Result<(), Failure> {
    let loaded = load(flags)?;
    let mut out = io::stdout().lock();
    for variable in &loaded.unknown_variables {
        writeln!(out, "warning: {variable} names no key of the configuration")?;
    }
    match loaded.file {
        Some(file) => writeln!(out, "{}: the configuration is good", file.display())?,
        None => writeln!(out, "no file is named; the configuration is good")?,
    }
    Ok(())
}

fn ask_health(flags: &Flags) -> Result<(), Failure> {
    health::ask(&load(flags)?.config)?;
    writeln!(io::stdout(), "ok")?;
    Ok(())
}
