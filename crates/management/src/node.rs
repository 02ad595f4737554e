//! What the daemon tells of itself: the one node that there is, and where it listens.

use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};

use crate::listening::Wishes;

/// An address that something is served on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// RabbitMQ's word for what is served: `amqp`, `amqp/ssl`, `http`, `https`.
    pub protocol: &'static str,
    /// The address.
    pub ip: String,
    /// The port.
    pub port: u16,
}

impl Listener {
    pub(crate) fn to_json(&self, node: &str) -> Value {
        json!({
            "node": node,
            "protocol": self.protocol,
            "ip_address": self.ip,
            "port": self.port,
            "tls": self.protocol.ends_with("ssl") || self.protocol == "https",
            "socket_opts": {},
        })
    }
}

/// What was measured just now; none where it cannot be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Memory of the process, in bytes.
    pub memory: Option<u64>,
    /// Room on the disk of the data folder, in bytes.
    pub disk_free: Option<u64>,
    /// Open files and sockets.
    pub descriptors: Option<u64>,
    /// When the certificate that is shown expires, in seconds since 1970; none where none is.
    pub certificate_expires: Option<u64>,
}

/// See the module.
pub struct Node {
    /// Its name, as RabbitMQ names nodes.
    pub name: String,
    /// The product.
    pub product: String,
    /// The version of the product.
    pub product_version: String,
    /// The version of RabbitMQ that clients are told.
    pub rabbitmq_version: String,
    /// The data folder.
    pub data_dir: String,
    /// Memory above which publishers are blocked, in bytes.
    pub memory_max: u64,
    /// Room on the disk below which publishers are blocked, in bytes.
    pub disk_free_min: u64,
    /// Files and sockets that can be open.
    pub descriptors_max: u64,
    /// Threads that can run at a time.
    pub cores: usize,
    /// When the process was started.
    pub since: Instant,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Takes what is wished of the listeners for clients.
    pub wishes: Wishes,
    /// Measures.
    pub measure: Box<dyn Fn() -> Readings + Send + Sync>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
