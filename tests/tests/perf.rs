//! `leveret perf` against a running broker: what it counts adds up, what it misses it says, and nothing is left of it.
//!
//! Any broker of AMQP 0-9-1 will do that has RabbitMQ's management API, which is how one sees what is left:
//! `cargo run -p leveret-tests --bin against-rabbitmq perf::`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

use leveret_tests::address::HeldAddress;
use leveret_tests::broker;
use leveret_tests::client::unique;
use leveret_tests::http::Http;
use leveret_tests::node::Node;
use leveret_tests::relay::Relay;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A vhost for one test, in which only it declares.
struct Vhost {
    name: String,
    api: Http,
}

impl Vhost {
    fn new() -> Vhost {
        let (name, api) = (unique("perf-vhost"), Http::guest(broker::management()));
        api.put(&format!("/vhosts/{name}"), &json!({}));
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        api.put(&format!("/permissions/{name}/guest"), &all);
        Vhost { name, api }
    }

    fn command(&self, words: &[&str]) -> Command {
        let uri = format!("amqp://guest:guest@{}/{}", broker::address(), self.name);
        let mut command = Command::new(broker::binary());
        command
            .args(["perf", "--json"])
            .args(words)
            .env("LEVERET_PERF_URI", uri)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words).spawn().expect("the program runs")
    }

    /// What it reports, and its exit code.
    #[track_caller]
    fn report(&self, words: &[&str]) -> (Value, i32) {
        let output = self.command(words).output().expect("the program runs");
        let report = report_of(&output);
        (report, output.status.code().expect("it ended by itself"))
    }

    /// What it reports; all has to be well.
    #[track_caller]
    fn sound(&self, words: &[&str]) -> Value {
        let (report, code) = self.report(words);
        assert_eq!(code, 0, "{report:#}");
        report
    }

    /// What it says of why it failed.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).expect("it prints text")
    }

    fn queues(&self) -> Vec<Value> {
        let queues = self.api.get(&format!("/queues/{}", self.name));
        queues.as_array().expect("a list").clone()
    }
}

impl Drop for Vhost {
    /// Nothing may be left of what ran here.
    fn drop(&mut self) {
        let queues = self.queues();
        let exchanges = self.api.get(&format!("/exchanges/{}", self.name));
        let names = exchanges.as_array().expect("a list").iter();
        let ours = names.filter(|one| {
            one["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("perf-"))
        });
        let ours = ours.count();
        self.api.delete(&format!("/vhosts/{}", self.name));
        if !std::thread::panicking() {
            assert_eq!((queues, ours), (Vec::new(), 0));
        }
    }
}

#[track_caller]
fn report_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Published, received, lost, doubled, damaged.
fn counts(report: &Value) -> [u64; 5] {
    let check = &report["check"];
    [
        &report["published"]["messages"],
        &report["received"]["messages"],
        &check["lost"],
        &check["doubled"],
        &check["damaged"],
    ]
    .map(|count| count.as_u64().expect("a number"))
}

#[test]
fn throughput_counts_what_it_publishes() {
    let vhost = Vhost::new();
    let report = vhost.sound(&["throughput", "--time", "1"]);
    let [published, received, rest @ ..] = counts(&report);
    assert!(published > 0, "{report:#}");
    assert_eq!((received, rest), (published, [0, 0, 0]), "{report:#}");
    assert_eq!(report["check"]["by"], "number");
    assert_eq!(report["check"]["outcome"], "sound");
    let seconds = report["samples"].as_array().expect("a list");
    assert!(!seconds.is_empty(), "{report:#}");
}

#[test]
fn producers_and_consumers_share_queues() {
    let vhost = Vhost::new();
    for [producers, consumers, queues] in [["3", "2", "2"], ["2", "3", "1"], ["1", "2", "5"]] {
        let report = vhost.sound(&[
            "throughput",
            "--producers",
            producers,
            "--consumers",
            consumers,
            "--queues",
            queues,
            "--pmessages",
            "2000",
            "--qos",
            "100",
            "--multi-ack-every",
            "10",
            "--confirm",
            "50",
        ]);
        let published = 2000 * producers.parse::<u64>().expect("a number");
        assert_eq!(counts(&report), [published, published, 0, 0, 0]);
        assert_eq!(report["confirmed"]["messages"], published);
        assert_eq!(report["confirm_latency_us"]["count"], published);
    }
}

#[test]
fn bodies_of_every_size_come_as_they_were() {
    let vhost = Vhost::new();
    for (size, by) in [
        ("0", "count"),
        ("7", "count"),
        ("8", "number"),
        ("300000", "number"),
    ] {
        let report = vhost.sound(&["throughput", "-s", size, "-C", "50", "--autoack"]);
        assert_eq!(counts(&report), [50, 50, 0, 0, 0], "{size}");
        assert_eq!(report["check"]["by"], by, "{size}");
    }
}

#[test]
fn latency_times_every_message_at_its_rate() {
    let vhost = Vhost::new();
    let report = vhost.sound(&[
        "latency",
        "--rate",
        "200",
        "--pmessages",
        "100",
        "--confirm",
        "10",
        "--flag",
        "persistent",
    ]);
    assert_eq!(counts(&report), [100, 100, 0, 0, 0]);
    for times in [&report["latency_us"], &report["confirm_latency_us"]] {
        assert_eq!(times["count"], 100);
        let at = |name: &str| times[name].as_f64().expect("a number");
        assert!(0.0 < at("min") && at("min") <= at("p50") && at("p50") <= at("max"));
    }
    // 99 waits of 5 ms lie between the first message and the last.
    let seconds = report["published"]["seconds"].as_f64().expect("a number");
    assert!(seconds >= 0.49, "{seconds}");
}

#[test]
fn a_backlog_is_published_and_then_consumed() {
    let vhost = Vhost::new();
    let report = vhost.sound(&[
        "backlog", "-C", "5000", "-x", "2", "-y", "2", "--qos", "100",
    ]);
    assert_eq!(counts(&report), [10_000, 10_000, 0, 0, 0]);
}

#[test]
fn what_nobody_consumes_is_left_in_its_queue() {
    let vhost = Vhost::new();
    let report = vhost.sound(&["throughput", "-y", "0", "-C", "500", "--confirm", "100"]);
    assert_eq!(report["check"]["ready"], 500);
    assert_eq!(report["check"]["outcome"], "unchecked");
}

#[test]
fn what_the_broker_drops_is_lost_and_what_it_refuses_is_not() {
    let vhost = Vhost::new();
    let dropped = ["backlog", "-C", "100", "--queue-args", "x-max-length=10"];
    let (report, code) = vhost.report(&dropped);
    assert_eq!((counts(&report), code), ([100, 10, 90, 0, 0], 1));
    assert_eq!(report["check"]["outcome"], "wrong");
    let report = vhost.sound(&[
        "backlog",
        "-C",
        "100",
        "--confirm",
        "1",
        "--queue-args",
        "x-max-length=10,x-overflow=reject-publish",
    ]);
    let nacked = report["check"]["nacked"].as_u64().expect("a number");
    assert!(nacked >= 80, "{report:#}");
    assert_eq!(counts(&report), [100, 100 - nacked, 0, 0, 0]);
}

#[test]
fn connections_open_hold_and_close() {
    let vhost = Vhost::new();
    let report = vhost.sound(&["connections", "--connections", "20", "--parallel", "3"]);
    let messages = |name: &str| report[name]["messages"].clone();
    assert_eq!(
        (messages("opened"), messages("closed")),
        (json!(20), json!(20))
    );
    assert_eq!(report["open_us"]["count"], 20);
}

#[test]
fn a_message_goes_through_each_of_many_queues() {
    let vhost = Vhost::new();
    let report = vhost.sound(&["queues", "--queues", "30", "--parallel", "4"]);
    let steps = report["steps"].as_array().expect("a list");
    let done: Vec<_> = steps
        .iter()
        .map(|step| (step["step"].clone(), step["done"]["messages"].clone()))
        .collect();
    let names = ["declare", "bind", "publish and get", "delete"];
    let expected = names.map(|name| (json!(name), json!(30)));
    assert_eq!(done, expected);
}

#[test]
fn what_the_broker_says_is_told() {
    let vhost = Vhost::new();
    let told = vhost.refused(&["throughput", "--queue-args", "x-max-length=many", "-C", "1"]);
    assert!(told.contains("406 PRECONDITION_FAILED - "), "{told}");
    assert!(told.contains("x-max-length"), "{told}");
    let told = vhost.refused(&["queues", "--queue-args", "x-max-length=many"]);
    assert!(told.contains("406 PRECONDITION_FAILED - "), "{told}");
    let wrong = format!("amqp://guest:wrong@{}", broker::address());
    let told = vhost.refused(&["connections", "--uri", &wrong]);
    assert!(told.contains("403 ACCESS_REFUSED"), "{told}");
    let nobody = HeldAddress::new();
    let nowhere = format!("amqp://{}", *nobody);
    let told = vhost.refused(&["latency", "--uri", &nowhere]);
    assert!(told.contains("cannot connect"), "{told}");
}

#[test]
fn a_queue_that_somebody_deletes_ends_the_run() {
    let vhost = Vhost::new();
    let mut child = vhost.start(&["throughput", "--time", "0", "--rate", "100"]);
    await_progress(&mut child);
    for queue in vhost.queues() {
        let name = queue["name"].as_str().expect("a name");
        vhost.api.delete(&format!("/queues/{}/{name}", vhost.name));
    }
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("cancelled the consumer of queue perf-"),
        "{told}"
    );
}

/// What was declared goes when the vhost is dropped, or the test fails.
#[test]
fn an_interrupt_ends_the_run_and_leaves_nothing() {
    let vhost = Vhost::new();
    let mut child = vhost.start(&["throughput", "--time", "0", "--queues", "3", "--qos", "50"]);
    await_progress(&mut child);
    assert_eq!(vhost.queues().len(), 3);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("our own child");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report_of(&output);
    assert_eq!(report["check"]["outcome"], "unchecked");
    assert_eq!(report["check"]["lost"], Value::Null);
    assert!(report["received"]["messages"].as_u64() > Some(0));
}

#[test]
fn a_broker_that_is_killed_ends_the_run() {
    let node = Node::new();
    let broker = node.start();
    let mut child = Command::new(broker::binary())
        .args(["perf", "throughput", "--time", "0", "--qos", "50"])
        .env("LEVERET_PERF_URI", format!("amqp://{}", broker.amqp))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    await_progress(&mut child);
    broker.kill();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().last().expect("a line");
    assert!(last.starts_with("leveret: the "), "{told}");
}

/// Waits for the first line of progress. What it says later is read as it ends.
#[track_caller]
fn await_progress(child: &mut Child) {
    let mut lines = BufReader::with_capacity(1, child.stderr.as_mut().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    if !line.contains("published") {
        let _ = lines.read_to_string(&mut line);
        panic!("no progress, but {line}");
    }
}

#[test]
fn the_relay_that_brokers_are_seen_beside_loses_nothing() {
    let relay = Relay::start().expect("a free port");
    for words in ["--autoack", "-q 100 -A 10 -c 50", "-s 70000 --autoack"] {
        let output = Command::new(broker::binary())
            .args(["perf", "throughput", "--json", "-C", "2000"])
            .args(words.split(' '))
            .args(["--uri", &format!("amqp://{}", relay.amqp)])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{words}: {output:?}");
        assert_eq!(report_of(&output)["received"]["messages"], 2000, "{words}");
    }
}
