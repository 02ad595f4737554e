//! The writing half: whole buffers, with a look now and then whether the run is over.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use leveret_wire::encode;
use leveret_wire::protocol::{AMQPClass, channel, connection};

use super::ANSWER_WAIT;
use crate::PerfError;
use crate::clock::Clock;

/// How long a broker that reads nothing may hold up the end of a run.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The writing half of a connection.
#[derive(Debug)]
pub(crate) struct Writer {
    socket: TcpStream,
    /// A buffer was given up in the middle of a frame, so nothing else can be said.
    is_broken: bool,
}

impl Writer {
    pub(super) fn new(socket: TcpStream) -> Writer {
        Writer {
            socket,
            is_broken: false,
        }
    }

    /// Writes all of it, however long the broker takes to read, until `is_over` says that the run is; then
    /// it gives the broker [`GIVE_UP`] more.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        is_over: impl Fn() -> bool,
    ) -> Result<(), PerfError> {
        let mut over: Option<Clock> = None;
        self.write_while(bytes, || {
            if over.is_none() && is_over() {
                over = Some(Clock::start());
            }
            over.is_none_or(|since| since.now() < GIVE_UP)
        })
    }

    /// Writes all of it in that time.
    pub(super) fn write_within(&mut self, bytes: &[u8], wait: Duration) -> Result<(), PerfError> {
        let clock = Clock::start();
        self.write_while(bytes, || clock.now() < wait)
    }

    fn write_while(
        &mut self,
        mut bytes: &[u8],
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<(), PerfError> {
        if self.is_broken {
            return Err(PerfError::Silent(GIVE_UP.as_secs()));
        }
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if goes_on() => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        self.is_broken = true;
                        return Err(PerfError::Silent(GIVE_UP.as_secs()));
                    }
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    /// Says that the connection is to be closed; [`super::Reader::until_closed`] waits for the answer.
    pub(crate) fn close(&mut self) -> Result<(), PerfError> {
        let close = connection::AMQPMethod::Close(connection::Close {
            reply_code: 200,
            reply_text: encode::short_string("Goodbye"),
            class_id: 0,
            method_id: 0,
        });
        self.say(0, AMQPClass::Connection(close))
    }

    /// Answers a close of the broker, which then forgets what it was about.
    pub(crate) fn answer_close(&mut self, method: &AMQPClass) -> Result<(), PerfError> {
        match method {
            AMQPClass::Connection(_) => {
                let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.say(0, AMQPClass::Connection(ok))
            }
            _ => {
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.say(1, AMQPClass::Channel(ok))
            }
        }
    }

    fn say(&mut self, channel: u16, class: AMQPClass) -> Result<(), PerfError> {
        let mut bytes = Vec::new();
        encode::method(&mut bytes, channel, class);
        self.write_within(&bytes, ANSWER_WAIT.min(GIVE_UP))
    }
}
