//! Tests of runs of steps.

use super::*;

fn missing() -> Outcome<Vec<LeftOut>> {
    Ok(vec![LeftOut {
        reason: "pika: there is no `python3`".to_owned(),
        tests: "interop::pika",
        lack: Lack::Program,
    }])
}

fn not_permitted() -> Outcome<Vec<LeftOut>> {
    Ok(vec![LeftOut {
        reason: "disks: mounting needs root".to_owned(),
        tests: "faults::disk",
        lack: Lack::Permission,
    }])
}

#[test]
fn a_step_that_fails_names_the_command_that_repeats_it() {
    let mut steps = Steps::new(false);
    steps.step("fmt", "cargo fmt --check", || Ok(())).unwrap();
    let fails = || Err("three lines are too long".to_owned());
    let error = steps.step("clippy", "cargo clippy", fails).unwrap_err();
    assert!(error.starts_with("three lines are too long\n"), "{error}");
    assert!(error.contains("\n    cargo clippy\n"), "{error}");
    assert!(error.contains("\nsteps: 1 passed, 1 failed\n"), "{error}");
}

#[test]
fn what_is_left_out_is_skipped_and_told_at_the_end() {
    let mut steps = Steps::new(false);
    steps.setup("python", "python3 -m venv", missing).unwrap();
    assert_eq!(steps.skips(), ["--skip", "interop::pika"]);
    let summary = steps.summary();
    assert!(
        summary.contains("\nleft out: pika: there is no `python3`\n"),
        "{summary}"
    );
    assert!(
        summary.ends_with("\nsteps: 1 passed, 0 failed, 1 skipped"),
        "{summary}"
    );
}

#[test]
fn a_strict_run_leaves_nothing_out() {
    let mut steps = Steps::new(true);
    let error = steps
        .setup("python", "python3 -m venv", missing)
        .unwrap_err();
    assert!(error.contains("nothing may be left out"), "{error}");
    assert!(error.contains("steps: 0 passed, 1 failed"), "{error}");
}

#[test]
fn a_strict_run_tells_what_the_machine_does_not_permit_and_goes_on() {
    let mut steps = Steps::new(true);
    steps
        .setup("disks", "cargo xtask test", not_permitted)
        .unwrap();
    assert_eq!(steps.skips(), ["--skip", "faults::disk"]);
    let summary = steps.summary();
    assert!(
        summary.contains("\nleft out: disks: mounting needs root\n"),
        "{summary}"
    );
    assert!(summary.ends_with(", 1 skipped"), "{summary}");
}
