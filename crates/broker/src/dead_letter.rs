//! Dead letters: what a message that could not stay in its queue says of that when it is published to the queue's dead letter exchange
//! (<https://www.rabbitmq.com/docs/dlx#effects>).
//!
//! Each death is an entry of the `x-death` header, the newest first, one for each pair of queue and reason. The header is the broker's: what a publisher
//! puts there counts for nothing, and is replaced by the first death. Pure functions; `shard/bury.rs` moves the messages.

use leveret_message::batch::Message;
use leveret_message::exchange_and_key;
use leveret_message::name::Name;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{ArrayWriter, Table, TableRef, TableWriter, Value};

/// Why a message leaves its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its consumer did not want it: `basic.reject` or `basic.nack` without requeue.
    Rejected,
    /// The queue had more messages than it may have.
    MaxLength,
    /// Its time was over.
    Expired,
    /// It failed too often: `x-delivery-limit`.
    DeliveryLimit,
}

impl Reason {
    /// The word for it in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::MaxLength => "maxlen",
            Self::Expired => "expired",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// How a message died.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// In which queue.
    pub queue: &'a str,
    /// Why.
    pub reason: Reason,
    /// When, in seconds since 1970.
    pub unix_secs: u64,
    /// `x-dead-letter-routing-key` of the queue.
    pub routing_key: Option<&'a Name>,
}

/// A message as it is published to the dead letter exchange.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// Its properties.
    pub properties: Vec<u8>,
    /// The headers among them.
    pub headers: Table,
    /// Its routing key, and those of its `CC` header, to which those of `BCC` are to be added: without `x-dead-letter-routing-key` they stay what they were.
    pub routing_keys: Vec<&'a [u8]>,
}

impl<'a> DeadLetter<'a> {
    /// A message that has died.
    ///
    /// `None` where its properties are none, which is not so for what a protocol has let in.
    pub fn new(message: &Message<'a>, death: &Death<'a>) -> Option<Self> {
        let properties = Properties::parse(message.properties).ok()?;
        let old = properties.headers();
        let (exchange, keys) = published_to(message.exchange_and_key, old)?;
        let entry = Entry {
            death,
            exchange,
            keys: &keys,
            expiration: properties.expiration(),
        };
        let headers = entry.headers(old, message.died).finish();
        let mut writer = PropertiesWriter::from(properties);
        writer.headers = Some(headers.view());
        writer.expiration = None;
        Some(Self {
            properties: writer.to_bytes().ok()?,
            headers,
            routing_keys: death.routing_key.map_or(keys, |key| vec![key.as_bytes()]),
        })
    }
}

/// Whether a message with such headers, which the broker wrote, has been in a queue before and comes back to it without a consumer ever rejecting it on
/// the way: it would go round for ever. A message that has just been rejected is in no such cycle.
pub fn is_cycle_to(queue: &str, headers: Option<TableRef<'_>>) -> bool {
    let mut rejected = false;
    for death in deaths(headers) {
        rejected |= is(death, "reason", Reason::Rejected.as_str());
        if is(death, "queue", queue) {
            return !rejected;
        }
    }
    false
}

/// The queue in which a dead letter died first; none of a message that never died.
pub fn origin(message: &Message<'_>) -> Option<String> {
    let headers = Properties::checked(message.properties).headers();
    let queue = headers
        .filter(|_| message.died)?
        .find("x-first-death-queue")?;
    queue.as_str().map(str::to_owned)
}

/// The properties of a dead letter as if it had never died.
pub fn without_deaths(message: &Message<'_>) -> Option<Vec<u8>> {
    let is_of_death = |key: &str| {
        key == "x-death" || key.starts_with("x-first-death-") || key.starts_with("x-last-death-")
    };
    Properties::checked(message.properties).with_headers(|key| !is_of_death(key), &[])
}

/// The exchange that a message was published to, and all its routing keys.
pub(crate) fn published_to<'a>(
    exchange_and_key: &'a [u8],
    headers: Option<TableRef<'a>>,
) -> Option<(&'a [u8], Vec<&'a [u8]>)> {
    let (exchange, key) = exchange_and_key::split(exchange_and_key)?;
    let mut keys = vec![key];
    if let Some(Value::Array(further)) = headers.and_then(|headers| headers.find("CC")) {
        keys.extend(further.iter().filter_map(|key| match key {
            Value::LongStr(key) => Some(key),
            _ => None,
        }));
    }
    Some((exchange, keys))
}

fn deaths(headers: Option<TableRef<'_>>) -> impl Iterator<Item = TableRef<'_>> {
    let array = match headers.and_then(|headers| headers.find("x-death")) {
        Some(Value::Array(array)) => Some(array),
        _ => None,
    };
    let values = array.into_iter().flat_map(|array| array.iter());
    values.filter_map(|value| match value {
        Value::Table(death) => Some(death),
        _ => None,
    })
}

fn is(death: TableRef<'_>, key: &str, wanted: &str) -> bool {
    death.find(key) == Some(Value::LongStr(wanted.as_bytes()))
}

/// What is written down of a death.
struct Entry<'a> {
    death: &'a Death<'a>,
    exchange: &'a [u8],
    keys: &'a [&'a [u8]],
    expiration: Option<&'a [u8]>,
}

impl Entry<'_> {
    /// The headers of the message from now on. Where it has not `died` before, what they say of deaths is not the broker's.
    fn headers(&self, old: Option<TableRef<'_>>, died: bool) -> TableWriter {
        let mut headers = TableWriter::new();
        for (key, value) in old.iter().flat_map(|old| old.iter()) {
            let is_first = key.starts_with("x-first-death-");
            let is_replaced = key == "x-death" || key.starts_with("x-last-death-");
            let is_lost = key == "CC" && self.death.routing_key.is_some();
            if !(is_replaced || is_lost || (is_first && !died)) {
                headers.put(key, value);
            }
        }
        let before = old.filter(|_| died);
        headers.put_array("x-death", |entries| self.entries(before, entries));
        let (queue, reason) = (self.death.queue, self.death.reason.as_str());
        let is_first = before.is_none_or(|old| old.find("x-first-death-queue").is_none());
        for which in ["first", "last"] {
            if which == "last" || is_first {
                headers.put(
                    &format!("x-{which}-death-exchange"),
                    Value::LongStr(self.exchange),
                );
                headers.put(
                    &format!("x-{which}-death-queue"),
                    Value::LongStr(queue.as_bytes()),
                );
                headers.put(
                    &format!("x-{which}-death-reason"),
                    Value::LongStr(reason.as_bytes()),
                );
            }
        }
        headers
    }

    fn is_of(&self, death: TableRef<'_>) -> bool {
        is(death, "queue", self.death.queue) && is(death, "reason", self.death.reason.as_str())
    }

    /// This death first: as a further one of its queue and reason, if there was one.
    fn entries(&self, before: Option<TableRef<'_>>, entries: &mut ArrayWriter) {
        match deaths(before).find(|death| self.is_of(*death)) {
            Some(same) => entries.push_table(|entry| {
                for (key, value) in same.iter() {
                    match (key, value) {
                        ("count", Value::Long(count)) => {
                            entry.put(key, Value::Long(count.saturating_add(1)))
                        }
                        _ => entry.put(key, value),
                    };
                }
            }),
            None => entries.push_table(|entry| self.write(entry)),
        };
        for other in deaths(before).filter(|death| !self.is_of(*death)) {
            entries.push(Value::Table(other));
        }
    }

    fn write(&self, entry: &mut TableWriter) {
        let Death {
            queue,
            reason,
            unix_secs,
            ..
        } = *self.death;
        entry
            .put("count", Value::Long(1))
            .put("reason", Value::LongStr(reason.as_str().as_bytes()))
            .put("queue", Value::LongStr(queue.as_bytes()))
            .put("time", Value::Timestamp(unix_secs))
            .put("exchange", Value::LongStr(self.exchange))
            .put_array("routing-keys", |keys| {
                for key in self.keys {
                    keys.push(Value::LongStr(key));
                }
            });
        if let Some(expiration) = self.expiration {
            entry.put("original-expiration", Value::LongStr(expiration));
        }
    }
}
