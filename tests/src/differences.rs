//! The accepted differences between RabbitMQ and this broker: which conformance tests RabbitMQ
//! fails, how, and why we do otherwise.
//!
//! They are kept in one file, `conformance-differences.toml`. The list is checked in both
//! directions: a test that fails and is not listed is a mistake in the test or news about RabbitMQ;
//! a test that is listed and passes, or fails in another way, is a stale entry.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One test that RabbitMQ fails as expected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The test's full name.
    pub test: String,
    /// What RabbitMQ does, in words.
    pub rabbitmq: String,
    /// What we do, in words.
    pub leveret: String,
    /// Why we do otherwise.
    pub why: String,
    /// What the output of the failing test must contain.
    pub shows: String,
    /// RabbitMQ passes the test at times: its answer depends on how its processes are scheduled.
    #[serde(default)]
    pub sometimes: bool,
}

/// A test that is about this broker alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotAsked {
    /// The test's full name.
    pub test: String,
    /// Why RabbitMQ is not put to it.
    pub why: String,
}

/// What is known of RabbitMQ.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The version that it is about.
    pub rabbitmq_version: String,
    /// The tests that are not run.
    pub not_asked: Vec<NotAsked>,
    /// The tests that fail.
    pub difference: Vec<Difference>,
}

/// The outcome of one run of the test binary.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The tests that passed.
    pub passed: Vec<String>,
    /// The tests that failed, with what they printed.
    pub failed: BTreeMap<String, String>,
}

/// Returns the list.
pub fn accepted() -> List {
    toml::from_str(include_str!("../conformance-differences.toml"))
        .expect("conformance-differences.toml is well formed")
}

impl Outcome {
    /// Reads what the standard test harness prints.
    pub fn read(output: &str) -> Self {
        let mut outcome = Self::default();
        let mut printing: Option<String> = None;
        for line in output.lines() {
            if line == "failures:" || line.starts_with("test result:") {
                printing = None;
            } else if let Some(name) = between(line, "---- ", " stdout ----") {
                printing = Some(name.to_owned());
            } else if let Some(name) = between(line, "test ", " ... ok") {
                outcome.passed.push(name.to_owned());
            } else if let Some(name) = between(line, "test ", " ... FAILED") {
                outcome.failed.insert(name.to_owned(), String::new());
            } else if let Some(name) = &printing {
                let text = outcome.failed.entry(name.clone()).or_default();
                text.push_str(line);
                text.push('\n');
            }
        }
        outcome
    }

    /// Returns a sentence for each disagreement with the list; none if all is as listed.
    pub fn disagreements(&self, accepted: &[Difference]) -> Vec<String> {
        let mut sentences = Vec::new();
        for difference in accepted {
            let Difference {
                test,
                shows,
                sometimes,
                ..
            } = difference;
            match self.failed.get(test) {
                None if *sometimes && self.passed.contains(test) => {}
                None if self.passed.contains(test) => {
                    sentences.push(format!("{test} is listed as a difference, and passes"));
                }
                None => sentences.push(format!("{test} is listed as a difference, and never ran")),
                Some(output) if !output.contains(shows) => sentences.push(format!(
                    "{test} fails otherwise than listed, {shows:?} is not in:\n{output}"
                )),
                Some(_) => {}
            }
        }
        for (test, output) in &self.failed {
            if !accepted.iter().any(|difference| &difference.test == test) {
                sentences.push(format!("{test} fails, and is not listed:\n{output}"));
            }
        }
        sentences
    }
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.strip_suffix(after)
}

#[cfg(test)]
mod tests;
