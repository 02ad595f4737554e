//! Runs the simulation of the store for many seeds: `sim FIRST SEEDS STEPS`. `cargo xtask sim` builds and starts it.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool reports on standard output"
)]

use std::process::ExitCode;

use leveret_store::sim::{Figures, Plan, run};

/// After so many seeds there is a line.
const PROGRESS: u64 = 100;

fn main() -> ExitCode {
    let numbers: Vec<Option<u64>> = std::env::args()
        .skip(1)
        .map(|number| number.parse().ok())
        .collect();
    let [Some(first), Some(seeds), Some(steps)] = *numbers else {
        eprintln!("usage: sim FIRST SEEDS STEPS");
        return ExitCode::from(2);
    };
    let mut figures = Figures::default();
    for done in 1..=seeds {
        let seed = first + done - 1;
        match run(&Plan::new(seed, steps)) {
            Ok(outcome) => figures.add(&outcome.figures),
            Err(failure) => {
                print!("{figures}");
                println!("\n{failure}\n\nto repeat it:\n");
                println!("    cargo xtask sim --first {seed} --seeds 1 --steps {steps}\n");
                return ExitCode::FAILURE;
            }
        }
        if done % PROGRESS == 0 {
            let points = figures.crash_points;
            println!("{done} of {seeds} seeds, {points} crash points");
        }
    }
    print!("{figures}");
    ExitCode::SUCCESS
}
