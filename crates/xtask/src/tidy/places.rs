//! Rules about places: the repository means the same on every machine.
//!
//! No file names a folder that only one machine has, or the host of a package registry: which
//! registry serves a build is the business of whoever builds.

use super::Findings;

/// Folders at the root where people and build machines keep their own things.
const OWN_FOLDERS: [&str; 10] = [
    "home",
    "root",
    "Users",
    "mnt",
    "work",
    "farm",
    "scratch",
    "builds",
    "workspace",
    "tmp",
];
/// Words in the names of hosts that serve packages.
const REGISTRY_WORDS: [&str; 7] = [
    "registry",
    "pypi",
    "npmjs",
    "crates.io",
    "mirror",
    "artifactory",
    "nexus",
];
const STANDARD_SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// No path into a folder that only one machine has.
pub(super) fn no_place_of_one_machine(path: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(folder) = own_folder(line) {
            findings.push(format!(
                "{path}:{number}: a path into /{folder}: not every machine has it"
            ));
        }
    }
    findings
}

fn own_folder(line: &str) -> Option<&'static str> {
    let starts_path = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./~*}])$>".contains(c))
    };
    line.match_indices('/')
        .filter(|(at, _)| starts_path(*at))
        .find_map(|(at, _)| {
            let (first, _) = line[at + 1..].split_once('/')?;
            OWN_FOLDERS.into_iter().find(|folder| *folder == first)
        })
}

/// No address at a package registry.
pub(super) fn no_registry_host(path: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (at, scheme) in line.match_indices("://") {
            let rest = &line[at + scheme.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"-.@:".contains(c));
            let host = &rest[..end.unwrap_or(rest.len())];
            if REGISTRY_WORDS.iter().any(|word| host.contains(word)) {
                findings.push(format!("{path}:{number}: the host of a package registry"));
            }
        }
    }
    findings
}

/// The lock file of npm says what, not where from.
pub(super) fn npm_lock_names_no_host(path: &str, text: &str) -> Findings {
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.contains("\"resolved\""));
    lines
        .map(|(number, _)| format!("{path}:{number}: \"resolved\" names a host; leave it out"))
        .collect()
}

/// The lock file of cargo knows one source, which stands for whatever registry cargo is set to.
pub(super) fn cargo_lock_is_standard(path: &str, text: &str) -> Findings {
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.starts_with("source = ") && *line != STANDARD_SOURCE);
    lines
        .map(|(number, line)| format!("{path}:{number}: {line}"))
        .collect()
}
