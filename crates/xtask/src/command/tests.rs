//! Tests of running other programs.

use super::*;

#[test]
fn a_line_is_shown_as_a_shell_reads_it() {
    let line = Line::new("cargo", &["test", "-p", "a b", "it's"])
        .env("LEVERET_BIN", "target/release/leveret")
        .within(Path::new("tests"));
    assert_eq!(
        line.to_string(),
        r"cd tests && LEVERET_BIN=target/release/leveret cargo test -p 'a b' 'it'\''s'"
    );
}

#[test]
fn output_is_returned_and_failure_carries_standard_error() {
    let line = Line::new("sh", &["-c", "echo $WORD"]).env("WORD", "hare");
    assert_eq!(line.output(), Ok("hare\n".to_owned()));

    let error = Line::new("sh", &["-c", "echo lost >&2; exit 3"])
        .output()
        .unwrap_err();
    assert!(
        error.contains("exit status: 3") && error.contains("lost"),
        "{error}"
    );
}

#[test]
fn a_program_that_is_not_there_is_an_error_that_names_it() {
    let error = Line::new("no-such-program-as-this", &[]).run().unwrap_err();
    assert!(
        error.contains("`no-such-program-as-this` did not start"),
        "{error}"
    );
    assert_eq!(find_program("no-such-program-as-this"), None);
    assert!(find_program("sh").is_some());
}
