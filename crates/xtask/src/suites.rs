//! `cargo xtask suites`: the tests that client libraries ship in their source packages, against Leveret and against RabbitMQ.
//!
//! They come from the registries of their languages, and each suite runs twice, beside a broker of its own in a sandbox without a network. What RabbitMQ
//! passes Leveret has to pass, but for what `tests/suite-differences.toml` says. What was printed stays under the target folder, in `suites`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use crate::Outcome;
use crate::setup;
use crate::workspace::{Workspace, cargo};
use list::{Difference, Suite};
use sandbox::Broker;

mod compare;
mod fetch;
mod list;
mod results;
mod sandbox;

/// What the sandbox is made with. The server is not started by being installed.
const PACKAGES: [&str; 3] = ["iproute2", "openssl", "rabbitmq-server"];

/// Runs these suites; all of them where none is named.
pub(crate) fn run(names: &[&str]) -> Outcome {
    let workspace = Workspace::load()?;
    let differences = list::differences(&workspace.root)?;
    let suites = chosen(list::suites(&workspace.root)?, names)?;
    setup::require(&PACKAGES)?;
    let leveret = Broker::Leveret(binary(&workspace)?);
    let mut failed = Vec::new();
    for suite in &suites {
        let sentences =
            hold(suite, &workspace, &leveret, &differences).unwrap_or_else(|error| vec![error]);
        for sentence in &sentences {
            println!("  {sentence}");
        }
        if !sentences.is_empty() {
            failed.push(suite.name.as_str());
        }
    }
    let passed = suites.len() - failed.len();
    println!("\nsuites: {passed} passed, {} failed", failed.len());
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not as they should be: {}", failed.join(", "))),
    }
}

/// The suites of these names, in the order of the list.
fn chosen(mut suites: Vec<Suite>, names: &[&str]) -> Outcome<Vec<Suite>> {
    let known: BTreeSet<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("there is no suite {unknown}; there are {known}"));
    }
    suites.retain(|suite| names.is_empty() || names.contains(&suite.name.as_str()));
    Ok(suites)
}

/// The broker to run them against: the one that `LEVERET_BIN` names, or a release build of now.
fn binary(workspace: &Workspace) -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("LEVERET_BIN") {
        return Ok(named.into());
    }
    let build = ["build", "--quiet", "--release", "-p", "leveret"];
    cargo(&build).within(&workspace.root).run()?;
    Ok(workspace.target.join("release/leveret"))
}

/// Runs a suite against both brokers; what is not as it should be.
fn hold(
    suite: &Suite,
    workspace: &Workspace,
    leveret: &Broker,
    differences: &[Difference],
) -> Outcome<Vec<String>> {
    println!("\n=== {}", suite.name);
    let source = fetch::fetch(suite, workspace)?;
    let run = |broker: &Broker| {
        let start = Instant::now();
        let results = sandbox::run(suite, &source, broker, workspace)?;
        let (passed, failed) = (results.passed.len(), results.failed.len());
        let (name, secs) = (broker.name(), start.elapsed().as_secs());
        println!("{name:<9} {passed:>4} passed, {failed:>3} failed, in {secs} s");
        Ok::<_, String>(results)
    };
    let (rabbitmq, leveret) = (run(&Broker::RabbitMq)?, run(leveret)?);
    Ok(compare::disagreements(
        suite,
        &rabbitmq,
        &leveret,
        differences,
    ))
}
