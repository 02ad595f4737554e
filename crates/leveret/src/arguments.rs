//! The command line.
//!
//! What a flag sets is applied over the environment and the file by `config`; here is only what can be written, and what
//! `--help` says of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use leveret_store::check::Accept;

use crate::config::{Config, ListenAddress, LogFormat};
use crate::operate::{OperatorCommand, RabbitmqctlArguments};
use crate::perf::PerfArguments;

/// A RabbitMQ-compatible message broker.
#[derive(Debug, Parser)]
#[command(version, about)]
#[command(
    after_help = "Each key of the configuration has an environment variable too: that of \
limits.frame_max is LEVERET_LIMITS_FRAME_MAX. RABBITMQ_DEFAULT_USER, _PASS and _VHOST work as in \
RabbitMQ's container image. A flag counts more than a variable, a variable more than the file."
)]
pub(crate) struct Arguments {
    /// What to do instead of running the broker.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What the program can do; without one of these it runs the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration, say what is wrong with it, and exit.
    CheckConfig,
    /// Ask a running broker for its health over HTTP; exit 0 if it is well and 1 if not.
    Health,
    /// Look at the data folder of a broker that does not run, or repair it.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Understand the words of RabbitMQ's rabbitmqctl, for scripts that call it; `rabbitmqctl help` lists them.
    Rabbitmqctl(RabbitmqctlArguments),
    /// Load a broker, this one or another of AMQP 0-9-1, and measure it. Exit 0 if no message was lost, doubled or damaged.
    Perf(PerfArguments),
    #[command(flatten)]
    Operate(OperatorCommand),
}

/// What can be done with a data folder.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read all of the data folder and say what is damaged; changes nothing. Exit 0 if it is good, 1 if it is damaged, 2 if it
    /// cannot be looked at.
    Check {
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Repair the data folder, giving up what cannot be read: each range that loses something has to be accepted, else nothing is done. What
    /// is replaced is kept in its folder `quarantine`. Exit 0 if it is good afterwards, 1 if not, 2 if it cannot be looked at.
    Repair {
        /// Accept the loss of what is damaged here, as `store check` prints it; `all` for whatever is damaged.
        #[arg(long, value_name = "RANGE", num_args = 1..)]
        accept_loss: Vec<Accept>,
    },
}

/// Settings that can be given on the command line.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// Read this TOML file [env: LEVERET_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Keep data in this folder [env: LEVERET_DATA_DIR] [default: ./leveret-data]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Accept AMQP here; may be given several times [env: LEVERET_AMQP_LISTEN]
    /// [default: 0.0.0.0:5672 and [::]:5672]
    #[arg(long, value_name = "IP:PORT or unix:/PATH", global = true)]
    amqp_listen: Vec<ListenAddress>,
    /// Accept AMQP over TLS here; may be given several times [env: LEVERET_AMQPS_LISTEN]
    #[arg(long, value_name = "IP:PORT", global = true)]
    amqps_listen: Vec<ListenAddress>,
    /// Serve HTTP here [env: LEVERET_MANAGEMENT_LISTEN] [default: 127.0.0.1:15672]
    #[arg(long, value_name = "IP:PORT", global = true)]
    management_listen: Option<ListenAddress>,
    /// Serve HTTP over TLS here; may be given several times [env: LEVERET_MANAGEMENT_TLS_LISTEN]
    #[arg(long, value_name = "IP:PORT", global = true)]
    management_tls_listen: Vec<ListenAddress>,
    /// Log this much: error, warn, info, debug, trace [env: LEVERET_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// Log in this form [env: LEVERET_LOG_FORMAT] [default: human]
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
}

impl Flags {
    /// Puts what was given over what is there.
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if !self.amqp_listen.is_empty() {
            config.listeners.amqp.clone_from(&self.amqp_listen);
        }
        if !self.amqps_listen.is_empty() {
            config.listeners.amqps.clone_from(&self.amqps_listen);
        }
        if let Some(address) = &self.management_listen {
            config.listeners.management = vec![address.clone()];
        }
        if !self.management_tls_listen.is_empty() {
            let addresses = &mut config.listeners.management_tls;
            addresses.clone_from(&self.management_tls_listen);
        }
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
    }
}
