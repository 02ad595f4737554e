//! The only place that touches a socket: reads into the thread's buffer, feeds the connection, writes what it has to say.
//!
//! A connection at rest owns no buffer: what was read and not used is kept in a small one, output buffers go back to their thread when they
//! are empty.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use leveret_broker::broker::Broker;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep_until, timeout};

use crate::connection::{Connection, Due};
use crate::settings::{AmqpSettings, Peer};

#[cfg(test)]
mod tests;

/// How much one read takes at the most.
const READ_SIZE: usize = 256 * 1024;

/// How long a closed connection is read on, so that what was said last is not lost in a reset.
const LINGER: Duration = Duration::from_secs(1);

/// Reads and writes of one connection before another task of the thread gets its turn. With eight, messages beside a connection that publishes flat out
/// took 26 to 45 ms (p99), with three and the daemon's interval of looking at sockets 4 to 5 ms.
const TURNS_MAX: usize = 3;

/// How many pieces one write takes at the most.
const SLICES_MAX: usize = 64;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
    static WRITE_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves a connection until it is closed or lost.
///
/// **Errors**: what the socket says; a lost connection is told to the shards before this returns.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    broker: Arc<Broker>,
    settings: Arc<AmqpSettings>,
) -> io::Result<()> {
    let connection = Connection::new(broker, settings, peer, Instant::now());
    let mut shell = Shell::new(stream, connection);
    let outcome = poll_fn(|context| shell.poll(context)).await;
    shell.connection.abandon();
    if outcome.is_ok() {
        // Nothing depends on how this ends.
        let _ = timeout(LINGER, linger(&mut shell.stream)).await;
    }
    outcome
}

/// Closing a socket with unread bytes resets it, and the peer may lose what it was sent: these are read and dropped first.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut dropped = [0; 4096];
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}

/// A connection and its socket.
struct Shell<S> {
    stream: S,
    connection: Connection,
    /// What was read and not used.
    left: Vec<u8>,
    /// How much of `left` has been used since.
    used: usize,
    /// Whether the connection took no more though `left` may hold whole frames.
    stopped: bool,
    /// Whether the stream has taken something that it may not have sent: one with TLS keeps records.
    unflushed: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shell<S> {
    fn new(stream: S, connection: Connection) -> Self {
        Self {
            stream,
            connection,
            left: Vec::new(),
            used: 0,
            stopped: false,
            unflushed: false,
            timer: None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        WRITE_BUFFER.with_borrow_mut(|buffer| self.connection.output().lend(buffer));
        let outcome = self.poll_turns(context);
        WRITE_BUFFER.with_borrow_mut(|buffer| self.connection.output().take_back(buffer));
        outcome
    }

    fn poll_turns(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS_MAX {
            let now = Instant::now();
            let heard = self.connection.poll_events(context, now).is_ready();
            let read = match self.poll_input(context, now) {
                Poll::Ready(Ok(Input::End)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Input::More)) => true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => false,
            };
            let wrote = match self.poll_output(context, now) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Pending => false,
            };
            if self.connection.is_over() && self.connection.output().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !heard && !read && !wrote {
                return self.poll_timer(context, now);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Feeds the connection: what was left over first, then what the socket has.
    fn poll_input(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<Input>> {
        if !self.connection.takes_input() {
            return self.poll_listen(context, now);
        }
        if self.stopped {
            self.used += self.connection.input(&self.left[self.used..], now);
            self.stopped = !self.connection.takes_input();
            self.forget_used();
            return Poll::Ready(Ok(Input::More));
        }
        READ_BUFFER.with_borrow_mut(|buffer| self.poll_read(context, buffer, now))
    }

    /// Reads what a peer that does not read has to say, up to as much as one read, and keeps it for later: so its heartbeats are heard.
    fn poll_listen(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<Input>> {
        if !self.connection.listens() || self.left.len() - self.used >= READ_SIZE {
            return Poll::Pending;
        }
        let mut buffer = [0; 512];
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            // The end is seen again when everything before it was taken.
            return Poll::Pending;
        }
        self.connection.traffic.note_received(read.filled().len());
        self.left.extend_from_slice(read.filled());
        self.stopped = true;
        self.connection.heard(now);
        Poll::Ready(Ok(Input::More))
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        now: Instant,
    ) -> Poll<io::Result<Input>> {
        let left = self.left.len() - self.used;
        // What is left is less than a frame.
        if buffer.len() < left + READ_SIZE / 2 {
            buffer.resize(left + READ_SIZE, 0);
        }
        let (front, rest) = buffer.split_at_mut(left);
        let mut read = ReadBuf::new(rest);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(Input::End));
        }
        self.connection.traffic.note_received(count);
        front.copy_from_slice(&self.left[self.used..]);
        let input = &buffer[..left + count];
        let used = self.connection.input(input, now);
        self.left.clear();
        self.used = 0;
        self.left.extend_from_slice(&input[used..]);
        self.stopped = !self.connection.takes_input();
        self.forget_used();
        Poll::Ready(Ok(Input::More))
    }

    fn forget_used(&mut self) {
        if self.used == self.left.len() {
            self.left.clear();
            self.used = 0;
            if self.left.capacity() > 4096 {
                self.left = Vec::new();
            }
        }
    }

    /// Writes until the socket takes no more; says whether anything was written.
    fn poll_output(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !self.connection.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.connection.output().slices(&mut slices);
            let slices = slices.get(..used).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(context, slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.connection.output().advance(count);
                    self.connection.traffic.note_sent(count);
                    self.connection.written(now);
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        self.unflushed |= wrote;
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(wrote))
    }

    /// Waits for the connection's next deadline, besides socket and outbox.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while let Some(deadline) = self.connection.next_deadline() {
            let deadline = tokio::time::Instant::from_std(deadline);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // A deadline that moved away is looked at when the timer fires: most of the time there is nothing to rearm.
            if timer.deadline() > deadline || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
            let now = Instant::now().max(now);
            if self.connection.on_deadline(now) == Due::Drop {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(Err(error)) = self.poll_output(context, now) {
                return Poll::Ready(Err(error));
            }
            if self.stopped && self.connection.takes_input() {
                // A pause is over.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Pending
    }
}

/// What came of reading.
enum Input {
    /// Something was used or read.
    More,
    /// The peer has closed its side.
    End,
}
