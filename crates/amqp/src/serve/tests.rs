//! The shell on a socket of which the test says what it takes and has.

use tokio::runtime::Builder;

use super::*;
use crate::connection::tests::{broker, opening, peer, published};

/// What the peer has sent and how much it still takes.
#[derive(Default)]
struct Socket {
    sent: Vec<u8>,
    is_ended: bool,
    room: usize,
    taken: usize,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.sent.len().min(buffer.remaining());
        if count == 0 && !self.is_ended {
            return Poll::Pending;
        }
        buffer.put_slice(&self.sent[..count]);
        self.sent.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.taken += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Shell<Socket> {
    /// The peer sends, and the shell does what it can.
    fn hear(&mut self, sent: &[u8]) -> Poll<io::Result<()>> {
        self.stream.sent.extend_from_slice(sent);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut outcome = self.poll(&mut context);
        // A turn ends before everything is done.
        for _ in 0..1000 {
            let is_taken = self.stream.sent.is_empty() && !self.stream.is_ended;
            if outcome.is_ready() || is_taken {
                break;
            }
            outcome = self.poll(&mut context);
        }
        outcome
    }
}

const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xce];

/// An open connection with heartbeats every ten seconds, whose output is so full that nothing more is taken.
fn full() -> Shell<Socket> {
    let (broker, _shard) = broker();
    let connection = Connection::new(broker, Arc::default(), peer(), Instant::now());
    let mut shell = Shell::new(Socket::default(), connection);
    shell.stream.room = 10_000;
    for piece in opening(10) {
        assert!(shell.hear(&piece).is_pending());
    }
    shell.stream.room = 0;
    let message = published("nowhere", true, &[7; 100_000]);
    while shell.connection.takes_input() {
        assert!(shell.hear(&message).is_pending());
    }
    shell
}

#[test]
fn a_peer_that_reads_nothing_and_sends_heartbeats_is_alive() {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a clock");
    let _entered = runtime.enter();
    for is_alive in [true, false] {
        let mut shell = full();
        let now = Instant::now();
        if is_alive {
            assert!(shell.hear(&HEARTBEAT).is_pending());
        }
        let due = shell.connection.on_deadline(now + Duration::from_secs(20));
        assert_eq!(due == Due::GoOn, is_alive);
    }
}

#[test]
fn what_was_heard_is_taken_in_its_turn_and_bounded() {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a clock");
    let _entered = runtime.enter();
    let mut shell = full();
    let message = published("nowhere", true, b"one more");
    let more = message.repeat(2 * READ_SIZE / message.len());
    assert!(shell.hear(&more).is_pending());
    assert!(shell.left.len() < READ_SIZE + 512 && !shell.stream.sent.is_empty());
    shell.stream.is_ended = true;
    shell.stream.room = usize::MAX;
    assert!(matches!(shell.hear(&[]), Poll::Ready(Ok(()))));
    assert!(shell.stream.sent.is_empty());
    // The returns are longer than the publishes.
    assert!(shell.stream.taken > 11 * 100_000 + more.len());
}
