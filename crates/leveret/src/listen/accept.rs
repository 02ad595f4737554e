//! The loop that accepts connections and hands each to a task of its own.
//!
//! An accept that fails because descriptors or memory ran out fails again at once: the loop pauses then, and says so seldom.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use leveret_amqp::settings::Peer;

use super::{Listener, Stream};
use crate::connections::Connections;
use crate::serve::Server;

/// The pause after an accept that failed for lack of something.
const PAUSE: Duration = Duration::from_millis(100);
/// The least time between two log lines about the same trouble.
const SELDOM: Duration = Duration::from_secs(5);

/// Accepts on `listener` for as long as the task lives.
///
/// **Effect**: each connection runs in its own task; one that is over the limit is closed without a byte.
pub(super) async fn accept(listener: Listener, server: Arc<Server>, connections: Connections) {
    let mut failed = Seldom::default();
    let mut refused = Seldom::default();
    loop {
        let (stream, peer) = match listener.next().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if failed.is_due() {
                    tracing::warn!(%error, "accept failed; trying again");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = connections.enter() else {
            if refused.is_due() {
                tracing::warn!(
                    peer = peer.name,
                    open = connections.open(),
                    "too many connections"
                );
            }
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            server.connection(stream, peer).await;
            drop(place);
        });
    }
}

impl Listener {
    async fn next(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let local = stream.local_addr()?;
                prepare(&stream)?;
                Ok((Stream::Tcp(stream), tcp_peer(address, local)))
            }
            Listener::Unix(listener, file) => {
                let (stream, _) = listener.accept().await?;
                let name = format!("unix:{}", file.0.display());
                Ok((
                    Stream::Unix(stream),
                    Peer {
                        name,
                        is_loopback: true,
                    },
                ))
            }
        }
    }
}

fn tcp_peer(address: SocketAddr, local: SocketAddr) -> Peer {
    Peer {
        name: format!("{address} -> {local}"),
        is_loopback: address.ip().to_canonical().is_loopback(),
    }
}

/// What RabbitMQ sets too, and a keepalive that finds peers that vanished without a heartbeat agreed on.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether an error tells of one connection that failed before it was accepted, and nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|reason| !lacking.contains(&reason))
}

/// Lets a log line through when the last one is long past.
#[derive(Debug, Default)]
struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= SELDOM);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}
