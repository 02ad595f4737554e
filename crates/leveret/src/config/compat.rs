//! `[compat]`: what the broker says it is, and where it follows a client's expectations rather than RabbitMQ.

use leveret_amqp::settings;
use serde::{Deserialize, Serialize};

/// The version of RabbitMQ whose behaviour is followed.
const RABBITMQ_VERSION: &str = "4.1.0";

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compat {
    /// `product` in the server properties.
    pub(crate) product: String,
    /// `version` in the server properties, as x.y.z; empty for the version of this build.
    pub(crate) version: String,
    /// Whether `basic.qos` changes the prefetch of consumers that already run.
    pub(crate) live_prefetch: LivePrefetch,
}

impl Default for Compat {
    fn default() -> Self {
        Compat {
            product: "Leveret".to_owned(),
            version: String::new(),
            live_prefetch: LivePrefetch::Auto,
        }
    }
}

impl Compat {
    /// The version of RabbitMQ that tools are told they may count on.
    pub(crate) fn rabbitmq_version(&self) -> &str {
        if self.version.is_empty() {
            RABBITMQ_VERSION
        } else {
            &self.version
        }
    }

    /// The version that clients are told.
    pub(crate) fn version(&self) -> &str {
        if self.version.is_empty() {
            env!("CARGO_PKG_VERSION")
        } else {
            &self.version
        }
    }
}

/// Whose prefetch `basic.qos` with `global` false changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LivePrefetch {
    /// That of consumers started later, as in RabbitMQ; for py-amqp (Celery) that of running ones too.
    Auto,
    /// That of running consumers too.
    Always,
    /// That of consumers started later.
    Never,
}

impl From<LivePrefetch> for settings::LivePrefetch {
    fn from(live: LivePrefetch) -> Self {
        match live {
            LivePrefetch::Auto => Self::Auto,
            LivePrefetch::Always => Self::Always,
            LivePrefetch::Never => Self::Never,
        }
    }
}
