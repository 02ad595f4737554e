//! The rule about the page that says which tests hold what clients rely on: the tests that it names are there.
//!
//! It names them in backticks as the test binary does, `conformance::qos::recover_gives_credit_back`, several of one file as `conformance::qos::{one, two}`.

use super::Findings;

pub(super) const PAGE: &str = "tests/CONFORMANCE.md";

/// Every test in the tables is a test of the file that its name leads to. `text_of` is the text of a file, if there is one.
pub(super) fn tests_exist<'a>(page: &str, text_of: impl Fn(&str) -> Option<&'a str>) -> Findings {
    let mut findings = Findings::new();
    let rows = (1..).zip(page.lines());
    for (number, line) in rows.filter(|(_, line)| line.starts_with('|')) {
        let quoted = line.split('`').skip(1).step_by(2);
        for (file, test) in quoted.filter_map(split).flat_map(each) {
            let path = format!("tests/tests/{}.rs", file.replace("::", "/"));
            let is_there = text_of(&path).is_some_and(|text| is_test(text, test));
            if !is_there {
                findings.push(format!("{PAGE}:{number}: `{file}::{test}` is no test"));
            }
        }
        if is_row_without_tests(line) {
            findings.push(format!("{PAGE}:{number}: nothing holds this"));
        }
    }
    findings
}

/// The file of tests, and the names of one or more in it; none of what is no name of a test.
fn split(quoted: &str) -> Option<(&str, &str)> {
    let (file, tests) = match quoted.split_once("::{") {
        Some((file, tests)) => (file, tests.strip_suffix('}')?),
        None => quoted.rsplit_once("::")?,
    };
    Some((file, tests))
}

fn each<'a>((file, tests): (&'a str, &'a str)) -> impl Iterator<Item = (&'a str, &'a str)> {
    tests.split(',').map(move |test| (file, test.trim()))
}

fn is_test(text: &str, name: &str) -> bool {
    text.contains(&format!("#[test]\nfn {name}() {{"))
}

/// A row of a table, but its head and the line below that, whose last column names no test.
fn is_row_without_tests(line: &str) -> bool {
    let last = line.trim_end_matches('|').rsplit('|').next();
    let last = last.unwrap_or_default().trim();
    last != "held by" && !last.starts_with("---") && !last.contains("::")
}
