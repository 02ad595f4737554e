//! Batches: message records one behind the other in one buffer, and an index of where each begins.
//!
//! A batch is what travels from a publisher to the queues and on to the consumers; it is built once, sealed, and then only shared.
//! Nothing here knows queues or protocols. Large bodies stay outside the buffer, by reference.
//!
//! A record, integers little-endian:
//!
//! ```text
//! 0   u32  body length in bytes (the inline body, or the shared one)
//! 4   u32  properties length
//! 8   u8   flags (PERSISTENT, SHARED_BODY, DIED, EXPIRES, BLIND)
//! 9   u8   priority
//! 10  u16  length of "exchange and key"
//! 12       exchange and key: u8 length, exchange, u8 length, routing key
//!          properties: flag words and property list of the content header, as sent
//!          body, or a u32 index of a shared body
//!          with BLIND: u16 length, blind keys (`blind_keys.rs`)
//! ```

use bytes::Bytes;

use crate::properties::Properties;

mod arrivals;
mod builder;
mod kind;
#[cfg(test)]
mod tests;

pub use arrivals::Arrivals;
pub use builder::BatchBuilder;
pub use kind::{Kind, ToldApart, ToldPriority};

/// Bodies of at least this many bytes are shared by reference instead of being copied into the batch.
///
/// Below it, copying is cheaper than one more allocation and one more piece in every write.
pub const SHARED_BODY_MIN: usize = 16 * 1024;

const HEAD: usize = 12;
const FLAGS_AT: usize = 8;
const PERSISTENT: u8 = 1;
const SHARED_BODY: u8 = 2;
const DIED: u8 = 4;
/// There is an `expiration` among the properties.
const EXPIRES: u8 = 8;
/// Blind keys stand at the end.
const BLIND: u8 = 16;

/// What a publisher knows of one message when it adds it to a batch.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// `u8 length, exchange, u8 length, routing key`, as they stand in `basic.publish` and `basic.deliver`.
    pub exchange_and_key: &'a [u8],
    /// Flag words and property list of the content header, validated by the protocol that took it.
    pub properties: &'a [u8],
    /// Whether `delivery_mode` is 2.
    pub persistent: bool,
    /// The `priority` property, 0 if there is none.
    pub priority: u8,
}

/// The body of a message in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Inside the batch's buffer.
    Inline(&'a [u8]),
    /// Large: an allocation of its own.
    Shared(&'a Bytes),
}

impl Body<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, wherever they are.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Body::Inline(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

/// One message of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `u8 length, exchange, u8 length, routing key`.
    pub exchange_and_key: &'a [u8],
    /// Flag words and property list of the content header.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
    /// Whether it is to survive a restart in a durable queue.
    pub persistent: bool,
    /// The `priority` property, 0 if there is none.
    pub priority: u8,
    /// Whether what its headers say of deaths in other queues is the broker's own.
    pub died: bool,
}

/// A sealed run of messages. Shared by reference, never changed.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each record begins, and one more: where the last ends.
    starts: Vec<u32>,
    shared: Vec<Bytes>,
    persistent: u32,
    expiring: u32,
    arrivals: Arrivals,
}

impl Batch {
    /// How many messages there are.
    pub fn len(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    /// Whether there is no message in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether at least one message is persistent.
    pub fn has_persistent(&self) -> bool {
        self.persistent > 0
    }

    /// Says when its messages arrived in their queues: for whoever puts them there, before anybody else has it.
    pub fn set_arrivals(&mut self, arrivals: Arrivals) {
        self.arrivals = arrivals;
    }

    /// When its messages arrived.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Whether at least one message has an expiration of its own.
    #[inline]
    pub fn has_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// The time to live that a message has of its own, in milliseconds. **Cost**: little where none of the batch has one.
    pub fn expiration_ms(&self, index: u32) -> Option<u64> {
        if self.expiring == 0 {
            return None;
        }
        let message = self.message(index)?;
        Properties::checked(message.properties).expiration_ms()
    }

    /// Whether at least one body lies outside the buffer.
    pub fn has_shared_bodies(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Memory that `count` messages from `first` on stand for, in bytes; constant time without shared bodies.
    #[inline]
    pub fn size(&self, first: u32, count: u32) -> usize {
        let at = |i: u32| self.starts.get(i as usize).copied().unwrap_or_default() as usize;
        let inline = at(first + count).saturating_sub(at(first));
        match self.shared.is_empty() {
            true => inline,
            false => inline + self.shared_size(first, count),
        }
    }

    fn shared_size(&self, first: u32, count: u32) -> usize {
        let bodies = (first..first + count)
            .filter_map(|i| self.message(i))
            .map(|m| match m.body {
                Body::Inline(_) => 0,
                Body::Shared(body) => body.len(),
            });
        bodies.sum()
    }

    /// The lengths of `count` bodies from `first` on, in bytes.
    pub fn body_lens(&self, first: u32, count: u32) -> impl Iterator<Item = u64> {
        (first..first + count).filter_map(|index| {
            let start = *self.starts.get(index as usize)? as usize;
            let len = self.bytes.get(start..)?.first_chunk()?;
            Some(u64::from(u32::from_le_bytes(*len)))
        })
    }

    /// The message at `index`; none beyond the end.
    #[inline]
    pub fn message(&self, index: u32) -> Option<Message<'_>> {
        let start = *self.starts.get(index as usize)? as usize;
        let end = *self.starts.get(index as usize + 1)? as usize;
        let (head, rest) = self.bytes.get(start..end)?.split_first_chunk::<HEAD>()?;
        let [_, _, _, _, p0, p1, p2, p3, flags, priority, k0, k1] = *head;
        let key_len = u16::from_le_bytes([k0, k1]) as usize;
        let properties_len = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        let (exchange_and_key, rest) = rest.split_at_checked(key_len)?;
        let (properties, rest) = rest.split_at_checked(properties_len)?;
        let body = match flags & (SHARED_BODY | BLIND) {
            0 => Body::Inline(rest),
            _ => self.body_before_more(head, rest)?,
        };
        let persistent = flags & PERSISTENT != 0;
        Some(Message {
            exchange_and_key,
            properties,
            body,
            persistent,
            priority,
            died: flags & DIED != 0,
        })
    }

    /// A body that is not all of the rest of its record.
    #[cold]
    fn body_before_more<'b>(&'b self, head: &[u8; HEAD], rest: &'b [u8]) -> Option<Body<'b>> {
        let [b0, b1, b2, b3, ..] = *head;
        if head[FLAGS_AT] & SHARED_BODY == 0 {
            let body_len = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
            return rest.get(..body_len).map(Body::Inline);
        }
        let index = u32::from_le_bytes(*rest.first_chunk()?);
        self.shared.get(index as usize).map(Body::Shared)
    }

    /// The keys of its `BCC` header that the message at `index` keeps, as [`blind_keys`](crate::blind_keys) has them; nothing where it has none.
    pub fn blind_keys(&self, index: u32) -> &[u8] {
        let of = || {
            let (head, rest) = self.records(index, 1).split_first_chunk::<HEAD>()?;
            if head[FLAGS_AT] & BLIND == 0 {
                return None;
            }
            let (len, keys) = rest.get(tail_at(head)..)?.split_first_chunk()?;
            keys.get(..usize::from(u16::from_le_bytes(*len)))
        };
        of().unwrap_or_default()
    }

    /// The messages from `first` on, `count` of them.
    #[inline]
    pub fn messages(&self, first: u32, count: u32) -> impl Iterator<Item = Message<'_>> {
        (first..first + count).filter_map(|index| self.message(index))
    }

    /// Reads records as [`Batch::copy_records`] writes them, each with its body in it.
    ///
    /// `None` if these are not whole records.
    pub fn read(records: Vec<u8>) -> Option<Self> {
        let mut batch = Self {
            starts: vec![0],
            bytes: records,
            ..Self::default()
        };
        let mut at = 0;
        while let Some((head, _)) = batch.bytes.get(at..)?.split_first_chunk::<HEAD>() {
            let [b0, b1, b2, b3, p0, p1, p2, p3, flags, _, k0, k1] = *head;
            if flags & SHARED_BODY != 0 {
                return None;
            }
            let body_len = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
            let properties_len = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
            at += HEAD + usize::from(u16::from_le_bytes([k0, k1])) + properties_len + body_len;
            if flags & BLIND != 0 {
                let len = batch.bytes.get(at..)?.first_chunk()?;
                at += size_of::<u16>() + usize::from(u16::from_le_bytes(*len));
            }
            batch.starts.push(u32::try_from(at).ok()?);
            batch.persistent += u32::from(flags & PERSISTENT);
            batch.expiring += u32::from(flags & EXPIRES != 0);
        }
        (at == batch.bytes.len()).then_some(batch)
    }

    /// Appends the records of `count` messages from `first` on to `to`, each with its body in it, and where in `to` each begins to `starts`.
    ///
    /// **Cost**: one copy where no body is shared.
    pub fn copy_records(&self, first: u32, count: u32, to: &mut Vec<u8>, starts: &mut Vec<u32>) {
        if self.shared.is_empty() {
            let old = self.starts.get(first as usize..(first + count) as usize);
            let old = old.unwrap_or_default();
            let shift = (to.len() as u32).wrapping_sub(old.first().copied().unwrap_or_default());
            starts.extend(old.iter().map(|start| start.wrapping_add(shift)));
            to.extend_from_slice(self.records(first, count));
            return;
        }
        for index in first..first + count {
            starts.push(to.len() as u32);
            let record = self.records(index, 1);
            let Some(message) = self.message(index) else {
                continue;
            };
            let at = to.len();
            match message.body {
                Body::Inline(_) => to.extend_from_slice(record),
                Body::Shared(body) => {
                    let head = record.first_chunk();
                    let behind = HEAD + head.map_or(0, tail_at);
                    let before = record.get(..behind - size_of::<u32>());
                    to.extend_from_slice(before.unwrap_or_default());
                    to.extend_from_slice(body);
                    to.extend_from_slice(record.get(behind..).unwrap_or_default());
                }
            }
            if let Some(flags) = to.get_mut(at + FLAGS_AT) {
                *flags &= !SHARED_BODY;
            }
        }
    }

    /// The records of `count` messages from `first` on, in the batch's own buffer: shared bodies are not in it.
    fn records(&self, first: u32, count: u32) -> &[u8] {
        let at = |i: u32| self.starts.get(i as usize).map(|start| *start as usize);
        let range = at(first).zip(at(first + count));
        range
            .and_then(|(from, to)| self.bytes.get(from..to))
            .unwrap_or_default()
    }

    /// Where each record begins in [`Batch::bytes`].
    pub fn starts(&self) -> &[u32] {
        self.starts.get(..self.len() as usize).unwrap_or_default()
    }

    /// The record buffer; whole where [`Batch::has_shared_bodies`] says no.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How far behind its head a record's body ends.
fn tail_at(head: &[u8; HEAD]) -> usize {
    let [b0, b1, b2, b3, p0, p1, p2, p3, flags, _, k0, k1] = *head;
    let body_len = match flags & SHARED_BODY {
        0 => u32::from_le_bytes([b0, b1, b2, b3]) as usize,
        _ => size_of::<u32>(),
    };
    let properties_len = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
    usize::from(u16::from_le_bytes([k0, k1])) + properties_len + body_len
}
