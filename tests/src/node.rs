//! A data folder and the `leveret` processes that run on it, one after another: what fault tests start, kill and look into.
//!
//! The data folder is one of the node's own, or a place that the test names, such as a disk that fails. What the processes print is kept
//! beside, never on that disk. A process that is still running when its value is dropped, or when the test's own process ends in whatever
//! way, is killed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::address::HeldAddress;
use crate::broker::{answers, binary};
use crate::client::{Connection, Login};

/// How long a process may take to start, with what it finds in the folder.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long a process may take to end by itself.
const END_DEADLINE: Duration = Duration::from_secs(60);

/// How often is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Waits for the end of standard input, then kills a process.
const GUARD: &str = r#"cat >/dev/null; kill -9 "$1""#;

/// A data folder, and how brokers on it are configured.
#[derive(Debug)]
pub struct Node {
    home: Arc<tempfile::TempDir>,
    data_dir: PathBuf,
    is_managed: bool,
    /// Where all its brokers speak AMQP and serve HTTP, if at the same addresses.
    settled: Option<Addresses>,
}

/// Where a broker speaks AMQP and serves HTTP.
type Addresses = Arc<[HeldAddress; 2]>;

/// A broker that runs on a node.
#[derive(Debug)]
pub struct Running {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
    management: Option<SocketAddr>,
    process: Child,
    guard: Child,
    errors: PathBuf,
    _held: Addresses,
    /// Where that is.
    _home: Arc<tempfile::TempDir>,
}

/// A broker that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Node {
    /// A node with a new, empty data folder of its own and the usual configuration.
    pub fn new() -> Self {
        Self::make(None)
    }

    /// A node on a data folder that is somewhere else, or is to be made there.
    pub fn on(data_dir: &Path) -> Self {
        Self::make(Some(data_dir))
    }

    fn make(data_dir: Option<&Path>) -> Self {
        let home = tempfile::Builder::new().prefix("leveret-node-").tempdir();
        let home = Arc::new(home.expect("a temporary folder"));
        let own = home.path().join("data");
        let node = Self {
            data_dir: data_dir.map_or(own, Path::to_owned),
            home,
            is_managed: false,
            settled: None,
        };
        node.configured("")
    }

    /// The same node, whose brokers serve the management API.
    pub fn managed(mut self) -> Self {
        self.is_managed = true;
        self
    }

    /// The same node, whose brokers come back at the same addresses: for clients that connect again by themselves.
    pub fn settled(mut self) -> Self {
        self.settled = Some(Addresses::default());
        self
    }

    /// The same node, whose brokers have this configuration file.
    pub fn configured(self, toml: &str) -> Self {
        let toml = format!("listeners.management = []\n{toml}");
        fs::write(self.config(), toml).expect("a file in our own folder");
        self
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("leveret.toml")
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Starts a broker, and returns when it accepts connections.
    #[track_caller]
    pub fn start(&self) -> Running {
        let mut broker = self.spawn();
        let end = Instant::now() + START_DEADLINE;
        while !answers(broker.amqp) {
            let goes_on = broker.is_alive() && Instant::now() < end;
            assert!(goes_on, "no broker: {}", broker.errors());
            thread::sleep(LOOK);
        }
        broker
    }

    /// Starts a broker that must end by itself.
    #[track_caller]
    pub fn start_to_end(&self) -> Ended {
        self.spawn().await_end()
    }

    fn spawn(&self) -> Running {
        let errors = tempfile::Builder::new()
            .prefix("stderr-")
            .tempfile_in(self.home.path());
        let (log, errors) = errors
            .and_then(|file| Ok(file.keep()?))
            .expect("a file in our own folder");
        let held = self.settled.clone().unwrap_or_default();
        let [amqp, http] = held.each_ref().map(|held| **held);
        let management = self.is_managed.then_some(http);
        let management_flags =
            management.map(|at| ["--management-listen".to_owned(), at.to_string()]);
        let process = Command::new(binary())
            .args(management_flags.into_iter().flatten())
            .arg("--config")
            .arg(self.config())
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--amqp-listen", &amqp.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the broker's binary runs");
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        Running {
            amqp,
            management,
            process,
            guard,
            errors,
            _held: held,
            _home: Arc::clone(&self.home),
        }
    }

    /// The bytes that the files of the data folder take on the disk.
    pub fn bytes_on_disk(&self) -> u64 {
        bytes_below(&self.data_dir)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// A file that goes while it is looked at takes nothing.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

impl Running {
    /// Where it serves the management API; fails for a node that is not managed.
    #[track_caller]
    pub fn management(&self) -> SocketAddr {
        self.management.expect("a managed node")
    }

    /// Connects as `guest`, with a client that hears of alarms too.
    pub fn connect(&self) -> Connection {
        Connection::open_at(self.amqp, &Login::hearing_of_alarms())
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Kills it with signal 9, and sees it ended.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.process.wait().expect("our own child");
        assert!(
            status.code().is_none(),
            "it had ended already, with {status}: {}",
            self.errors()
        );
    }

    /// Asks it to end with SIGTERM, and sees it end well.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let ended = self.await_end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
    }

    /// Asks it to end with SIGTERM, and does not wait.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn await_end(mut self) -> Ended {
        let end = Instant::now() + END_DEADLINE;
        loop {
            if let Some(status) = self.status() {
                return Ended {
                    code: status.code(),
                    errors: self.errors(),
                };
            }
            assert!(
                Instant::now() < end,
                "the broker runs on after {END_DEADLINE:?}: {}",
                self.errors()
            );
            thread::sleep(LOOK);
        }
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.status().is_none()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.expect("Linux tells it in KiB") * 1024
    }

    /// How long its threads were on a processor so far.
    pub fn processor_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let of_task = |task: fs::DirEntry| {
            // One that has ended meanwhile has none.
            let told = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = told.split_whitespace().next().map(str::parse);
            nanos.map_or(0, |nanos| nanos.expect("Linux tells nanoseconds"))
        };
        let nanos = tasks.expect("it runs").flatten().map(of_task).sum();
        Duration::from_nanos(nanos)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok();
        let pid = pid.and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("our own child");
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("our own child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard goes first: it must not outlive the process whose number it has. That either has ended already is fine.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
