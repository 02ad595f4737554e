//! Requests about single messages: of queues, and of exchanges that hold them back.

use serde_json::json;

use super::{Ask, exchange_part, part};
use crate::operate::arguments::{Delayed, Matching, QueueMessages};

/// What becomes of the messages of a queue.
pub(super) fn messages(verb: &QueueMessages, at: impl Fn(&str) -> String) -> Ask {
    match verb {
        QueueMessages::Peek {
            name,
            position,
            count,
        } => Ask::get(
            format!(
                "/leveret{}/messages?position={position}&count={count}",
                at(name)
            ),
            &[
                "position",
                "exchange",
                "routing_key",
                "redelivered",
                "payload",
            ],
        ),
        QueueMessages::Move {
            name,
            destination,
            count,
        } => Ask::post(
            format!("/leveret{}/move", at(name)),
            json!({"destination": destination, "count": count}),
        ),
        QueueMessages::Redrive { name, count } => Ask::post(
            format!("/leveret{}/redrive", at(name)),
            json!({"count": count}),
        ),
        QueueMessages::Get { name, count, ack } => {
            let mode = if *ack {
                "ack_requeue_false"
            } else {
                "ack_requeue_true"
            };
            let wanted = json!({"count": count, "ackmode": mode, "encoding": "auto"});
            Ask {
                columns: &[
                    "exchange",
                    "routing_key",
                    "redelivered",
                    "payload_bytes",
                    "payload",
                ],
                ..Ask::post(format!("{}/get", at(name)), wanted)
            }
        }
    }
}

/// What is done with messages that an exchange holds back.
pub(super) fn delayed(verb: &Delayed, vhost: &str) -> Ask {
    let at = |exchange: &str| {
        format!(
            "/leveret/exchanges/{vhost}/{}/delayed",
            exchange_part(exchange)
        )
    };
    match verb {
        Delayed::List {
            exchange,
            count,
            after,
            matching,
        } => {
            let mut path = format!("{}?count={count}", at(exchange));
            if let Some(after) = after {
                path += &format!("&after={}", part(after));
            }
            Ask::get(
                path + &matching_query(matching),
                &[
                    "id",
                    "due",
                    "routing_key",
                    "properties.message_id",
                    "payload_bytes",
                ],
            )
        }
        Delayed::Show { exchange, id } => Ask::get(format!("{}/{}", at(exchange), part(id)), &[]),
        Delayed::Cancel {
            exchange,
            id: Some(id),
            ..
        } => Ask::delete(format!("{}/{}", at(exchange), part(id))),
        Delayed::Cancel {
            exchange, matching, ..
        } => Ask::delete(format!("{}?{}", at(exchange), matching_query(matching))),
    }
}

/// What stands in a query for messages that match.
fn matching_query(matching: &Matching) -> String {
    let said = [
        ("routing_key", &matching.routing_key),
        ("message_id", &matching.message_id),
    ];
    let said = said
        .iter()
        .filter_map(|(name, text)| Some((name, text.as_ref()?)));
    said.map(|(name, text)| format!("&{name}={}", part(text)))
        .collect()
}
