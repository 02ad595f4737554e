//! What the arguments of a consumer say.

use std::time::Duration;

use leveret_message::table::{Table, TableRef, TableWriter};

use super::{Reader, Result};

/// The settings of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `x-priority`: consumers of a higher priority are served first. 0 if not given.
    pub priority: i64,
    /// `x-consumer-timeout`: how long a delivery may stay unsettled; goes before the queue's.
    pub timeout: Option<Duration>,
    /// The arguments whose names begin with `x-stream-`, such as `x-stream-offset`, as they were sent.
    pub stream: Table,
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
        let mut stream = TableWriter::new();
        for (name, value) in arguments
            .iter()
            .filter(|(name, _)| name.starts_with("x-stream-"))
        {
            stream.put(name, value);
        }
        Ok(Self {
            priority,
            timeout,
            stream: stream.finish(),
        })
    }
}
