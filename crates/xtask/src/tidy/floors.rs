//! The rule about the floors of the broker's modules: each uses what is below it, or beside it where its floor says so.
//!
//! The floors are the table of the architecture page, the highest first. Modules that it does not name stand on the lowest.

use super::{Findings, MAP};
use crate::source::Source;

const TABLE: &str = "| modules of `broker`, those above use those below |";
const CRATE: &str = "broker";

/// No module names one of a higher floor.
pub(super) fn arrows_go_down(map: &str, sources: &[Source]) -> Findings {
    let Some((_, table)) = map.split_once(TABLE) else {
        return vec![format!("{MAP}: the table `{TABLE}` is not there")];
    };
    let floors: Vec<Vec<&str>> = table.lines().skip(2).map_while(floor).collect();
    let of = |module: &str| {
        let found = floors.iter().position(|floor| floor.contains(&module));
        found.unwrap_or(floors.len())
    };
    let mut findings = Findings::new();
    let sources = sources
        .iter()
        .filter(|source| source.crate_folder() == CRATE && !source.is_test());
    for source in sources {
        let Some(module) = module(&source.path) else {
            continue;
        };
        for (number, line) in (1..).zip(source.code.lines()) {
            for used in named(line).filter(|used| of(used) < of(module)) {
                findings.push(format!(
                    "{}:{number}: `{module}` may not use `{used}`, which stands above it in {MAP}",
                    source.path
                ));
            }
        }
    }
    findings
}

/// The modules in backticks of a row's first column.
fn floor(line: &str) -> Option<Vec<&str>> {
    let (modules, _) = line.strip_prefix('|')?.split_once('|')?;
    Some(modules.split('`').skip(1).step_by(2).collect())
}

/// The module at the root of the crate that a file belongs to; none for the root itself and for what only tests use.
fn module(path: &str) -> Option<&str> {
    let (_, inside) = path.split_once("/src/")?;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    (module != "lib" && module != "doubles").then_some(module)
}

/// What a line names as `crate::...`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}
