//! The broker under test: somebody else's by address, or one of our own for this process.
//!
//! `LEVERET_TEST_ADDR=host:port` names a running broker with user `guest`. Without it the first
//! caller starts a `leveret` (the binary that `LEVERET_BIN` names, else one that cargo builds now)
//! on free loopback ports with a data folder of its own. It is killed, and the folder removed, when
//! this process ends in whatever way: a shell stands guard over a pipe that closes with us.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::address::HeldAddress;

/// Names a running broker to test, as `host:port`.
pub const ADDRESS_VARIABLE: &str = "LEVERET_TEST_ADDR";

/// Names where the broker of [`ADDRESS_VARIABLE`] serves RabbitMQ's management API, as `host:port`.
pub const MANAGEMENT_VARIABLE: &str = "LEVERET_TEST_MANAGEMENT";

/// Names the `leveret` binary to start.
pub const BINARY_VARIABLE: &str = "LEVERET_BIN";

const START_DEADLINE: Duration = Duration::from_secs(60);

/// Exchanges that RabbitMQ has with plugins, or where its configuration says so.
const EXCHANGES: [(&str, &str); 2] = [
    ("LEVERET_EVENTS_EXCHANGE", "true"),
    ("LEVERET_LOG_EXCHANGE", "true"),
];

/// Runs a command until standard input ends, then kills its group and removes the data folder.
const GUARD: &str = r#"
folder=$1; shift
"$@" </dev/null &
broker=$!
cat >/dev/null
kill -9 $broker
wait $broker 2>/dev/null
rm -rf "$folder"
"#;

/// A broker that was started for this process.
pub struct Broker {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
    /// Where it serves HTTP.
    pub management: SocketAddr,
    data_dir: PathBuf,
    _guard: Child,
    _held: [HeldAddress; 2],
}

impl Broker {
    /// Starts the binary on free ports, with more arguments than the usual ones, and returns when
    /// it accepts connections. It ends when this value is dropped or the process ends.
    pub fn start(binary: &Path, arguments: &[&str]) -> Self {
        Self::start_behind(binary, arguments, b"")
    }

    /// As [`Broker::start`], where every connection has to begin with a header.
    pub fn start_behind(binary: &Path, arguments: &[&str], header: &[u8]) -> Self {
        Self::start_with(binary, arguments, header, &[])
    }

    fn start_with(
        binary: &Path,
        arguments: &[&str],
        header: &[u8],
        variables: &[(&str, &str)],
    ) -> Self {
        let data_dir = tempfile::Builder::new().prefix("leveret-test-").tempdir();
        let data_dir = data_dir.expect("a temporary folder").keep();
        let held = [HeldAddress::new(), HeldAddress::new()];
        let [amqp, management] = held.each_ref().map(|held| **held);
        let log = File::create(data_dir.join("output.log")).expect("a file in our own folder");
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&data_dir)
            .arg(binary)
            .args(["--data-dir".as_ref(), data_dir.join("data").as_os_str()])
            .args(["--amqp-listen", &amqp.to_string()])
            .args(["--management-listen", &management.to_string()])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle to the log"))
            .stderr(log)
            .spawn()
            .expect("sh runs");
        let broker = Self {
            amqp,
            management,
            data_dir,
            _guard: guard,
            _held: held,
        };
        await_answer((amqp, header), START_DEADLINE, &|| broker.output());
        broker
    }

    /// Returns what the broker wrote to its standard output and error so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.data_dir.join("output.log")).unwrap_or_default()
    }
}

/// Returns the address of the broker under test, and starts it if need be.
pub fn address() -> SocketAddr {
    static NAMED: OnceLock<Option<SocketAddr>> = OnceLock::new();
    let named = NAMED.get_or_init(|| {
        let name = env::var(ADDRESS_VARIABLE).ok()?;
        let mut addresses = name
            .to_socket_addrs()
            .expect("LEVERET_TEST_ADDR is host:port");
        Some(addresses.next().expect("LEVERET_TEST_ADDR has an address"))
    });
    named.unwrap_or_else(|| own().amqp)
}

/// Returns where the broker under test serves its management API.
pub fn management() -> SocketAddr {
    let Ok(name) = env::var(MANAGEMENT_VARIABLE) else {
        let is_named = env::var_os(ADDRESS_VARIABLE).is_some();
        assert!(!is_named, "LEVERET_TEST_MANAGEMENT is to be set as well");
        return own().management;
    };
    let mut addresses = name
        .to_socket_addrs()
        .expect("LEVERET_TEST_MANAGEMENT is host:port");
    let first = addresses.next();
    first.expect("LEVERET_TEST_MANAGEMENT has an address")
}

/// Returns the broker that was started for this process; starts it at the first call.
pub fn own() -> &'static Broker {
    static OWN: OnceLock<Broker> = OnceLock::new();
    OWN.get_or_init(|| Broker::start_with(&binary(), &[], b"", &EXCHANGES))
}

/// Returns the `leveret` binary to test: the named one, or the one of this build, built now.
pub fn binary() -> PathBuf {
    if let Some(named) = env::var_os(BINARY_VARIABLE) {
        return named.into();
    }
    let own = env::current_exe().expect("a test knows its own path");
    let folder = own.parent().expect("target/PROFILE/deps/test");
    // A program of this crate, which is no test, is not in deps.
    let profile_dir = match folder.ends_with("deps") {
        true => folder.parent().expect("target/PROFILE/deps"),
        false => folder,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "leveret",
        "--bin",
        "leveret",
    ]);
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    let status = without_package(&mut build)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "leveret does not build");
    profile_dir.join("leveret")
}

/// Has a cargo that this process starts forget what the one that started this process said of its package: it would be news to the build
/// scripts of others, and have them built again with all that is above them.
pub fn without_package(cargo: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Waits until something accepts connections there; shows `output` if nothing does.
pub fn await_listener(address: SocketAddr, deadline: Duration, output: &dyn Fn() -> String) {
    await_answer((address, b""), deadline, output);
}

fn await_answer(
    (address, header): (SocketAddr, &[u8]),
    deadline: Duration,
    output: &dyn Fn() -> String,
) {
    let end = Instant::now() + deadline;
    while Instant::now() < end {
        if answers_behind(address, header) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no broker at {address} after {deadline:?}:\n{}", output());
}

/// Says whether a broker there answers a wrong protocol header, as each AMQP broker does.
pub(crate) fn answers(address: SocketAddr) -> bool {
    answers_behind(address, b"")
}

fn answers_behind(address: SocketAddr, header: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let waits = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut reply = [0; 8];
    waits.is_ok()
        && stream.write_all(header).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x0a\x00").is_ok()
        && stream.read_exact(&mut reply).is_ok()
}
