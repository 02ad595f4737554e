//! `cargo xtask tidy`: the rules of the house that neither rustfmt nor clippy knows.
//!
//! Each rule is a small function from what it looks at to its findings, one line of text each; a rule
//! that finds nothing holds. This file gathers what the rules look at and runs them all, so that one
//! run shows everything there is to mend. What the rules are for is said at the top of each file.

use std::path::Path;

use crate::Outcome;
use crate::figures::{Figures, Write};
use crate::source::Source;
use crate::workspace::Workspace;

mod crates;
mod floors;
mod held;
mod longest;
mod map;
mod places;
mod shells;
mod words;

pub(crate) use longest::{FILE_GOAL, FUNCTION_GOAL};

const MAP: &str = "crates/ARCHITECTURE.md";

/// What is wrong, where: a line each.
type Findings = Vec<String>;

/// What the rules look at.
struct Tree {
    workspace: Workspace,
    /// Every file of the repository that is text, with its content.
    texts: Vec<(String, String)>,
    /// Those that are Rust.
    sources: Vec<Source>,
    map: String,
}

/// Checks every rule.
pub(crate) fn run(write: Write) -> Outcome {
    let tree = Tree::load()?;
    let mut figures = Figures::load(&tree.workspace.root)?;
    if write == Write::Yes {
        longest::update(&mut figures, &tree.sources);
        figures.save(&tree.workspace.root)?;
    }
    let findings = check(&tree, &figures)?;
    if findings.is_empty() {
        println!("{} files are tidy", tree.texts.len());
        return Ok(());
    }
    Err(format!(
        "{}\ntidy: {} to mend",
        findings.join("\n"),
        findings.len()
    ))
}

fn check(tree: &Tree, figures: &Figures) -> Outcome<Findings> {
    let mut findings = crates::arrows(&tree.map, &tree.workspace.members);
    for member in &tree.workspace.members {
        let manifest = read(&member.manifest)?;
        findings.extend(crates::lints_are_inherited(&member.folder, &manifest));
    }
    findings.extend(map::paths_exist(&tree.map, |path| {
        tree.workspace.root.join(path).exists()
    }));
    findings.extend(held::tests_exist(tree.text(held::PAGE)?, |path| {
        tree.text(path).ok()
    }));
    findings.extend(floors::arrows_go_down(&tree.map, &tree.sources));
    findings.extend(longest::within(figures, &tree.sources));
    for source in &tree.sources {
        findings.extend(shells::no_async_elsewhere(source));
        findings.extend(shells::no_clock_elsewhere(source));
        findings.extend(words::header(source));
        findings.extend(words::names(source));
        findings.extend(words::unfinished(source));
    }
    for (path, text) in &tree.texts {
        findings.extend(places::no_place_of_one_machine(path, text));
        findings.extend(places::no_registry_host(path, text));
        if path.ends_with("package-lock.json") {
            findings.extend(places::npm_lock_names_no_host(path, text));
        }
        if path.ends_with("Cargo.lock") {
            findings.extend(places::cargo_lock_is_standard(path, text));
        }
    }
    Ok(findings)
}

impl Tree {
    fn load() -> Outcome<Self> {
        let workspace = Workspace::load()?;
        let mut texts = Vec::new();
        let mut sources = Vec::new();
        for path in workspace.files()? {
            let bytes = std::fs::read(workspace.root.join(&path))
                .map_err(|error| format!("{path} cannot be read: {error}"))?;
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            if path.ends_with(".rs") {
                sources.push(Source::new(path.as_str(), text.as_str()));
            }
            texts.push((path, text));
        }
        let map = read(&workspace.root.join(MAP))?;
        Ok(Self {
            workspace,
            texts,
            sources,
            map,
        })
    }

    /// The text of a file.
    fn text(&self, path: &str) -> Outcome<&str> {
        let found = self.texts.iter().find(|(other, _)| other == path);
        let text = found.map(|(_, text)| text.as_str());
        text.ok_or_else(|| format!("{path} is not there"))
    }
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests;
