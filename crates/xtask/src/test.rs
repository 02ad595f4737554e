//! `cargo xtask test`: every check and all tests, the fast ones first.
//!
//! Tiers: checks that build nothing that runs; quick tests, which need no socket and no other
//! program; tests over sockets with this project's and other people's clients against a release
//! build; faults of processes and disks; what a message costs. What takes longer than a person waits is a command of its own.

use crate::Outcome;
use crate::command::{Line, find_program};
use crate::figures::Write;
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};
use crate::{ratchet, setup, tidy};

/// The tests of what the broker promises when things go wrong.
const FAULTS: &str = "faults::";

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tiers {
    /// To the quick tests.
    Quick,
    /// To the end.
    All,
}

/// Runs the tiers in order. Where `CI` is `true`, nothing may be left out but what the machine does not permit, which is told.
pub(crate) fn run(tiers: Tiers) -> Outcome {
    let workspace = Workspace::load()?;
    let mut steps = Steps::new(std::env::var("CI").is_ok_and(|value| value == "true"));
    quick(&mut steps, &workspace)?;
    if tiers == Tiers::All {
        clients(&mut steps, &workspace)?;
    }
    println!("\n{}", steps.summary());
    Ok(())
}

fn quick(steps: &mut Steps, workspace: &Workspace) -> Outcome {
    run_line(steps, workspace, "fmt", cargo(&["fmt", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "leveret-store/sim",
        "--",
        "-D",
        "warnings",
    ];
    run_line(steps, workspace, "clippy", cargo(&clippy))?;
    steps.step("tidy", "cargo xtask tidy", || tidy::run(Write::No))?;
    let test = ["test", "--workspace", "--exclude", "leveret-tests"];
    run_line(steps, workspace, "quick tests", cargo(&test))
}

fn clients(steps: &mut Steps, workspace: &Workspace) -> Outcome {
    let whole = "cargo xtask test";
    steps.setup("packages", whole, setup::packages)?;
    steps.setup("python", whole, || setup::python(workspace))?;
    steps.setup("node", whole, || setup::node(workspace))?;
    let build = ["build", "--release", "-p", "leveret"];
    run_line(steps, workspace, "release build", cargo(&build))?;

    let binary = workspace.target.join("release/leveret");
    let binary = binary.display().to_string();
    let mut test = vec!["test", "-p", "leveret-tests", "--", "--skip", FAULTS];
    test.extend(steps.skips());
    let test = cargo(&test).env("LEVERET_BIN", &binary);
    run_line(steps, workspace, "client tests", test)?;

    steps.setup("disks", whole, || setup::disks(workspace))?;
    let mut test = vec!["test", "-p", "leveret-tests", "--", FAULTS];
    test.extend(steps.skips());
    let test = cargo(&test).env("LEVERET_BIN", binary);
    run_line(steps, workspace, "fault tests", test)?;

    // Where it is missing, the step that installs packages has said so.
    if find_program("valgrind").is_some() {
        let compare = || ratchet::run(&ratchet::Options::COMPARE);
        steps.step("ratchet", "cargo xtask ratchet", compare)?;
    }
    Ok(())
}

fn run_line(steps: &mut Steps, workspace: &Workspace, name: &str, line: Line) -> Outcome {
    let line = line.within(&workspace.root);
    steps.step(name, &line.to_string(), || line.run())
}
