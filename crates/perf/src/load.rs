//! The scenarios with messages: producers and consumers together, or one after the other.

use std::io::Write;
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::consumer::Consumer;
use crate::latency::Taken;
use crate::options::{Load, share};
use crate::producer::Producer;
use crate::progress::Progress;
use crate::report::{Check, LoadReport, Outcome, Report};
use crate::run::{Run, Stop};
use crate::topology::{Declared, Names, QueueKind};
use crate::uri::Uri;
use crate::{PerfError, meter::Meter};

/// How long the last messages may not come before they count as lost.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// How often one looks whether a phase is over.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// When consumers begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// With the producers.
    Together,
    /// When all is published.
    OneAfterTheOther,
}

/// Everybody that works, ready to begin.
struct Workers {
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
}

pub(crate) fn run(
    name: &'static str,
    uri: &Uri,
    load: &Load,
    order: Order,
    stop: &Stop,
    progress: &mut dyn Write,
) -> Result<Report, PerfError> {
    load.check()?;
    let kind = QueueKind::new(load.persistent, &load.queue_args);
    let mut declared = Declared::queues(uri, &Names::new(), load.queues, &kind)?;
    let worked = Workers::ready(uri, load, &declared)
        .and_then(|workers| work(workers, load, order, stop, progress));
    let ready = declared.ready();
    let broker = declared.broker().clone();
    // What went wrong first is told, but deleted is deleted.
    let deleted = declared.delete();
    let worked = worked?;
    deleted?;
    let check = Check {
        ready: ready?,
        ..worked.check
    };
    Ok(LoadReport { check, ..worked }.report(name, broker, load))
}

impl Workers {
    fn ready(uri: &Uri, load: &Load, declared: &Declared) -> Result<Workers, PerfError> {
        let shared = |number: u16, sharers: u16| {
            let numbers = share(u32::from(number), u32::from(sharers), load.queues);
            declared.named(&numbers)
        };
        let consumers = (0..load.consumers)
            .map(|number| Consumer::ready(uri, load, shared(number, load.consumers)));
        let consumers = consumers.collect::<Result<_, _>>()?;
        let producers = (0..load.producers)
            .map(|number| Producer::ready(uri, load, number, &shared(number, load.producers)));
        Ok(Workers {
            producers: producers.collect::<Result<_, _>>()?,
            consumers,
        })
    }

    fn confirm_times(&self) -> Vec<Arc<Taken>> {
        self.producers.iter().map(Producer::confirm_times).collect()
    }

    fn times(&self) -> Vec<Arc<Taken>> {
        self.consumers.iter().map(Consumer::times).collect()
    }
}

/// The phases one after the other: publishing, draining, closing.
fn work(
    workers: Workers,
    load: &Load,
    order: Order,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<LoadReport, PerfError> {
    let run = Run::new(load.producers);
    let times = (workers.times(), workers.confirm_times());
    let mut progress = Progress::new(&run, times, out);
    let Workers {
        producers,
        consumers,
    } = workers;
    let has_consumers = !consumers.is_empty();
    let consuming_from_ns = thread::scope(|scope| {
        let consume = |consumers: Vec<Consumer>| {
            for consumer in consumers {
                start(scope, &run, move |run| consumer.work(run));
            }
            run.clock.now_ns()
        };
        let mut waiting = Some(consumers);
        let mut from_ns = 0;
        if order == Order::Together {
            from_ns = consume(waiting.take().unwrap_or_default());
        }
        let publishing = producers
            .into_iter()
            .map(|producer| start(scope, &run, move |run| producer.work(run)))
            .collect();
        publish(publishing, load, stop, &run, &mut progress);
        if let Some(consumers) = waiting {
            from_ns = consume(consumers);
        }
        if has_consumers {
            drain(stop, &run, &mut progress);
        }
        run.consuming_over.set();
        from_ns
    });
    progress.end();
    let (latency, confirm_latency, samples) = progress.taken();
    if let Some(error) = run.take_failure() {
        return Err(error);
    }
    Ok(LoadReport {
        published: run.counts.published.flow(0),
        confirmed: load.confirm.map(|_| run.counts.confirmed.flow(0)),
        received: run.counts.received.flow(consuming_from_ns),
        latency,
        confirm_latency,
        check: check(&run, load, stop),
        samples,
    })
}

type Worker<'scope> = ScopedJoinHandle<'scope, ()>;

fn start<'scope, 'run: 'scope>(
    scope: &'scope Scope<'scope, 'run>,
    run: &'run Run,
    work: impl FnOnce(&Run) + Send + 'scope,
) -> Worker<'scope> {
    scope.spawn(move || work(run))
}

/// Until the time is over, all is published, or somebody wishes an end; then until producers are done.
fn publish(
    mut producers: Vec<Worker<'_>>,
    load: &Load,
    stop: &Stop,
    run: &Run,
    progress: &mut Progress<'_>,
) {
    loop {
        if stop.is_set() {
            run.interrupted.set();
        }
        let is_over = load.time.is_some_and(|time| run.clock.now() >= time);
        if is_over || stop.is_set() || run.has_failed() {
            run.publishing_over.set();
        }
        producers.retain(|producer| !producer.is_finished());
        // Without producers, consumers have the whole time.
        let waits = load.producers == 0 && !run.publishing_over.is_set();
        if producers.is_empty() && !waits {
            return;
        }
        thread::sleep(LOOK_AROUND);
        progress.tell();
    }
}

/// Until all that queues accepted has come, or nothing comes any more.
fn drain(stop: &Stop, run: &Run, progress: &mut Progress<'_>) {
    let received = &run.counts.received;
    let mut last = (received.count(), run.clock.now());
    while received.count() < run.accepted() && !stop.is_set() && !run.has_failed() {
        thread::sleep(LOOK_AROUND);
        progress.tell();
        if received.count() != last.0 {
            last = (received.count(), run.clock.now());
        }
        if run.clock.now().saturating_sub(last.1) > DRAIN_WAIT {
            return;
        }
    }
}

/// What became of the messages, by their numbers or at least by their count.
fn check(run: &Run, load: &Load, stop: &Stop) -> Check {
    let counts = &run.counts;
    let settled = counts.confirmed.count() + counts.nacked.count();
    let unconfirmed = match load.confirm {
        Some(_) => counts.published.count().saturating_sub(settled),
        None => 0,
    };
    let is_numbered = load.size >= crate::body::NUMBERED;
    let (mut different, mut doubled, mut impossible) = (0, 0, 0);
    for book in &run.books {
        let book = book.lock();
        different += book.different;
        doubled += book.doubled;
        impossible += book.impossible;
    }
    let damaged = counts.damaged.count() + impossible;
    let (accepted, received) = (run.accepted(), counts.received.count());
    if !is_numbered {
        (different, doubled) = (received.min(accepted), received.saturating_sub(accepted));
    }
    let is_checked = load.consumers > 0 && load.producers > 0 && !stop.is_set();
    let lost = accepted.saturating_sub(different + if is_numbered { damaged } else { 0 });
    let count = |meter: &Meter| meter.count();
    let mut check = Check {
        outcome: Outcome::Unchecked,
        by: if is_numbered { "number" } else { "count" },
        lost: is_checked.then_some(lost),
        doubled,
        damaged,
        unconfirmed,
        nacked: count(&counts.nacked),
        returned: count(&counts.returned),
        redelivered: count(&counts.redelivered),
        ready: 0,
    };
    check.judge();
    check
}
