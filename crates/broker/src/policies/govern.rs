//! What holds for a queue that has arguments and policies: of numbers that limit the smaller one, else what its own arguments say.
//! <https://www.rabbitmq.com/docs/parameters#precedence>

use std::time::Duration;

use leveret_message::name::Name;
use serde_json::{Map, Value};

use crate::arguments::{
    DURATION_MAX, DeadLetterStrategy, DelayedRetryType, DeliveryLimit, Overflow, QueueArguments,
    QueueSettings, WindowSettings, max_age,
};

/// What a queue's arguments and the keys of its policies say together. Keys that mean nothing here are passed over.
pub(crate) fn governed(declared: &QueueSettings, definition: &Map<String, Value>) -> QueueSettings {
    if definition.is_empty() {
        return declared.clone();
    }
    let mut governed = QueueArguments::clone(declared);
    for (key, value) in definition {
        govern(&mut governed, key, value);
    }
    governed.into()
}

fn govern(queue: &mut QueueArguments, key: &str, value: &Value) {
    let dead_letter = &mut queue.dead_letter;
    let retry = &mut queue.delayed_retry;
    match key {
        "expires" => limit(&mut queue.expires, milliseconds(value)),
        "message-ttl" => limit(&mut queue.message_ttl, milliseconds(value)),
        "consumer-timeout" => limit(&mut queue.consumer_timeout, milliseconds(value)),
        "max-length" => limit(&mut queue.length.messages, value.as_u64()),
        "max-length-bytes" => limit(&mut queue.length.bytes, value.as_u64()),
        "delivery-limit" => limit(
            &mut queue.delivery_limit,
            value.as_i64().map(DeliveryLimit::from),
        ),
        "dead-letter-exchange" => fill(&mut dead_letter.exchange, name(value)),
        "dead-letter-routing-key" => fill(&mut dead_letter.routing_key, name(value)),
        "dead-letter-strategy" => fill(
            &mut dead_letter.strategy,
            word(value, DeadLetterStrategy::from_name),
        ),
        "max-age" => limit(&mut queue.stream.max_age, value.as_str().and_then(max_age)),
        "stream-max-segment-size-bytes" => {
            limit(&mut queue.stream.max_segment_size_bytes, value.as_u64())
        }
        "overflow" => fill(&mut queue.length.overflow, word(value, Overflow::from_name)),
        "delayed-retry-type" => fill(&mut retry.retry, word(value, DelayedRetryType::from_name)),
        "delayed-retry-min" => fill(&mut retry.min, milliseconds(value)),
        "delayed-retry-max" => fill(&mut retry.max, milliseconds(value)),
        "x-message-deduplication" | "message-deduplication" => {
            queue.deduplicates |= value.as_bool().unwrap_or_default();
        }
        _ => {}
    }
}

/// What the arguments of an exchange and the keys of its policies say together of how much it knows: the smaller numbers hold.
pub(crate) fn governed_window(
    declared: WindowSettings,
    definition: &Map<String, Value>,
) -> WindowSettings {
    let mut governed = declared;
    for (key, value) in definition {
        match key.as_str() {
            "x-cache-size" | "cache-size" => {
                governed.size = governed.size.min(value.as_u64().unwrap_or(u64::MAX));
            }
            "x-cache-ttl" | "cache-ttl" => limit(&mut governed.ttl, milliseconds(value)),
            _ => {}
        }
    }
    governed
}

/// The smaller one holds.
fn limit<T: Ord + Copy>(declared: &mut Option<T>, governing: Option<T>) {
    *declared = match (*declared, governing) {
        (Some(declared), Some(governing)) => Some(declared.min(governing)),
        (declared, governing) => declared.or(governing),
    };
}

/// The argument holds.
fn fill<T>(declared: &mut Option<T>, governing: Option<T>) {
    if declared.is_none() {
        *declared = governing;
    }
}

fn milliseconds(value: &Value) -> Option<Duration> {
    let duration = value.as_u64().map(Duration::from_millis)?;
    Some(duration.min(DURATION_MAX))
}

fn name(value: &Value) -> Option<Name> {
    Name::new(value.as_str()?).ok()
}

fn word<T>(value: &Value, from_name: fn(&str) -> Option<T>) -> Option<T> {
    value.as_str().and_then(from_name)
}
