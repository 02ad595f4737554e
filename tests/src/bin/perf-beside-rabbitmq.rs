//! The same loads of `leveret perf` on a Leveret, where there is one a RabbitMQ, and what of them it can bear on a relay that does the least for the same
//! bytes: each on loopback, with a folder of its own, one after the other. Prints a table and writes it with a chart into the folder that is named.
//!
//! `cargo xtask perf` builds a release and runs this. `LEVERET_BIN` names the binary, which generates the load as well.
//! Exit code 0: all loads ran and no message was lost, doubled or damaged; 1: not so; 2: it could not be run.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use leveret_tests::broker::{Broker, binary};
use leveret_tests::chart::{Group, draw, grouped};
use leveret_tests::rabbitmq::RabbitMq;
use leveret_tests::relay::Relay;
use serde_json::Value;

/// A load, and which figure of its report is compared.
struct Load {
    title: &'static str,
    words: &'static str,
    figure: &'static str,
    /// Whether a relay that keeps nothing can bear it: one queue, nothing persistent.
    has_ceiling: bool,
}

/// Few, and short: what one sees while working. Times are minutes all together.
const LOADS: [Load; 9] = [
    Load {
        title: "16 B, autoack: messages/s",
        words: "throughput --time 5 --autoack",
        figure: "/received/per_second",
        has_ceiling: true,
    },
    Load {
        title: "16 B, acks by 100: messages/s",
        words: "throughput --time 5 -q 1000 -A 100",
        figure: "/received/per_second",
        has_ceiling: true,
    },
    Load {
        title: "4 producers, queues, consumers: messages/s",
        words: "throughput --time 5 -x 4 -y 4 --queues 4 --autoack",
        figure: "/received/per_second",
        has_ceiling: false,
    },
    Load {
        title: "1 KiB, persistent, confirms: messages/s",
        words: "throughput --time 5 -s 1024 -f persistent -c 1000 -q 1000 -A 100",
        figure: "/received/per_second",
        has_ceiling: false,
    },
    Load {
        title: "16 B, 100 queues, confirms: messages/s",
        words: "throughput --time 5 --queues 100 -c 1000 -q 100 -A 10",
        figure: "/received/per_second",
        has_ceiling: false,
    },
    Load {
        title: "1,000/s, confirms: p99 to delivery, µs",
        words: "latency --time 5 -c 100",
        figure: "/latency_us/p99",
        has_ceiling: true,
    },
    Load {
        title: "1,000/s, persistent: p99 to confirm, µs",
        words: "latency --time 5 -c 100 -f persistent",
        figure: "/confirm_latency_us/p99",
        has_ceiling: false,
    },
    Load {
        title: "backlog of 200,000, drained: messages/s",
        words: "backlog -C 200000 -s 100 -f persistent -c 1000 -q 1000 -A 100",
        figure: "/received/per_second",
        has_ceiling: false,
    },
    Load {
        title: "connections opened/s",
        words: "connections --connections 200 --parallel 4",
        figure: "/opened/per_second",
        has_ceiling: false,
    },
];

/// What a broker showed.
struct Shown {
    name: String,
    figures: Vec<Option<f64>>,
    is_sound: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do if this cannot be written either.
            let _ = writeln!(io::stderr(), "cannot compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<bool> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder =
        folder.ok_or_else(|| io::Error::other("a folder for the results is to be named"))?;
    fs::create_dir_all(&folder)?;
    let program = binary();
    let leveret = Broker::start(&program, &[]);
    let mut shown = vec![load(
        &program,
        leveret.amqp,
        &folder.join("leveret"),
        |_| true,
    )?];
    drop(leveret);
    if RabbitMq::is_installed() {
        let rabbitmq = RabbitMq::start_plain()?;
        shown.push(load(
            &program,
            rabbitmq.amqp,
            &folder.join("rabbitmq"),
            |_| true,
        )?);
    } else {
        writeln!(
            io::stdout(),
            "left out: there is no RabbitMQ on this machine"
        )?;
    }
    let relay = Relay::start()?;
    let of_relay = |load: &Load| load.has_ceiling;
    let ceiling = load(&program, relay.amqp, &folder.join("relay"), of_relay)?;
    shown.push(Shown {
        name: "a bare relay".to_owned(),
        ..ceiling
    });
    let table = table(&shown);
    write!(io::stdout(), "{table}")?;
    fs::write(folder.join("table.txt"), table)?;
    fs::write(folder.join("chart.svg"), chart(&shown))?;
    writeln!(io::stdout(), "\n{}", folder.join("chart.svg").display())?;
    Ok(shown.iter().all(|shown| shown.is_sound))
}

/// Every load on one broker; the reports are kept beside each other.
fn load(
    program: &Path,
    broker: SocketAddr,
    reports: &Path,
    applies: impl Fn(&Load) -> bool,
) -> io::Result<Shown> {
    fs::create_dir_all(reports)?;
    let mut shown = Shown {
        name: String::new(),
        figures: Vec::new(),
        is_sound: true,
    };
    for (number, load) in LOADS.iter().enumerate() {
        if !applies(load) {
            shown.figures.push(None);
            continue;
        }
        writeln!(io::stdout(), "leveret perf {}", load.words)?;
        let output = Command::new(program)
            .args(["perf", "--json", "--uri", &format!("amqp://{broker}")])
            .args(load.words.split(' '))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        shown.is_sound &= output.status.success();
        fs::write(reports.join(format!("{number}.json")), &output.stdout)?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        shown
            .figures
            .push(report.pointer(load.figure).and_then(Value::as_f64));
        let word = |path: &str| {
            report
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        if let (Some(product), Some(version)) = (word("/broker/product"), word("/broker/version")) {
            shown.name = format!("{product} {version}");
        }
    }
    Ok(shown)
}

fn table(shown: &[Shown]) -> String {
    let mut text = format!("\n{:42}", "");
    for shown in shown {
        text.push_str(&format!("{:>18}", shown.name));
    }
    text.push('\n');
    for (number, load) in LOADS.iter().enumerate() {
        text.push_str(&format!("{:42}", load.title));
        for shown in shown {
            let figure = shown.figures.get(number).copied().flatten();
            let figure = figure.map_or_else(|| "-".to_owned(), grouped);
            text.push_str(&format!("{figure:>18}"));
        }
        text.push('\n');
    }
    text
}

fn chart(shown: &[Shown]) -> String {
    let brokers: Vec<String> = shown.iter().map(|shown| shown.name.clone()).collect();
    let groups: Vec<Group> = LOADS
        .iter()
        .enumerate()
        .map(|(number, load)| Group {
            title: load.title.to_owned(),
            values: shown
                .iter()
                .map(|shown| shown.figures.get(number).copied().flatten())
                .collect(),
        })
        .collect();
    draw(
        "leveret perf, on one machine over loopback",
        &brokers,
        &groups,
    )
}
