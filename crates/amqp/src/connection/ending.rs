//! How a connection ends: who has said `close`, who is to answer it, and how long it may take.

use std::time::{Duration, Instant};

use leveret_wire::{Frame, encode};

use super::{Connection, Stage};
use crate::exception::Exception;
use crate::session::{Ended, MethodIds, connection_close, connection_close_ok};

/// How long a refused login is kept waiting before its socket is closed: guessing passwords takes time.
const REFUSED_PAUSE: Duration = Duration::from_secs(3);

/// How long `close-ok` is kept back at least. A client says `close` and only then begins to wait for its answer: where that is there before, aiormq forgets
/// why it has closed, and aio-pika that it has.
const CLOSE_OK_PAUSE: Duration = Duration::from_micros(500);

/// How long a client that has got its `close-ok` is left to close the socket, or to say `close` once more. Most close it at once, and some wait for
/// the broker to do it, which is not to be long.
const CLOSE_PAUSE: Duration = Duration::from_millis(250);

impl Connection {
    /// A login that was refused: said to clients that want to know, and then a pause.
    pub(super) fn refuse(&mut self, exception: Exception, now: Instant) {
        let tells =
            matches!(&self.stage, Stage::Handshake(h) if h.client.authentication_failure_close);
        if tells {
            self.send_close(exception, MethodIds::default(), now);
        } else {
            self.stage = Stage::Refused;
            self.deadline = Some(now + REFUSED_PAUSE);
        }
    }

    pub(super) fn send_close(&mut self, exception: Exception, ids: MethodIds, now: Instant) {
        tracing::warn!("closing connection: {}", exception.text());
        encode::method(self.out.buffer(), 0, connection_close(&exception, ids));
        self.stage = Stage::CloseSent;
        self.deadline = Some(now + self.settings.handshake_timeout);
    }

    /// Takes a frame after a `close` or its answer: only these two still count.
    pub(super) fn await_end(&mut self, input: &[u8]) -> usize {
        match self.decoder.next(input) {
            Ok(Some((
                used,
                Frame::Method {
                    channel: 0,
                    class_id: 10,
                    method_id: 51,
                    ..
                },
            ))) => {
                self.stage = Stage::Over;
                used
            }
            Ok(Some((
                used,
                Frame::Method {
                    channel: 0,
                    class_id: 10,
                    method_id: 50,
                    ..
                },
            ))) => {
                encode::method(self.out.buffer(), 0, connection_close_ok());
                used
            }
            Ok(Some((used, _))) => used,
            Ok(None) => 0,
            Err(_) => {
                self.stage = Stage::Over;
                input.len()
            }
        }
    }

    /// Leaves the open stage once the session has ended.
    pub(super) fn end_session(&mut self, now: Instant) {
        let Stage::Open(session) = &mut self.stage else {
            return;
        };
        let Some(ended) = session.take_ended() else {
            return;
        };
        session.core.written();
        self.out = std::mem::take(&mut session.core.out);
        match ended {
            Ended::ByClient => {
                self.stage = Stage::CloseTaken;
                self.deadline = Some(now + CLOSE_OK_PAUSE);
            }
            Ended::ByBroker(why) => {
                let (exception, ids) = *why;
                encode::method(self.out.buffer(), 0, connection_close(&exception, ids));
                self.stage = Stage::CloseSent;
                self.deadline = Some(now + self.settings.handshake_timeout);
            }
        }
    }

    /// Says `close-ok` to a client that has said `close`.
    pub(super) fn answer_close(&mut self, now: Instant) {
        encode::method(self.out.buffer(), 0, connection_close_ok());
        // It may never read it.
        let until = now + self.settings.handshake_timeout;
        self.stage = Stage::CloseOkSent { until };
        self.deadline = Some(until);
    }

    /// The client has its `close-ok`, and all that is left to do is its own.
    pub(super) fn answered_close(&mut self, now: Instant, until: Instant) {
        self.deadline = Some((now + CLOSE_PAUSE).min(until));
        self.broker.connections.remove(self.link.connection);
    }
}
