//! What a run declares, under names of its own, and that it is gone afterwards.

use std::hash::{BuildHasher, RandomState};

use leveret_wire::encode;
use leveret_wire::protocol::{AMQPClass, basic, exchange, queue};
use leveret_wire::types::FieldTable;

use crate::PerfError;
use crate::connection::Connection;
use crate::options::{QueueArg, table};
use crate::uri::Uri;

/// The channel that everything here uses.
pub(crate) const CHANNEL: u16 = 1;

/// The names of one run: `perf-`, eight digits that differ from run to run, and a number.
#[derive(Debug, Clone)]
pub(crate) struct Names(String);

impl Names {
    pub(crate) fn new() -> Names {
        // A hasher's keys are random.
        let random = RandomState::new().hash_one(std::process::id()) as u32;
        Names(format!("perf-{random:08x}"))
    }

    pub(crate) fn exchange(&self) -> String {
        self.0.clone()
    }

    pub(crate) fn queue(&self, number: u32) -> String {
        format!("{}-{number}", self.0)
    }
}

/// How queues are declared.
#[derive(Debug, Clone)]
pub(crate) struct QueueKind {
    durable: bool,
    arguments: FieldTable,
}

impl QueueKind {
    pub(crate) fn new(durable: bool, args: &[QueueArg]) -> QueueKind {
        QueueKind {
            durable,
            arguments: table(args),
        }
    }
}

impl Connection {
    pub(crate) fn declare_queue(&mut self, name: &str, kind: &QueueKind) -> Result<(), PerfError> {
        self.ask_queue(name, kind, false).map(drop)
    }

    /// How many messages are ready in a queue that is there.
    pub(crate) fn ready(&mut self, name: &str) -> Result<u64, PerfError> {
        self.ask_queue(name, &QueueKind::new(false, &[]), true)
    }

    fn ask_queue(&mut self, name: &str, kind: &QueueKind, passive: bool) -> Result<u64, PerfError> {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: encode::short_string(name),
            passive,
            durable: kind.durable,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: kind.arguments.clone(),
        });
        match self.call(CHANNEL, AMQPClass::Queue(declare))? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(u64::from(ok.message_count)),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    pub(crate) fn delete_queue(&mut self, name: &str) -> Result<(), PerfError> {
        let delete = queue::AMQPMethod::Delete(queue::Delete {
            queue: encode::short_string(name),
            if_unused: false,
            if_empty: false,
            nowait: false,
        });
        match self.call(CHANNEL, AMQPClass::Queue(delete))? {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    /// Declares a direct exchange.
    pub(crate) fn declare_exchange(&mut self, name: &str, durable: bool) -> Result<(), PerfError> {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: encode::short_string(name),
            kind: encode::short_string("direct"),
            passive: false,
            durable,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        match self.call(CHANNEL, AMQPClass::Exchange(declare))? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    pub(crate) fn delete_exchange(&mut self, name: &str) -> Result<(), PerfError> {
        let delete = exchange::AMQPMethod::Delete(exchange::Delete {
            exchange: encode::short_string(name),
            if_unused: false,
            nowait: false,
        });
        match self.call(CHANNEL, AMQPClass::Exchange(delete))? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    /// Binds a queue by its own name.
    pub(crate) fn bind(&mut self, queue: &str, exchange: &str) -> Result<(), PerfError> {
        let bind = queue::AMQPMethod::Bind(queue::Bind {
            queue: encode::short_string(queue),
            exchange: encode::short_string(exchange),
            routing_key: encode::short_string(queue),
            nowait: false,
            arguments: FieldTable::default(),
        });
        match self.call(CHANNEL, AMQPClass::Queue(bind))? {
            AMQPClass::Queue(queue::AMQPMethod::BindOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }

    /// Sets how many unacknowledged messages each consumer may have.
    pub(crate) fn qos(&mut self, prefetch_count: u16) -> Result<(), PerfError> {
        let qos = basic::AMQPMethod::Qos(basic::Qos {
            prefetch_count,
            global: false,
        });
        match self.call(CHANNEL, AMQPClass::Basic(qos))? {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(_)) => Ok(()),
            other => Err(PerfError::unexpected(&other)),
        }
    }
}

/// Queues that are there, and will not be.
#[derive(Debug)]
pub(crate) struct Declared {
    uri: Uri,
    connection: Connection,
    queues: Vec<String>,
}

impl Declared {
    /// Declares that many queues. If one is refused, those before it are deleted again.
    pub(crate) fn queues(
        uri: &Uri,
        names: &Names,
        count: u32,
        kind: &QueueKind,
    ) -> Result<Declared, PerfError> {
        let mut connection = Connection::open(uri)?;
        connection.open_channel(CHANNEL)?;
        let mut declared = Declared {
            uri: uri.clone(),
            connection,
            queues: Vec::new(),
        };
        for number in 0..count {
            let name = names.queue(number);
            if let Err(error) = declared.connection.declare_queue(&name, kind) {
                let _ = declared.delete();
                return Err(error);
            }
            declared.queues.push(name);
        }
        Ok(declared)
    }

    pub(crate) fn broker(&self) -> &crate::connection::Broker {
        &self.connection.broker
    }

    /// The names of some of them.
    pub(crate) fn named(&self, numbers: &[u32]) -> Vec<String> {
        let names = numbers
            .iter()
            .filter_map(|number| self.queues.get(*number as usize));
        names.cloned().collect()
    }

    /// How many messages are ready in all of them.
    pub(crate) fn ready(&mut self) -> Result<u64, PerfError> {
        let mut ready = 0;
        for name in &self.queues {
            ready += self.connection.ready(name)?;
        }
        Ok(ready)
    }

    /// Deletes them all, over a new connection where the one that declared them is gone.
    pub(crate) fn delete(mut self) -> Result<(), PerfError> {
        let Err(_) = delete_all(&mut self.connection, &self.queues) else {
            return self.connection.close();
        };
        let mut connection = Connection::open(&self.uri)?;
        connection.open_channel(CHANNEL)?;
        delete_all(&mut connection, &self.queues)?;
        connection.close()
    }
}

/// Deleting a queue that is not there is no error.
fn delete_all(connection: &mut Connection, queues: &[String]) -> Result<(), PerfError> {
    queues
        .iter()
        .try_for_each(|name| connection.delete_queue(name))
}
