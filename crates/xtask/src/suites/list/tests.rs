//! Tests of reading the lists, and of those that there are.

use super::*;
use crate::workspace::Workspace;

fn parsed(text: &str) -> Outcome<Suite> {
    suite(&text.parse::<Table>().unwrap())
}

const REST: &str = "run = \"true\"\nresults = \"go\"\npasses_min = 1\nlimit_secs = 9\n";

#[test]
fn a_suite_is_read() {
    let text = format!("name = \"n\"\nnpm = \"a@1\"\nenv = {{ B = \"c\" }}\n{REST}");
    let wanted = Suite {
        name: "n".to_owned(),
        source: Source::Npm("a@1".to_owned()),
        with: Vec::new(),
        env: vec![("B".to_owned(), "c".to_owned())],
        run: "true".to_owned(),
        results: Form::Go,
        passes_min: 1,
        limit_secs: 9,
    };
    assert_eq!(parsed(&text).unwrap(), wanted);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, reason) in [
        (
            "name = \"n\"",
            "a suite has one of python, npm, crate, debian",
        ),
        (
            "npm = \"a\"\ncrate = \"a\"\nname = \"n\"",
            "a suite has one of",
        ),
        ("name = \"n\"\nnpm = \"a\"\nurl = \"b\"", "nobody reads url"),
        ("npm = \"a\"", "name is no text"),
        (
            "crate = \"a\"\nwith = []\nname = \"n\"",
            "cargo knows what a crate needs",
        ),
    ] {
        let error = parsed(&format!("{text}\n{REST}")).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn differences_are_about_suites_that_there_are() {
    let root = Workspace::load().unwrap().root;
    let suites = suites(&root).unwrap();
    for difference in differences(&root).unwrap() {
        let is_listed = suites.iter().any(|suite| suite.name == difference.suite);
        assert!(is_listed, "{difference:?}");
    }
}
