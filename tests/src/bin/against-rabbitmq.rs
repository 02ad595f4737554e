//! Runs the conformance suite against a RabbitMQ node of its own and compares what fails with the
//! list of accepted differences.
//!
//! `cargo run -p leveret-tests --bin against-rabbitmq [FILTER]`; a filter narrows the tests, and
//! then only shows their result. `LEVERET_TEST_ADDR` names a running node to use instead,
//! and `LEVERET_TEST_MANAGEMENT` its management API.
//! Exit code 0: all as listed; 1: something differs; 2: the suite could not be run.

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use leveret_tests::alone::{ALONE_VARIABLE, RABBITMQ};
use leveret_tests::broker::{ADDRESS_VARIABLE, MANAGEMENT_VARIABLE, without_package};
use leveret_tests::differences::{Outcome, accepted};
use leveret_tests::rabbitmq::RabbitMq;

/// Most tests wait for the broker more than they work.
const TEST_THREADS: &str = "--test-threads=8";

fn main() -> ExitCode {
    run().unwrap_or_else(|e| {
        // Nothing is left to do if this cannot be written either.
        let _ = writeln!(io::stderr(), "cannot run the suite against RabbitMQ: {e}");
        ExitCode::from(2)
    })
}

fn run() -> io::Result<ExitCode> {
    let filter = std::env::args().nth(1);
    let named = std::env::var(ADDRESS_VARIABLE).ok();
    let node = named.is_none().then(RabbitMq::start).transpose()?;
    let address = node
        .as_ref()
        .map(|node| node.amqp.to_string())
        .or(named)
        .unwrap_or_default();
    let mut stdout = io::stdout();
    writeln!(stdout, "conformance against RabbitMQ at {address}")?;

    let mut list = accepted();
    let tests = filter.as_deref().unwrap_or("conformance::");
    let not_asked = list.not_asked.iter();
    let skipped = not_asked.flat_map(|not_asked| ["--skip", &not_asked.test]);
    let management = node.as_ref().and_then(|node| node.management);
    let management = management.map(|address| (MANAGEMENT_VARIABLE, address.to_string()));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = without_package(&mut cargo)
        .args([
            "test",
            "--quiet",
            "--package",
            "leveret-tests",
            "--test",
            "main",
            "--",
            tests,
        ])
        .args([TEST_THREADS, "--format=pretty"])
        .args(skipped)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env(ADDRESS_VARIABLE, &address)
        .env(ALONE_VARIABLE, RABBITMQ)
        .envs(management)
        .stderr(Stdio::inherit())
        .output()?;
    let outcome = Outcome::read(&String::from_utf8_lossy(&output.stdout));
    if filter.is_some() {
        let differences = &mut list.difference;
        differences.retain(|difference| difference.test.contains(tests));
    }
    let disagreements = outcome.disagreements(&list.difference);
    report(
        &mut stdout,
        &list.rabbitmq_version,
        &outcome,
        &disagreements,
    )
}

fn report(
    out: &mut impl Write,
    version: &str,
    outcome: &Outcome,
    disagreements: &[String],
) -> io::Result<ExitCode> {
    let (passed, failed) = (outcome.passed.len(), outcome.failed.len());
    if passed + failed == 0 {
        return Err(io::Error::other("no test ran"));
    }
    for sentence in disagreements {
        writeln!(out, "\n{sentence}")?;
    }
    writeln!(
        out,
        "{passed} tests passed, {failed} failed; the list is about {version};"
    )?;
    writeln!(out, "{} disagreements with it", disagreements.len())?;
    Ok(if disagreements.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
