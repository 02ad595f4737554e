//! What the operator may set for AMQP 0-9-1 connections.

use std::time::Duration;

/// Limits and names, the same for all connections of a broker.
#[derive(Clone, Debug)]
pub struct AmqpSettings {
    /// Offered in `connection.tune`: the largest frame, in bytes, from 4,096 on.
    pub frame_max: u32,
    /// Offered in `connection.tune`: channels of a connection, from 1 on.
    pub channel_max: u16,
    /// Offered in `connection.tune`: heartbeat interval in seconds; 0 is none.
    pub heartbeat: u16,
    /// How long a client may take from connecting to `connection.open`.
    pub handshake_timeout: Duration,
    /// The largest body of a message, in bytes; a larger one closes its channel with 406.
    pub max_message_size: u64,
    /// Bytes of contents that have not come whole, over all channels of a connection; beyond it the connection is closed with 506.
    pub unfinished_content_bytes_max: u64,
    /// Bytes that the transaction of a channel may gather; beyond it the channel is closed with 406.
    pub transaction_bytes_max: usize,
    /// Bytes of deliveries that may wait for a connection's socket.
    pub outbox_bytes_max: usize,
    /// Consumers of a channel; one more closes the connection with 530.
    pub consumers_per_channel_max: usize,
    /// Unacked deliveries of a channel; at the limit it gets no further ones.
    pub unacked_per_channel_max: u32,
    /// Prefetch of a consumer for which `basic.qos` was never sent; 0 is no limit.
    pub default_consumer_prefetch: u16,
    /// Whose running consumers `basic.qos` without `global` changes.
    pub live_prefetch: LivePrefetch,
    /// As whom clients log in that choose ANONYMOUS, which is offered only then.
    pub anonymous_user: Option<String>,
    /// `product` in the server properties.
    pub product: String,
    /// `version` in the server properties.
    pub version: String,
}

impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: 60,
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 16 * 1024 * 1024,
            unfinished_content_bytes_max: 64 * 1024 * 1024,
            transaction_bytes_max: 64 * 1024 * 1024,
            outbox_bytes_max: 4 * 1024 * 1024,
            consumers_per_channel_max: 65_536,
            unacked_per_channel_max: 1_000_000,
            default_consumer_prefetch: 0,
            live_prefetch: LivePrefetch::Auto,
            anonymous_user: None,
            product: "Leveret".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Whether `basic.qos` without `global` changes the prefetch of consumers that already run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivePrefetch {
    /// For clients that count on it whenever the product is not RabbitMQ: py-amqp, which Celery uses.
    Auto,
    /// For all clients.
    Always,
    /// For none, as in RabbitMQ.
    Never,
}

pub use leveret_broker::connections::TlsFacts;

/// What is known of the other side of a socket.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// `peer address -> local address`, as RabbitMQ names connections.
    pub name: String,
    /// Whether it is on this machine.
    pub is_loopback: bool,
    /// How the socket is encrypted, if it is.
    pub tls: Option<TlsFacts>,
    /// The user that a client certificate names, which was verified: EXTERNAL, which is offered only then, logs in as that one.
    pub certificate_user: Option<String>,
}
