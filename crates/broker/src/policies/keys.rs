//! What a policy may say: its keys, and what each takes, in RabbitMQ's words for what is wrong.

use serde_json::{Map, Value};

use super::Sort;
use crate::arguments::max_age;

/// What a key takes.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    OneOf(&'static [&'static str]),
    /// An integer of at least so much.
    AtLeast(i64),
    /// As `x-max-age`.
    Age,
    Anything,
    /// What the deduplication plugin takes, which has sentences of its own.
    Flag,
    Positive,
    Persistence,
}

use Takes::{Age, Anything, AtLeast, Flag, OneOf, Persistence, Positive, Text};

/// Each key with what it takes, how RabbitMQ calls that, and whether an operator policy may have it.
const KEYS: [(&str, Takes, &str, bool); 41] = [
    ("alternate-exchange", Text, "alternate exchange name", false),
    ("consumer-timeout", AtLeast(0), "consumer timeout", false),
    (
        "consumer-disconnected-timeout",
        AtLeast(0),
        "consumer disconnected timeout",
        false,
    ),
    (
        "dead-letter-exchange",
        Text,
        "dead letter exchange name",
        false,
    ),
    (
        "dead-letter-routing-key",
        Text,
        "dead letter routing key",
        false,
    ),
    (
        "dead-letter-strategy",
        OneOf(&["at-most-once", "at-least-once"]),
        "dead letter strategy",
        false,
    ),
    ("delayed-message", Anything, "delayed message flag", false),
    (
        "delayed-retry-type",
        OneOf(&["disabled", "all", "failed", "returned"]),
        "delayed retry type",
        true,
    ),
    (
        "delayed-retry-min",
        AtLeast(0),
        "delayed retry minimum",
        true,
    ),
    (
        "delayed-retry-max",
        AtLeast(0),
        "delayed retry maximum",
        true,
    ),
    ("delivery-limit", AtLeast(i64::MIN), "delivery limit", true),
    ("expires", AtLeast(1), "queue expiry", true),
    (
        "federation-upstream",
        Text,
        "federation upstream name",
        false,
    ),
    (
        "federation-upstream-set",
        Text,
        "federation upstream set name",
        false,
    ),
    (
        "federation-upstream-pattern",
        Text,
        "federation upstream pattern",
        false,
    ),
    (
        "initial-cluster-size",
        AtLeast(1),
        "initial cluster size",
        false,
    ),
    ("max-age", Age, "max age", false),
    (
        "max-in-memory-bytes",
        AtLeast(0),
        "max in memory bytes",
        true,
    ),
    (
        "max-in-memory-length",
        AtLeast(0),
        "max in memory length",
        true,
    ),
    ("max-length", AtLeast(0), "maximum length", true),
    (
        "max-length-bytes",
        AtLeast(0),
        "maximum length in bytes",
        true,
    ),
    ("member-placement-tag", Text, "member placement tag", true),
    ("message-ttl", AtLeast(0), "message TTL", true),
    (
        "overflow",
        OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]),
        "overflow value",
        true,
    ),
    (
        "queue-leader-locator",
        OneOf(&["client-local", "balanced"]),
        "queue leader locator value",
        false,
    ),
    (
        "queue-master-locator",
        OneOf(&["client-local", "min-masters", "random"]),
        "queue master locator value",
        false,
    ),
    (
        "queue-mode",
        OneOf(&["default", "lazy"]),
        "queue-mode value",
        false,
    ),
    ("queue-version", AtLeast(1), "queue version", true),
    ("shards-per-node", AtLeast(0), "number of shards", false),
    ("routing-key", Text, "routing key", false),
    (
        "stream-filter-size-bytes",
        AtLeast(16),
        "filter size",
        false,
    ),
    (
        "stream-max-segment-size-bytes",
        AtLeast(0),
        "stream segment size",
        false,
    ),
    ("target-group-size", AtLeast(1), "target group size", true),
    ("x-message-deduplication", Flag, "", false),
    ("x-cache-size", Positive, "", false),
    ("x-cache-ttl", Positive, "", false),
    ("x-cache-persistence", Persistence, "", false),
    // The plugin has only those above.
    ("message-deduplication", Flag, "", false),
    ("cache-size", Positive, "", false),
    ("cache-ttl", Positive, "", false),
    ("cache-persistence", Persistence, "", false),
];

/// Keys of RabbitMQ before 4 that mean nothing any more; definitions of then have them.
const OLD: [&str; 7] = [
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-sync-batch-size",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
    "queue-index-embed-msgs-below",
];

/// Whether a definition can be taken.
///
/// **Errors**: the sentence for the first key that cannot.
pub(super) fn check(sort: Sort, definition: &Map<String, Value>) -> Result<(), String> {
    if definition.is_empty() {
        return Err("no policy provided".to_owned());
    }
    let mut unknown = Vec::new();
    for (key, value) in definition {
        let known = KEYS.iter().find(|(known, ..)| known == key);
        let known = known.filter(|(.., operator)| sort == Sort::User || *operator);
        match known {
            Some((_, takes, what, _)) if !takes.allow(value) => {
                let value = term(value);
                return Err(match takes.plugins_words() {
                    Some(must) => format!("'{key}' must be {must}, got {value}"),
                    None => format!("{value} is not a valid {what}"),
                });
            }
            Some(_) => {}
            None if OLD.contains(&key.as_str()) => {}
            None => unknown.push(term(&Value::String(key.clone()))),
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let whose = match sort {
        Sort::User => "policy",
        Sort::Operator => "operator policy",
    };
    Err(format!(
        "[{}] are not recognised {whose} settings\n",
        unknown.join(",")
    ))
}

impl Takes {
    fn allow(self, value: &Value) -> bool {
        match self {
            Text => value.is_string(),
            OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            AtLeast(least) => value.as_i64().is_some_and(|number| number >= least),
            Age => value.as_str().and_then(max_age).is_some(),
            Anything => true,
            Flag => value.is_boolean(),
            Positive => value.as_i64().is_some_and(|number| number > 0),
            Persistence => matches!(value.as_str(), Some("disk" | "memory")),
        }
    }

    /// What a value has to be, as the deduplication plugin says it.
    fn plugins_words(self) -> Option<&'static str> {
        match self {
            Flag => Some("a boolean"),
            Positive => Some("an integer greater than 0"),
            Persistence => Some("either 'disk' or 'memory'"),
            Text | OneOf(_) | AtLeast(_) | Age | Anything => None,
        }
    }
}

/// What holds of a policy's value and an operator's: the smaller number, else the operator's.
pub(super) fn limited(policy: &Value, operator: &Value) -> Value {
    match (policy.as_i64(), operator.as_i64()) {
        (Some(policy), Some(limit)) => policy.min(limit).into(),
        _ => operator.clone(),
    }
}

/// A value as Erlang writes it.
pub(crate) fn term(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<{:?}>>", text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(term).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{{<<{key:?}>>,{}}}", term(value)))
                .collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}
