//! `[limits]`: how much a client, and all clients together, can make the broker hold.
//!
//! Where 0 stands for "as the machine is", the number is worked out by the functions here, from a measured [`Machine`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The section. Names that RabbitMQ has too mean the same here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// The longest frame in bytes that is offered in `connection.tune`. Longer: 501 FRAME_ERROR.
    pub(crate) frame_max: u32,
    /// The highest channel number that is offered in `connection.tune`. Higher: 530 NOT_ALLOWED.
    pub(crate) channel_max: u16,
    /// The heartbeat in seconds that is offered in `connection.tune`; 0 offers none.
    pub(crate) heartbeat: u16,
    /// The time from accept to `connection.open-ok`, in seconds. Longer: the socket is closed.
    pub(crate) handshake_timeout_secs: u64,
    /// The longest body of a message in bytes. Longer: 406 PRECONDITION_FAILED.
    pub(crate) max_message_size: u64,
    /// Connections at a time. More are closed as soon as they are accepted. 0: see [`Limits::connections`].
    pub(crate) connections_max: usize,
    /// Consumers on one channel. More: 530 NOT_ALLOWED.
    pub(crate) consumers_per_channel_max: u32,
    /// Unacked deliveries on one channel. At the limit the channel gets no further ones.
    pub(crate) unacked_per_channel_max: u32,
    /// Bytes of contents that have begun and are not whole, of one connection. More: the connection is closed.
    pub(crate) unfinished_content_bytes_max: u64,
    /// Bytes that the transaction of one channel gathers, in the log, where a message is once for each group of its queues. More: 406
    /// PRECONDITION_FAILED.
    pub(crate) transaction_bytes_max: u64,
    /// Bytes of deliveries that wait for one connection's socket. At the limit it gets no further ones.
    pub(crate) outbox_bytes_max: u64,
    /// Bytes of all queued messages in memory. Beyond it some leave memory for the disk, and come back when they are wanted.
    pub(crate) queued_bytes_budget: u64,
    /// Bytes of all queued messages that cannot leave memory. At the limit publishers are not read from. 0: see [`Limits::queued_bytes`].
    pub(crate) queued_bytes_max: u64,
    /// Loops that own queues. 0: see [`Limits::shards`].
    pub(crate) shards: usize,
    /// The prefetch of a consumer whose channel set none; 0 for unlimited.
    pub(crate) default_consumer_prefetch: u16,
    /// How long a delivery may stay unsettled, in seconds; 0 is for ever. Longer: it goes back to its queue, and its consumer is cancelled.
    pub(crate) consumer_timeout_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: 60,
            handshake_timeout_secs: 10,
            max_message_size: 16 * 1024 * 1024,
            connections_max: 0,
            consumers_per_channel_max: 65_536,
            unacked_per_channel_max: 1_000_000,
            unfinished_content_bytes_max: 64 * 1024 * 1024,
            transaction_bytes_max: 64 * 1024 * 1024,
            outbox_bytes_max: 4 * 1024 * 1024,
            queued_bytes_budget: 64 * 1024 * 1024,
            queued_bytes_max: 0,
            shards: 0,
            default_consumer_prefetch: 0,
            consumer_timeout_secs: 0,
        }
    }
}

/// The most shards that the default takes; a number that is set may be higher.
const SHARDS_BY_DEFAULT: usize = 8;
/// File descriptors that are left for what is not an AMQP connection.
const DESCRIPTORS_KEPT: usize = 256;

impl Limits {
    /// The loops that own queues: as many as cores, at most 8.
    pub(crate) fn shards(&self, machine: &Machine) -> usize {
        match self.shards {
            0 => machine.cores.min(SHARDS_BY_DEFAULT),
            set => set,
        }
    }

    /// The bytes of all queued messages: 40 % of the memory that the process may use.
    pub(crate) fn queued_bytes(&self, machine: &Machine) -> u64 {
        match self.queued_bytes_max {
            0 => machine.memory_bytes / 5 * 2,
            set => set,
        }
    }

    /// How long a delivery may stay unsettled; none is for ever.
    pub(crate) fn consumer_timeout(&self) -> Option<Duration> {
        (self.consumer_timeout_secs > 0).then(|| Duration::from_secs(self.consumer_timeout_secs))
    }

    /// The connections at a time: as many as the process may open files, less 256 or half of them.
    pub(crate) fn connections(&self, machine: &Machine) -> usize {
        match self.connections_max {
            0 => machine.descriptors - DESCRIPTORS_KEPT.min(machine.descriptors / 2),
            set => set,
        }
    }
}
