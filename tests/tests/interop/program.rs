//! Running other people's programs: what is missing, what is installed, what they print.
//!
//! What is installed for a program carries a stamp: a copy of the list it was installed from. It is
//! installed anew when the list has changed. `cargo xtask test` does the same beforehand and leaves
//! the same stamp, so that here nothing is left to do.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

const STAMP: &str = "installed-from";

/// Says whether all of a client's programs can be run. Prints which one is missing.
///
/// Panics if one is missing where `CI=true`.
pub(super) fn are_here(client: &str, programs: &[&str]) -> bool {
    let Some(missing) = programs.iter().find(|program| !is_here(program)) else {
        return true;
    };
    leave_out(&format!("{client}: there is no `{missing}` on the path"));
    false
}

/// Says whether a client's own files are there; `path` is one of them. As [`are_here`] otherwise.
pub(super) fn is_there(client: &str, path: &str) -> bool {
    let there = Path::new(path).exists();
    if !there {
        leave_out(&format!("{client}: there is no {path}"));
    }
    there
}

/// Says that a test is left out, and why, past the capture of what passing tests print.
///
/// Panics where `CI=true`.
pub(super) fn leave_out(reason: &str) {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "left out although CI=true: {reason}"
    );
    writeln!(io::stderr(), "left out: {reason}").expect("standard error is open");
}

fn is_here(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Says whether a folder holds what was installed from this list as it is now.
pub(super) fn is_installed(folder: &Path, list: &Path) -> bool {
    fs::read(folder.join(STAMP)).is_ok_and(|stamp| stamp == read(list))
}

/// Notes that a folder now holds what was installed from this list.
pub(super) fn stamp(folder: &Path, list: &Path) {
    fs::write(folder.join(STAMP), read(list)).expect("what was just installed can be written to");
}

fn read(list: &Path) -> Vec<u8> {
    fs::read(list).unwrap_or_else(|error| panic!("{}: {error}", list.display()))
}

/// Runs a command to its end and returns what it printed.
///
/// Panics with all of it if the command fails.
pub(super) fn run(command: &mut Command) -> String {
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{command:?}: {}\n{printed}{errors}",
        ended.status
    );
    printed
}

/// Runs a client's scenarios against the broker under test.
///
/// Panics at the first that fails, and if a scenario is said to be there that did not run.
pub(super) fn run_scenarios(command: &mut Command, among_them: &str) {
    let printed = run(command.arg(super::uri()));
    eprint!("{printed}");
    let ran = printed
        .lines()
        .any(|line| line.strip_prefix("ok ") == Some(among_them));
    assert!(ran, "{command:?} did not run {among_them}:\n{printed}");
}
