//! A connection by hand: one socket, one channel at a time to ask on, and nothing between them.
//!
//! [`Connection`] asks and waits for the answer. A producer and a consumer take it apart into
//! [`Reader`] and [`Writer`] once everything is declared. Heartbeats are switched off: what waits
//! here has a deadline of its own.

mod handshake;
mod reader;
mod writer;

use std::net::TcpStream;
use std::time::Duration;

use leveret_wire::protocol::{AMQPClass, channel, connection};
use leveret_wire::{Frame, encode, method};

pub(crate) use self::handshake::Broker;
pub(crate) use self::reader::{Came, Reader};
pub(crate) use self::writer::Writer;
use crate::PerfError;
use crate::clock::Clock;
use crate::uri::Uri;

/// How long an answer may take: declarations of a durable queue wait for a disk.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How long one read or write waits before it looks whether the run is over.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// An open connection, on which one asks and waits.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// The largest frame that was agreed on, payload and the 8 octets around it.
    pub(crate) frame_max: u32,
    pub(crate) broker: Broker,
}

impl Connection {
    /// Connects, logs in and opens the vhost.
    pub(crate) fn open(uri: &Uri) -> Result<Connection, PerfError> {
        let place = (uri.host.as_str(), uri.port);
        let socket = TcpStream::connect(place).map_err(|error| PerfError::Connect {
            address: format!("{}:{}", uri.host, uri.port),
            error,
        })?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK_AROUND))?;
        socket.set_write_timeout(Some(LOOK_AROUND))?;
        let writer = Writer::new(socket.try_clone()?);
        handshake::shake(Reader::new(socket), writer, uri)
    }

    /// Opens a channel.
    pub(crate) fn open_channel(&mut self, number: u16) -> Result<(), PerfError> {
        let open = channel::AMQPMethod::Open(channel::Open {});
        match self.call(number, AMQPClass::Channel(open))? {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    /// Sends a method and waits for the next one.
    ///
    /// **Errors**: what the broker closes with; [`PerfError::Silent`] after [`ANSWER_WAIT`].
    pub(crate) fn call(
        &mut self,
        channel: u16,
        request: AMQPClass,
    ) -> Result<AMQPClass, PerfError> {
        self.send(channel, request)?;
        self.answer()
    }

    /// Sends a method that has no answer, or whose answer is waited for elsewhere.
    pub(crate) fn send(&mut self, channel: u16, request: AMQPClass) -> Result<(), PerfError> {
        let mut bytes = Vec::new();
        encode::method(&mut bytes, channel, request);
        self.writer.write_within(&bytes, ANSWER_WAIT)
    }

    /// The next method; contents and heartbeats are passed over.
    pub(crate) fn answer(&mut self) -> Result<AMQPClass, PerfError> {
        let clock = Clock::start();
        loop {
            if let Some(method) = self.reader.next_method()? {
                if let Some(error) = closes(&method) {
                    let _ = self.writer.answer_close(&method);
                    return Err(error);
                }
                if !is_notice(&method) {
                    return Ok(method);
                }
            } else {
                self.reader.wait(&clock, ANSWER_WAIT)?;
            }
        }
    }

    /// Closes the connection as the protocol has it.
    pub(crate) fn close(self) -> Result<(), PerfError> {
        let Connection {
            mut reader,
            mut writer,
            ..
        } = self;
        writer.close()?;
        reader.until_closed()
    }
}

/// The error that a close is; `None` for another method.
pub(crate) fn closes(method: &AMQPClass) -> Option<PerfError> {
    match method {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            Some(PerfError::ConnectionClosed {
                code: close.reply_code,
                text: close.reply_text.to_string(),
            })
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => Some(PerfError::ChannelClosed {
            code: close.reply_code,
            text: close.reply_text.to_string(),
        }),
        _ => None,
    }
}

/// What a broker says by itself and a question does not wait for.
fn is_notice(method: &AMQPClass) -> bool {
    matches!(
        method,
        AMQPClass::Connection(
            connection::AMQPMethod::Blocked(_) | connection::AMQPMethod::Unblocked(_)
        )
    )
}

/// The method of a frame, if it is one.
pub(crate) fn method_of(frame: &Frame<'_>) -> Result<Option<AMQPClass>, PerfError> {
    let Frame::Method {
        class_id,
        method_id,
        arguments,
        ..
    } = *frame
    else {
        return Ok(None);
    };
    let method = method::from_server::decode(class_id, method_id, arguments);
    method
        .map(Some)
        .map_err(|_| PerfError::Unexpected(format!("method {class_id}.{method_id}")))
}
