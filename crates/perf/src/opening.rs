//! The scenario of connections: how fast they open, that all of them hold, and how fast they close.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::PerfError;
use crate::connection::{Broker, Connection};
use crate::latency::{Percentiles, Taken, no_times};
use crate::meter::Meter;
use crate::options::{Opening, share};
use crate::report::{OpeningReport, Outcome, Report};
use crate::run::{Run, Stop};
use crate::uri::Uri;

const LOOK_AROUND: Duration = Duration::from_millis(10);
const EVERY: Duration = Duration::from_secs(1);

/// What the threads that open share.
struct Opened<'r> {
    uri: &'r Uri,
    channels: u16,
    stop: &'r Stop,
    run: Run,
    opened: Meter,
    closed: Meter,
    times: Taken,
}

pub(crate) fn run(
    uri: &Uri,
    options: &Opening,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<Report, PerfError> {
    if options.connections == 0 || options.channels == 0 || options.parallel == 0 {
        let text = "there has to be a connection with a channel";
        return Err(PerfError::Options(text.to_owned()));
    }
    let opened = Opened {
        uri,
        channels: options.channels,
        stop,
        run: Run::new(0),
        opened: Meter::default(),
        closed: Meter::default(),
        times: Taken::default(),
    };
    let mut connections = opened.open_all(options, out);
    let broker = connections.first().map(|first| first.broker.clone());
    opened.hold(options, out);
    let closing_from_ns = opened.run.clock.now_ns();
    opened.close_all(&mut connections);
    if let Some(error) = opened.run.take_failure() {
        return Err(PerfError::After {
            done: opened.opened.count(),
            what: "connections",
            error: Box::new(error),
        });
    }
    Ok(opened.report(broker.unwrap_or_default(), options, closing_from_ns))
}

impl Opened<'_> {
    fn is_over(&self) -> bool {
        self.stop.is_set() || self.run.has_failed()
    }

    /// Opens them, each thread its share, until one is refused.
    fn open_all(&self, options: &Opening, out: &mut dyn Write) -> Vec<Connection> {
        let parallel = u32::from(options.parallel).min(options.connections);
        thread::scope(|scope| {
            let open = |number| {
                let count = share(number, parallel, options.connections).len();
                scope.spawn(move || self.open_share(count))
            };
            let threads: Vec<_> = (0..parallel).map(open).collect();
            let mut next = EVERY;
            while !threads.iter().all(|thread| thread.is_finished()) {
                thread::sleep(LOOK_AROUND);
                if self.run.clock.now() >= next {
                    next += EVERY;
                    self.tell(out);
                }
            }
            let shares = threads.into_iter().filter_map(|thread| thread.join().ok());
            shares.flatten().collect()
        })
    }

    fn open_share(&self, count: usize) -> Vec<Connection> {
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count && !self.is_over() {
            let before_ns = self.run.clock.now_ns();
            match self.open_one() {
                Ok(connection) => {
                    let now_ns = self.run.clock.now_ns();
                    self.times.write().saturating_record(now_ns - before_ns);
                    self.opened.add(1, now_ns);
                    connections.push(connection);
                }
                Err(error) => self.run.fail(error),
            }
        }
        connections
    }

    fn open_one(&self) -> Result<Connection, PerfError> {
        let mut connection = Connection::open(self.uri)?;
        for channel in 1..=self.channels {
            connection.open_channel(channel)?;
        }
        Ok(connection)
    }

    fn hold(&self, options: &Opening, out: &mut dyn Write) {
        let Some(time) = options.time else {
            return;
        };
        let end = self.run.clock.now() + time;
        let mut next = self.run.clock.now() + EVERY;
        while self.run.clock.now() < end && !self.is_over() {
            thread::sleep(LOOK_AROUND);
            if self.run.clock.now() >= next {
                next += EVERY;
                self.tell(out);
            }
        }
    }

    /// Asks each something, to see that it is still there, and closes it.
    fn close_all(&self, connections: &mut Vec<Connection>) {
        for mut connection in connections.drain(..) {
            let closed = connection.qos(0).and_then(|()| connection.close());
            match closed {
                Ok(()) => self.closed.add(1, self.run.clock.now_ns()),
                Err(error) => self.run.fail(error),
            }
        }
    }

    fn tell(&self, out: &mut dyn Write) {
        let (at, opened) = (self.run.clock.now().as_secs_f64(), self.opened.count());
        // Progress that nobody reads is no reason to end.
        let _ = writeln!(out, "{at:6.1} s  {opened} connections are open");
    }

    fn report(&self, broker: Broker, options: &Opening, closing_from_ns: u64) -> Report {
        let mut times = no_times();
        self.times.collect(&mut times);
        let is_whole = self.closed.count() == u64::from(options.connections);
        let report = OpeningReport {
            outcome: match is_whole {
                true => Outcome::Sound,
                false => Outcome::Unchecked,
            },
            opened: self.opened.flow(0),
            closed: self.closed.flow(closing_from_ns),
            open_times: Percentiles::of(&times),
        };
        report.report(broker, options)
    }
}
