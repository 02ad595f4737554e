//! The least that a broker could do for the same bytes: what is published on one connection is delivered on another. A ceiling beside which brokers are
//! seen.
//!
//! It speaks as much AMQP 0-9-1 as `leveret perf` needs for one producer and one consumer of one queue. It has no queue, no credit and no users; acks
//! are read and mean nothing, and a confirm follows as soon as a message was written to the consumer's socket. It is no broker double: nothing is checked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, queue};
use amq_protocol::types::FieldTable;

use crate::client::{END, Frame, Method};

/// How much one read takes at the most.
const READ_SIZE: usize = 256 * 1024;

/// `basic.publish`, as class and method.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];

/// A relay on a free port of loopback. It runs until the process ends.
#[derive(Debug)]
pub struct Relay {
    /// Where it speaks AMQP.
    pub amqp: SocketAddr,
}

impl Relay {
    /// Starts it.
    ///
    /// **Errors**: those of the socket.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let amqp = listener.local_addr()?;
        let target = Arc::new(Target::default());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let target = Arc::clone(&target);
                // A connection ends with its client; why is of no interest.
                thread::spawn(move || Served::new(stream, target).and_then(Served::run));
            }
        });
        Ok(Self { amqp })
    }
}

/// Where messages go, while there is a consumer.
#[derive(Debug, Default)]
struct Target {
    consumer: Mutex<Option<Arc<Consumer>>>,
    came: Condvar,
}

#[derive(Debug)]
struct Consumer {
    writer: Writer,
    /// Its tag as the protocol writes it, with its length before it.
    tag: Vec<u8>,
}

/// What several write to, whole frames each.
type Writer = Arc<Mutex<TcpStream>>;

/// A connection.
struct Served {
    stream: TcpStream,
    writer: Writer,
    target: Arc<Target>,
    /// What was read and not used.
    buffer: Vec<u8>,
    confirms: bool,
    /// Who gets what is published here, from the first message on.
    to: Option<Arc<Consumer>>,
    delivery_tag: u64,
    /// What is to be written there.
    deliveries: Vec<u8>,
    /// Contents that came whole, and how many of them are confirmed.
    published: u64,
    confirmed: u64,
    /// How much of the body of the content that is coming is missing.
    missing: u64,
}

impl Served {
    fn new(stream: TcpStream, target: Arc<Target>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            writer: Arc::new(Mutex::new(stream.try_clone()?)),
            stream,
            target,
            buffer: Vec::new(),
            confirms: false,
            to: None,
            delivery_tag: 0,
            deliveries: Vec::new(),
            published: 0,
            confirmed: 0,
            missing: 0,
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; 8])?;
        self.answer(0, start())?;
        let mut read = vec![0; READ_SIZE];
        loop {
            let len = self.stream.read(&mut read)?;
            if len == 0 {
                return Ok(());
            }
            self.buffer.extend_from_slice(&read[..len]);
            self.take_frames()?;
            self.hand_over()?;
        }
    }

    fn take_frames(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some(frame) = next_frame(&buffer, at) {
            let payload = &buffer[frame.start + 7..frame.end - 1];
            match buffer[frame.start] {
                1 if payload.starts_with(&PUBLISH) => self.deliver(payload),
                1 => self.take_method(&buffer[frame.clone()])?,
                kind => {
                    self.deliveries.extend_from_slice(&buffer[frame.clone()]);
                    self.note_content(kind, payload);
                }
            }
            at = frame.end;
        }
        self.buffer.extend_from_slice(&buffer[at..]);
        Ok(())
    }

    /// A `basic.deliver` for a `basic.publish`, with the same exchange and routing key.
    fn deliver(&mut self, publish: &[u8]) {
        // Behind class, method and ticket, and before the bits.
        let exchange_and_key = &publish[6..publish.len() - 1];
        let consumer = self.to.get_or_insert_with(|| self.target.await_consumer());
        self.delivery_tag += 1;
        let len = 4 + consumer.tag.len() + 8 + 1 + exchange_and_key.len();
        let out = &mut self.deliveries;
        out.extend_from_slice(&[1, 0, 1]);
        out.extend_from_slice(&(len as u32).to_be_bytes());
        out.extend_from_slice(&[0, 60, 0, 60]);
        out.extend_from_slice(&consumer.tag);
        out.extend_from_slice(&self.delivery_tag.to_be_bytes());
        out.push(0);
        out.extend_from_slice(exchange_and_key);
        out.push(END);
    }

    fn note_content(&mut self, kind: u8, payload: &[u8]) {
        match payload.get(4..12).and_then(|size| size.try_into().ok()) {
            Some(size) if kind == 2 => self.missing = u64::from_be_bytes(size),
            _ => self.missing -= payload.len() as u64,
        }
        self.published += u64::from(self.missing == 0);
    }

    /// Writes what has come to the consumer, and confirms it.
    fn hand_over(&mut self) -> io::Result<()> {
        if self.deliveries.is_empty() {
            return Ok(());
        }
        if let Some(consumer) = &self.to {
            lock(&consumer.writer).write_all(&self.deliveries)?;
        }
        self.deliveries.clear();
        if self.confirms && self.published > self.confirmed {
            self.confirmed = self.published;
            let ack = basic::Ack {
                delivery_tag: self.published,
                multiple: true,
            };
            self.answer(1, ack)?;
        }
        Ok(())
    }

    /// Answers whatever else `leveret perf` asks.
    fn take_method(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut frame = frame.to_vec();
        let Some(frame) = Frame::take(&mut frame) else {
            return Ok(());
        };
        match frame.as_method() {
            AMQPClass::Connection(connection::AMQPMethod::StartOk(_)) => self.answer(0, tune()),
            AMQPClass::Connection(connection::AMQPMethod::Open(_)) => {
                self.answer(0, connection::OpenOk {})
            }
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                self.answer(0, connection::CloseOk {})
            }
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
                self.answer(frame.channel, channel::OpenOk {})
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                self.answer(frame.channel, channel::CloseOk {})
            }
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
                let ok = queue::DeclareOk {
                    queue: declare.queue,
                    message_count: 0,
                    consumer_count: 0,
                };
                self.answer(frame.channel, ok)
            }
            AMQPClass::Queue(queue::AMQPMethod::Delete(_)) => {
                self.answer(frame.channel, queue::DeleteOk { message_count: 0 })
            }
            AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
                self.confirms = true;
                self.answer(frame.channel, confirm::SelectOk {})
            }
            AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
                self.answer(frame.channel, basic::QosOk {})
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => self.consume(&frame, consume),
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                let consumer_tag = cancel.consumer_tag;
                self.answer(frame.channel, basic::CancelOk { consumer_tag })
            }
            _ => Ok(()),
        }
    }

    fn consume(&mut self, frame: &Frame, consume: basic::Consume) -> io::Result<()> {
        let consumer_tag = consume.consumer_tag;
        let name = consumer_tag.as_str().as_bytes();
        let tag = [&[name.len() as u8], name].concat();
        self.answer(frame.channel, basic::ConsumeOk { consumer_tag })?;
        *lock(&self.target.consumer) = Some(Arc::new(Consumer {
            writer: Arc::clone(&self.writer),
            tag,
        }));
        self.target.came.notify_all();
        Ok(())
    }

    fn answer(&self, channel: u16, method: impl Method) -> io::Result<()> {
        let frame = Frame::method(channel, &method.into_class());
        lock(&self.writer).write_all(&frame.encode())
    }
}

impl Drop for Served {
    /// Nobody may find the consumer of a connection that is gone.
    fn drop(&mut self) {
        let is_own = |consumer: &mut Arc<Consumer>| Arc::ptr_eq(&consumer.writer, &self.writer);
        lock(&self.target.consumer).take_if(is_own);
    }
}

impl Target {
    fn await_consumer(&self) -> Arc<Consumer> {
        let mut consumer = lock(&self.consumer);
        loop {
            if let Some(consumer) = &*consumer {
                return Arc::clone(consumer);
            }
            let woken = self.came.wait(consumer);
            consumer = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Nothing that is guarded here is ever left half done.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the next whole frame is.
fn next_frame(buffer: &[u8], at: usize) -> Option<Range<usize>> {
    let size = buffer.get(at + 3..at + 7)?.try_into().ok()?;
    let end = at + 8 + u32::from_be_bytes(size) as usize;
    (end <= buffer.len()).then_some(at..end)
}

fn start() -> connection::Start {
    connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: FieldTable::default(),
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    }
}

fn tune() -> connection::Tune {
    connection::Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 0,
    }
}
