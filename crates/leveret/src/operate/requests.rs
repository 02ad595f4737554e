//! Which request is made for what an operator asks.

use serde_json::{Value, json};
use ureq::http::Method;

use super::arguments::{
    Bindings, Channels, Checks, Connections, Ends, Exchanges, OperatorCommand, Queues, Streams,
};

mod messages;
mod settings;

use messages::{delayed, messages};
use settings::{
    definitions, global_parameters, parameters, permissions, policies, topic_permissions,
    user_limits, users, vhost_limits, vhosts,
};

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Below `/api`.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// For the header `X-Reason`.
    pub(super) reason: Option<String>,
    /// What a table of the answer has; without any it is JSON.
    pub(super) columns: &'static [&'static str],
}

impl Ask {
    pub(super) fn get(path: impl Into<String>, columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            ..Self::of(Method::GET, path)
        }
    }

    pub(super) fn of(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            reason: None,
            columns: &[],
        }
    }

    pub(super) fn put(path: impl Into<String>, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::of(Method::PUT, path)
        }
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::of(Method::POST, path)
        }
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::of(Method::DELETE, path)
    }
}

/// A name as a part of a path.
pub(super) fn part(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// An exchange as a part of a path: the default one has a name there.
pub(super) fn exchange_part(name: &str) -> String {
    part(if name.is_empty() { "amq.default" } else { name })
}

impl OperatorCommand {
    /// The request; the name of a file that cannot be read, and why.
    pub(super) fn ask(&self, vhost: &str) -> Result<Ask, (String, String)> {
        let vhost = &part(vhost);
        Ok(match self {
            Self::Overview(_) => Ask::get("/overview", &[]),
            Self::Whoami(_) => Ask::get("/whoami", &["name", "tags"]),
            Self::FeatureFlags(_) => Ask::get("/feature-flags", &["name", "state", "stability"]),
            Self::Queues(noun) => queues(&noun.verb, vhost),
            Self::Streams(noun) => streams(&noun.verb, vhost),
            Self::Exchanges(noun) => exchanges(&noun.verb, vhost),
            Self::Delayed(noun) => delayed(&noun.verb, vhost),
            Self::Bindings(noun) => bindings(&noun.verb, vhost),
            Self::Connections(noun) => connections(&noun.verb),
            Self::Channels(noun) => channels(&noun.verb),
            Self::Consumers(_) => Ask::get(
                format!("/consumers/{vhost}"),
                &[
                    "queue.name",
                    "consumer_tag",
                    "ack_required",
                    "prefetch_count",
                    "channel_details.name",
                ],
            ),
            Self::Vhosts(noun) => vhosts(&noun.verb),
            Self::Users(noun) => users(&noun.verb),
            Self::Permissions(noun) => permissions(&noun.verb, vhost),
            Self::TopicPermissions(noun) => topic_permissions(&noun.verb, vhost),
            Self::Policies(noun) => policies(&noun.verb, "policies", vhost),
            Self::OperatorPolicies(noun) => policies(&noun.verb, "operator-policies", vhost),
            Self::Parameters(noun) => parameters(&noun.verb, vhost),
            Self::GlobalParameters(noun) => global_parameters(&noun.verb),
            Self::VhostLimits(noun) => vhost_limits(&noun.verb, vhost),
            Self::UserLimits(noun) => user_limits(&noun.verb),
            Self::Definitions(noun) => definitions(&noun.verb, vhost)?,
            Self::HealthCheck(noun) => checks(&noun.verb),
        })
    }
}

fn queues(verb: &Queues, vhost: &str) -> Ask {
    let at = |name: &str| format!("/queues/{vhost}/{}", part(name));
    match verb {
        Queues::List => Ask::get(
            format!("/queues/{vhost}"),
            &[
                "name",
                "type",
                "messages_ready",
                "messages_unacknowledged",
                "consumers",
                "policy",
            ],
        ),
        Queues::Show { name } => Ask::get(at(name), &[]),
        Queues::Declare {
            name,
            transient,
            auto_delete,
            arguments,
        } => {
            let queue = json!({
                "durable": !transient, "auto_delete": auto_delete, "arguments": arguments,
            });
            Ask::put(at(name), queue)
        }
        Queues::Delete {
            name,
            if_unused,
            if_empty,
        } => Ask::delete(format!(
            "{}?if-unused={if_unused}&if-empty={if_empty}",
            at(name)
        )),
        Queues::Purge { name } => Ask::delete(format!("{}/contents", at(name))),
        Queues::Messages(verb) => messages(verb, at),
    }
}

fn streams(verb: &Streams, vhost: &str) -> Ask {
    let at = |name: &str| format!("/leveret/streams/{vhost}/{}/offsets", part(name));
    match verb {
        Streams::Offsets { name } => Ask::get(at(name), &["name", "offset", "kept", "in_use"]),
        Streams::ForgetOffset { name, reader } => {
            Ask::delete(format!("{}/{}", at(name), part(reader)))
        }
    }
}

fn exchanges(verb: &Exchanges, vhost: &str) -> Ask {
    let at = |name: &str| format!("/exchanges/{vhost}/{}", exchange_part(name));
    match verb {
        Exchanges::List => Ask::get(
            format!("/exchanges/{vhost}"),
            &[
                "name",
                "type",
                "durable",
                "auto_delete",
                "internal",
                "policy",
            ],
        ),
        Exchanges::Show { name } => Ask::get(at(name), &[]),
        Exchanges::Declare {
            name,
            kind,
            transient,
            auto_delete,
            internal,
            arguments,
        } => {
            let exchange = json!({
                "type": kind, "durable": !transient, "auto_delete": auto_delete,
                "internal": internal, "arguments": arguments,
            });
            Ask::put(at(name), exchange)
        }
        Exchanges::Delete { name, if_unused } => {
            Ask::delete(format!("{}?if-unused={if_unused}", at(name)))
        }
        Exchanges::Publish {
            name,
            routing_key,
            payload,
            properties,
        } => {
            let message = json!({
                "properties": properties, "routing_key": routing_key, "payload": payload,
                "payload_encoding": "string",
            });
            Ask {
                columns: &["routed"],
                ..Ask::post(format!("{}/publish", at(name)), message)
            }
        }
    }
}

fn bindings(verb: &Bindings, vhost: &str) -> Ask {
    let between = |ends: &Ends| {
        let kind = if ends.to_exchange { 'e' } else { 'q' };
        let (source, destination) = (exchange_part(&ends.source), part(&ends.destination));
        format!("/bindings/{vhost}/e/{source}/{kind}/{destination}")
    };
    match verb {
        Bindings::List => Ask::get(
            format!("/bindings/{vhost}"),
            &[
                "source",
                "destination_type",
                "destination",
                "routing_key",
                "properties_key",
            ],
        ),
        Bindings::Add(ends) => {
            let binding = json!({"routing_key": ends.routing_key, "arguments": ends.arguments});
            Ask::post(between(ends), binding)
        }
        Bindings::Delete { ends } => {
            let key = if ends.routing_key.is_empty() {
                "~"
            } else {
                &ends.routing_key
            };
            Ask::delete(format!("{}/{}", between(ends), part(key)))
        }
    }
}

fn channels(verb: &Channels) -> Ask {
    match verb {
        Channels::List => Ask::get(
            "/channels",
            &[
                "name",
                "user",
                "vhost",
                "consumer_count",
                "messages_unacknowledged",
                "prefetch_count",
            ],
        ),
        Channels::Show { name } => Ask::get(format!("/channels/{}", part(name)), &[]),
    }
}

fn connections(verb: &Connections) -> Ask {
    match verb {
        Connections::List => Ask::get(
            "/connections",
            &[
                "name",
                "user",
                "vhost",
                "state",
                "channels",
                "user_provided_name",
            ],
        ),
        Connections::Show { name } => Ask::get(format!("/connections/{}", part(name)), &[]),
        Connections::Close { name, reason } => Ask {
            reason: reason.clone(),
            ..Ask::delete(format!("/connections/{}", part(name)))
        },
    }
}

fn checks(verb: &Checks) -> Ask {
    let check = match verb {
        Checks::Alarms => "alarms".to_owned(),
        Checks::ReadyToServeClients => "ready-to-serve-clients".to_owned(),
        Checks::PortListener { port } => format!("port-listener/{port}"),
    };
    Ask::get(format!("/health/checks/{check}"), &["status"])
}
