//! A producer: one thread writes publishes, another reads what the broker says to them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use leveret_wire::protocol::{AMQPClass, confirm, connection};
use leveret_wire::{Frame, method};

use crate::PerfError;
use crate::body::Numbers;
use crate::clock::Clock;
use crate::connection::{Came, Connection, Reader, Writer, closes, method_of};
use crate::latency::Taken;
use crate::options::Load;
use crate::prepared::{Form, Prepared};
use crate::run::{Over, Run};
use crate::topology::CHANNEL;
use crate::uri::Uri;
use crate::window::{Settle, Window};

const BASIC: u16 = method::basic::CLASS_ID;
const ACK: u16 = 80;
const NACK: u16 = 120;
const RETURN: u16 = 50;

/// The longest sleep between looks whether the run is over.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long the last confirms may take.
const CONFIRMS_WAIT: Duration = Duration::from_secs(60);
/// ... and after an interrupt.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(5);
/// How many reads in a row may bring nothing while the broker owes the answer to a close: 10 s.
const SILENT_READS: u32 = 100;

/// A producer that is ready to begin.
#[derive(Debug)]
pub(crate) struct Producer {
    number: u16,
    connection: Connection,
    prepared: Prepared,
    window: Option<Arc<Window>>,
    pace: Pace,
    pmessages: u64,
    confirm_times: Arc<Taken>,
}

impl Producer {
    /// Connects and prepares publishes to these queues.
    pub(crate) fn ready(
        uri: &Uri,
        load: &Load,
        number: u16,
        queues: &[String],
    ) -> Result<Producer, PerfError> {
        let mut connection = Connection::open(uri)?;
        connection.open_channel(CHANNEL)?;
        if load.confirm.is_some() {
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
            connection.call(CHANNEL, AMQPClass::Confirm(select))?;
            connection.reader.read_much();
        }
        let form = Form {
            size: load.size,
            persistent: load.persistent,
            mandatory: load.mandatory,
            frame_max: connection.frame_max,
        };
        Ok(Producer {
            number,
            prepared: Prepared::new(queues, form)?,
            connection,
            window: load.confirm.map(|limit| Arc::new(Window::new(limit))),
            pace: Pace::new(load.rate),
            pmessages: load.pmessages.unwrap_or(u64::MAX),
            confirm_times: Arc::default(),
        })
    }

    /// Where it writes down how long confirms take.
    pub(crate) fn confirm_times(&self) -> Arc<Taken> {
        Arc::clone(&self.confirm_times)
    }

    /// Publishes until it is over, waits for confirms and closes the connection.
    pub(crate) fn work(self, run: &Run) {
        let Connection { reader, writer, .. } = self.connection;
        let mut publishing = Publishing {
            number: self.number,
            writer,
            prepared: self.prepared,
            window: self.window.clone(),
            pace: self.pace,
            sent: 0,
            pmessages: self.pmessages,
            run,
        };
        let closing = Over::default();
        let mut hearing = Hearing {
            reader,
            window: self.window,
            times: self.confirm_times,
            closing: &closing,
            run,
        };
        thread::scope(|scope| {
            let heard = scope.spawn(move || {
                if let Err(error) = hearing.hear() {
                    run.fail(error);
                }
            });
            let published = publishing.publish().and_then(|()| publishing.end());
            closing.set();
            // What the broker says explains why nothing could be written, so it comes first.
            let _ = heard.join();
            if let Err(error) = published {
                run.fail(error);
            }
        });
    }
}

/// The writing half of a producer.
struct Publishing<'r> {
    number: u16,
    writer: Writer,
    prepared: Prepared,
    window: Option<Arc<Window>>,
    pace: Pace,
    sent: u64,
    pmessages: u64,
    run: &'r Run,
}

impl Publishing<'_> {
    fn publish(&mut self) -> Result<(), PerfError> {
        self.pace.begin(self.run.clock.now_ns());
        while self.sent < self.pmessages && !self.run.publishing_over.is_set() {
            let wanted = self.prepared.at_once().min(self.pmessages - self.sent);
            let due = self.pace.due(self.sent, self.run.clock.now_ns());
            if due == 0 {
                self.pace.sleep(self.sent, &self.run.clock);
                continue;
            }
            let (window, pace, clock) = (&self.window, &mut self.pace, &self.run.clock);
            let room = match window {
                Some(window) => window.room(|| pace.is_free(clock.now_ns())),
                None => wanted,
            };
            let count = wanted.min(due).min(room);
            if count > 0 {
                self.send(count)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, count: u64) -> Result<(), PerfError> {
        let now_ns = self.run.clock.now_ns();
        let (producer, mut sequence) = (self.number, self.sent);
        let pace = &self.pace;
        let bytes = self.prepared.take(count, || {
            let numbers = Numbers { producer, sequence };
            let sent_ns = pace.sent_ns(sequence, now_ns);
            sequence += 1;
            (numbers, sent_ns)
        });
        if let Some(window) = &self.window {
            window.sent(count, now_ns);
        }
        let run = self.run;
        self.writer.write(bytes, || run.publishing_over.is_set())?;
        self.sent += count;
        let now_ns = run.clock.now_ns();
        self.pace.is_free(now_ns);
        run.counts.published.add(count, now_ns);
        Ok(())
    }

    /// Waits for the confirms that are missing, and closes the connection.
    fn end(&mut self) -> Result<(), PerfError> {
        let clock = Clock::start();
        if let Some(window) = &self.window {
            while window.left() > 0 && !self.run.has_failed() && clock.now() < self.wait() {}
        }
        self.writer.close()
    }

    fn wait(&self) -> Duration {
        match self.run.interrupted.is_set() {
            true => INTERRUPTED_WAIT,
            false => CONFIRMS_WAIT,
        }
    }
}

/// The reading half of a producer.
struct Hearing<'r> {
    reader: Reader,
    window: Option<Arc<Window>>,
    times: Arc<Taken>,
    /// The other half has said its last.
    closing: &'r Over,
    run: &'r Run,
}

impl Hearing<'_> {
    /// Reads until the broker has answered the close of the other half.
    fn hear(&mut self) -> Result<(), PerfError> {
        let mut silent = 0;
        loop {
            silent = match self.reader.fill()? {
                Came::Nothing if self.closing.is_set() => silent + 1,
                _ => 0,
            };
            if silent > SILENT_READS {
                return Err(PerfError::Silent(10));
            }
            let (window, times, run) = (self.window.as_deref(), &self.times, self.run);
            let now_ns = run.clock.now_ns();
            let (mut times, mut heard) = (times.write(), Heard::default());
            self.reader.frames(|frame| match frame {
                Frame::Method {
                    class_id: BASIC,
                    method_id,
                    arguments,
                    ..
                } => heard.of_basic((method_id, arguments), |settle| match window {
                    Some(window) => window.settle(settle, now_ns, &mut times),
                    None => Err(PerfError::Unexpected("a confirm".to_owned())),
                }),
                Frame::Method { .. } => heard.of_another(&frame, run),
                // The content of what comes back, and heartbeats.
                _ => Ok(()),
            })?;
            run.counts.confirmed.add(heard.acked, now_ns);
            run.counts.nacked.add(heard.nacked, now_ns);
            run.counts.returned.add(heard.returned, now_ns);
            if heard.is_closed {
                return Ok(());
            }
        }
    }
}

/// What one read brought.
#[derive(Debug, Default)]
struct Heard {
    acked: u64,
    nacked: u64,
    returned: u64,
    is_closed: bool,
}

impl Heard {
    fn of_basic(
        &mut self,
        (method_id, arguments): (u16, &[u8]),
        mut settle: impl FnMut(Settle) -> Result<u64, PerfError>,
    ) -> Result<(), PerfError> {
        match (method_id, arguments) {
            (RETURN, _) => self.returned += 1,
            (ACK | NACK, [t0, t1, t2, t3, t4, t5, t6, t7, bits]) => {
                let settled = settle(Settle {
                    tag: u64::from_be_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]),
                    multiple: bits & 1 == 1,
                })?;
                match method_id {
                    ACK => self.acked += settled,
                    _ => self.nacked += settled,
                }
            }
            _ => return Err(PerfError::Unexpected(format!("method {BASIC}.{method_id}"))),
        }
        Ok(())
    }

    fn of_another(&mut self, frame: &Frame<'_>, run: &Run) -> Result<(), PerfError> {
        let Some(method) = method_of(frame)? else {
            return Ok(());
        };
        if let Some(error) = closes(&method) {
            return Err(error);
        }
        match method {
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => self.is_closed = true,
            AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)) => {
                *run.blocked.lock() = Some(blocked.reason.to_string());
            }
            AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)) => {
                *run.blocked.lock() = None;
            }
            other => return Err(PerfError::unexpected(&other)),
        }
        Ok(())
    }
}

/// When which message is due.
#[derive(Debug)]
struct Pace {
    /// Nanoseconds between two messages; 0 for as fast as it goes.
    every_ns: f64,
    start_ns: u64,
    /// When the producer was last held up, by a write or by a full window.
    free_ns: u64,
}

impl Pace {
    fn new(rate: Option<u64>) -> Pace {
        Pace {
            every_ns: rate.map_or(0.0, |rate| 1e9 / rate as f64),
            start_ns: 0,
            free_ns: 0,
        }
    }

    fn begin(&mut self, now_ns: u64) {
        (self.start_ns, self.free_ns) = (now_ns, now_ns);
    }

    fn due_ns(&self, sequence: u64) -> u64 {
        self.start_ns + (sequence as f64 * self.every_ns) as u64
    }

    /// How many messages are due beyond those that were sent.
    fn due(&self, sent: u64, now_ns: u64) -> u64 {
        if self.every_ns == 0.0 {
            return u64::MAX;
        }
        let since = now_ns.saturating_sub(self.start_ns) as f64;
        ((since / self.every_ns) as u64 + 1).saturating_sub(sent)
    }

    /// Sleeps until the next message is due, or a tenth of a second.
    fn sleep(&self, sent: u64, clock: &Clock) {
        let left = self.due_ns(sent).saturating_sub(clock.now_ns());
        thread::sleep(Duration::from_nanos(left).min(SLEEP_MAX));
    }

    fn is_free(&mut self, now_ns: u64) {
        self.free_ns = now_ns;
    }

    /// The time that a message bears: now, or if it was due while the producer was held up, when it was
    /// due, so that what the broker holds up counts as time that its messages take.
    #[inline]
    fn sent_ns(&self, sequence: u64, now_ns: u64) -> u64 {
        if self.every_ns == 0.0 {
            return now_ns;
        }
        match self.due_ns(sequence) {
            due if due < self.free_ns => due,
            _ => now_ns,
        }
    }
}

#[cfg(test)]
mod tests;
