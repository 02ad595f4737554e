//! The loop that accepts connections and hands each to a task of its own.
//!
//! An accept that fails because descriptors or memory ran out fails again at once: the loop pauses then, and says so seldom.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use leveret_amqp::settings::Peer;

use super::proxy::{self, Ends};
use super::{Listener, Stream, Wrapping};
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
        let accepted = match listener.next().await {
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
                let peer = accepted.name();
                tracing::warn!(peer, open = connections.open(), "too many connections");
            }
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let name = accepted.name();
            match accepted.unwrapped().await {
                Ok((stream, peer)) => server.connection(stream, peer).await,
                Err(error) => tracing::warn!(peer = name, "connection lost at its start: {error}"),
            }
            drop(place);
        });
    }
}

/// A connection as it was accepted.
enum Accepted {
    Tcp {
        stream: TcpStream,
        ends: Ends,
        wrapping: Wrapping,
    },
    Unix(UnixStream, String),
}

impl Accepted {
    fn name(&self) -> String {
        match self {
            Accepted::Tcp { ends, .. } => tcp_peer(*ends).name,
            Accepted::Unix(_, name) => name.clone(),
        }
    }

    /// Takes off what stands before AMQP. **Waits** for the peer, as long as its handshake may take.
    async fn unwrapped(self) -> io::Result<(Stream, Peer)> {
        match self {
            Accepted::Unix(stream, name) => {
                let peer = Peer {
                    name,
                    is_loopback: true,
                    ..Peer::default()
                };
                Ok((Stream::Unix(stream), peer))
            }
            Accepted::Tcp {
                stream,
                ends,
                wrapping,
            } => {
                if !wrapping.proxy && wrapping.tls.is_none() {
                    return Ok((Stream::Tcp(stream), tcp_peer(ends)));
                }
                timeout(wrapping.timeout, unwrap(stream, ends, &wrapping)).await?
            }
        }
    }
}

async fn unwrap(
    mut stream: TcpStream,
    mut ends: Ends,
    wrapping: &Wrapping,
) -> io::Result<(Stream, Peer)> {
    if wrapping.proxy
        && let Some(behind) = proxy::read(&mut stream).await?
    {
        ends = behind;
    }
    let mut peer = tcp_peer(ends);
    let Some(tls) = &wrapping.tls else {
        return Ok((Stream::Tcp(stream), peer));
    };
    let stream = tls.accept(stream).await?;
    let (facts, user) = tls.facts(&stream);
    peer.tls = Some(facts);
    peer.certificate_user = user;
    Ok((Stream::Tls(Box::new(stream)), peer))
}

impl Listener {
    async fn next(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(listener, wrapping) => {
                let (stream, address) = listener.accept().await?;
                let ends = (address, stream.local_addr()?);
                prepare(&stream)?;
                Ok(Accepted::Tcp {
                    stream,
                    ends,
                    wrapping: wrapping.clone(),
                })
            }
            Listener::Unix(listener, file) => {
                let (stream, _) = listener.accept().await?;
                let name = format!("unix:{}", file.0.display());
                Ok(Accepted::Unix(stream, name))
            }
        }
    }
}

fn tcp_peer((address, local): Ends) -> Peer {
    Peer {
        name: format!("{address} -> {local}"),
        is_loopback: address.ip().to_canonical().is_loopback(),
        ..Peer::default()
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
