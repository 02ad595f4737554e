//! The real program: starts, answers, refuses, and ends as its operator expects.
//!
//! Every broker here has ports and a folder of its own. Nothing waits by the clock: the log says when something happened, and a
//! program that hangs is a test that hangs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A program of this crate that the environment of the tests does not reach.
fn leveret() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_leveret")))
}

fn clean(mut command: Command) -> Command {
    command.env_clear().stdin(Stdio::null());
    command
}

/// A running broker with its log.
struct Daemon {
    child: Child,
    log: BufReader<ChildStderr>,
    amqp: Vec<String>,
    http: String,
    /// The log so far.
    seen: String,
    folder: TempDir,
}

impl Daemon {
    fn start(arguments: &[&str]) -> Daemon {
        Daemon::start_as(leveret(), arguments)
    }

    fn start_as(mut command: Command, arguments: &[&str]) -> Daemon {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut child = command
            .current_dir(folder.path())
            .args(["--management-listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let (amqp, http, seen) = (Vec::new(), String::new(), String::new());
        let mut daemon = Daemon {
            child,
            log,
            amqp,
            http,
            seen,
            folder,
        };
        let listeners = arguments
            .iter()
            .filter(|word| **word == "--amqp-listen")
            .count();
        daemon.http = daemon.listening("http");
        for _ in 0..listeners {
            let address = daemon.listening("amqp");
            daemon.amqp.push(address);
        }
        daemon
    }

    fn listening(&mut self, protocol: &str) -> String {
        let line = self.line_with(&format!("listening protocol=\"{protocol}\" address="));
        line.rsplit('=')
            .next()
            .expect("it ends with the address")
            .to_owned()
    }

    /// Reads the log up to a line with this text.
    fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).expect("the log is UTF-8") != 0 {
            self.seen.push_str(&line);
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
            line.clear();
        }
        panic!("the log ended without `{text}`:\n{}", self.seen);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill_process(Pid::from_raw(id).expect("not 0"), signal).expect("it runs");
    }

    /// Waits for the end; the exit code and the whole log.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log
            .read_to_string(&mut rest)
            .expect("the log is UTF-8");
        self.seen.push_str(&rest);
        let status = self.child.wait().expect("it is our child");
        (status.code(), std::mem::take(&mut self.seen))
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server says to bytes that are no protocol header it knows, until it closes.
fn greeting(mut stream: impl Read + Write) -> Vec<u8> {
    stream.write_all(b"AMQP\0\0\0\0").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it closes in order");
    answer
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn starts_answers_health_and_ends_on_sigterm() {
    let mut daemon = Daemon::start(&["--amqp-listen", "127.0.0.1:0"]);
    let answer = daemon.get("/health");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
    assert!(daemon.folder.path().join("leveret-data").is_dir());

    daemon.signal(Signal::TERM);
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("data folder is open"), "{log}");
    assert!(log.contains("signal=\"SIGTERM\""), "{log}");
    for address in [&daemon.amqp[0], &daemon.http] {
        assert!(
            TcpStream::connect(address).is_err(),
            "{address} is still open"
        );
    }
}

#[test]
fn ends_on_sigint_too() {
    let mut daemon = Daemon::start(&["--amqp-listen", "127.0.0.1:0"]);
    daemon.signal(Signal::INT);
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn every_listener_speaks_amqp() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("amqp.sock");
    let unix = format!("unix:{}", path.display());
    let mut daemon = Daemon::start(&["--amqp-listen", "127.0.0.1:0", "--amqp-listen", &unix]);
    assert_eq!(daemon.amqp[1], unix);
    let by_tcp = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    assert_eq!(greeting(by_tcp), b"AMQP\0\0\x09\x01");
    assert_eq!(
        greeting(UnixStream::connect(&path).expect("it listens")),
        b"AMQP\0\0\x09\x01"
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_silent_client_holds_up_the_end_no_longer_than_told() {
    let mut command = leveret();
    command
        .env("LEVERET_LIMITS_HANDSHAKE_TIMEOUT_SECS", "3600")
        .env("LEVERET_SHUTDOWN_WAIT_SECS", "1");
    let mut daemon = Daemon::start_as(command, &["--amqp-listen", "127.0.0.1:0"]);
    let mut silent = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    // Connections are accepted in order: an answer on a later one tells that the silent one was.
    let later = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    assert_eq!(greeting(later), b"AMQP\0\0\x09\x01");
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(silent.read(&mut [0; 16]).expect("closed in order"), 0);
}

#[test]
fn a_taken_port_is_named_and_nothing_is_started() {
    let first = Daemon::start(&["--amqp-listen", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (flag, address) in [
        ("--amqp-listen", &first.amqp[0]),
        ("--management-listen", &first.http),
    ] {
        let other = if flag == "--amqp-listen" {
            "--management-listen"
        } else {
            "--amqp-listen"
        };
        let output = leveret()
            .current_dir(folder.path())
            .args([flag, address, other, "127.0.0.1:0"])
            .output()
            .expect("the program is built");
        let (_, log) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(&format!("cannot listen on {address}: ")),
            "{log}"
        );
        assert!(!folder.path().join("leveret-data").exists(), "it went on");
    }
}

#[test]
fn json_logs_are_json_only() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("data");
    std::fs::write(&file, "").expect("there is room for a file");
    // A data folder that cannot be made: the program ends by itself, with an error in its log.
    let output = leveret()
        .args(["--log-format", "json", "--amqp-listen", "127.0.0.1:0"])
        .args(["--management-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&file)
        .output()
        .expect("the program is built");
    let (_, log) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    for line in log.lines() {
        assert!(
            line.starts_with("{\"timestamp\":\"") && line.ends_with('}'),
            "{line}"
        );
    }
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains("\"level\":\"ERROR\"") && last.contains("data folder"),
        "{last}"
    );
}

#[test]
fn a_bad_configuration_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[limits]\nframe_maxx = 1\n").expect("there is room for a file");
    for command in [&[][..], &["check-config"]] {
        let output = leveret()
            .current_dir(folder.path())
            .args(command)
            .arg("--config")
            .arg(&file)
            .output()
            .expect("the program is built");
        let (_, log) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains("bad.toml:2: limits.frame_maxx: unknown field"),
            "{log}"
        );
        assert!(!folder.path().join("leveret-data").exists(), "it went on");
    }
}

#[test]
fn check_config_accepts_the_shipped_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/leveret.toml");
    let output = leveret()
        .args(["check-config", "--config"])
        .arg(&file)
        .output()
        .expect("the program is built");
    let (out, log) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(
        out.ends_with("leveret.toml: the configuration is good\n"),
        "{out}"
    );
}

#[test]
fn health_tells_a_running_broker_from_none() {
    let ask = |address: &str| {
        let mut command = leveret();
        command
            .env("LEVERET_MANAGEMENT_LISTEN", address)
            .arg("health");
        command.output().expect("the program is built")
    };
    let mut daemon = Daemon::start(&["--amqp-listen", "127.0.0.1:0"]);
    let well = ask(&daemon.http);
    assert_eq!(
        (well.status.code(), text(&well).0),
        (Some(0), "ok\n".to_owned())
    );
    // The address that a container listens on stands for all of its addresses.
    let port = daemon.http.rsplit(':').next().expect("it has a port");
    assert_eq!(ask(&format!("0.0.0.0:{port}")).status.code(), Some(0));

    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
    let gone = ask(&daemon.http);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        text(&gone)
            .1
            .contains(&format!("no answer from {}", daemon.http))
    );
}

#[test]
fn connections_over_the_limit_are_closed_and_places_come_back() {
    let mut command = leveret();
    command.env("LEVERET_LIMITS_CONNECTIONS_MAX", "1");
    let mut daemon = Daemon::start_as(command, &["--amqp-listen", "127.0.0.1:0"]);
    // Connections are accepted in order: the place is the first one's.
    let first = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    let mut second = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    assert_eq!(second.read(&mut [0; 16]).expect("closed in order"), 0);
    daemon.line_with("too many connections");
    drop(first);
    let answered = (0..10_000).any(|_| {
        let mut stream = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
        let mut answer = [0; 8];
        stream.write_all(b"AMQP\0\0\0\0").is_ok() && stream.read_exact(&mut answer).is_ok()
    });
    assert!(answered, "the place did not come back");
}

#[test]
fn running_out_of_descriptors_is_survived() {
    // A shell sets the limit: 40 descriptors, and a connection limit that does not keep within them.
    let mut command = clean(Command::new("/bin/sh"));
    command.env("LEVERET_LIMITS_CONNECTIONS_MAX", "1000");
    command.args([
        "-c",
        "ulimit -n 40; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_leveret"),
    ]);
    let mut daemon = Daemon::start_as(command, &["--amqp-listen", "127.0.0.1:0"]);
    let flood: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(&daemon.amqp[0]).expect("the system queues it"))
        .collect();
    daemon.line_with("accept failed; trying again");
    drop(flood);
    let stream = TcpStream::connect(&daemon.amqp[0]).expect("it listens");
    assert_eq!(greeting(stream), b"AMQP\0\0\x09\x01");
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.matches("accept failed").count() < 5,
        "the log is flooded:\n{log}"
    );
}
