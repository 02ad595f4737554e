//! Moves messages through connections and shards in one thread, without sockets, tasks or a clock: what `cargo xtask ratchet` measures.
//!
//! `hotpath WORKLOAD COUNT` publishes COUNT messages; the workloads are in `workload.rs`. What comes out is held against what has to come out, to
//! the byte. The last line is `allocations N`: how often the whole run asked the allocator for memory. The same arguments take the same steps
//! each time, so the numbers only change with the code.

use std::alloc::System;
use std::io::{self, Write};
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::consumer::Consumer;
use crate::machine::Machine;
use crate::stream::Stream;
use crate::workload::Workload;

mod consumer;
mod machine;
mod stream;
mod workload;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [workload, count] => Workload::named(workload).zip(count.parse().ok()),
        _ => None,
    };
    let Some((workload, count)) = parsed else {
        let names = Workload::all().map(|workload| workload.name).join("|");
        // Nothing is left to do if this cannot be written.
        let _ = writeln!(io::stderr(), "usage: hotpath {names} COUNT");
        return ExitCode::from(2);
    };
    run(workload, count);
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations + stats.reallocations;
    match writeln!(io::stdout(), "allocations {allocations}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(workload: Workload, count: u64) {
    let mut machine = Machine::new();
    let mut producer = machine.client();
    machine.declare(&mut producer, workload);
    let mut consumers: Vec<Consumer> = if workload.spread {
        let all = (0..workload.queues).collect();
        vec![Consumer::start(&mut machine, workload, all)]
    } else {
        (0..workload.queues)
            .map(|queue| Consumer::start(&mut machine, workload, vec![queue]))
            .collect()
    };
    let mut stream = Stream::new(&workload.publishes(), count);
    let mut confirmed = 0;
    let taken = |consumers: &[Consumer]| consumers.iter().map(|c| c.taken).sum::<u64>();
    while taken(&consumers) < count * consumers.len() as u64 {
        let mut moves = stream.feed(&mut producer, machine.now);
        moves |= machine.turn_shards();
        for consumer in &mut consumers {
            moves |= consumer.turn(machine.now);
        }
        producer.poll(machine.now);
        confirmed = producer.take_confirms(confirmed);
        if !moves {
            machine.pass_time();
        }
    }
    assert!(stream.is_used_up(), "more came than was published");
    let all = if workload.confirms { count } else { 0 };
    assert_eq!(confirmed, all, "each is confirmed, where that is asked");
    for consumer in &mut consumers {
        assert_eq!(consumer.taken, count, "each queue gets every message");
        consumer.end(&mut machine);
    }
}
