//! What the arguments of a consumer say.

use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::{TableRef, Value};

use super::queue::max_age;
use super::term::Term;
use super::{ArgumentError, Reader, Refusal, Result};
use super::{Filter, Offset};

/// The settings of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `x-priority`: consumers of a higher priority are served first. 0 if not given.
    pub priority: i64,
    /// `x-consumer-timeout`: how long a delivery may stay unsettled; goes before the queue's.
    pub timeout: Option<Duration>,
    /// `x-stream-offset`: where it begins in a stream; behind all there is, if not given.
    pub offset: Offset,
    /// `x-stream-filter` and `x-stream-match-unfiltered`: what it wants of a stream.
    pub filter: Option<Filter>,
    /// `x-leveret-stream-offset-name`: the name under which it is kept how far it has come in a stream. Never empty.
    pub offset_name: Option<Name>,
}

impl ConsumerSettings {
    /// Reads the arguments of `basic.consume`.
    ///
    /// `x-cancel-on-ha-failover` has no effect, but has to be a bool, as in RabbitMQ.
    ///
    /// **Errors**: [`ArgumentError`](super::ArgumentError) (406) for a value of the wrong type.
    pub fn parse(arguments: TableRef<'_>) -> Result<Self> {
        if arguments.is_empty() {
            return Ok(Self::default());
        }
        let reader = Reader(arguments);
        let priority = reader.integer("x-priority")?.unwrap_or_default();
        reader.boolean("x-cancel-on-ha-failover")?;
        let timeout = reader.milliseconds("x-consumer-timeout")?;
        Ok(Self {
            priority,
            timeout,
            offset: offset(arguments)?,
            filter: filter(arguments),
            offset_name: offset_name(reader)?,
        })
    }
}

fn offset(arguments: TableRef<'_>) -> Result<Offset> {
    const OFFSET: &str = "x-stream-offset";
    let Some(value) = arguments.find(OFFSET) else {
        return Ok(Offset::default());
    };
    Offset::read(value, max_age).ok_or_else(|| {
        let sentence = format!("x-stream-offset value {} is invalid", Term(value));
        ArgumentError::new(OFFSET, Refusal::Sentence(sentence.into()))
    })
}

fn offset_name(reader: Reader<'_>) -> Result<Option<Name>> {
    const NAME: &str = "x-leveret-stream-offset-name";
    let name = reader.name(NAME)?;
    match name.as_deref() {
        Some("") => Err(ArgumentError::new(NAME, Refusal::Unknown("empty_name"))),
        _ => Ok(name),
    }
}

fn filter(arguments: TableRef<'_>) -> Option<Filter> {
    let values = match arguments.find("x-stream-filter")? {
        Value::Array(values) => values
            .iter()
            .filter_map(|value| value.as_str().map(Into::into))
            .collect(),
        value => vec![value.as_str()?.into()],
    };
    let unfiltered_too = arguments.find("x-stream-match-unfiltered") == Some(Value::Bool(true));
    Some(Filter {
        values,
        unfiltered_too,
    })
}
