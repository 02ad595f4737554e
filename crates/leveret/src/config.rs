//! The configuration: every key with its type and its default, and where its value came from.
//!
//! A value comes from a flag, else from the environment, else from the file, else from the default. `file` reads TOML and
//! knows lines, `environment` knows variables, `check` refuses values that have the right type and make no sense; the
//! other files are one section each. Nothing here is changed after the start.
//!
//! Invariants: an error names what was wrong where it was written: file, line and key, or the variable, or the flag.
//! `config/leveret.toml` holds exactly the keys of these structs, each with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod alarms;
mod check;
mod compat;
mod environment;
mod events;
mod file;
mod limits;
mod listeners;
mod log;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod users;

pub(crate) use alarms::Alarms;
pub(crate) use compat::Compat;
pub(crate) use environment::Environment;
pub(crate) use events::Events;
pub(crate) use limits::Limits;
pub(crate) use listeners::{ListenAddress, Listeners};
pub(crate) use log::{Log, LogFormat};
pub(crate) use store::Store;
pub(crate) use tls::{ClientCertificates, LoginFrom, Tls};
pub(crate) use users::User;

use crate::arguments::Flags;
use file::Document;

/// All settings, complete and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder for what the broker keeps; created at start.
    pub(crate) data_dir: PathBuf,
    /// The vhosts there are from the start.
    pub(crate) vhosts: Vec<String>,
    /// Users who may log in from this machine only.
    pub(crate) loopback_users: Vec<String>,
    /// As whom clients log in that choose ANONYMOUS; empty for nobody.
    pub(crate) anonymous_user: String,
    pub(crate) listeners: Listeners,
    pub(crate) tls: Tls,
    pub(crate) limits: Limits,
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) events: Events,
    pub(crate) alarms: Alarms,
    pub(crate) compat: Compat,
    pub(crate) shutdown: Shutdown,
    /// Who may log in, and what each may do.
    pub(crate) users: Vec<User>,
}

/// How the broker ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// How long clients may take to answer `connection.close`, in seconds.
    pub(crate) wait_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("./leveret-data"),
            vhosts: vec!["/".to_owned()],
            loopback_users: vec!["guest".to_owned()],
            anonymous_user: String::new(),
            listeners: Listeners::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            store: Store::default(),
            log: Log::default(),
            events: Events::default(),
            alarms: Alarms::default(),
            compat: Compat::default(),
            shutdown: Shutdown::default(),
            users: vec![User::guest()],
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { wait_secs: 10 }
    }
}

/// A configuration that was not accepted, in words for whoever wrote it.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// As it was named.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}:{line}: {key}: {reason}", file.display())]
    InFile {
        /// As it was named.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// With its section, as in `limits.frame_max` or `users[0].name`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable of the environment says something that cannot be.
    #[error("environment variable {variable}: {reason}")]
    InEnvironment {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was put together from flags, environment and file cannot be.
    #[error("{key}: {reason}")]
    Together {
        /// With its section.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A value that has the right type and makes no sense.
#[derive(Debug, PartialEq)]
struct Nonsense {
    key: String,
    reason: String,
}

/// What was loaded, with what the log should say of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Variables that begin with `LEVERET_` and name no key.
    pub(crate) unknown_variables: Vec<String>,
}

/// Puts the configuration together.
///
/// **Errors**: the first thing that is wrong; see [`ConfigError`].
pub(crate) fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let file = flags.config.clone().or_else(|| environment.config_file());
    let document = file
        .clone()
        .map(Document::read)
        .transpose()?
        .unwrap_or_default();
    let mut config = document.config()?;
    check::check(&config).map_err(|nonsense| document.blame(nonsense))?;

    environment.apply(&mut config, &document)?;
    check::check(&config).map_err(|nonsense| environment.blame(nonsense))?;

    flags.apply(&mut config);
    check::check(&config)
        .map_err(|Nonsense { key, reason }| ConfigError::Together { key, reason })?;

    Ok(Loaded {
        config,
        file,
        unknown_variables: environment.unknown_variables(),
    })
}

/// Other parsers draw pictures of several lines; an error here is one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
