//! The scenario of queues: how fast they are declared, bound, used once and deleted.

use std::io::Write;
use std::thread;
use std::time::Duration;

use leveret_message::properties::PropertiesWriter;
use leveret_wire::encode;
use leveret_wire::protocol::{AMQPClass, basic};

use crate::PerfError;
use crate::connection::{Broker, Connection};
use crate::latency::{Percentiles, Taken, no_times};
use crate::meter::Meter;
use crate::options::{Declaring, share};
use crate::report::{DeclaringReport, Outcome, Report, Step};
use crate::run::{Run, Stop};
use crate::topology::{CHANNEL, Names, QueueKind};
use crate::uri::Uri;

const LOOK_AROUND: Duration = Duration::from_millis(10);
const EVERY: Duration = Duration::from_secs(1);
/// How long a message may take from its publish until it can be fetched.
const MESSAGE_WAIT: Duration = Duration::from_secs(10);

/// What the threads that declare share.
struct Declarers<'r> {
    options: &'r Declaring,
    names: Names,
    kind: QueueKind,
    stop: &'r Stop,
    run: Run,
}

/// A connection and its share of the queues.
struct Declarer {
    connection: Connection,
    queues: Vec<String>,
    /// How many of them are declared, the first ones.
    declared: usize,
}

/// What is done with a queue.
type Act = fn(&Declarers<'_>, &mut Declarer, &str) -> Result<(), PerfError>;

pub(crate) fn run(
    uri: &Uri,
    options: &Declaring,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<Report, PerfError> {
    if options.queues == 0 || options.parallel == 0 {
        let text = "there has to be a queue, and a connection that declares it";
        return Err(PerfError::Options(text.to_owned()));
    }
    let declarers = Declarers {
        options,
        names: Names::new(),
        kind: QueueKind::new(options.persistent, &options.queue_args),
        stop,
        run: Run::new(0),
    };
    let mut workers = declarers.connect(uri)?;
    let broker = workers.first().map(|first| first.connection.broker.clone());
    let exchange = declarers.names.exchange();
    declarers.with_first(&mut workers, |first| {
        first.declare_exchange(&exchange, options.persistent)
    })?;
    let acts: [(&'static str, Act); 3] = [
        ("declare", |all, worker, queue| all.declare(worker, queue)),
        ("bind", |all, worker, queue| all.bind(worker, queue)),
        ("publish and get", |all, worker, queue| {
            all.use_once(worker, queue)
        }),
    ];
    let mut steps = Vec::new();
    for (name, act) in acts {
        if !declarers.is_over() {
            steps.push(declarers.step(name, act, &mut workers, out));
        }
    }
    let deleted = declarers.delete(uri, &mut workers, out);
    // What went wrong first is told, but deleted is deleted.
    if let Some(error) = declarers.run.take_failure() {
        return Err(error);
    }
    steps.push(deleted?);
    for worker in workers {
        worker.connection.close()?;
    }
    Ok(declarers.report(broker.unwrap_or_default(), steps))
}

impl Declarers<'_> {
    fn is_over(&self) -> bool {
        self.stop.is_set() || self.run.has_failed()
    }

    fn connect(&self, uri: &Uri) -> Result<Vec<Declarer>, PerfError> {
        let parallel = u32::from(self.options.parallel).min(self.options.queues);
        let connect = |number| {
            let mut connection = Connection::open(uri)?;
            connection.open_channel(CHANNEL)?;
            let numbers = share(number, parallel, self.options.queues).into_iter();
            Ok(Declarer {
                connection,
                queues: numbers.map(|number| self.names.queue(number)).collect(),
                declared: 0,
            })
        };
        (0..parallel).map(connect).collect()
    }

    fn with_first(
        &self,
        workers: &mut [Declarer],
        ask: impl FnOnce(&mut Connection) -> Result<(), PerfError>,
    ) -> Result<(), PerfError> {
        match workers.first_mut() {
            Some(first) => ask(&mut first.connection),
            None => Ok(()),
        }
    }

    /// Does that with every queue, each worker with its own, one after the other.
    fn step(
        &self,
        name: &'static str,
        act: Act,
        workers: &mut [Declarer],
        out: &mut dyn Write,
    ) -> Step {
        let (meter, taken) = (Meter::default(), Taken::default());
        let from_ns = self.run.clock.now_ns();
        thread::scope(|scope| {
            let (meter, taken) = (&meter, &taken);
            let threads: Vec<_> = workers
                .iter_mut()
                .map(|worker| scope.spawn(move || self.share_of(worker, act, meter, taken)))
                .collect();
            let mut next = self.run.clock.now() + EVERY;
            while !threads.iter().all(|thread| thread.is_finished()) {
                thread::sleep(LOOK_AROUND);
                let now = self.run.clock.now();
                if now >= next {
                    next += EVERY;
                    // Progress that nobody reads is no reason to end.
                    let (at, done) = (now.as_secs_f64(), meter.count());
                    let _ = writeln!(out, "{at:6.1} s  {name}: {done} queues");
                }
            }
        });
        let mut times = no_times();
        taken.collect(&mut times);
        Step {
            step: name,
            done: meter.flow(from_ns),
            times: Percentiles::of(&times),
        }
    }

    fn share_of(&self, worker: &mut Declarer, act: Act, meter: &Meter, taken: &Taken) {
        for queue in worker.queues.clone() {
            let before_ns = self.run.clock.now_ns();
            if self.is_over() {
                return;
            }
            if let Err(error) = act(self, worker, &queue) {
                return self.run.fail(error);
            }
            let now_ns = self.run.clock.now_ns();
            taken.write().saturating_record(now_ns - before_ns);
            meter.add(1, now_ns);
        }
    }

    fn declare(&self, worker: &mut Declarer, queue: &str) -> Result<(), PerfError> {
        worker.connection.declare_queue(queue, &self.kind)?;
        worker.declared += 1;
        Ok(())
    }

    fn bind(&self, worker: &mut Declarer, queue: &str) -> Result<(), PerfError> {
        worker.connection.bind(queue, &self.names.exchange())
    }

    /// Publishes a message through the exchange and takes it out of the queue: its name, as it was sent.
    fn use_once(&self, worker: &mut Declarer, queue: &str) -> Result<(), PerfError> {
        let persistent = self.options.persistent;
        publish(
            &mut worker.connection,
            &self.names.exchange(),
            queue,
            persistent,
        )?;
        let end = self.run.clock.now() + MESSAGE_WAIT;
        while self.run.clock.now() < end {
            if let Some(body) = get(&mut worker.connection, queue)? {
                let now_ns = self.run.clock.now_ns();
                self.run.counts.received.add(1, now_ns);
                let is_damaged = body != queue.as_bytes();
                self.run.counts.damaged.add(u64::from(is_damaged), now_ns);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes what is declared, over new connections where something went wrong on the old ones.
    fn delete(
        &self,
        uri: &Uri,
        workers: &mut [Declarer],
        out: &mut dyn Write,
    ) -> Result<Step, PerfError> {
        let again = Declarers {
            stop: &Stop::default(),
            options: self.options,
            names: self.names.clone(),
            kind: self.kind.clone(),
            run: Run::new(0),
        };
        for worker in workers.iter_mut() {
            worker.queues.truncate(worker.declared);
            if self.is_over() {
                worker.connection = Connection::open(uri)?;
                worker.connection.open_channel(CHANNEL)?;
            }
        }
        let delete: Act = |_, worker, queue| worker.connection.delete_queue(queue);
        let step = again.step("delete", delete, workers, out);
        if let Some(error) = again.run.take_failure() {
            return Err(error);
        }
        let exchange = self.names.exchange();
        again.with_first(workers, |first| first.delete_exchange(&exchange))?;
        Ok(step)
    }

    fn report(&self, broker: Broker, steps: Vec<Step>) -> Report {
        let counts = &self.run.counts;
        let sound = counts.received.count() - counts.damaged.count();
        let report = DeclaringReport {
            outcome: match sound == u64::from(self.options.queues) {
                _ if self.stop.is_set() => Outcome::Unchecked,
                true => Outcome::Sound,
                false => Outcome::Wrong,
            },
            steps,
        };
        report.report(broker, self.options)
    }
}

/// Publishes a message whose body is its routing key.
fn publish(
    connection: &mut Connection,
    exchange: &str,
    key: &str,
    persistent: bool,
) -> Result<(), PerfError> {
    let publish = basic::AMQPMethod::Publish(basic::Publish {
        exchange: encode::short_string(exchange),
        routing_key: encode::short_string(key),
        mandatory: false,
        immediate: false,
    });
    let properties = PropertiesWriter {
        delivery_mode: persistent.then_some(2),
        ..PropertiesWriter::default()
    };
    let properties = properties.to_bytes().expect("no property is a text");
    let mut bytes = Vec::new();
    encode::method(&mut bytes, CHANNEL, AMQPClass::Basic(publish));
    encode::content_header(&mut bytes, CHANNEL, key.len() as u64, &properties);
    encode::body(&mut bytes, CHANNEL, key.as_bytes(), connection.frame_max);
    connection.writer.write(&bytes, || false)
}

/// The body of the first message of a queue, if there is one.
fn get(connection: &mut Connection, queue: &str) -> Result<Option<Vec<u8>>, PerfError> {
    let get = basic::AMQPMethod::Get(basic::Get {
        queue: encode::short_string(queue),
        no_ack: true,
    });
    match connection.call(CHANNEL, AMQPClass::Basic(get))? {
        AMQPClass::Basic(basic::AMQPMethod::GetOk(_)) => {
            connection.reader.next_body(queue.len()).map(Some)
        }
        AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)) => Ok(None),
        other => Err(PerfError::unexpected(&other)),
    }
}
