//! `leveret perf`: load for a broker, from the crate of the same name; here are the words, the signals and the exit codes.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use leveret_perf::{Outcome, PerfError, Stop};
use thiserror::Error;
use tokio::runtime::Builder;

use crate::logging;
use crate::machine::Machine;
use crate::signals::Signals;

mod arguments;

pub(crate) use arguments::PerfArguments;

/// A run that was told twice to end, as a shell has it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Why nothing is told.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Perf(#[from] PerfError),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    #[error("cannot write the report: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
}

/// Does what is asked for. Exit 0 if what was published came back sound, or could not be checked; 1 if not, or if the
/// broker refused something.
pub(crate) fn run(arguments: &PerfArguments) -> ExitCode {
    match load(arguments) {
        Ok(Outcome::Sound | Outcome::Unchecked) => ExitCode::SUCCESS,
        Ok(Outcome::Wrong) => ExitCode::FAILURE,
        Err(failure) => {
            logging::last_words(&failure);
            ExitCode::FAILURE
        }
    }
}

fn load(arguments: &PerfArguments) -> Result<Outcome, Failure> {
    // As many descriptors as the machine allows: each connection takes some.
    Machine::measure();
    let stop = Stop::default();
    catch_signals(stop.clone()).map_err(Failure::Signals)?;
    let scenario = arguments.scenario();
    let report = leveret_perf::run(&arguments.uri(), &scenario, &stop, &mut io::stderr())?;
    let mut out = io::stdout().lock();
    match arguments.json() {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(report.outcome())
}

/// The first signal ends the run, which then deletes what it declared; the second ends the program.
fn catch_signals(stop: Stop) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _within = runtime.enter();
        Signals::catch()?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            signals.next_end().await;
            stop.set();
            signals.next_end().await;
        });
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
