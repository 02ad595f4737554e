//! What a run is told: who does how much of what. Names are those of RabbitMQ's PerfTest where it has them.

use std::str::FromStr;
use std::time::Duration;

use leveret_wire::types::{AMQPValue, FieldTable};
use serde::Serialize;

use crate::PerfError;
use crate::body;

/// What `throughput`, `latency` and `backlog` are told.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// Producers, each on a connection of its own.
    pub producers: u16,
    /// Consumers, each on a connection of its own.
    pub consumers: u16,
    /// Queues, which producers and consumers share out among them.
    pub queues: u32,
    /// Bytes of a body.
    pub size: usize,
    /// Messages a second of each producer; as many as go, if not given.
    pub rate: Option<u64>,
    /// Unconfirmed messages that a producer may have; no confirms, if not given.
    pub confirm: Option<u32>,
    /// Unacknowledged messages that a consumer may have; 0 is no limit.
    pub qos: u16,
    /// How many messages one ack stands for.
    pub multi_ack_every: u32,
    /// Messages count as acknowledged when they are sent.
    pub autoack: bool,
    /// Messages are persistent, and queues durable.
    pub persistent: bool,
    /// Messages that reach no queue come back.
    pub mandatory: bool,
    /// Arguments of the queues.
    pub queue_args: Vec<QueueArg>,
    /// How long is published; until it is interrupted, if not given.
    #[serde(serialize_with = "seconds")]
    pub time: Option<Duration>,
    /// How many messages each producer publishes at most.
    pub pmessages: Option<u64>,
    /// One in how many messages has its time taken.
    pub timed_one_in: u64,
}

/// What `connections` is told.
#[derive(Debug, Clone, Serialize)]
pub struct Opening {
    /// Connections.
    pub connections: u32,
    /// Channels of each.
    pub channels: u16,
    /// How many are opened at the same time.
    pub parallel: u16,
    /// How long all of them are held.
    #[serde(serialize_with = "seconds")]
    pub time: Option<Duration>,
}

/// What `queues` is told.
#[derive(Debug, Clone, Serialize)]
pub struct Declaring {
    /// Queues.
    pub queues: u32,
    /// Connections that declare at the same time, each its share.
    pub parallel: u16,
    /// The queues are durable.
    pub persistent: bool,
    /// Their arguments.
    pub queue_args: Vec<QueueArg>,
}

/// An argument of a queue: `x-queue-type=quorum`, `x-max-length=1000`, `x-single-active-consumer=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct QueueArg {
    name: String,
    value: String,
}

impl FromStr for QueueArg {
    type Err = String;

    fn from_str(text: &str) -> Result<QueueArg, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("an argument is a name, = and a value")?;
        if name.len() > 255 {
            return Err("a name has at most 255 bytes".to_owned());
        }
        Ok(QueueArg {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl From<QueueArg> for String {
    fn from(arg: QueueArg) -> String {
        format!("{}={}", arg.name, arg.value)
    }
}

/// Arguments as the wire has them: numbers and `true` or `false` are that, everything else is text.
pub(crate) fn table(args: &[QueueArg]) -> FieldTable {
    let mut table = FieldTable::default();
    for QueueArg { name, value } in args {
        let value = match (value.parse::<i64>(), value.parse::<bool>()) {
            (Ok(number), _) => AMQPValue::LongLongInt(number),
            (_, Ok(truth)) => AMQPValue::Boolean(truth),
            _ => AMQPValue::LongString(value.as_str().into()),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

impl Load {
    /// Checks what no single option can say of itself.
    pub(crate) fn check(&self) -> Result<(), PerfError> {
        let refuse = |text: &str| Err(PerfError::Options(text.to_owned()));
        if self.producers == 0 && self.consumers == 0 {
            return refuse("without producers and consumers there is nothing to do");
        }
        if self.queues == 0 {
            return refuse("there has to be a queue");
        }
        if !self.autoack && self.qos > 0 && self.multi_ack_every > u32::from(self.qos) {
            return refuse("--multi-ack-every beyond --qos would wait for ever");
        }
        if self.multi_ack_every == 0 || self.timed_one_in == 0 {
            return refuse("a number of messages is at least 1");
        }
        if self.size > body::SIZE_MAX {
            return refuse("a body has at most 128 MiB");
        }
        if self.rate == Some(0) || self.confirm == Some(0) {
            return refuse("--rate and --confirm are at least 1");
        }
        Ok(())
    }
}

/// The share of one of several: the numbers below `all` that are its own. Where there are fewer than sharers,
/// several have the same one.
pub(crate) fn share(number: u32, sharers: u32, all: u32) -> Vec<u32> {
    if all <= sharers {
        return vec![number % all.max(1)];
    }
    (number..all).step_by(sharers as usize).collect()
}

fn seconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_some(&time.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
