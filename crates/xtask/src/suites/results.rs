//! What came of a suite's tests, read from what its runner printed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Outcome;

/// How a runner tells what came of its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The short summary of pytest with `-rpfE`: `PASSED file::test`, `FAILED file::test - why`.
    Pytest,
    /// `go test -json`.
    Go,
    /// Rust's own harness: `test name ... ok`. A test is named by its file, too.
    Libtest,
    /// Lines of ours: `passed: name`, `failed: name`.
    Verdicts,
}

/// The tests that ran. One that was skipped is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
}

impl Form {
    /// The form that the list calls so.
    pub(crate) fn named(name: &str) -> Outcome<Self> {
        Ok(match name {
            "pytest" => Self::Pytest,
            "go" => Self::Go,
            "libtest" => Self::Libtest,
            "verdicts" => Self::Verdicts,
            other => return Err(format!("there is no form of results {other:?}")),
        })
    }

    /// Reads what was printed.
    pub(crate) fn read(self, printed: &str) -> Results {
        let mut results = Results::default();
        // The file that the tests are in, where it is told once for all of them.
        let mut file = "";
        for line in printed.lines() {
            match self {
                Self::Pytest => results.note(pytest(line)),
                Self::Go => results.note(go(line)),
                Self::Libtest => {
                    file = libtest_file(line).unwrap_or(file);
                    let note = libtest(line);
                    results.note(note.map(|(name, ok)| (format!("{file}::{name}"), ok)));
                }
                Self::Verdicts => results.note(verdict(line)),
            }
        }
        // A test that passed and then broke what it leaves behind has not passed.
        results.passed = &results.passed - &results.failed;
        results
    }
}

impl Results {
    fn note(&mut self, said: Option<(impl Into<String>, bool)>) {
        match said {
            Some((name, true)) => self.passed.insert(name.into()),
            Some((name, false)) => self.failed.insert(name.into()),
            None => false,
        };
    }
}

fn pytest(line: &str) -> Option<(&str, bool)> {
    if let Some(name) = line.strip_prefix("PASSED ") {
        return Some((name, true));
    }
    let broken = line
        .strip_prefix("FAILED ")
        .or_else(|| line.strip_prefix("ERROR "))?;
    // Log lines of programs begin so as well.
    let name = broken.split(" - ").next().filter(|n| n.contains("::"))?;
    Some((name, false))
}

fn go(line: &str) -> Option<(String, bool)> {
    let event: Value = serde_json::from_str(line).ok()?;
    let name = event["Test"].as_str()?.to_owned();
    match event["Action"].as_str()? {
        "pass" => Some((name, true)),
        "fail" => Some((name, false)),
        _ => None,
    }
}

/// `Running tests/a.rs (target/...)`, `Running unittests src/lib.rs (target/...)`.
fn libtest_file(line: &str) -> Option<&str> {
    let told = line.trim_start().strip_prefix("Running ")?;
    let file = told.split(" (").next()?;
    Some(file.strip_prefix("unittests ").unwrap_or(file))
}

fn libtest(line: &str) -> Option<(&str, bool)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match verdict {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

fn verdict(line: &str) -> Option<(&str, bool)> {
    // The test's own last line may not have ended.
    let line = line.trim_start();
    let passed = line.strip_prefix("passed: ").map(|name| (name, true));
    passed.or_else(|| line.strip_prefix("failed: ").map(|name| (name, false)))
}

#[cfg(test)]
mod tests;
