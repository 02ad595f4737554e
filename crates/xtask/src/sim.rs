//! `cargo xtask sim`: the simulation of the store, for as many seeds as one has time for.
//!
//! The program is an example of the store, built with its feature `sim` and as fast as a release, with the checks of a debug build. It says
//! what happened and, where something did not hold, the seed and how to repeat it.

use crate::Outcome;
use crate::workspace::{Workspace, cargo};

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    first: u64,
    seeds: u64,
    steps: u64,
}

impl Options {
    /// Reads the words behind `sim`; none where they make no sense.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self {
            first: 1,
            seeds: 0,
            steps: 300,
        };
        for pair in words.chunks(2) {
            let [name, number] = pair else {
                return None;
            };
            let number = number.parse().ok()?;
            match *name {
                "--first" => options.first = number,
                "--seeds" => options.seeds = number,
                "--steps" => options.steps = number,
                _ => return None,
            }
        }
        (options.seeds > 0).then_some(options)
    }
}

/// Builds the simulation and runs it.
pub(crate) fn run(options: &Options) -> Outcome {
    let workspace = Workspace::load()?;
    let numbers = [options.first, options.seeds, options.steps].map(|number| number.to_string());
    let mut words = vec!["run", "--quiet", "--profile", "sim", "-p", "leveret-store"];
    words.extend(["--features", "sim", "--example", "sim", "--"]);
    words.extend(numbers.iter().map(String::as_str));
    cargo(&words).within(&workspace.root).run()
}

#[cfg(test)]
mod tests;
