//! Rules about crates: who may use whom, and that all have the same lints.
//!
//! The arrows are those of the table in the architecture page, so that the page cannot drift from
//! the code. What only a crate's tests use is free.

use std::collections::BTreeMap;

use super::{Findings, MAP};
use crate::workspace::Member;

const TABLE: &str = "| crate | may use |";

/// Every crate stands in the table, and is built only from crates that its row names.
pub(super) fn arrows(map: &str, members: &[Member]) -> Findings {
    let Some((_, table)) = map.split_once(TABLE) else {
        return vec![format!("{MAP}: the table `{TABLE}` is not there")];
    };
    let rows: BTreeMap<&str, Vec<&str>> = table.lines().skip(2).map_while(row).collect();
    let folders: Vec<&str> = members
        .iter()
        .map(|member| member.folder.as_str())
        .collect();
    let mut findings = Findings::new();
    for (name, may_use) in &rows {
        for named in may_use.iter().chain([name]) {
            if *named != "everything" && !folders.contains(named) {
                findings.push(format!(
                    "{MAP}: the table names `{named}`, which is no crate"
                ));
            }
        }
    }
    for member in members {
        let Some(may_use) = rows.get(member.folder.as_str()) else {
            findings.push(format!(
                "{MAP}: crate `{}` has no row in the table",
                member.folder
            ));
            continue;
        };
        for used in &member.uses {
            if !may_use.contains(&used.as_str()) && !may_use.contains(&"everything") {
                let manifest = member.manifest.display();
                findings.push(format!(
                    "{manifest}: `{}` may not use `{used}`: no arrow in {MAP}",
                    member.folder
                ));
            }
        }
    }
    findings
}

fn row(line: &str) -> Option<(&str, Vec<&str>)> {
    let (name, may_use) = line.strip_prefix('|')?.strip_suffix('|')?.split_once('|')?;
    let may_use = may_use
        .split(',')
        .map(str::trim)
        .filter(|used| *used != "-")
        .collect();
    Some((name.trim(), may_use))
}

/// A crate takes its lints from the workspace.
pub(super) fn lints_are_inherited(folder: &str, manifest: &str) -> Findings {
    let inherits = manifest.parse::<toml::Table>().is_ok_and(|table| {
        let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) == Some(true)
    });
    if inherits {
        return Findings::new();
    }
    vec![format!(
        "crate `{folder}` has lints of its own: its manifest needs `[lints] workspace = true`"
    )]
}
