//! A RabbitMQ node of our own, to hold the conformance suite and the management API against the original.
//!
//! It listens on loopback with everything it writes in a temporary folder, and is gone when the
//! value is dropped. It needs the Debian package `rabbitmq-server`, or another installation whose
//! start script `RABBITMQ_SERVER` names; its Erlang port mapper (epmd) outlives it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::HeldAddress;
use crate::broker::await_listener;
use crate::http::Http;

const START_SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// What operators say to a node, beside the start script.
const CONTROL: &str = "rabbitmqctl";
/// Waits for the end of standard input, then kills a group of processes and removes what they wrote.
const GUARD: &str = r#"cat >/dev/null; kill -9 "-$1"; rm -rf "$2""#;
/// The management API, and plugins with exchange types that are built in here.
const PLUGINS: &str = "rabbitmq_management, rabbitmq_consistent_hash_exchange, rabbitmq_random_exchange, \
                       rabbitmq_recent_history_exchange, rabbitmq_sharding";
/// What the configuration switches on here.
const EVENTS: &str = "rabbitmq_event_exchange";
const LOG: &str = "log.exchange = true\nlog.exchange.level = info\n";
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A running node.
pub struct RabbitMq {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
    /// Where it serves its management API, if it does.
    pub management: Option<SocketAddr>,
    process: Child,
    /// Ends the node where this process ends without dropping it.
    guard: Child,
    folder: tempfile::TempDir,
    _held: Vec<HeldAddress>,
}

impl RabbitMq {
    /// Starts a node that has what is built in here, and returns when it accepts connections.
    pub fn start() -> io::Result<Self> {
        Self::start_with_plugins(&format!("[{PLUGINS}, {EVENTS}]."), LOG)
    }

    /// Starts a node with its management API. It tells statistics after a second, not after five as RabbitMQ usually does, and breaks them down.
    pub fn start_managed() -> io::Result<Self> {
        let config = "management.rates_mode = detailed\n";
        Self::start_with_plugins(&format!("[{PLUGINS}]."), config)
    }

    /// Starts a node as it is without plugins, to be measured.
    pub fn start_plain() -> io::Result<Self> {
        Self::start_with("[].", "", None)
    }

    /// What `rabbitmqctl` says to these words, once it has ended.
    pub fn control(&self, words: &[&str]) -> io::Result<Output> {
        Command::new(start_script().with_file_name(CONTROL))
            .args(["--node", &node_name(self.amqp)])
            .args(words)
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONFIG_FILE", self.folder.path().join("rabbitmq"))
            .stdin(Stdio::null())
            .current_dir(self.folder.path())
            .output()
    }

    /// Whether there is one to start.
    pub fn is_installed() -> bool {
        start_script().exists()
    }

    fn start_with_plugins(plugins: &str, config: &str) -> io::Result<Self> {
        let held = HeldAddress::new();
        let management = *held;
        let (ip, port) = (management.ip(), management.port());
        let config = format!(
            "management.tcp.ip = {ip}\nmanagement.tcp.port = {port}\n\
             collect_statistics_interval = 1000\n{config}"
        );
        let node = Self::start_with(plugins, &config, Some(held))?;
        let whoami = Http::guest(management);
        let end = Instant::now() + START_DEADLINE;
        while TcpStream::connect(management).is_err() || whoami.try_get("/whoami").0 != 200 {
            if Instant::now() > end {
                return Err(io::Error::other("the management API does not answer"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(node)
    }

    fn start_with(
        plugins: &str,
        config: &str,
        management: Option<HeldAddress>,
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("enabled_plugins"), plugins)?;
        fs::write(at("rabbitmq.conf"), config)?;
        let (amqp, distribution) = (HeldAddress::new(), HeldAddress::new());
        let log = File::create(at("output.log"))?;
        let process = Command::new(start_script())
            .env("HOME", folder.path())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", node_name(*amqp))
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
            .current_dir(folder.path())
            .process_group(0)
            .spawn()?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &process.id().to_string()])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let node = Self {
            amqp: *amqp,
            management: management.as_deref().copied(),
            process,
            guard,
            folder,
            _held: [amqp, distribution].into_iter().chain(management).collect(),
        };
        let log = node.folder.path().join("output.log");
        await_listener(node.amqp, START_DEADLINE, &|| {
            fs::read_to_string(&log).unwrap_or_default()
        });
        Ok(node)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The guard goes first: it must not outlive the group whose number it has.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let group = format!("-{}", self.process.id());
        // The script and the Erlang machine share the group; that it is gone already is fine.
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.process.wait();
    }
}

/// Of the node that speaks AMQP there.
fn node_name(amqp: SocketAddr) -> String {
    format!("conformance{}@localhost", amqp.port())
}

fn start_script() -> PathBuf {
    std::env::var_os("RABBITMQ_SERVER").map_or_else(|| START_SCRIPT.into(), PathBuf::from)
}
