//! Arguments of queues, exchanges and consumers: read once from their field table into typed settings.
//!
//! A value of the wrong type or outside its range is refused in RabbitMQ's words, which clients match on; an argument that is not known is
//! ignored here and kept in the table by whoever declares. Every queue takes every argument, whatever its type. Whether a redeclaration
//! fits is decided in `equivalence`, and on an existing queue or exchange that comes first: RabbitMQ reads arguments only to create.
//!
//! Invariant: a duration in settings is at most [`DURATION_MAX`], so that adding one to a time cannot overflow.

use std::fmt;
use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::{TableRef, Value};
use thiserror::Error;

mod consumer;
mod equivalence;
mod exchange;
mod filter;
mod offset;
mod queue;
mod term;
#[cfg(test)]
mod tests;
mod words;

pub use consumer::ConsumerSettings;
pub use equivalence::{Inequivalence, inequivalent_exchange_argument, inequivalent_queue_argument};
pub use exchange::{ExchangeSettings, HashOn, HashProperty, WindowSettings};
pub use filter::Filter;
pub use offset::Offset;
pub(crate) use queue::max_age;
pub use queue::{
    DeadLetterSettings, DelayedRetrySettings, LengthLimit, PlacementSettings, QueueArguments,
    QueueSettings, StreamSettings,
};
pub use words::{
    DeadLetterStrategy, DelayedRetryType, DeliveryLimit, Durability, LeaderLocator, Overflow,
    QueueType,
};

/// A value as Erlang writes it.
pub(crate) fn term_of(value: Value<'_>) -> String {
    term::Term(value).to_string()
}

/// The longest duration an argument can ask for: ten years. `x-expires` and `x-message-ttl` beyond it are refused, others are cut to it.
pub const DURATION_MAX: Duration = Duration::from_millis(MILLISECONDS_MAX.unsigned_abs());

const MILLISECONDS_MAX: i64 = 315_360_000_000;

/// An argument that cannot be taken: 406 PRECONDITION_FAILED.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{refusal}")]
pub struct ArgumentError {
    argument: &'static str,
    refusal: Refusal,
}

impl ArgumentError {
    fn new(argument: &'static str, refusal: Refusal) -> Self {
        Self { argument, refusal }
    }

    /// The name of the argument.
    pub fn argument(&self) -> &'static str {
        self.argument
    }

    /// What stands behind `PRECONDITION_FAILED - `; `resource` is what was declared or consumed from, such as `queue 'q' in vhost '/'`.
    ///
    /// Most often `invalid arg 'x-expires' for queue 'q' in vhost '/': {value_negative,-1}`, but a few arguments have sentences of their own.
    pub fn explanation(&self, resource: impl fmt::Display) -> String {
        let (argument, refusal) = (self.argument, &self.refusal);
        match refusal {
            Refusal::NotAName(_) => format!("{refusal} for arg '{argument}' in {resource}"),
            Refusal::NamePrefix(_)
            | Refusal::SegmentSize
            | Refusal::FilterSize
            | Refusal::Sentence(_) => refusal.to_string(),
            _ => format!("invalid arg '{argument}' for {resource}: {refusal}"),
        }
    }
}

/// Why an argument is refused. Prints as RabbitMQ's Erlang terms and sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// Of another type than an integer.
    NotAnInteger(&'static str),
    /// Of another type than the one there is.
    Type(&'static str),
    /// Of another type than the name of an exchange.
    NotAName(&'static str),
    Zero,
    Negative(i64),
    TooLarge(i64),
    PriorityTooLarge(u64),
    /// None of the known values; the word RabbitMQ has for it.
    Unknown(&'static str),
    /// None of the known values of a queue mode, version or type.
    Unsupported(&'static str, Box<str>),
    /// Longer than a short string can be. RabbitMQ takes it, and never finds such an exchange.
    NameTooLong(usize),
    /// Not UTF-8. RabbitMQ takes it.
    NotUtf8,
    NamePrefix(Box<str>),
    SegmentSize,
    FilterSize,
    /// What RabbitMQ says of it, all of it.
    Sentence(Box<str>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnInteger(actual) => write!(f, "\"expected integer, got {actual}\""),
            Self::Type(actual) => write!(f, "{{unacceptable_type,{actual}}}"),
            Self::NotAName(actual) => write!(f, "invalid type '{actual}'"),
            Self::Zero => f.write_str("{value_zero,0}"),
            Self::Negative(value) => write!(f, "{{value_negative,{value}}}"),
            Self::TooLarge(value) => write!(f, "{{value_too_large,{value}}}"),
            Self::PriorityTooLarge(value) => write!(f, "{{max_value_exceeded,{value}}}"),
            Self::Unknown(word) => f.write_str(word),
            Self::Unsupported(what, value) => {
                write!(f, "\"unsupported {what} '{}'\"", term::Escaped(value))
            }
            Self::NameTooLong(len) => write!(f, "{{name_too_long,{len}}}"),
            Self::NotUtf8 => f.write_str("invalid_utf8"),
            Self::NamePrefix(prefix) => {
                write!(f, "Queue name prefix '{prefix}' exceeds the 64-byte limit")
            }
            Self::SegmentSize => {
                f.write_str("Exceeded max value for x-stream-max-segment-size-bytes")
            }
            // The two spaces are RabbitMQ's.
            Self::FilterSize => f.write_str("Invalid value for  x-stream-filter-size-bytes"),
            Self::Sentence(sentence) => f.write_str(sentence),
        }
    }
}

type Result<T> = std::result::Result<T, ArgumentError>;

/// Reads the arguments of one field table by name. Of a repeated name the first counts, as in RabbitMQ.
#[derive(Clone, Copy)]
struct Reader<'a>(TableRef<'a>);

impl<'a> Reader<'a> {
    fn integer(self, argument: &'static str) -> Result<Option<i64>> {
        self.0
            .find(argument)
            .map(|value| {
                value.as_integer().ok_or_else(|| {
                    ArgumentError::new(argument, Refusal::NotAnInteger(value.type_name()))
                })
            })
            .transpose()
    }

    fn non_negative(self, argument: &'static str) -> Result<Option<u64>> {
        self.integer(argument)?
            .map(|value| {
                u64::try_from(value)
                    .map_err(|_| ArgumentError::new(argument, Refusal::Negative(value)))
            })
            .transpose()
    }

    fn positive(self, argument: &'static str) -> Result<Option<u64>> {
        match self.non_negative(argument)? {
            Some(0) => Err(ArgumentError::new(argument, Refusal::Zero)),
            value => Ok(value),
        }
    }

    /// A lifetime in milliseconds: RabbitMQ refuses what goes beyond [`DURATION_MAX`].
    fn lifetime(self, argument: &'static str) -> Result<Option<Duration>> {
        match self.integer(argument)? {
            Some(value) if value > MILLISECONDS_MAX => {
                Err(ArgumentError::new(argument, Refusal::TooLarge(value)))
            }
            _ => self.milliseconds(argument),
        }
    }

    /// Milliseconds, cut to [`DURATION_MAX`].
    fn milliseconds(self, argument: &'static str) -> Result<Option<Duration>> {
        let value = self.non_negative(argument)?;
        Ok(value.map(|ms| Duration::from_millis(ms).min(DURATION_MAX)))
    }

    fn boolean(self, argument: &'static str) -> Result<Option<bool>> {
        match self.0.find(argument) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(ArgumentError::new(
                argument,
                Refusal::Type(other.type_name()),
            )),
        }
    }

    fn string(self, argument: &'static str) -> Result<Option<&'a str>> {
        match self.0.find(argument) {
            None => Ok(None),
            Some(value @ Value::LongStr(_)) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                None => Err(ArgumentError::new(argument, Refusal::NotUtf8)),
            },
            Some(other) => Err(ArgumentError::new(
                argument,
                Refusal::Type(other.type_name()),
            )),
        }
    }

    /// A string that names a queue, an exchange or a routing key.
    fn name(self, argument: &'static str) -> Result<Option<Name>> {
        let name = self.string(argument)?.map(Name::new).transpose();
        name.map_err(|error| ArgumentError::new(argument, Refusal::NameTooLong(error.0)))
    }

    /// The name of an exchange: a value of another type gets the sentence that RabbitMQ has for resources.
    fn exchange(self, argument: &'static str) -> Result<Option<Name>> {
        self.name(argument).map_err(|error| match error.refusal {
            Refusal::Type(actual) => ArgumentError::new(argument, Refusal::NotAName(actual)),
            _ => error,
        })
    }

    /// One of a few words; `refusal` is for all others.
    fn choice<T>(
        self,
        argument: &'static str,
        known: impl FnOnce(&str) -> Option<T>,
        refusal: impl FnOnce(&str) -> Refusal,
    ) -> Result<Option<T>> {
        self.string(argument)?
            .map(|word| known(word).ok_or_else(|| ArgumentError::new(argument, refusal(word))))
            .transpose()
    }
}
