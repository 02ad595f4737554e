//! The ratchet file: the worst values that the code has now, and what a message costs.
//!
//! Figures in it only ever get better by hand or by `--update`; the checks that read it fail when
//! the code is worse. The file is written whole, its comments included, so that it always looks the
//! same; a key that nobody knows is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

use crate::Outcome;

/// Where the file is, from the root of the repository.
pub(crate) const PATH: &str = "crates/xtask/ratchet.toml";

/// Whether new figures go to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// They are only compared.
    No,
    /// They replace the old ones.
    Yes,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Lines of the longest source file.
    pub(crate) longest_file: usize,
    /// Lines of the longest function.
    pub(crate) longest_function: usize,
    /// What a message costs, by workload.
    pub(crate) workloads: BTreeMap<String, Cost>,
}

/// What one message costs, from the publish that came to the delivery that left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Instructions.
    pub(crate) instructions: f64,
    /// Calls of the allocator that take memory.
    pub(crate) allocations: f64,
}

impl Figures {
    /// Reads the file.
    pub(crate) fn load(root: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(root.join(PATH))
            .map_err(|error| format!("{PATH} cannot be read: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{PATH}: {error}"))
    }

    /// Writes the file.
    pub(crate) fn save(&self, root: &Path) -> Outcome {
        std::fs::write(root.join(PATH), self.render())
            .map_err(|error| format!("{PATH} cannot be written: {error}"))
    }

    fn parse(text: &str) -> Outcome<Self> {
        let mut figures = Self::default();
        let file: Table = text.parse().map_err(|error| format!("{error}"))?;
        for (section, value) in &file {
            let table = value
                .as_table()
                .ok_or_else(|| format!("{section} is no section"))?;
            match section.as_str() {
                "longest" => {
                    known(table, &["file", "function"])?;
                    figures.longest_file = lines(table, "file")?;
                    figures.longest_function = lines(table, "function")?;
                }
                "message" => figures.workloads = workloads(table)?,
                other => return Err(format!("nobody reads section {other}")),
            }
        }
        Ok(figures)
    }

    fn render(&self) -> String {
        let mut text = format!(
            "# The worst values that the code has now. The checks fail when the code gets worse than this; what is\n\
             # written here may only fall. `cargo xtask tidy --update` and `cargo xtask ratchet --update` write it.\n\
             \n\
             # Lines, over crates/*/src without tests. Goals: {} and {}.\n\
             [longest]\nfile = {}\nfunction = {}\n",
            crate::tidy::FILE_GOAL,
            crate::tidy::FUNCTION_GOAL,
            self.longest_file,
            self.longest_function
        );
        if !self.workloads.is_empty() {
            text.push_str(
                "\n# What one published and delivered message costs, measured under callgrind.\n",
            );
        }
        for (name, cost) in &self.workloads {
            let Cost {
                instructions,
                allocations,
            } = cost;
            let section = format!(
                "[message.{name}]\ninstructions = {instructions:.1}\nallocations = {allocations:.3}\n"
            );
            let _ = write!(text, "{section}");
        }
        text
    }
}

fn workloads(table: &Table) -> Outcome<BTreeMap<String, Cost>> {
    table
        .iter()
        .map(|(name, value)| {
            let cost = value
                .as_table()
                .ok_or_else(|| format!("message.{name} is no section"))?;
            known(cost, &["instructions", "allocations"])?;
            let instructions = number(cost, "instructions")?;
            let allocations = number(cost, "allocations")?;
            Ok((
                name.clone(),
                Cost {
                    instructions,
                    allocations,
                },
            ))
        })
        .collect()
}

fn known(table: &Table, keys: &[&str]) -> Outcome {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("nobody reads {key}")),
        None => Ok(()),
    }
}

fn lines(table: &Table, key: &str) -> Outcome<usize> {
    let value = table.get(key).and_then(Value::as_integer);
    value
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| format!("{key} is no count of lines"))
}

fn number(table: &Table, key: &str) -> Outcome<f64> {
    let value = table.get(key).and_then(Value::as_float);
    value
        .filter(|value| *value >= 0.0)
        .ok_or_else(|| format!("{key} is no number with a point"))
}

#[cfg(test)]
mod tests;
