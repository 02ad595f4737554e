//! A RabbitMQ node of our own, to hold the conformance suite against the original.
//!
//! It listens on loopback with everything it writes in a temporary folder, and is gone when the
//! value is dropped. It needs the Debian package `rabbitmq-server`, or another installation whose
//! start script `RABBITMQ_SERVER` names; its Erlang port mapper (epmd) outlives it.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::broker::{await_listener, free_address};

const START_SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A running node.
pub struct RabbitMq {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl RabbitMq {
    /// Starts a node and returns when it accepts connections.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("enabled_plugins"), "[].")?;
        fs::write(at("rabbitmq.conf"), "")?;
        let (amqp, distribution) = (free_address(), free_address());
        let log = File::create(at("output.log"))?;
        let process = Command::new(start_script())
            .env("HOME", folder.path())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env(
                "RABBITMQ_NODENAME",
                format!("conformance{}@localhost", amqp.port()),
            )
            .env("RABBITMQ_NODE_IP_ADDRESS", amqp.ip().to_string())
            .env("RABBITMQ_NODE_PORT", amqp.port().to_string())
            .env("RABBITMQ_DIST_PORT", distribution.port().to_string())
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let node = Self {
            amqp,
            process,
            _folder: folder,
        };
        let log = node._folder.path().join("output.log");
        await_listener(amqp, START_DEADLINE, &|| {
            fs::read_to_string(&log).unwrap_or_default()
        });
        Ok(node)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        // The script and the Erlang machine share the group; that it is gone already is fine.
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.process.wait();
    }
}

fn start_script() -> PathBuf {
    std::env::var_os("RABBITMQ_SERVER").map_or_else(|| START_SCRIPT.into(), PathBuf::from)
}
