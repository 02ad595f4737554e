//! The steps of a long command: each announced, timed, and the first that fails ends the run with
//! the command that repeats it. A run closes with one line for each step, what was left out, and a
//! line that counts.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::setup::{Lack, LeftOut};

/// A run of steps.
#[derive(Debug)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
    left_out: Vec<LeftOut>,
    /// Whether nothing may be left out that could be had.
    strict: bool,
}

impl Steps {
    /// A run without steps so far. In a strict one, nothing may be left out but what the machine does not permit.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            done: Vec::new(),
            left_out: Vec::new(),
            strict,
        }
    }

    /// Does a step. `repeat` is the command that does it alone.
    pub(crate) fn step(
        &mut self,
        name: &str,
        repeat: &str,
        action: impl FnOnce() -> Outcome,
    ) -> Outcome {
        self.setup(name, repeat, || action().map(|()| Vec::new()))
    }

    /// Does a step that may find that something is not to be had here.
    pub(crate) fn setup(
        &mut self,
        name: &str,
        repeat: &str,
        action: impl FnOnce() -> Outcome<Vec<LeftOut>>,
    ) -> Outcome {
        println!("\n=== {name}: {repeat}");
        let start = Instant::now();
        let outcome = action().and_then(|left_out| self.leave_out(left_out));
        let took = start.elapsed();
        if let Err(error) = outcome {
            let closing = self.closing(Some((name, took)));
            return Err(format!(
                "{error}\n\n{closing}\n{name} failed. To repeat it:\n\n    {repeat}\n"
            ));
        }
        self.done.push((name.to_owned(), took));
        Ok(())
    }

    /// Notes what is left out; where nothing may be, that is an error, unless the machine does not permit it.
    fn leave_out(&mut self, left_out: Vec<LeftOut>) -> Outcome {
        for item in &left_out {
            println!("left out: {}", item.reason);
        }
        let could_be_had = |item: &LeftOut| item.lack == Lack::Program;
        if self.strict && left_out.iter().any(could_be_had) {
            return Err("with CI=true, nothing may be left out that could be had".to_owned());
        }
        self.left_out.extend(left_out);
        Ok(())
    }

    /// The arguments with which `cargo test` leaves out the tests that cannot be run here.
    pub(crate) fn skips(&self) -> Vec<&'static str> {
        let tests = self
            .left_out
            .iter()
            .map(|item| item.tests)
            .filter(|tests| !tests.is_empty());
        let tests = tests.flat_map(|tests| tests.split(' '));
        tests.flat_map(|tests| ["--skip", tests]).collect()
    }

    /// What there is to say when all steps are done.
    pub(crate) fn summary(&self) -> String {
        self.closing(None)
    }

    fn closing(&self, failed: Option<(&str, Duration)>) -> String {
        let mut text = String::new();
        let done = self
            .done
            .iter()
            .map(|(name, took)| (name.as_str(), *took, ""));
        let failed = failed.map(|(name, took)| (name, took, "  FAILED"));
        let failures = usize::from(failed.is_some());
        let mut total = Duration::ZERO;
        for (name, took, note) in done.chain(failed) {
            total += took;
            let seconds = took.as_secs_f64();
            let _ = writeln!(text, "{name:<16}{seconds:>8.1} s{note}");
        }
        let _ = writeln!(text, "{:<16}{:>8.1} s", "all", total.as_secs_f64());
        for item in &self.left_out {
            let _ = writeln!(text, "left out: {}", item.reason);
        }
        let _ = write!(text, "steps: {} passed, {failures} failed", self.done.len());
        if !self.left_out.is_empty() {
            let _ = write!(text, ", {} skipped", self.left_out.len());
        }
        text
    }
}

#[cfg(test)]
mod tests;
