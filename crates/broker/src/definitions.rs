//! Definitions that outlive the broker, as keys and values of the log, and back: durable exchanges and queues, and the bindings between them;
//! what operators set is in `definitions/settings.rs`.
//!
//! What is exclusive, predeclared or not durable is not defined. A key is a letter and fields, each `u32 length, bytes`; integers are
//! little-endian; each value begins with a version, 1:
//!
//! ```text
//! x  vhost, name                                    exchange: u8 version | u8 flags (1 auto-delete, 2 internal) | type | arguments
//! q  vhost, name                                    queue:    u8 version | u8 flags (1 auto-delete) | u64 id | arguments
//! b  vhost, source, "q" or "x", destination,        binding:  u8 version
//!    binding key, arguments
//! h  vhost, exchange, u64 slot                      message that an x-recent-history exchange keeps: u8 version | u64: which one it was
//!                                                   of the exchange's messages | its record, as a batch has it
//! o  u64 id of a stream, name                       offset:   u8 version | u64: the first message that readers of that name have not acknowledged
//! i                                                 ids:      u8 version | u64: no queue has this id or a higher one yet
//! r                                                 running:  u8 version: there is no such key after an orderly end
//! ```
//!
//! `type` and `arguments` (a field table as on the wire, without its length) are `u32 length, bytes` too.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_message::name::Name;
use leveret_message::table::{Table, TableRef};

use crate::bindings::ExchangeKind;
use crate::exchange::{Destination, Exchange, ExchangeDeclaration};
use crate::queue_handle::{QueueDeclaration, QueueHandle, QueueId};

pub(crate) mod settings;
#[cfg(test)]
mod tests;

pub use settings::Setting;

const VERSION: u8 = 1;
const AUTO_DELETE: u8 = 1;
const INTERNAL: u8 = 2;

/// The key that says that the broker runs, or did not end in order.
pub(crate) const RUNNING: &[u8] = b"r";

/// The key of the ids that are given out.
pub(crate) const IDS: &[u8] = b"i";

/// A definition that was read.
#[derive(Clone, Debug)]
pub enum Definition {
    /// An exchange of a vhost.
    Exchange(Name, ExchangeDeclaration),
    /// A queue of a vhost.
    Queue(Name, QueueId, QueueDeclaration),
    /// A binding of a vhost.
    Binding(Name, DefinedBinding),
    /// No queue has this id or a higher one yet.
    Ids(u64),
    /// The broker did not end in order.
    Running,
    /// A message that an exchange of a vhost keeps.
    Recent(Name, RecentMessage),
    /// How far readers with a name have come in a stream: the first message that they have not acknowledged.
    Offset(QueueId, Box<str>, u64),
    /// What an operator set.
    Setting(Setting),
}

/// A binding between durable things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinedBinding {
    /// The exchange that it is from.
    pub source: Name,
    /// Whether it leads to a queue; else to an exchange.
    pub to_queue: bool,
    /// The name of what it leads to.
    pub destination: Name,
    /// The binding key.
    pub binding_key: Vec<u8>,
    /// The arguments.
    pub arguments: Table,
}

/// A message that an exchange keeps.
#[derive(Clone, Debug)]
pub struct RecentMessage {
    /// Which exchange.
    pub exchange: Name,
    /// Which one it was of the exchange's messages.
    pub number: u64,
    /// It alone.
    pub batch: Arc<Batch>,
}

/// A key or a value is none that this program writes: a newer one may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition with the key {0:?} cannot be read")]
pub struct Unreadable(pub String);

pub(crate) fn exchange_key(exchange: &Exchange) -> Vec<u8> {
    key(b'x', &[exchange.vhost.as_bytes(), exchange.name.as_bytes()])
}

pub(crate) fn exchange_value(exchange: &Exchange) -> Vec<u8> {
    let mut value = vec![
        VERSION,
        flag(exchange.auto_delete, AUTO_DELETE) | flag(exchange.internal, INTERNAL),
    ];
    put_field(&mut value, exchange.kind.name().as_bytes());
    put_field(&mut value, exchange.arguments.view().as_bytes());
    value
}

pub(crate) fn queue_key(queue: &QueueHandle) -> Vec<u8> {
    key(
        b'q',
        &[queue.vhost_name.as_bytes(), queue.name().as_bytes()],
    )
}

pub(crate) fn queue_value(queue: &QueueHandle) -> Vec<u8> {
    let declaration = &queue.declaration;
    let mut value = vec![VERSION, flag(declaration.auto_delete, AUTO_DELETE)];
    value.extend_from_slice(&queue.id.0.to_le_bytes());
    put_field(&mut value, declaration.arguments.view().as_bytes());
    value
}

/// The key of a binding, if both its ends outlive the broker. `arguments` in canonical order.
pub(crate) fn binding_key(
    source: &Exchange,
    binding_key: &[u8],
    arguments: &Table,
    to: &Destination,
) -> Option<Vec<u8>> {
    let (kind, name, kept) = match to {
        Destination::Queue(queue) => (b"q", queue.name(), queue.is_kept()),
        Destination::Exchange(exchange) => (b"x", &exchange.name, exchange.durable),
    };
    let fields = [
        source.vhost.as_bytes(),
        source.name.as_bytes(),
        kind,
        name.as_bytes(),
        binding_key,
        arguments.view().as_bytes(),
    ];
    (kept && source.durable).then(|| key(b'b', &fields))
}

pub(crate) fn binding_value() -> Vec<u8> {
    vec![VERSION]
}

/// The key of the message that an exchange keeps in one of its slots.
pub(crate) fn recent_key(exchange: &Exchange, slot: u64) -> Vec<u8> {
    let fields = [
        exchange.vhost.as_bytes(),
        exchange.name.as_bytes(),
        &slot.to_le_bytes(),
    ];
    key(b'h', &fields)
}

/// `batch` has that message alone.
pub(crate) fn recent_value(number: u64, batch: &Batch) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&number.to_le_bytes());
    batch.copy_records(0, 1, &mut value, &mut Vec::new());
    value
}

/// The key of how far readers with a name have come in a stream.
pub(crate) fn offset_key(stream: QueueId, name: &str) -> Vec<u8> {
    key(b'o', &[&stream.0.to_le_bytes(), name.as_bytes()])
}

pub(crate) fn offset_value(seq: u64) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&seq.to_le_bytes());
    value
}

pub(crate) fn ids_value(next: u64) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&next.to_le_bytes());
    value
}

pub(crate) fn running_value() -> Vec<u8> {
    vec![VERSION]
}

/// Reads a definition.
///
/// **Errors**: [`Unreadable`], whatever the bytes are.
pub fn read(key: &[u8], value: &[u8]) -> Result<Definition, Unreadable> {
    parse(key, value).ok_or_else(|| Unreadable(key.escape_ascii().to_string()))
}

fn parse(key: &[u8], value: &[u8]) -> Option<Definition> {
    let (kind, fields) = key.split_first()?;
    let mut fields = Reader(fields);
    let mut value = Reader(value);
    if value.u8()? != VERSION {
        return None;
    }
    let definition = match kind {
        b'x' => {
            let (vhost, name, flags) = (fields.name()?, fields.name()?, value.u8()?);
            let declaration = ExchangeDeclaration {
                name,
                kind: ExchangeKind::from_name(std::str::from_utf8(value.field()?).ok()?)?,
                durable: true,
                auto_delete: flags & AUTO_DELETE != 0,
                internal: flags & INTERNAL != 0,
                arguments: value.table()?,
            };
            Definition::Exchange(vhost, declaration)
        }
        b'q' => {
            let (vhost, name, flags) = (fields.name()?, fields.name()?, value.u8()?);
            let id = QueueId(value.u64()?);
            let declaration = QueueDeclaration {
                name,
                durable: true,
                owner: None,
                auto_delete: flags & AUTO_DELETE != 0,
                arguments: value.table()?,
            };
            Definition::Queue(vhost, id, declaration)
        }
        b'b' => {
            let (vhost, source) = (fields.name()?, fields.name()?);
            let to_queue = match fields.field()? {
                b"q" => true,
                b"x" => false,
                _ => return None,
            };
            let binding = DefinedBinding {
                source,
                to_queue,
                destination: fields.name()?,
                binding_key: fields.field()?.to_vec(),
                arguments: fields.table()?,
            };
            Definition::Binding(vhost, binding)
        }
        b'h' => {
            let (vhost, exchange, _) = (fields.name()?, fields.name()?, fields.field()?);
            let (number, record) = (value.u64()?, std::mem::take(&mut value.0));
            let batch = Batch::read(record.to_vec()).filter(|batch| batch.len() == 1)?;
            let message = RecentMessage {
                exchange,
                number,
                batch: Arc::new(batch),
            };
            Definition::Recent(vhost, message)
        }
        b'o' => {
            let id = u64::from_le_bytes(fields.field()?.try_into().ok()?);
            let name = fields.name()?;
            Definition::Offset(QueueId(id), (*name).into(), value.u64()?)
        }
        b'i' => Definition::Ids(value.u64()?),
        b'r' => Definition::Running,
        kind => Definition::Setting(settings::parse(*kind, &mut fields, &mut value)?),
    };
    (fields.0.is_empty() && value.0.is_empty()).then_some(definition)
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn key(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    fields.iter().for_each(|field| put_field(&mut key, field));
    key
}

fn put_field(value: &mut Vec<u8>, bytes: &[u8]) {
    value.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    value.extend_from_slice(bytes);
}

/// Bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let len = self.array().map(u32::from_le_bytes)?;
        self.take(len as usize)
    }

    fn table(&mut self) -> Option<Table> {
        Some(TableRef::parse(self.field()?).ok()?.to_owned())
    }

    fn name(&mut self) -> Option<Name> {
        Name::new(std::str::from_utf8(self.field()?).ok()?).ok()
    }
}
