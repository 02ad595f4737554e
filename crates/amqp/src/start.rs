//! What the broker says of itself in `connection.start`, and what it learns of the client.

use leveret_message::table::{TableRef, Value};
use leveret_wire::protocol::{AMQPClass, connection};
use leveret_wire::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::sasl;
use crate::settings::{AmqpSettings, Peer};

/// What the broker can do beyond the specification; clients refuse to use a feature that is not listed.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// `connection.start` for a client that asked for AMQP 0-9-1.
pub(crate) fn start(settings: &AmqpSettings, peer: &Peer) -> AMQPClass {
    let text = |text: &str| AMQPValue::LongString(LongString::from(text.to_owned()));
    let mut capabilities = FieldTable::default();
    for name in CAPABILITIES {
        capabilities.insert(ShortString::from(name), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert(
        ShortString::from("capabilities"),
        AMQPValue::FieldTable(capabilities),
    );
    for (key, value) in [
        ("product", settings.product.as_str()),
        ("version", settings.version.as_str()),
        ("platform", "Rust"),
        ("cluster_name", "leveret"),
        ("copyright", "Copyright the Leveret authors"),
        ("information", "Licensed under the Apache License 2.0"),
    ] {
        properties.insert(ShortString::from(key), text(value));
    }
    AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: LongString::from(sasl::offered(peer, settings)),
        locales: LongString::from("en_US".to_owned()),
    }))
}

/// What the client says it can take.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientCapabilities {
    /// It wants `basic.cancel` when a consumer loses its queue.
    pub(crate) consumer_cancel_notify: bool,
    /// It wants `connection.blocked` and `unblocked`.
    pub(crate) connection_blocked: bool,
    /// It wants `connection.close` when its login is refused.
    pub(crate) authentication_failure_close: bool,
    /// The name it gives its connection.
    pub(crate) connection_name: Option<String>,
    /// Whether it is py-amqp.
    pub(crate) is_py_amqp: bool,
}

impl ClientCapabilities {
    /// Reads `client-properties`.
    pub(crate) fn read(properties: TableRef<'_>) -> Self {
        let capabilities = match properties.find("capabilities") {
            Some(Value::Table(table)) => Some(table),
            _ => None,
        };
        let has = |name: &str| {
            let found = capabilities.and_then(|table| table.find(name));
            matches!(found, Some(Value::Bool(true)))
        };
        let name = properties.find("connection_name");
        let product = properties.find("product");
        Self {
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            authentication_failure_close: has("authentication_failure_close"),
            connection_name: name.and_then(|name| name.as_str().map(str::to_owned)),
            is_py_amqp: product.and_then(|product| product.as_str()) == Some("py-amqp"),
        }
    }
}
