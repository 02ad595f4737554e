//! One flow through everything that clients are used for, which each client's program goes through by itself: declare, bind, confirm, return,
//! prefetch, reject, cancel, a broker that is killed and comes back, a broker that blocks publishers, TLS.
//!
//! A program is given an AMQP URI, one with TLS, and the file of the authority behind the latter's certificate. Where it needs something done to the broker,
//! it prints `do kill`, `do block` or `do unblock`, and goes on when it reads `done`. At its end it prints `ok flow`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use leveret_tests::address::HeldAddress;
use leveret_tests::http::Http;
use leveret_tests::node::{Node, Running};
use leveret_tests::tls::Authority;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// The host that the broker's certificate is for.
const HOST: &str = "localhost";

/// No program takes longer.
const DEADLINE: Duration = Duration::from_secs(180);

/// Runs a program through the flow, on a broker of its own.
///
/// Panics where the program fails, with what it says.
pub(super) fn run(command: &mut Command) {
    let authority = Authority::new();
    let shown = authority.issue(HOST);
    let amqps = HeldAddress::new();
    let node = Node::new().managed().settled().configured(&format!(
        "listeners.amqps = [\"{}\"]\n[tls]\ncert_file = {:?}\nkey_file = {:?}\n",
        *amqps, shown.certificate, shown.key,
    ));
    let mut broker = node.start();
    let plain = format!("amqp://guest:guest@127.0.0.1:{}/%2f", broker.amqp.port());
    let encrypted = format!("amqps://guest:guest@{HOST}:{}/%2f", amqps.port());
    let mut program = command
        .args([plain, encrypted])
        .arg(authority.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let _end = Watchdog::over(program.id());
    let mut input = program.stdin.take().expect("it is piped");
    let output = program.stdout.take().expect("it is piped");
    let mut printed = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.expect("it prints text");
        eprintln!("{line}");
        if let Some(wanted) = line.strip_prefix("do ") {
            broker = carry_out(wanted, &node, broker);
            writeln!(input, "done").expect("it reads what it asked for");
        }
        printed.push(line);
    }
    let ended = program.wait().expect("our own child");
    assert!(
        ended.success(),
        "{command:?}: {ended}\n{}",
        printed.join("\n")
    );
    assert_eq!(printed.last().map(String::as_str), Some("ok flow"));
}

fn carry_out(wanted: &str, node: &Node, broker: Running) -> Running {
    let api = Http::guest(broker.management());
    let alarm = "/leveret/alarms/memory";
    match wanted {
        "kill" => {
            broker.kill();
            return node.start();
        }
        "block" => assert_eq!(api.put(alarm, &json!({})).0, 204),
        "unblock" => assert_eq!(api.delete(alarm), 204),
        other => panic!("nothing is known of `do {other}`"),
    }
    broker
}

/// Kills a program that does not end in time; what it printed until then fails the test.
struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    fn over(program: u32) -> Self {
        let (ended, ends) = mpsc::channel::<()>();
        thread::spawn(move || {
            let is_late = ends.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
            let program = i32::try_from(program).ok().and_then(Pid::from_raw);
            if let Some(program) = program.filter(|_| is_late) {
                // It may have ended just now.
                let _ = kill_process(program, Signal::KILL);
            }
        });
        Self(Some(ended))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
