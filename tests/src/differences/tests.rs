//! How the harness's output is read and held against a list.

use super::{Difference, Outcome, accepted};

const OUTPUT: &str = "
running 3 tests
test a::one ... ok
test a::two ... FAILED
test a::three ... FAILED

failures:

---- a::two stdout ----
left: 503

---- a::three stdout ----
left: 404


failures:
    a::three
    a::two

test result: FAILED. 1 passed; 2 failed
";

fn difference(test: &str, shows: &str) -> Difference {
    let word = || "-".to_owned();
    let (test, shows) = (test.to_owned(), shows.to_owned());
    Difference {
        test,
        rabbitmq: word(),
        leveret: word(),
        why: word(),
        shows,
        sometimes: false,
    }
}

#[test]
fn the_list_can_be_read() {
    let list = accepted();
    assert!(list.rabbitmq_version.starts_with("3."));
    let mut differences = list.difference.iter();
    assert!(differences.all(|d| !d.shows.is_empty() && !d.why.is_empty()));
    assert!(list.not_asked.iter().all(|test| !test.why.is_empty()));
}

#[test]
fn a_run_that_fails_as_listed_agrees() {
    let outcome = Outcome::read(OUTPUT);
    assert_eq!(outcome.passed, ["a::one"]);
    let list = [difference("a::two", "503"), difference("a::three", "404")];
    assert_eq!(outcome.disagreements(&list), [""; 0]);
}

#[test]
fn what_fails_at_times_may_pass() {
    let outcome = Outcome::read("test a::one ... ok\n");
    let at_times = Difference {
        sometimes: true,
        ..difference("a::one", "x")
    };
    assert_eq!(outcome.disagreements(&[at_times]), [""; 0]);
}

#[test]
fn each_kind_of_disagreement_is_told() {
    let outcome = Outcome::read(OUTPUT);
    let list = [
        difference("a::one", "x"),
        difference("a::two", "404"),
        difference("a::four", "x"),
    ];
    let sentences = outcome.disagreements(&list);
    let told = ["passes", "fails otherwise", "never ran", "not listed"];
    assert_eq!(sentences.len(), told.len());
    for word in told {
        assert!(
            sentences.iter().any(|s| s.contains(word)),
            "{word} in {sentences:?}"
        );
    }
}
