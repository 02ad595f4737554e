//! A consumer: one thread that reads deliveries, looks at what is in them, and acknowledges.

use std::sync::Arc;

use leveret_wire::protocol::{AMQPClass, basic, connection};
use leveret_wire::types::FieldTable;
use leveret_wire::{Frame, encode, method};

use crate::PerfError;
use crate::connection::{Connection, closes, method_of};
use crate::deliveries::Deliveries;
use crate::latency::Taken;
use crate::options::Load;
use crate::run::Run;
use crate::topology::CHANNEL;
use crate::uri::Uri;

const BASIC: u16 = method::basic::CLASS_ID;
const DELIVER: u16 = 60;

/// A consumer that is ready to begin.
#[derive(Debug)]
pub(crate) struct Consumer {
    connection: Connection,
    queues: Vec<String>,
    autoack: bool,
    acks: Acks,
    deliveries: Deliveries,
    times: Arc<Taken>,
}

impl Consumer {
    /// Connects; it takes nothing before [`Consumer::work`].
    pub(crate) fn ready(
        uri: &Uri,
        load: &Load,
        queues: Vec<String>,
    ) -> Result<Consumer, PerfError> {
        let mut connection = Connection::open(uri)?;
        connection.open_channel(CHANNEL)?;
        if load.qos > 0 {
            connection.qos(load.qos)?;
        }
        connection.reader.read_much();
        Ok(Consumer {
            connection,
            queues,
            autoack: load.autoack,
            acks: Acks::new(load),
            deliveries: Deliveries::new(load.size, load.producers, load.timed_one_in),
            times: Arc::default(),
        })
    }

    /// Where it writes down how long messages take.
    pub(crate) fn times(&self) -> Arc<Taken> {
        Arc::clone(&self.times)
    }

    /// Takes deliveries until it is over, acknowledges the last ones and closes the connection.
    pub(crate) fn work(mut self, run: &Run) {
        if let Err(error) = self.consume_all().and_then(|()| self.take(run)) {
            return run.fail(error);
        }
        if let Err(error) = self.end() {
            run.fail(error);
        }
    }

    /// Starts a consumer of each queue. Answers are taken among the deliveries, which may come before them.
    fn consume_all(&mut self) -> Result<(), PerfError> {
        for queue in self.queues.clone() {
            let consume = basic::AMQPMethod::Consume(basic::Consume {
                queue: encode::short_string(&queue),
                consumer_tag: encode::short_string(&queue),
                no_local: false,
                no_ack: self.autoack,
                exclusive: false,
                nowait: false,
                arguments: FieldTable::default(),
            });
            self.connection.send(CHANNEL, AMQPClass::Basic(consume))?;
        }
        Ok(())
    }

    fn take(&mut self, run: &Run) -> Result<(), PerfError> {
        while !run.consuming_over.is_set() {
            self.connection.reader.fill()?;
            let now_ns = run.clock.now_ns();
            let (deliveries, acks) = (&mut self.deliveries, &mut self.acks);
            let mut times = self.times.write();
            self.connection.reader.frames(|frame| match frame {
                Frame::Body { payload, .. } => {
                    if deliveries.body(payload, now_ns, &mut times) {
                        acks.delivered(deliveries.tag());
                    }
                    Ok(())
                }
                Frame::Method {
                    class_id: BASIC,
                    method_id: DELIVER,
                    arguments,
                    ..
                } => deliveries.deliver(arguments),
                Frame::Header { header, .. } => {
                    if deliveries.header(header.body_size) {
                        acks.delivered(deliveries.tag());
                    }
                    Ok(())
                }
                Frame::Method { .. } => told(&frame),
                Frame::Heartbeat { .. } => Ok(()),
            })?;
            drop(times);
            let writer = &mut self.connection.writer;
            acks.send(|bytes| writer.write(bytes, || run.consuming_over.is_set()))?;
            deliveries.settle(run, now_ns);
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), PerfError> {
        self.acks.rest();
        let writer = &mut self.connection.writer;
        self.acks.send(|bytes| writer.write(bytes, || true))?;
        self.connection.close()
    }
}

/// A method among deliveries: the answer to `consume`, or bad news.
fn told(frame: &Frame<'_>) -> Result<(), PerfError> {
    let Some(method) = method_of(frame)? else {
        return Ok(());
    };
    if let Some(error) = closes(&method) {
        return Err(error);
    }
    match method {
        AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_))
        | AMQPClass::Connection(
            connection::AMQPMethod::Blocked(_) | connection::AMQPMethod::Unblocked(_),
        ) => Ok(()),
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            Err(PerfError::Cancelled(cancel.consumer_tag.to_string()))
        }
        other => Err(PerfError::unexpected(&other)),
    }
}

/// What is to be acknowledged.
#[derive(Debug)]
struct Acks {
    /// How many messages an ack stands for; `None` if none is sent.
    every: Option<u32>,
    waiting: u32,
    last_tag: u64,
    bytes: Vec<u8>,
}

impl Acks {
    fn new(load: &Load) -> Acks {
        Acks {
            every: (!load.autoack).then_some(load.multi_ack_every),
            waiting: 0,
            last_tag: 0,
            bytes: Vec::new(),
        }
    }

    #[inline]
    fn delivered(&mut self, tag: u64) {
        let Some(every) = self.every else {
            return;
        };
        self.waiting += 1;
        self.last_tag = tag;
        if self.waiting >= every {
            encode::ack(&mut self.bytes, CHANNEL, tag, every > 1);
            self.waiting = 0;
        }
    }

    /// Acknowledges what is left.
    fn rest(&mut self) {
        if self.every.is_some() && self.waiting > 0 {
            encode::ack(&mut self.bytes, CHANNEL, self.last_tag, true);
            self.waiting = 0;
        }
    }

    fn send(
        &mut self,
        write: impl FnOnce(&[u8]) -> Result<(), PerfError>,
    ) -> Result<(), PerfError> {
        if !self.bytes.is_empty() {
            write(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}
