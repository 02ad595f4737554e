//! `[events]`: who hears of what happens in the broker.

use serde::{Deserialize, Serialize};

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    /// Whether events are published to `amq.rabbitmq.event`.
    pub(crate) exchange: bool,
    /// The vhost of that exchange, and of the log's.
    pub(crate) vhost: String,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            exchange: false,
            vhost: "/".to_owned(),
        }
    }
}
