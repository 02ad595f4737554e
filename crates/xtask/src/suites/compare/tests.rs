//! What counts as a disagreement.

use super::super::list::Source;
use super::super::results::Form;
use super::*;

fn results(passed: &[&str], failed: &[&str]) -> Results {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Results {
        passed: set(passed),
        failed: set(failed),
    }
}

fn listed(test: &str, sometimes: bool) -> Difference {
    Difference {
        suite: "s".to_owned(),
        test: test.to_owned(),
        sometimes,
    }
}

fn check(rabbitmq: &Results, leveret: &Results, list: &[Difference]) -> Vec<String> {
    let suite = Suite {
        name: "s".to_owned(),
        source: Source::Npm("s@1".to_owned()),
        with: Vec::new(),
        env: Vec::new(),
        run: String::new(),
        results: Form::Verdicts,
        passes_min: 1,
        limit_secs: 1,
    };
    disagreements(&suite, rabbitmq, leveret, list)
}

#[test]
fn what_rabbitmq_passes_has_to_pass_or_be_listed() {
    let rabbitmq = results(&["a", "b", "c"], &["d"]);
    let leveret = results(&["a"], &["b", "d"]);
    let wrong = [
        "1 fail against Leveret, and are not listed:\n    b",
        "1 did not run against Leveret, and are not listed:\n    c",
    ];
    assert_eq!(check(&rabbitmq, &leveret, &[]), wrong);
    let list = [listed("b", false), listed("c", true)];
    assert_eq!(check(&rabbitmq, &leveret, &list), [""; 0]);
}

#[test]
fn what_is_listed_has_to_be_so() {
    let both = results(&["a"], &["b"]);
    let wrong = [
        "a is listed, and passes against Leveret",
        "b is listed, and RabbitMQ does not pass it",
    ];
    let list = [listed("a", false), listed("b", false)];
    assert_eq!(check(&both, &both, &list), wrong);
    let list = [listed("a", true), listed("b", true)];
    assert_eq!(check(&both, &both, &list), [""; 0]);
}

#[test]
fn a_suite_that_runs_nothing_fails() {
    let none = results(&[], &["a"]);
    let wrong = "only 0 tests pass against RabbitMQ, and 1 have to; these fail: a";
    assert_eq!(check(&none, &none, &[]), [wrong]);
}
