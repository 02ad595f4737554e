//! The ratchet on length: no function and no file of the broker gets longer than the longest is now.
//!
//! Lines are lines as they stand in the file, a function's from its `fn` to its closing brace. Tests
//! are free. The ratchet file holds the worst values, or the goals once the worst is within them.

use super::Findings;
use crate::figures::{Figures, PATH};
use crate::source::Source;

/// A file has one subject and is read in one sitting.
pub(crate) const FILE_GOAL: usize = 500;
/// A function fits a screen.
pub(crate) const FUNCTION_GOAL: usize = 70;
/// No figure in the ratchet file may allow a file longer than this.
const FILE_MAX: usize = 800;

/// A length and what has it.
struct Longest {
    lines: usize,
    place: String,
}

/// The longest function and the longest file are as long as the ratchet file says.
pub(super) fn within(figures: &Figures, sources: &[Source]) -> Findings {
    let mut findings = Findings::new();
    let file = longest_file(sources);
    if file.lines > FILE_MAX {
        findings.push(format!(
            "{}: {} lines, and {FILE_MAX} is the most",
            file.place, file.lines
        ));
    }
    findings.extend(compare("file", figures.longest_file, FILE_GOAL, &file));
    let function = longest_function(sources);
    findings.extend(compare(
        "function",
        figures.longest_function,
        FUNCTION_GOAL,
        &function,
    ));
    findings
}

/// Puts what is so into the figures.
pub(super) fn update(figures: &mut Figures, sources: &[Source]) {
    figures.longest_file = longest_file(sources).lines.clamp(FILE_GOAL, FILE_MAX);
    figures.longest_function = longest_function(sources).lines.max(FUNCTION_GOAL);
}

fn compare(what: &str, allowed: usize, goal: usize, longest: &Longest) -> Option<String> {
    let Longest { lines, place } = longest;
    let fits = goal.max(*lines);
    if *lines > allowed {
        return Some(format!(
            "{place}: {lines} lines, and the longest {what} may have {allowed} (goal {goal})"
        ));
    }
    (allowed > fits).then(|| {
        format!("{PATH}: the longest {what} has {lines} lines now: `cargo xtask tidy --update` and commit")
    })
}

fn longest_file(sources: &[Source]) -> Longest {
    let files = measured(sources).map(|source| Longest {
        lines: source.text.lines().count(),
        place: source.path.clone(),
    });
    files
        .max_by_key(|longest| longest.lines)
        .unwrap_or_else(nothing)
}

fn longest_function(sources: &[Source]) -> Longest {
    let functions = measured(sources).flat_map(|source| {
        source.functions().into_iter().map(|function| Longest {
            lines: function.lines,
            place: format!("{}:{}: `{}`", source.path, function.line, function.name),
        })
    });
    functions
        .max_by_key(|longest| longest.lines)
        .unwrap_or_else(nothing)
}

fn measured(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|source| source.path.starts_with("crates/") && !source.is_test())
}

fn nothing() -> Longest {
    Longest {
        lines: 0,
        place: "crates".to_owned(),
    }
}
