//! The rule about the architecture page: the files that it names are there.
//!
//! It names them in backticks, from the root of the repository or from a crate, as in
//! `broker/runs.rs` for `crates/broker/src/runs.rs`.

use super::{Findings, MAP};

const EXTENSIONS: [&str; 5] = [".rs", ".toml", ".md", ".sh", ".json"];

/// Every path in backticks leads to a file or a folder.
pub(super) fn paths_exist(map: &str, exists: impl Fn(&str) -> bool) -> Findings {
    let mut findings = Findings::new();
    for (number, line) in (1..).zip(map.lines()) {
        for named in line.split('`').skip(1).step_by(2) {
            if looks_like_a_path(named) && !is_there(named, &exists) {
                findings.push(format!("{MAP}:{number}: `{named}` is not there"));
            }
        }
    }
    findings
}

/// A folder and something in it, or a file by its name alone unless many crates have one.
fn looks_like_a_path(named: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let shell = ["serve.rs", "task.rs", "tests.rs"].contains(&named);
    let known = named.contains('/') || EXTENSIONS.iter().any(|end| named.ends_with(end));
    named.chars().all(plain) && known && !shell && !named.starts_with('/')
}

fn is_there(named: &str, exists: impl Fn(&str) -> bool) -> bool {
    let named = named.trim_end_matches('/');
    let (first, rest) = named.split_once('/').unwrap_or((named, ""));
    let inside = format!("crates/{first}/src/{rest}");
    let candidates = [
        named.to_owned(),
        format!("crates/{named}"),
        inside.clone(),
        format!("{inside}.rs"),
    ];
    candidates.iter().any(|path| exists(path))
}
