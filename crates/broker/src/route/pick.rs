//! The number by which an exchange picks one destination for a message: a hash of what its type looks at, or chance.

use leveret_message::table::Value;

use crate::arguments::{HashOn, HashProperty};
use crate::bindings::ExchangeKind;
use crate::exchange::Exchange;
use crate::route::Routed;
use crate::stable_hash::{bytes, mix, value};

/// Numbers that nobody can tell before, for the exchanges that leave it to chance.
#[derive(Debug)]
pub struct Chances(u64);

impl Chances {
    /// Begins somewhere.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }
}

/// Whether another message with the same routing key may go elsewhere.
pub(super) fn is_fleeting(exchange: &Exchange) -> bool {
    if exchange.kind == ExchangeKind::Delayed {
        return true;
    }
    match exchange.routes_as {
        // It has to hear of each message.
        ExchangeKind::Headers | ExchangeKind::RecentHistory | ExchangeKind::Deduplication => true,
        ExchangeKind::Random | ExchangeKind::LocalRandom => true,
        ExchangeKind::ConsistentHash => exchange.settings.hash_on != HashOn::RoutingKey,
        ExchangeKind::Direct
        | ExchangeKind::Fanout
        | ExchangeKind::Topic
        | ExchangeKind::ModulusHash
        | ExchangeKind::Delayed => false,
    }
}

/// The number that a message stands for in an exchange that picks one destination.
pub(super) fn number(exchange: &Exchange, message: &Routed<'_>) -> u64 {
    match exchange.routes_as {
        ExchangeKind::ConsistentHash => value(hashed(&exchange.settings.hash_on, message)),
        ExchangeKind::ModulusHash => {
            let keys = message.routing_keys.iter();
            keys.fold(0, |hash, key| bytes(hash, key))
        }
        _ => message.chance,
    }
}

/// What of a message is hashed. Where a message lacks it, that is something to hash too: such messages go to one queue, as in RabbitMQ.
fn hashed<'a>(hash_on: &HashOn, message: &Routed<'a>) -> Value<'a> {
    let properties = &message.properties;
    let found = match hash_on {
        HashOn::RoutingKey => message.routing_keys.first().copied().map(Value::LongStr),
        HashOn::Header(name) => properties.headers().and_then(|headers| headers.find(name)),
        HashOn::Property(HashProperty::MessageId) => properties.message_id().map(Value::LongStr),
        HashOn::Property(HashProperty::CorrelationId) => {
            properties.correlation_id().map(Value::LongStr)
        }
        HashOn::Property(HashProperty::Timestamp) => properties.timestamp().map(Value::Timestamp),
    };
    found.unwrap_or(Value::Void)
}
