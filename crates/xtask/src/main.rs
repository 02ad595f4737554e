//! `cargo xtask`: the project's own commands.
//!
//! This file reads the command line and nothing else; each command has a file of its own. Nothing in
//! this crate is part of the broker, and nothing in the broker depends on it. It is plain, blocking
//! Rust with two dependencies, so that it builds in seconds before anything else does.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool reports on standard output"
)]

use std::process::ExitCode;

mod command;
mod figures;
mod perf;
mod ratchet;
mod setup;
mod sim;
mod source;
mod steps;
mod suites;
mod test;
mod tidy;
mod workspace;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test                every check and all tests, in tiers
  test quick          the checks, and the tests that need no socket and no other program
  tidy                the rules of the house that neither rustfmt nor clippy knows
  tidy --update       ... and write the longest function and file to crates/xtask/ratchet.toml
  ratchet             instructions and allocations per message, against crates/xtask/ratchet.toml
  ratchet --update    ... and write them there
  ratchet --driver FILE
                      ... of this program instead of a fresh build of `hotpath`

  perf                the same loads on a release build and on RabbitMQ; a table and a chart in target/perf
  suites [NAME...]    the tests that client libraries ship, against a release build and against RabbitMQ
  sim --seeds N       the simulation of the store: N runs, each of another seed
  sim ... --first S   ... from this seed on, else 1
  sim ... --steps N   ... of so many steps each, else 300

With CI=true in the environment, `test` leaves nothing out that could be had: what is missing is a
failure. A machine that may not mount disks leaves out the tests that need it, and says so at the end.
";

/// What a command or a check ends with: nothing, or the words that tell what is wrong.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test"] => test::run(test::Tiers::All),
        ["test", "quick"] => test::run(test::Tiers::Quick),
        ["tidy"] => tidy::run(figures::Write::No),
        ["tidy", "--update"] => tidy::run(figures::Write::Yes),
        ["ratchet", options @ ..] => match ratchet::Options::parse(options) {
            Some(options) => ratchet::run(&options),
            None => return usage(),
        },
        ["perf"] => perf::run(),
        ["suites", names @ ..] => suites::run(names),
        ["sim", options @ ..] => match sim::Options::parse(options) {
            Some(options) => sim::run(&options),
            None => return usage(),
        },
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
