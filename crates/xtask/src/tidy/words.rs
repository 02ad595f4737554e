//! Rules about words: what each file begins with, which names say nothing, which marks say that
//! something is not finished.

use super::Findings;
use crate::source::{Source, lines_with, words};

/// Names that could stand on anything.
const EMPTY_NAMES: [&str; 5] = ["util", "helper", "manager", "common", "misc"];
const TYPE_KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
const UNFINISHED_CODE: [&str; 2] = ["todo!", "unimplemented!"];
const UNFINISHED_COMMENTS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// A file begins by saying what lives in it.
pub(super) fn header(source: &Source) -> Findings {
    if source.text.starts_with("//! ") {
        return Findings::new();
    }
    vec![format!(
        "{}:1: does not begin with `//!` and what lives here",
        source.path
    )]
}

/// Files, folders and types are named by what they are.
pub(super) fn names(source: &Source) -> Findings {
    let mut findings = Findings::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if let Some(word) = empty_word(part) {
            findings.push(format!("{}: `{word}` in a path says nothing", source.path));
        }
    }
    if source.file_name() == "mod.rs" {
        findings.push(format!(
            "{}: a module lives in foo.rs beside its folder foo",
            source.path
        ));
    }
    let code: Vec<(usize, &str)> = words(&source.code).collect();
    for pair in code.windows(2) {
        let [(_, keyword), (at, name)] = pair else {
            continue;
        };
        if !TYPE_KEYWORDS.contains(keyword) {
            continue;
        }
        if let Some(word) = empty_word(name) {
            let line = 1 + source.code[..*at].matches('\n').count();
            findings.push(format!(
                "{}:{line}: `{word}` in `{name}` says nothing",
                source.path
            ));
        }
    }
    findings
}

/// What is in the tree is finished.
pub(super) fn unfinished(source: &Source) -> Findings {
    let in_code = UNFINISHED_CODE.iter().map(|mark| (&source.code, mark));
    let in_comments = UNFINISHED_COMMENTS
        .iter()
        .map(|mark| (&source.comments, mark));
    let lines = in_code.chain(in_comments).flat_map(|(text, mark)| {
        lines_with(text, mark)
            .into_iter()
            .map(move |line| (line, mark))
    });
    lines
        .map(|(line, mark)| format!("{}:{line}: `{mark}`", source.path))
        .collect()
}

/// The word of a name, in snake or camel case, that says nothing.
fn empty_word(name: &str) -> Option<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        }
    }
    parts.into_iter().find(|part| {
        let singular = part.strip_suffix('s').unwrap_or(part);
        EMPTY_NAMES.contains(&singular)
    })
}
