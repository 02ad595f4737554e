//! The reading half: a large buffer, and the frames in it as they borrow from it.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use leveret_wire::protocol::{AMQPClass, connection};
use leveret_wire::{Decoder, Frame};

use super::{ANSWER_WAIT, closes, method_of};
use crate::PerfError;
use crate::clock::Clock;

/// What one read of a connection that only asks can take.
const SMALL: usize = 4 << 10;
/// What one read of deliveries or confirms can take.
const LARGE: usize = 256 << 10;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Bytes.
    Bytes,
    /// Nothing, for a tenth of a second.
    Nothing,
}

/// The reading half of a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet taken.
    filled: std::ops::Range<usize>,
    decoder: Decoder,
}

impl Reader {
    pub(super) fn new(socket: TcpStream) -> Reader {
        Reader {
            socket,
            buffer: vec![0; SMALL],
            filled: 0..0,
            decoder: Decoder::new(),
        }
    }

    pub(super) fn set_frame_max(&mut self, frame_max: u32) {
        self.decoder.set_frame_max(frame_max);
    }

    /// Reads as much as deliveries want from now on.
    pub(crate) fn read_much(&mut self) {
        self.buffer.resize(LARGE, 0);
    }

    /// Reads once, for a tenth of a second at most.
    ///
    /// **Errors**: [`PerfError::Gone`] when the broker has ended the socket.
    pub(crate) fn fill(&mut self) -> Result<Came, PerfError> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.end == self.buffer.len() {
            self.make_room();
        }
        let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
        match self.socket.read(room) {
            Ok(0) => Err(PerfError::Gone),
            Ok(len) => {
                self.filled.end += len;
                Ok(Came::Bytes)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                    Ok(Came::Nothing)
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Moves what is left to the front; grows where that is a whole buffer, which frame-max bounds.
    fn make_room(&mut self) {
        if self.filled.start == 0 {
            self.buffer.resize(self.buffer.len() * 2, 0);
            return;
        }
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
    }

    /// Reads once; an error if nothing has come for `wait` since the clock began.
    pub(super) fn wait(&mut self, clock: &Clock, wait: Duration) -> Result<(), PerfError> {
        if self.fill()? == Came::Nothing && clock.now() > wait {
            return Err(PerfError::Silent(wait.as_secs()));
        }
        Ok(())
    }

    /// Gives every whole frame that was read to `take`, in order, and stops at its first error.
    #[inline]
    pub(crate) fn frames(
        &mut self,
        mut take: impl FnMut(Frame<'_>) -> Result<(), PerfError>,
    ) -> Result<(), PerfError> {
        let read = self.buffer.get(self.filled.clone()).unwrap_or_default();
        let mut rest = read;
        while let Some((len, frame)) = self.decoder.next(rest)? {
            rest = rest.get(len..).unwrap_or_default();
            take(frame)?;
        }
        self.filled.start = self.filled.end - rest.len();
        Ok(())
    }

    /// The next method that was read; `None` when more has to be read first.
    pub(super) fn next_method(&mut self) -> Result<Option<AMQPClass>, PerfError> {
        loop {
            let read = self.buffer.get(self.filled.clone()).unwrap_or_default();
            let Some((len, frame)) = self.decoder.next(read)? else {
                return Ok(None);
            };
            let method = method_of(&frame)?;
            self.filled.start += len;
            if method.is_some() {
                return Ok(method);
            }
        }
    }

    /// The next body whole, of `len` octets at most, for a content whose method was just taken.
    pub(crate) fn next_body(&mut self, len: usize) -> Result<Vec<u8>, PerfError> {
        let clock = Clock::start();
        let (mut body, mut size) = (Vec::new(), None);
        loop {
            let read = self.buffer.get(self.filled.clone()).unwrap_or_default();
            let Some((taken, frame)) = self.decoder.next(read)? else {
                self.wait(&clock, ANSWER_WAIT)?;
                continue;
            };
            match frame {
                Frame::Header { header, .. } => size = Some(header.body_size),
                Frame::Body { payload, .. } => body.extend_from_slice(payload),
                other => return Err(PerfError::unexpected(&other)),
            }
            self.filled.start += taken;
            if body.len() > len {
                return Err(PerfError::Unexpected("a longer body".to_owned()));
            }
            if size == Some(body.len() as u64) {
                return Ok(body);
            }
        }
    }

    /// Reads on until the broker has answered our close; what else comes is passed over.
    pub(crate) fn until_closed(&mut self) -> Result<(), PerfError> {
        let clock = Clock::start();
        loop {
            match self.next_method() {
                Ok(Some(AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)))) => {
                    return Ok(());
                }
                Ok(Some(method)) => {
                    if let Some(error @ PerfError::ConnectionClosed { .. }) = closes(&method) {
                        return Err(error);
                    }
                }
                Ok(None) => match self.wait(&clock, ANSWER_WAIT) {
                    // The answer is a courtesy; brokers may end the socket first.
                    Err(PerfError::Gone | PerfError::Io(_)) => return Ok(()),
                    waited => waited?,
                },
                Err(error) => return Err(error),
            }
        }
    }
}
