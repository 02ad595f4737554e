//! Asks a RabbitMQ node and a broker of ours the same things of the management API, and compares the answers with the list of accepted differences.
//!
//! `cargo run -p leveret-tests --bin against-rabbitmq-management`. The requests are in `tests/management-requests.txt`, the list is
//! `tests/management-differences.toml`. Exit code 0: all as listed; 1: something differs; 2: it could not be done.

use std::io::{self, Write};
use std::process::ExitCode;

use leveret_tests::broker::{self, Broker};
use leveret_tests::rabbitmq::RabbitMq;
use leveret_tests::side_by_side::{Accepted, Side, play, steps};

fn main() -> ExitCode {
    run().unwrap_or_else(|e| {
        // Nothing is left to do if this cannot be written either.
        let _ = writeln!(io::stderr(), "cannot ask RabbitMQ: {e}");
        ExitCode::from(2)
    })
}

fn run() -> io::Result<ExitCode> {
    let node = RabbitMq::start_managed()?;
    let own = Broker::start(&broker::binary(), &[]);
    let management = node.management.ok_or(io::ErrorKind::NotFound)?;
    let mut rabbitmq = Side::new(node.amqp, management);
    let mut leveret = Side::new(own.amqp, own.management);
    let steps = steps(include_str!("../../management-requests.txt"));
    let (requests, found) = play(&mut rabbitmq, &mut leveret, &steps);
    let accepted = Accepted::read();
    let disagreements = accepted.disagreements(&found);
    let mut out = io::stdout();
    for sentence in &disagreements {
        writeln!(out, "{sentence}\n")?;
    }
    writeln!(
        out,
        "{requests} requests, {} differences; the list is about {};\n{} disagreements with it",
        found.len(),
        accepted.rabbitmq_version,
        disagreements.len(),
    )?;
    Ok(match disagreements.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}
