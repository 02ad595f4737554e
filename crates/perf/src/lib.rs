//! A load generator for any broker of AMQP 0-9-1: what `leveret perf` does.
//!
//! * A scenario (`load`, `opening`, `declaring`) declares what it needs under names of its own, has its
//!   workers work, and deletes it again, whatever happened in between.
//! * A worker (`producer`, `consumer`) is a thread or two on a connection of its own, with blocking sockets.
//!   It writes frames that were prepared once (`prepared`), reads in large pieces, and shares counts with the others once
//!   for each read or write (`run`), never for each message.
//! * Every message has a number in its body (`body`); what came is entered in a book for each producer
//!   (`book`), and compared with what was published at the end.
//! * `report` is what a scenario tells, as a table or as JSON.
//!
//! What an ordinary client library does for each message is left out on purpose: it is the broker that is
//! to be measured. The broker's answers are not trusted: lengths are checked before they are used, and
//! whatever does not belong to the protocol ends the run with an error.

use std::io::Write;

mod body;
mod book;
mod clock;
mod connection;
mod consumer;
mod declaring;
mod deliveries;
mod error;
mod latency;
mod load;
mod meter;
mod opening;
mod options;
mod prepared;
mod producer;
mod progress;
mod report;
mod run;
mod topology;
mod uri;
mod window;

pub use error::PerfError;
pub use options::{Declaring, Load, Opening, QueueArg};
pub use report::{Outcome, Report};
pub use run::Stop;
pub use uri::{Uri, UriError};

/// What a run does.
#[derive(Debug, Clone)]
pub enum Scenario {
    /// Producers and consumers at once, as fast as they can or at a rate.
    Throughput(Load),
    /// The same at a rate, and how long messages and confirms take.
    Latency(Load),
    /// First all is published, then all is consumed.
    Backlog(Load),
    /// Connections are opened, held and closed.
    Connections(Opening),
    /// Queues are declared, bound, used once and deleted.
    Queues(Declaring),
}

impl Scenario {
    fn name(&self) -> &'static str {
        match self {
            Scenario::Throughput(_) => "throughput",
            Scenario::Latency(_) => "latency",
            Scenario::Backlog(_) => "backlog",
            Scenario::Connections(_) => "connections",
            Scenario::Queues(_) => "queues",
        }
    }
}

/// Runs a scenario against the broker at `uri`, with a line of progress a second.
///
/// **Effect**: on return, with an error too, nothing is left of what it declared, unless the broker could not
/// be reached any more.
/// **Waits** until the scenario is done or `stop` is set, and then for answers of the broker, each a minute at most.
/// **Errors**: what ended it early, in the broker's words where it said some. A run that ends as planned and finds
/// messages lost, doubled or damaged is no error: [`Report::outcome`] says so.
pub fn run(
    uri: &Uri,
    scenario: &Scenario,
    stop: &Stop,
    progress: &mut dyn Write,
) -> Result<Report, PerfError> {
    let name = scenario.name();
    match scenario {
        Scenario::Throughput(load) | Scenario::Latency(load) => {
            load::run(name, uri, load, load::Order::Together, stop, progress)
        }
        Scenario::Backlog(load) => load::run(
            name,
            uri,
            load,
            load::Order::OneAfterTheOther,
            stop,
            progress,
        ),
        Scenario::Connections(opening) => opening::run(uri, opening, stop, progress),
        Scenario::Queues(declaring) => declaring::run(uri, declaring, stop, progress),
    }
}
