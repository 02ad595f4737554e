//! Whether a redeclaration has the same arguments, as far as RabbitMQ compares them.
//!
//! Only arguments that are known here count, in a fixed order, and the first difference is the one that is told. What arguments mean plays
//! no part: a value that could not be declared is still just a different one.

use std::fmt;

use leveret_message::table::{TableRef, Value};

use super::term::Plain;

/// What is compared of a queue: a classic queue's arguments in RabbitMQ's order, then those it reserves to quorum queues, then to streams,
/// then our own.
///
/// `x-name-prefix` is missing, since it is not kept.
const QUEUE_ARGUMENTS: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-queue-leader-locator",
    "x-consumer-timeout",
    "x-consumer-disconnected-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-member-placement-tag",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
    "x-leveret-durability",
    "x-leveret-message-group",
];

const EXCHANGE_ARGUMENTS: &[&str] = &["alternate-exchange"];

/// A difference between two declarations. Prints from the word "received" on:
/// `received the value '1000' of type 'long' but current is none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inequivalence {
    /// The argument that differs.
    pub argument: &'static str,
    /// What was received, as RabbitMQ prints it.
    pub received: String,
    /// What there is, as RabbitMQ prints it.
    pub current: String,
}

impl fmt::Display for Inequivalence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "received {} but current is {}",
            self.received, self.current
        )
    }
}

/// The first argument in which a declaration differs from the queue that is there: 406 PRECONDITION_FAILED
/// `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '6' but current is '5'`.
///
/// Integers compare by value, whatever their width. No `x-queue-type` is the same as `classic`.
pub fn inequivalent_queue_argument(
    declared: TableRef<'_>,
    current: TableRef<'_>,
) -> Option<Inequivalence> {
    first_difference(QUEUE_ARGUMENTS, declared, current)
}

/// The first argument in which a declaration differs from the exchange that is there; only `alternate-exchange` counts.
pub fn inequivalent_exchange_argument(
    declared: TableRef<'_>,
    current: TableRef<'_>,
) -> Option<Inequivalence> {
    first_difference(EXCHANGE_ARGUMENTS, declared, current)
}

fn first_difference(
    arguments: &[&'static str],
    declared: TableRef<'_>,
    current: TableRef<'_>,
) -> Option<Inequivalence> {
    // The common case: a client that declares what it declared before.
    if declared == current {
        return None;
    }
    arguments.iter().find_map(|argument| {
        let (received, current) = (declared.find(argument), current.find(argument));
        if equivalent(argument, received, current) {
            return None;
        }
        let typed = received.is_none() || current.is_none();
        let print = |value| {
            if typed {
                with_type(value)
            } else {
                without_type(value)
            }
        };
        Some(Inequivalence {
            argument,
            received: print(received),
            current: print(current),
        })
    })
}

fn equivalent(argument: &str, received: Option<Value<'_>>, current: Option<Value<'_>>) -> bool {
    match (received, current) {
        (None, None) => true,
        (Some(received), Some(current)) => received.equivalent(&current),
        (Some(one), None) | (None, Some(one)) => {
            argument == "x-queue-type" && one.as_str() == Some("classic")
        }
    }
}

fn with_type(value: Option<Value<'_>>) -> String {
    match value {
        None => "none".into(),
        Some(value) => {
            format!(
                "the value '{}' of type '{}'",
                Plain(value),
                value.type_name()
            )
        }
    }
}

fn without_type(value: Option<Value<'_>>) -> String {
    match value {
        None | Some(Value::Void) => "none".into(),
        Some(value) => format!("'{}'", Plain(value)),
    }
}
