//! A small synchronous AMQP client that hides nothing: what tests speak to a broker with.
//!
//! A [`Connection`] is one socket and the frames that came and were not asked for yet; a
//! [`Channel`] is a number on it. Both are cheap handles that share the socket within one thread.
//! Every wait has a deadline ([`DEADLINE`]) and a failed expectation panics at the test's line.
//! What a correct client would refuse to send goes through [`Connection::send_bytes`].

mod channel;
mod frame;
mod method;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{AMQPClass, channel as channel_class, connection};

pub use channel::{Channel, Content, FLOOD_BODY};
pub use frame::{END, Frame, Kind, header_payload, method_payload};
pub use method::{Method, Request};
pub use values::{array, next_second, table, text, unique};

use crate::broker;

/// How long any single wait may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The eight octets with which a client begins.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// Who logs in, how, and what it says about itself.
#[derive(Clone, Debug)]
pub struct Login {
    /// The first part of `start-ok`; its capabilities are what the broker honours.
    pub client_properties: amq_protocol::types::FieldTable,
    /// The authentication mechanism.
    pub mechanism: String,
    /// What the mechanism calls its response.
    pub response: Vec<u8>,
    /// The vhost that is opened.
    pub vhost: String,
    /// The largest frame to agree on.
    pub frame_max: u32,
    /// The highest channel number to agree on.
    pub channel_max: u16,
    /// The heartbeat interval to agree on.
    pub heartbeat_secs: u16,
}

impl Default for Login {
    fn default() -> Self {
        let capabilities = table([
            ("authentication_failure_close", true.into()),
            ("basic.nack", true.into()),
            ("consumer_cancel_notify", true.into()),
        ]);
        Self {
            client_properties: table([("capabilities", capabilities.into())]),
            mechanism: "PLAIN".to_owned(),
            response: b"\0guest\0guest".to_vec(),
            vhost: "/".to_owned(),
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat_secs: 0,
        }
    }
}

impl Login {
    /// The usual one, which is told too when publishers are blocked.
    pub fn hearing_of_alarms() -> Self {
        let capabilities = table([
            ("authentication_failure_close", true.into()),
            ("basic.nack", true.into()),
            ("connection.blocked", true.into()),
            ("consumer_cancel_notify", true.into()),
        ]);
        Self {
            client_properties: table([("capabilities", capabilities.into())]),
            ..Self::default()
        }
    }
}

/// One socket to the broker under test.
#[derive(Clone)]
pub struct Connection {
    io: Rc<Io>,
}

struct Io {
    stream: TcpStream,
    frame_max: Cell<u32>,
    bytes: RefCell<Vec<u8>>,
    frames: RefCell<VecDeque<Frame>>,
}

impl Connection {
    /// Connects, and sends nothing.
    pub fn raw() -> Self {
        Self::raw_at(broker::address())
    }

    /// Connects to another broker than the usual one, and sends nothing.
    pub fn raw_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        Self::over(stream)
    }

    /// Takes over a connected socket.
    pub fn over(stream: TcpStream) -> Self {
        stream
            .set_nodelay(true)
            .expect("set_nodelay on a connected socket");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("the deadline is not zero");
        let io = Io {
            stream,
            frame_max: Cell::new(131_072),
            bytes: RefCell::default(),
            frames: RefCell::default(),
        };
        Self { io: Rc::new(io) }
    }

    /// Connects and logs in as `guest` to vhost `/`.
    pub fn open() -> Self {
        Self::open_as(&Login::default())
    }

    /// Connects and logs in as told.
    pub fn open_as(login: &Login) -> Self {
        Self::raw().opened(login)
    }

    /// Connects to another broker than the usual one and logs in as told.
    pub fn open_at(address: SocketAddr, login: &Login) -> Self {
        Self::raw_at(address).opened(login)
    }

    fn opened(self, login: &Login) -> Self {
        let connection = self.after_tune(login);
        connection.call(connection::Open {
            virtual_host: login.vhost.as_str().into(),
        });
        connection
    }

    /// Connects and comes as far as `tune-ok`: what follows is `connection.open`.
    #[track_caller]
    pub fn tuned(login: &Login) -> Self {
        Self::raw().after_tune(login)
    }

    #[track_caller]
    fn after_tune(self, login: &Login) -> Self {
        let connection = self.after_start(login);
        connection.expect::<connection::Tune>(0);
        connection.io.frame_max.set(login.frame_max);
        connection.send(
            0,
            connection::TuneOk {
                channel_max: login.channel_max,
                frame_max: login.frame_max,
                heartbeat: login.heartbeat_secs,
            },
        );
        connection
    }

    /// Connects and comes as far as `start-ok`: what follows is the broker's verdict.
    #[track_caller]
    pub fn started(login: &Login) -> Self {
        Self::raw().after_start(login)
    }

    #[track_caller]
    fn after_start(self, login: &Login) -> Self {
        let connection = self;
        connection.send_bytes(&PROTOCOL_HEADER);
        connection.expect::<connection::Start>(0);
        connection.send(
            0,
            connection::StartOk {
                client_properties: login.client_properties.clone(),
                mechanism: login.mechanism.as_str().into(),
                response: login.response.clone().into(),
                locale: "en_US".into(),
            },
        );
        connection
    }

    /// Opens channel `number`.
    #[track_caller]
    pub fn channel(&self, number: u16) -> Channel {
        let channel = Channel::unopened(self.clone(), number);
        channel.call(channel_class::Open {});
        channel
    }

    /// Sends octets as they are. A peer that has closed is not an error: the reply tells.
    pub fn send_bytes(&self, bytes: &[u8]) {
        match (&self.io.stream).write_all(bytes) {
            Err(e) if !closed_by_peer(e.kind()) => panic!("cannot send to the broker: {e}"),
            _ => {}
        }
    }

    /// Sends a frame.
    pub fn send_frame(&self, frame: &Frame) {
        self.send_bytes(&frame.encode());
    }

    /// Sends a method on a channel and waits for nothing.
    pub fn send(&self, channel: u16, method: impl Method) {
        self.send_frame(&Frame::method(channel, &method.into_class()));
    }

    /// Sends a method on channel 0 and returns its answer.
    #[track_caller]
    pub fn call<R: Request>(&self, request: R) -> R::Reply {
        self.send(0, request);
        self.expect(0)
    }

    /// Returns the largest frame that was agreed on.
    pub fn frame_max(&self) -> u32 {
        self.io.frame_max.get()
    }

    /// Returns the next frame of any channel, heartbeats included; none when the peer has closed.
    #[track_caller]
    pub fn next_frame(&self) -> Option<Frame> {
        let waiting = self.io.frames.borrow_mut().pop_front();
        waiting.or_else(|| self.read_frame(Instant::now() + DEADLINE))
    }

    /// Returns the next frame of `channel`, passing over heartbeats and keeping the frames of other
    /// channels for those who ask; none when the peer has closed.
    #[track_caller]
    pub fn next_on(&self, channel: u16) -> Option<Frame> {
        let deadline = Instant::now() + DEADLINE;
        let position = self
            .io
            .frames
            .borrow()
            .iter()
            .position(|f| f.channel == channel);
        if let Some(position) = position {
            return self.io.frames.borrow_mut().remove(position);
        }
        loop {
            let frame = self.read_frame(deadline)?;
            if frame.kind == Kind::Heartbeat as u8 {
                continue;
            }
            if frame.channel == channel {
                return Some(frame);
            }
            assert!(
                !closes_connection(&frame),
                "the connection: {:?}",
                frame.as_method()
            );
            self.io.frames.borrow_mut().push_back(frame);
        }
    }

    /// Returns the next method of a channel, which must be an `M`.
    #[track_caller]
    pub fn expect<M: Method>(&self, channel: u16) -> M {
        let class = self.expect_any(channel);
        M::from_class(class).unwrap_or_else(|other| {
            panic!("expected {}, got {other:?}", std::any::type_name::<M>());
        })
    }

    /// Returns the next method of any channel, which must be an `M`; sees at once what the broker
    /// says instead.
    #[track_caller]
    pub fn expect_first<M: Method>(&self) -> M {
        let frame = self.next_frame().expect("an answer");
        M::from_class(frame.as_method()).unwrap_or_else(|other| {
            panic!("expected {}, got {other:?}", std::any::type_name::<M>());
        })
    }

    /// Returns the next method of a channel, whatever it is.
    #[track_caller]
    pub fn expect_any(&self, channel: u16) -> AMQPClass {
        self.next_method(channel).unwrap_or_else(|| {
            panic!(
                "expected a method on channel {channel}, but {}",
                self.why_closed()
            )
        })
    }

    /// Returns the next method of a channel, whatever it is; none when the peer has closed.
    #[track_caller]
    pub fn next_method(&self, channel: u16) -> Option<AMQPClass> {
        self.next_on(channel).map(|frame| frame.as_method())
    }

    /// Expects `connection.close` with this code and text, for any method, answers it, and sees the
    /// socket closed. Frames of other channels that come before are passed over.
    #[track_caller]
    pub fn expect_close(&self, code: u16, text: &str) {
        self.expect_close_for(code, text, None);
    }

    /// As [`Self::expect_close`], and the close must name class and method `for_method`.
    #[track_caller]
    pub fn expect_close_for(&self, code: u16, text: &str, for_method: Option<(u16, u16)>) {
        let close: connection::Close = self.expect(0);
        assert_eq!((close.reply_code, close.reply_text.as_str()), (code, text));
        if let Some(ids) = for_method {
            assert_eq!(
                (close.class_id, close.method_id),
                ids,
                "class and method of the close"
            );
        }
        self.send(0, connection::CloseOk {});
        self.expect_socket_closed();
    }

    /// Expects that the broker closes the socket and sends nothing on channel 0 before.
    #[track_caller]
    pub fn expect_socket_closed(&self) {
        if let Some(frame) = self.next_on(0) {
            let method = (frame.kind == Kind::Method as u8).then(|| frame.as_method());
            panic!("expected a closed socket, got {method:?} in {frame:?}");
        }
    }

    /// Closes the connection as the protocol wants it: after `close-ok` either side may be the
    /// first to close the socket.
    #[track_caller]
    pub fn close(self) {
        self.call(connection::Close {
            reply_code: 200,
            ..Default::default()
        });
    }

    /// Cuts the socket, as a crash of the client would.
    pub fn cut(self) {
        // A socket that the broker has closed already is as good as cut.
        let _ = self.io.stream.shutdown(Shutdown::Both);
    }

    /// Ends sending but goes on reading: a half-open connection.
    pub fn finish_sending(&self) {
        // A socket that the broker has closed already has nothing to finish.
        let _ = self.io.stream.shutdown(Shutdown::Write);
    }

    /// Says how many frames of `channel` are waiting to be asked for.
    pub fn waiting_on(&self, channel: u16) -> usize {
        self.io
            .frames
            .borrow()
            .iter()
            .filter(|f| f.channel == channel)
            .count()
    }

    #[track_caller]
    fn read_frame(&self, deadline: Instant) -> Option<Frame> {
        let mut chunk = [0; 65_536];
        loop {
            if let Some(frame) = Frame::take(&mut self.io.bytes.borrow_mut()) {
                return Some(frame);
            }
            let n = self.read(&mut chunk, deadline)?;
            self.io.bytes.borrow_mut().extend_from_slice(&chunk[..n]);
        }
    }

    /// Reads all that comes until the broker closes, as plain octets.
    #[track_caller]
    pub fn read_to_end(&self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        let mut bytes = std::mem::take(&mut *self.io.bytes.borrow_mut());
        let mut chunk = [0; 4096];
        while let Some(n) = self.read(&mut chunk, deadline) {
            bytes.extend_from_slice(&chunk[..n]);
        }
        bytes
    }

    #[track_caller]
    fn read(&self, chunk: &mut [u8], deadline: Instant) -> Option<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "nothing came from the broker within {DEADLINE:?}"
        );
        self.io
            .stream
            .set_read_timeout(Some(left))
            .expect("the timeout is not zero");
        match (&self.io.stream).read(chunk) {
            Ok(0) => None,
            Ok(n) => Some(n),
            Err(e) if closed_by_peer(e.kind()) => None,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                panic!("nothing came from the broker within {DEADLINE:?}")
            }
            Err(e) => panic!("cannot read from the broker: {e}"),
        }
    }

    fn why_closed(&self) -> String {
        let mut frames = self.io.frames.borrow_mut();
        let closes = frames
            .drain(..)
            .filter(|f| f.channel == 0)
            .map(|f| f.as_method());
        format!(
            "the broker closed the socket after {:?}",
            closes.collect::<Vec<_>>()
        )
    }
}

fn closed_by_peer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn closes_connection(frame: &Frame) -> bool {
    frame.kind == Kind::Method as u8 && frame.payload.starts_with(&[0, 10, 0, 50])
}
