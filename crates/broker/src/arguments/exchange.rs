//! What the arguments of an exchange say: `alternate-exchange` of any, the others of one type.

use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::{TableRef, Value};

use super::term::Term;
use super::{ArgumentError, DURATION_MAX, Reader, Refusal, Result};
use crate::bindings::ExchangeKind;

/// How many messages an `x-recent-history` exchange keeps where its declaration does not say.
const HISTORY_LENGTH: u64 = 20;

/// The settings of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeSettings {
    /// `alternate-exchange`: where messages go that this exchange cannot route.
    ///
    /// `x-alternate-exchange` is taken as well, as LavinMQ does; RabbitMQ ignores it.
    pub alternate_exchange: Option<Name>,
    /// `hash-header` and `hash-property` of an `x-consistent-hash` exchange: what of a message it hashes.
    pub hash_on: HashOn,
    /// `x-recent-history-length` of an `x-recent-history` exchange: how many messages it keeps at most; no other keeps any.
    pub history_length: u64,
    /// Of an `x-message-deduplication` exchange, how many messages it knows, and for how long.
    pub window: WindowSettings,
    /// `x-delayed-type` of an `x-delayed-message` exchange: what it routes as.
    pub delayed_type: Option<ExchangeKind>,
}

/// How many messages an exchange knows, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSettings {
    /// `x-cache-size`. Never zero where there is a window.
    pub size: u64,
    /// `x-cache-ttl`; without it, until others need the room.
    pub ttl: Option<Duration>,
}

/// What of a message decides where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// Its routing key.
    #[default]
    RoutingKey,
    /// The header of this name.
    Header(Box<str>),
    /// A property.
    Property(HashProperty),
}

/// A property that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashProperty {
    /// `message_id`.
    MessageId,
    /// `correlation_id`.
    CorrelationId,
    /// `timestamp`.
    Timestamp,
}

impl ExchangeSettings {
    /// Reads the arguments of `exchange.declare`.
    ///
    /// **Errors**: [`ArgumentError`] (406) for a value that cannot be taken.
    pub fn parse(kind: ExchangeKind, arguments: TableRef<'_>) -> Result<Self> {
        let reader = Reader(arguments);
        let alternate_exchange = match reader.exchange("alternate-exchange")? {
            None => reader.exchange("x-alternate-exchange")?,
            name => name,
        };
        let (mut hash_on, mut history_length) = (HashOn::default(), 0);
        let mut window = WindowSettings::default();
        let delayed_type = match kind {
            ExchangeKind::Delayed => Some(reader.delayed_type()?),
            _ => None,
        };
        match delayed_type.unwrap_or(kind) {
            ExchangeKind::ConsistentHash => hash_on = reader.hash_on()?,
            ExchangeKind::RecentHistory => history_length = reader.history_length()?,
            ExchangeKind::Deduplication => window = reader.window()?,
            _ => {}
        }
        Ok(Self {
            alternate_exchange,
            hash_on,
            history_length,
            window,
            delayed_type,
        })
    }
}

impl Reader<'_> {
    fn hash_on(self) -> Result<HashOn> {
        const PROPERTY: &str = "hash-property";
        let refused = |sentence: String| {
            let refusal = Refusal::Sentence(sentence.into());
            Err(ArgumentError::new(PROPERTY, refusal))
        };
        match (self.string("hash-header")?, self.string(PROPERTY)?) {
            (None, None) => Ok(HashOn::RoutingKey),
            (Some(header), None) => Ok(HashOn::Header(header.into())),
            (None, Some("message_id")) => Ok(HashOn::Property(HashProperty::MessageId)),
            (None, Some("correlation_id")) => Ok(HashOn::Property(HashProperty::CorrelationId)),
            (None, Some("timestamp")) => Ok(HashOn::Property(HashProperty::Timestamp)),
            (None, Some(other)) => refused(format!("Unsupported property: {other}")),
            (Some(_), Some(_)) => {
                refused("hash-header and hash-property are mutually exclusive".to_owned())
            }
        }
    }

    fn delayed_type(self) -> Result<ExchangeKind> {
        const TYPE: &str = "x-delayed-type";
        let name = self.0.find(TYPE).and_then(|value| match value {
            Value::LongStr(name) => std::str::from_utf8(name).ok(),
            _ => None,
        });
        let kind = name.and_then(ExchangeKind::from_name);
        // What was delayed would come past the window.
        let is_taken = |kind: &ExchangeKind| {
            !matches!(kind, ExchangeKind::Delayed | ExchangeKind::Deduplication)
        };
        let kind = kind.filter(is_taken);
        kind.ok_or_else(|| {
            let sentence = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
            ArgumentError::new(TYPE, Refusal::Sentence(sentence.into()))
        })
    }

    fn window(self) -> Result<WindowSettings> {
        let refused = |argument, sentence: &str| {
            let refusal = Refusal::Sentence(sentence.into());
            ArgumentError::new(argument, refusal)
        };
        let size = self.count("x-cache-size").flatten().ok_or_else(|| {
            let sentence =
                "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
            refused("x-cache-size", sentence)
        })?;
        let ttl = match self.count("x-cache-ttl") {
            None => None,
            Some(Some(ms)) => Some(Duration::from_millis(ms).min(DURATION_MAX)),
            Some(None) => {
                let sentence = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0";
                return Err(refused("x-cache-ttl", sentence));
            }
        };
        match self.0.find("x-cache-persistence") {
            None | Some(Value::LongStr(b"disk" | b"memory")) => {}
            Some(_) => {
                let sentence =
                    "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
                return Err(refused("x-cache-persistence", sentence));
            }
        }
        Ok(WindowSettings { size, ttl })
    }

    /// A number above zero, which may be written in digits: whether the argument is there, and what it says.
    fn count(self, argument: &str) -> Option<Option<u64>> {
        let value = self.0.find(argument)?;
        let written = || value.as_str()?.parse().ok();
        let count = value.as_integer().or_else(written);
        let count = count.and_then(|count| u64::try_from(count).ok());
        Some(count.filter(|count| *count > 0))
    }

    fn history_length(self) -> Result<u64> {
        const LENGTH: &str = "x-recent-history-length";
        let Some(value) = self.0.find(LENGTH) else {
            return Ok(HISTORY_LENGTH);
        };
        let length = value.as_integer().and_then(|n| u64::try_from(n).ok());
        length.filter(|length| *length > 0).ok_or_else(|| {
            let sentence = not_a_length(value);
            ArgumentError::new(LENGTH, Refusal::Sentence(sentence.into()))
        })
    }
}

fn not_a_length(value: Value<'_>) -> String {
    format!(
        "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
        Term(value)
    )
}
