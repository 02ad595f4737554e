//! What operators say of a vhost: its description, its tags, how much may be in it at a time.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::throttle::{MAX_PUBLISH_RATE, Throttle};

/// What is said of a vhost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VhostMetadata {
    /// A text for people.
    pub description: String,
    /// Tags for people.
    pub tags: Vec<String>,
    /// The `x-queue-type` of queues that are declared without one.
    pub default_queue_type: Option<String>,
    /// Whether it cannot be deleted.
    pub protected_from_deletion: bool,
    /// Whether its messages are traced.
    pub tracing: bool,
}

/// A limit that was not set.
const NONE: i64 = -1;

/// The limits of a vhost; none is no limit. Read for each connection and each declaration.
#[derive(Debug)]
pub struct VhostLimits {
    max_connections: AtomicI64,
    max_queues: AtomicI64,
    max_publish_rate: AtomicI64,
    /// How fast is published.
    pub throttle: Throttle,
    /// As it was set.
    value: RwLock<Map<String, Value>>,
}

impl Default for VhostLimits {
    fn default() -> Self {
        Self {
            max_connections: AtomicI64::new(NONE),
            max_queues: AtomicI64::new(NONE),
            max_publish_rate: AtomicI64::new(NONE),
            throttle: Throttle::default(),
            value: RwLock::default(),
        }
    }
}

impl VhostLimits {
    /// How many connections.
    pub fn max_connections(&self) -> Option<u64> {
        u64::try_from(self.max_connections.load(Ordering::Relaxed)).ok()
    }

    /// How many queues.
    pub fn max_queues(&self) -> Option<u64> {
        u64::try_from(self.max_queues.load(Ordering::Relaxed)).ok()
    }

    /// How many messages a second may be published.
    pub fn max_publish_rate(&self) -> Option<u64> {
        u64::try_from(self.max_publish_rate.load(Ordering::Relaxed)).ok()
    }

    /// As they were set; empty where there is none.
    pub fn value(&self) -> Map<String, Value> {
        self.value.read().clone()
    }

    /// **Errors**: RabbitMQ's sentence for what cannot be taken.
    pub(crate) fn check(value: &Value) -> Result<Map<String, Value>, String> {
        limits_of(value, &["max-connections", "max-queues", MAX_PUBLISH_RATE])
    }

    /// Sets them all.
    pub(crate) fn set(&self, limits: Map<String, Value>) {
        let of = |key: &str| limits.get(key).and_then(Value::as_i64).unwrap_or(NONE);
        self.max_connections
            .store(of("max-connections"), Ordering::Relaxed);
        self.max_queues.store(of("max-queues"), Ordering::Relaxed);
        self.max_publish_rate
            .store(of(MAX_PUBLISH_RATE), Ordering::Relaxed);
        *self.value.write() = limits;
    }
}

/// Limits by their names: integers, negative ones for no limit.
///
/// **Errors**: RabbitMQ's sentence for the first one that cannot be taken.
pub(crate) fn limits_of(value: &Value, known: &[&str]) -> Result<Map<String, Value>, String> {
    let Some(limits) = value.as_object() else {
        return Err("limits have to be an object".to_owned());
    };
    for (name, limit) in limits {
        if !known.contains(&name.as_str()) {
            return Err(format!(
                "Unrecognised terms [{{<<{name:?}>>,{limit}}}] in limits"
            ));
        }
        if limit.as_i64().is_none() {
            let limit = crate::policies::term(limit);
            return Err(format!(
                "<<{name:?}>> should be an integer, actually was {limit}"
            ));
        }
    }
    Ok(limits.clone())
}
