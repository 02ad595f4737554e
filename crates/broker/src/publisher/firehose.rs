//! The firehose: a copy of each message that is published or handed out in a vhost, published to `amq.rabbitmq.trace` with headers that say what
//! happened to it. Keys are `publish.EXCHANGE` and `deliver.QUEUE`, as in RabbitMQ: <https://www.rabbitmq.com/docs/firehose>.
//!
//! A connection makes the copies of what its client publishes and gets, among what it publishes itself. While a vhost is traced no route in it is
//! remembered ([`route`](crate::route::route)), so that what is remembered need not ask whether it is.
//!
//! Bound: a connection that has no allowance left makes no copies, and counts them as dropped; so a consumer whose copies nobody takes goes on.
//! Copies of copies are never made.

use leveret_message::batch::{Message, NewMessage};
use leveret_message::exchange_and_key;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableWriter, Value};

use super::{NOBODY, Publisher, RouteIndex};
use crate::filling::NewBody;
use crate::queue_handle::QueueHandle;

/// The exchange that copies are published to.
pub const EXCHANGE: &str = "amq.rabbitmq.trace";

/// The longest routing key, in bytes.
const KEY_MAX: usize = 255;

/// Where something happened, and whose doing it was.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// The broker's name.
    pub node: &'a str,
    /// The connection's name.
    pub connection: &'a str,
    /// The channel's number.
    pub channel: u16,
    /// The user's name.
    pub user: &'a str,
}

impl Publisher {
    /// Traces a message that a client publishes, and the queues that its route leads to.
    ///
    /// **Effect**: as [`Publisher::publish`], and the route is to be looked up again. Nothing without allowance, or where nobody listens.
    pub fn trace_published(
        &mut self,
        route: RouteIndex,
        routing_keys: &[&[u8]],
        message: NewMessage<'_>,
        body: &NewBody<'_>,
        by: &Witness<'_>,
    ) {
        let Some((exchange, _)) = exchange_and_key::split(message.exchange_and_key) else {
            return;
        };
        let mut headers = self.headers(exchange, routing_keys, message.properties, by);
        headers.put_array("routed_queues", |queues| {
            for queue in &*self.routes[route.0].handles {
                queues.push(Value::LongStr(queue.name().as_bytes()));
            }
        });
        self.trace(&[b"publish.", exchange].concat(), &headers, body);
    }

    /// Traces a message that is handed out to a client. **Effect**: as [`Publisher::trace_published`].
    pub fn trace_delivered(
        &mut self,
        queue: &QueueHandle,
        message: &Message<'_>,
        redelivered: bool,
        to: &Witness<'_>,
    ) {
        let Some((exchange, key)) = exchange_and_key::split(message.exchange_and_key) else {
            return;
        };
        if exchange == EXCHANGE.as_bytes() {
            return;
        }
        let mut headers = self.headers(exchange, &[key], message.properties, to);
        headers.put("redelivered", Value::SignedInt(redelivered.into()));
        let body = NewBody::from(message.body);
        let key = [b"deliver.", queue.name().as_bytes()].concat();
        self.trace(&key, &headers, &body);
    }

    /// The headers that all copies have.
    fn headers(
        &self,
        exchange: &[u8],
        routing_keys: &[&[u8]],
        properties: &[u8],
        witness: &Witness<'_>,
    ) -> TableWriter {
        let Witness {
            node,
            connection,
            channel,
            user,
        } = *witness;
        let mut headers = TableWriter::new();
        headers.put("exchange_name", Value::LongStr(exchange));
        headers.put_array("routing_keys", |keys| {
            for key in routing_keys {
                keys.push(Value::LongStr(key));
            }
        });
        headers.put_table("properties", |table| {
            if let Ok(properties) = Properties::parse(properties) {
                put_properties(table, &properties);
            }
        });
        headers
            .put("node", node)
            .put("vhost", &*self.vhost.name)
            .put("connection", connection)
            .put("channel", Value::SignedInt(channel.into()))
            .put("user", user);
        headers
    }

    fn trace(&mut self, routing_key: &[u8], headers: &TableWriter, body: &NewBody<'_>) {
        if !self.has_allowance() {
            return self.vhost.note_untraced();
        }
        let exchange = self.vhost.find_exchange(EXCHANGE);
        let Some(exchange) = exchange.filter(|exchange| exchange.bindings_count() > 0) else {
            return;
        };
        let routing_key = routing_key.get(..KEY_MAX).unwrap_or(routing_key);
        let writer = PropertiesWriter {
            headers: Some(headers.view()),
            ..PropertiesWriter::default()
        };
        let key = exchange_and_key::join(EXCHANGE.as_bytes(), routing_key);
        let Some((key, bytes)) = key.zip(writer.to_bytes().ok()) else {
            return;
        };
        let properties = Properties::parse(&bytes).unwrap_or_default();
        let keys = std::iter::once(routing_key);
        let route = self.route(&exchange, &key, keys, properties);
        let message = NewMessage {
            exchange_and_key: &key,
            properties: &bytes,
            persistent: false,
            priority: 0,
        };
        self.publish((NOBODY, route), message, body);
    }
}

/// The properties of a message as a table has them, under the names of the standard.
fn put_properties(table: &mut TableWriter, properties: &Properties<'_>) {
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.message_type()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            table.put(name, Value::LongStr(text));
        }
    }
    let numbers = [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", properties.timestamp()),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            let small = i32::try_from(number).map(Value::SignedInt);
            table.put(name, small.unwrap_or(Value::Long(number as i64)));
        }
    }
    if let Some(headers) = properties.headers() {
        table.put("headers", Value::Table(headers));
    }
}
