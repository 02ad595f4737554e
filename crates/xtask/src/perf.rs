//! `cargo xtask perf`: a release build and, where it is installed, RabbitMQ under the same loads.
//!
//! The loads and the brokers are the business of `tests/src/bin/perf-beside-rabbitmq.rs`; here it is built and started. Figures are of this
//! machine at this moment: they are for comparing, and nothing fails because of them.

use crate::Outcome;
use crate::workspace::{Workspace, cargo};

/// Builds both programs, and runs the loads.
pub(crate) fn run() -> Outcome {
    let workspace = Workspace::load()?;
    cargo(&["build", "--release", "--package", "leveret"]).run()?;
    let binary = workspace.target.join("release/leveret");
    let results = workspace.target.join("perf").display().to_string();
    let words = [
        "run",
        "--quiet",
        // The relay that it has is part of the comparison.
        "--release",
        "--package",
        "leveret-tests",
        "--bin",
        "perf-beside-rabbitmq",
        "--",
        &results,
    ];
    cargo(&words)
        .env("LEVERET_BIN", binary.display().to_string())
        .run()
}
