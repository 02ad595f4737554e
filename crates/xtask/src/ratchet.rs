//! `cargo xtask ratchet`: what one message costs, in instructions and allocations.
//!
//! The program `hotpath` runs connections and shards in one thread, without sockets, and moves COUNT
//! messages. It runs twice under callgrind, with a small and a large COUNT: the difference divided by
//! the difference of the counts is what one more message costs, without the start of the program.
//! Instructions do not depend on how busy the machine is, so a rise is a change in the code; the
//! figures in the ratchet file are those of release builds by the pinned toolchain.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::command::Line;
use crate::figures::{Cost, Figures, PATH, Write};
use crate::workspace::{Workspace, cargo};

mod callgrind;

/// The workloads that `hotpath` knows, and how long callgrind is given for each: the more copies of a
/// message leave, the fewer messages come.
const WORKLOADS: [Workload; 8] = [
    // 16 bytes, transient, one queue, no-ack.
    Workload::new("no-ack"),
    // The same, acked by the consumer 100 at a time.
    Workload::new("manual-ack"),
    // The same, each delivery with an ack of its own.
    Workload::new("ack-each"),
    // A fanout exchange with 10 queues.
    Workload {
        name: "fanout-10",
        counts: [5_000, 15_000],
    },
    // A headers exchange with 100 bindings.
    Workload::new("headers-100"),
    // 1 KiB.
    Workload::new("body-1k"),
    // Persistent, to a durable queue, confirmed, acked 100 at a time.
    Workload::new("confirmed"),
    // The same over 1,000 queues in turn.
    Workload::new("queues-1000"),
];

/// How far a figure may move before it counts as moved.
const TOLERANCE: f64 = 0.03;
/// Less than this is no change, however small the figure is: a buffer that grew once more.
const INSTRUCTIONS_SLACK: f64 = 2.0;
const ALLOCATIONS_SLACK: f64 = 0.005;

struct Workload {
    name: &'static str,
    counts: [u64; 2],
}

impl Workload {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            counts: [20_000, 60_000],
        }
    }
}

/// What to measure, and what to do with the figures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    write: Write,
    /// The program to measure; none for a fresh build.
    driver: Option<PathBuf>,
}

impl Options {
    /// Compares a fresh build with the file.
    pub(crate) const COMPARE: Self = Self {
        write: Write::No,
        driver: None,
    };

    /// Reads the arguments of the command; none where they are wrong.
    pub(crate) fn parse(args: &[&str]) -> Option<Self> {
        let mut options = Self::COMPARE;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--update" => options.write = Write::Yes,
                "--driver" => options.driver = Some(args.next()?.into()),
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Measures every workload and compares it with the ratchet file, or writes it there.
pub(crate) fn run(options: &Options) -> Outcome {
    let workspace = Workspace::load()?;
    let mut figures = Figures::load(&workspace.root)?;
    let driver = match &options.driver {
        Some(driver) => driver.clone(),
        None => build(&workspace)?,
    };
    let folder = workspace.target.join("ratchet");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;

    let mut worse = Vec::new();
    for workload in &WORKLOADS {
        let cost = measure(&driver, workload, &folder)?;
        println!(
            "{:<12}{:>12.1} instructions{:>10.3} allocations per message",
            workload.name, cost.instructions, cost.allocations
        );
        match options.write {
            Write::Yes => {
                figures.workloads.insert(workload.name.to_owned(), cost);
            }
            Write::No => {
                let verdict = compare(workload.name, figures.workloads.get(workload.name), cost);
                verdict.better.iter().for_each(|text| println!("{text}"));
                worse.extend(verdict.worse);
            }
        }
    }
    if options.write == Write::Yes {
        figures
            .workloads
            .retain(|name, _| WORKLOADS.iter().any(|known| known.name == name));
        figures.save(&workspace.root)?;
    }
    if worse.is_empty() {
        Ok(())
    } else {
        Err(worse.join("\n"))
    }
}

fn build(workspace: &Workspace) -> Outcome<PathBuf> {
    cargo(&[
        "build",
        "--release",
        "-p",
        "leveret-tests",
        "--bin",
        "hotpath",
    ])
    .within(&workspace.root)
    .run()?;
    Ok(workspace.target.join("release/hotpath"))
}

/// The cost of one more message of a workload.
fn measure(driver: &Path, workload: &Workload, folder: &Path) -> Outcome<Cost> {
    let [few, many] = workload.counts;
    let before = measure_once(driver, workload.name, few, folder)?;
    let after = measure_once(driver, workload.name, many, folder)?;
    per_message(before, after, many - few)
        .ok_or_else(|| format!("{}: {many} messages cost less than {few}", workload.name))
}

#[derive(Clone, Copy)]
struct Totals {
    instructions: u64,
    allocations: u64,
}

fn measure_once(driver: &Path, name: &str, count: u64, folder: &Path) -> Outcome<Totals> {
    let file = folder.join(format!("{name}.{count}.callgrind"));
    let out = format!("--callgrind-out-file={}", file.display());
    let driver = driver.display().to_string();
    let count = count.to_string();
    let args = ["--quiet", "--tool=callgrind", &out, &driver, name, &count];
    let line = Line::new("valgrind", &args);
    let output = line.output()?;
    let allocations = allocations(&output)
        .ok_or_else(|| format!("`{line}` did not print `allocations N`:\n{output}"))?;
    let profile = std::fs::read_to_string(&file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let instructions = callgrind::instructions(&profile)
        .ok_or_else(|| format!("{} tells no total of instructions", file.display()))?;
    Ok(Totals {
        instructions,
        allocations,
    })
}

fn allocations(output: &str) -> Option<u64> {
    output.lines().find_map(|line| {
        line.trim()
            .strip_prefix("allocations ")?
            .trim()
            .parse()
            .ok()
    })
}

fn per_message(before: Totals, after: Totals, messages: u64) -> Option<Cost> {
    let share = |before: u64, after: u64| Some(after.checked_sub(before)? as f64 / messages as f64);
    Some(Cost {
        instructions: share(before.instructions, after.instructions)?,
        allocations: share(before.allocations, after.allocations)?,
    })
}

/// What a comparison says, a line for each figure that moved.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    worse: Vec<String>,
    better: Vec<String>,
}

fn compare(name: &str, known: Option<&Cost>, now: Cost) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(known) = known else {
        let line = format!("{PATH} has no {name}: `cargo xtask ratchet --update` and commit");
        verdict.worse.push(line);
        return verdict;
    };
    for (what, known, now, slack) in [
        (
            "instructions",
            known.instructions,
            now.instructions,
            INSTRUCTIONS_SLACK,
        ),
        (
            "allocations",
            known.allocations,
            now.allocations,
            ALLOCATIONS_SLACK,
        ),
    ] {
        let margin = (known * TOLERANCE).max(slack);
        if now > known + margin {
            verdict.worse.push(format!(
                "{name}: {what} per message rose from {known:.3} to {now:.3}; if that is worth it, \
                 `cargo xtask ratchet --update` and say why in the commit"
            ));
        } else if now < known - margin {
            verdict.better.push(format!(
                "{name}: {what} per message fell from {known:.3} to {now:.3}: keep it with \
                 `cargo xtask ratchet --update`"
            ));
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
