//! A connection from the protocol header to its end, as a state machine: bytes and events in, bytes out, time passed in.
//!
//! ```text
//!  header ──> handshake ──> open ──(the broker closes)──> close sent ──close-ok──> over
//!     │           │          └────(the client closes)───> close-ok sent ──────────────^
//!     └───────────┴── refused, malformed, too slow ───────────────────────────────────^
//! ```

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_broker::broker::Broker;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::Traffic;
use leveret_broker::link::{Event, Link};
use leveret_wire::protocol::{AMQPClass, connection as connection_class};
use leveret_wire::{Decoder, Frame, Method, ReplyCode, encode, method};

use crate::core::{Core, Opened};
use crate::exception::Exception;
use crate::handshake::{Handshake, Progress, Tuned};
use crate::output::Output;
use crate::session::{MethodIds, Session, connection_close_ok};
use crate::settings::{AmqpSettings, Peer};
use crate::start;

mod ending;
mod events;
#[cfg(test)]
pub(crate) mod tests;

/// When so much besides deliveries waits to be written, nothing more is read. Deliveries have a limit of their own, and do not keep from reading: a client
/// may have to be rid of its acks before it goes on reading.
const OUTPUT_MAX: usize = 1024 * 1024;

enum Stage {
    Header,
    Handshake(Box<Handshake>),
    Open(Box<Session>),
    /// `close` was sent; everything but `close-ok` is ignored.
    CloseSent,
    /// The client has said `close`, and is answered at the deadline.
    CloseTaken,
    /// `close-ok` was sent; everything but another `close` is ignored. The threads of a client may close it side by side, as amqp091-go's, and the
    /// end of the stream would be an error for those that have no answer yet. The client is to end it, until then.
    CloseOkSent {
        until: Instant,
    },
    /// Nothing is read; over at the deadline.
    Refused,
    /// Over as soon as the output is written.
    Over,
}

/// See the module.
pub struct Connection {
    broker: Arc<Broker>,
    settings: Arc<AmqpSettings>,
    peer: Peer,
    link: Arc<Link>,
    /// What was read and written, for whoever asks.
    pub(crate) traffic: Arc<Traffic>,
    stage: Stage,
    decoder: Decoder,
    /// The output while no session has it.
    out: Output,
    /// How much of the output are deliveries, in bytes.
    delivered: usize,
    /// Events that were taken from the outbox.
    events: VecDeque<Event>,
    /// How many of them are to wait until the output has room; nothing is known of those behind them.
    kept: usize,
    /// Until when the present stage has to be left.
    deadline: Option<Instant>,
    heartbeat: Heartbeat,
}

/// When something was last read and written.
#[derive(Debug)]
struct Heartbeat {
    interval: Option<Duration>,
    last_read: Instant,
    /// When something was said, whether or not the socket has taken it.
    last_written: Instant,
    /// When the socket last took something.
    last_taken: Instant,
}

/// What is due at a connection's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing ended; there may be output.
    GoOn,
    /// The connection is to be dropped.
    Drop,
}

impl Connection {
    /// A connection whose socket was just accepted.
    pub fn new(broker: Arc<Broker>, settings: Arc<AmqpSettings>, peer: Peer, now: Instant) -> Self {
        let deadline = Some(now + settings.handshake_timeout);
        let link = Arc::new(Link::new(
            broker.connections.next_id(),
            settings.outbox_bytes_max,
        ));
        let traffic = Arc::new(Traffic::default());
        broker.connections.add(ConnectionFacts {
            link: Arc::clone(&link),
            name: peer.name.clone(),
            since: now,
            traffic: Arc::clone(&traffic),
            tls: peer.tls.clone(),
            open_as: None,
        });
        Self {
            broker,
            settings,
            peer,
            link,
            traffic,
            stage: Stage::Header,
            decoder: Decoder::new(),
            out: Output::default(),
            delivered: 0,
            events: VecDeque::new(),
            kept: 0,
            deadline,
            heartbeat: Heartbeat {
                interval: None,
                last_read: now,
                last_written: now,
                last_taken: now,
            },
        }
    }

    /// Whether bytes are taken now.
    pub fn takes_input(&self) -> bool {
        let open = match &self.stage {
            Stage::Header | Stage::Handshake(_) | Stage::CloseSent => true,
            Stage::CloseTaken | Stage::CloseOkSent { .. } => true,
            Stage::Open(session) => session.takes_input(),
            Stage::Refused | Stage::Over => false,
        };
        open && self.replies_len() < OUTPUT_MAX
    }

    /// How much waits to be written besides deliveries, in bytes: what was written since counts as such first.
    fn replies_len(&self) -> usize {
        self.output_ref().len().saturating_sub(self.delivered)
    }

    /// Whether the socket is read on though nothing is taken: where a peer does not read, what it sends is still a sign of life.
    pub(crate) fn listens(&self) -> bool {
        self.heartbeat.interval.is_some() && self.replies_len() >= OUTPUT_MAX
    }

    /// Something was read that will come to [`Connection::input`] later.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heartbeat.last_read = now;
    }

    /// Whether nothing follows but what is left to be written.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(crate) fn output(&mut self) -> &mut Output {
        match &mut self.stage {
            Stage::Open(session) => &mut session.core.out,
            _ => &mut self.out,
        }
    }

    /// Moves everything that waits to be written to the end of `to`, as a socket with room would take it.
    pub fn write_to(&mut self, to: &mut Vec<u8>, now: Instant) {
        while !self.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let used = self.output().slices(&mut slices);
            let before = to.len();
            slices
                .iter()
                .take(used)
                .for_each(|slice| to.extend_from_slice(slice));
            let count = to.len() - before;
            self.output().advance(count);
            self.written(now);
        }
    }

    fn output_ref(&self) -> &Output {
        match &self.stage {
            Stage::Open(session) => &session.core.out,
            _ => &self.out,
        }
    }

    /// Takes what was read; returns how many bytes were used. What is left has to come again, with more behind it or once
    /// [`Connection::takes_input`] says so.
    pub fn input(&mut self, input: &[u8], now: Instant) -> usize {
        self.heartbeat.last_read = now;
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = match &mut self.stage {
                Stage::Header => self.protocol_header(rest),
                Stage::Handshake(_) => self.handshake(rest, now),
                Stage::Open(session) => {
                    session.core.now = now;
                    let step = session.input(&mut self.decoder, rest);
                    session.pause(now);
                    self.end_session(now);
                    if matches!(self.stage, Stage::Open(_)) {
                        return used + step;
                    }
                    step
                }
                Stage::CloseSent | Stage::CloseTaken | Stage::CloseOkSent { .. } => {
                    self.await_end(rest)
                }
                Stage::Refused | Stage::Over => rest.len(),
            };
            used += step;
            if step == 0 || used == input.len() {
                return used;
            }
        }
    }

    fn protocol_header(&mut self, input: &[u8]) -> usize {
        const KNOWN: [[u8; 8]; 2] = [*b"AMQP\x00\x00\x09\x01", *b"AMQP\x01\x01\x00\x09"];
        let len = input.len().min(8);
        if !KNOWN
            .iter()
            .any(|known| known.get(..len) == input.get(..len))
        {
            tracing::warn!(
                "bad protocol header: {:?}",
                input.get(..len).unwrap_or_default()
            );
            self.out
                .buffer()
                .extend_from_slice(&encode::PROTOCOL_HEADER);
            self.stage = Stage::Over;
            return input.len();
        }
        if len < 8 {
            return 0;
        }
        encode::method(
            self.out.buffer(),
            0,
            start::start(&self.settings, &self.peer),
        );
        self.stage = Stage::Handshake(Box::new(Handshake::new(
            (Arc::clone(&self.link), Arc::clone(&self.traffic)),
            &self.settings,
        )));
        8
    }

    fn handshake(&mut self, input: &[u8], now: Instant) -> usize {
        let (used, frame) = match self.decoder.next(input) {
            Ok(Some(next)) => next,
            Ok(None) => return 0,
            Err(error) => {
                self.send_close(error.into(), MethodIds::default(), now);
                return input.len();
            }
        };
        let Stage::Handshake(handshake) = &mut self.stage else {
            return 0;
        };
        let mut ids = MethodIds::default();
        let progress = match frame {
            Frame::Method {
                channel: 0,
                class_id,
                method_id,
                arguments,
            } => {
                ids = MethodIds {
                    class_id,
                    method_id,
                };
                match method::decode(class_id, method_id, arguments) {
                    Ok(Method::Connection(method::connection::Method::Close(_))) => {
                        encode::method(self.out.buffer(), 0, connection_close_ok());
                        self.stage = Stage::Over;
                        return used;
                    }
                    Ok(Method::Connection(method)) => {
                        let context = (&self.broker, &self.settings);
                        handshake.method(method, context, &self.peer)
                    }
                    Ok(_) => Err(not_yet()),
                    Err(error) => Err(error.into()),
                }
            }
            Frame::Heartbeat { channel: 0 } => return used,
            _ => Err(not_yet()),
        };
        match progress {
            Ok(Progress::Send(method)) => encode::method(self.out.buffer(), 0, method),
            Ok(Progress::Tuned(tuned)) => self.tuned(tuned),
            Ok(Progress::Open(opened)) => self.open(*opened, now),
            Ok(Progress::Refused(exception)) => self.refuse(exception, now),
            Err(exception) => self.send_close(exception, ids, now),
        }
        used
    }

    fn tuned(&mut self, tuned: Tuned) {
        self.decoder.set_frame_max(tuned.frame_max);
        if tuned.heartbeat > 0 {
            self.heartbeat.interval = Some(Duration::from_secs(tuned.heartbeat.into()));
        }
    }

    fn open(&mut self, opened: Opened, now: Instant) {
        let mut core = Core::new(opened, std::mem::take(&mut self.out), now);
        let open_ok = connection_class::AMQPMethod::OpenOk(connection_class::OpenOk {});
        core.send(0, AMQPClass::Connection(open_ok));
        self.stage = Stage::Open(Box::new(Session::new(core)));
        self.deadline = None;
    }

    /// Something was written.
    pub(crate) fn written(&mut self, now: Instant) {
        self.heartbeat.last_written = now;
        self.heartbeat.last_taken = now;
        self.delivered = self.delivered.min(self.output_ref().len());
        match &mut self.stage {
            Stage::Open(session) => session.core.written(),
            Stage::CloseOkSent { until } if self.out.is_empty() => {
                let until = *until;
                self.answered_close(now, until);
            }
            _ => {}
        }
    }

    /// The socket is gone.
    pub fn abandon(&mut self) {
        if let Stage::Open(session) = &mut self.stage {
            session.abandon();
        }
        self.stage = Stage::Over;
        self.broker.connections.remove(self.link.connection);
    }

    /// When [`Connection::on_deadline`] is to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        let beat = self.heartbeat.interval.map(|interval| {
            (self.heartbeat.last_written + interval / 2)
                .min(self.heartbeat.last_read + interval * 2)
        });
        let pause = match &self.stage {
            Stage::Open(session) => session.paused_until,
            _ => None,
        };
        [self.deadline, beat, pause].into_iter().flatten().min()
    }

    /// Looks after what is due: the end of the handshake's time, heartbeats both ways.
    pub fn on_deadline(&mut self, now: Instant) -> Due {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            if matches!(self.stage, Stage::CloseTaken) {
                self.answer_close(now);
                return Due::GoOn;
            }
            let has_answer = matches!(self.stage, Stage::CloseOkSent { .. }) && self.out.is_empty();
            if !has_answer && !matches!(self.stage, Stage::Refused) {
                tracing::warn!("handshake or close took too long");
            }
            return Due::Drop;
        }
        if let Stage::Open(session) = &mut self.stage {
            session.paused_until.take_if(|until| *until <= now);
        }
        let Some(interval) = self.heartbeat.interval else {
            return Due::GoOn;
        };
        if self.replies_len() >= OUTPUT_MAX {
            // Nothing is taken because the peer does not read. If it does after all, that is a sign of life as well.
            self.heartbeat.last_read = self.heartbeat.last_read.max(self.heartbeat.last_taken);
        } else if !self.takes_input() {
            // What is not read cannot be missed.
            self.heartbeat.last_read = now;
        }
        if now >= self.heartbeat.last_read + interval * 2 {
            tracing::warn!(
                "missed heartbeats from client, timeout: {}s",
                interval.as_secs()
            );
            return Due::Drop;
        }
        if now >= self.heartbeat.last_written + interval / 2 {
            self.heartbeat.last_written = now;
            if self.output_ref().is_empty() {
                encode::heartbeat(self.output().buffer());
            }
        }
        Due::GoOn
    }
}

/// However a connection ends, also by a panic of its task: the shards hear of it, and what it held is ready again.
impl Drop for Connection {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A frame that has no place in the handshake.
fn not_yet() -> Exception {
    Exception::connection(
        ReplyCode::ChannelError,
        "unexpected method in connection state starting",
    )
}
