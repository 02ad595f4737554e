//! What makes two messages the same: the value of their header `x-deduplication-header`
//! (<https://github.com/noxdafox/rabbitmq-message-deduplication>).
//!
//! Of a value only a *key* is kept: the first 128 bits of its SHA-256. Among `n` values that are known the odds that any two share a key are
//! `n * n / 2^129`: for a million 1.5 in 10^27. A key on disk has the same bytes in every version.

use std::sync::atomic::{AtomicU64, Ordering};

use leveret_message::batch::Batch;
use leveret_message::properties::Properties;
use leveret_message::table::{TableRef, Value};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// The header.
pub const HEADER: &str = "x-deduplication-header";

/// The header that says for how many milliseconds an exchange knows a message, instead of what its `x-cache-ttl` says.
pub const TTL_HEADER: &str = "x-cache-ttl";

/// The memory that a known key takes, in bytes: about that, in two ordered sets.
pub const KEY_BYTES: u64 = 128;

/// Where no key is known any more, the room of so many stays, so that the next one needs no memory.
const ROOM_KEPT: usize = 64;

/// Gives back the memory of what was once known by its key.
pub(crate) fn give_back_room<T>(by_key: &mut FxHashMap<Key, T>) {
    if by_key.is_empty() && by_key.capacity() > ROOM_KEPT {
        *by_key = FxHashMap::default();
    }
}

/// What is known of a header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

impl Key {
    /// The key of a value. Integers are the same whatever their width, and so are floats; a string is not the same as a number.
    pub fn of_value(value: Value<'_>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |tag: u8, bytes: &[u8]| {
            hash.update([tag]);
            hash.update(bytes);
        };
        match value {
            Value::LongStr(text) | Value::Binary(text) => add(2, text),
            Value::Timestamp(seconds) => add(3, &seconds.to_le_bytes()),
            Value::Float(float) => add(4, &f64::from(float).to_le_bytes()),
            Value::Double(float) => add(4, &float.to_le_bytes()),
            Value::Bool(flag) => add(5, &[flag.into()]),
            Value::Decimal { scale, value } => {
                add(6, &[scale]);
                add(6, &value.to_le_bytes());
            }
            Value::Table(table) => add(7, table.as_bytes()),
            Value::Array(array) => add(8, array.as_bytes()),
            Value::Void => add(9, &[]),
            Value::Byte(_)
            | Value::UnsignedByte(_)
            | Value::Short(_)
            | Value::UnsignedShort(_)
            | Value::SignedInt(_)
            | Value::UnsignedInt(_)
            | Value::Long(_) => add(1, &value.as_integer().unwrap_or_default().to_le_bytes()),
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self::read(&digest).unwrap_or(Self(0))
    }

    /// The key in a message's headers, where it has one.
    pub fn of_headers(headers: Option<TableRef<'_>>) -> Option<Self> {
        headers?.find(HEADER).map(Self::of_value)
    }

    /// The key of a message of a batch, where it has one.
    pub fn of_message(batch: &Batch, index: u32) -> Option<Self> {
        let message = batch.message(index)?;
        Self::of_headers(Properties::checked(message.properties).headers())
    }

    /// As it is written down.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The key that bytes begin with.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes
            .first_chunk()
            .map(|key| Self(u128::from_le_bytes(*key)))
    }
}

/// How many keys all queues and exchanges of a broker know, and how many they may.
#[derive(Debug)]
pub struct KeyLimit {
    known: AtomicU64,
    max: u64,
}

impl KeyLimit {
    /// As many as fit into so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            known: AtomicU64::new(0),
            max: bytes as u64 / KEY_BYTES,
        }
    }

    /// How many are known.
    pub fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Whether no more should be.
    pub fn is_reached(&self) -> bool {
        self.known() >= self.max
    }

    /// Keys are known that were not.
    pub fn add(&self, count: u64) {
        self.known.fetch_add(count, Ordering::Relaxed);
    }

    /// Keys are known no more.
    pub fn remove(&self, count: u64) {
        self.known.fetch_sub(count, Ordering::Relaxed);
    }
}
