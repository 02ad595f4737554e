//! Filling a batch: records are written once, and shared from then.

use std::sync::Arc;

use bytes::Bytes;

use super::{BLIND, Batch, DIED, EXPIRES, FLAGS_AT, HEAD, NewMessage, PERSISTENT, SHARED_BODY};
use crate::properties;

/// How much memory more than an eighth of its length a batch may take for nothing.
const SPARE_MAX: usize = 4096;

/// A batch that is being filled.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    pub(super) batch: Batch,
    /// Sizes of the last sealed batch: the next one is likely to need as much.
    last_bytes: usize,
    last_count: usize,
    shared_bytes: usize,
}

impl BatchBuilder {
    /// Adds a message whose body is copied in. Cost: a few copies into one buffer that grows by doubling.
    #[inline(always)]
    pub fn push(&mut self, message: NewMessage<'_>, body: &[u8]) {
        let flags = if message.persistent { PERSISTENT } else { 0 };
        self.push_record(message, flags, body.len(), body);
    }

    /// Adds a message whose body stays where it is.
    pub fn push_shared(&mut self, message: NewMessage<'_>, body: Bytes) {
        let index = (self.batch.shared.len() as u32).to_le_bytes();
        let flags = SHARED_BODY | if message.persistent { PERSISTENT } else { 0 };
        self.shared_bytes += body.len();
        let len = body.len();
        self.batch.shared.push(body);
        self.push_record(message, flags, len, &index);
    }

    /// The message that was added last carries what the broker says of its deaths: see [`Message::died`].
    pub fn mark_died(&mut self) {
        if let Some(flags) = self.last_flags() {
            *flags |= DIED;
        }
    }

    /// The message that was added last keeps these blind keys, if there are some: [`BLIND_BYTES_MAX`](crate::blind_keys::BLIND_BYTES_MAX) at most.
    pub fn mark_blind(&mut self, keys: &[u8]) {
        let (Some(flags), Ok(len)) = (self.last_flags(), u16::try_from(keys.len())) else {
            return;
        };
        if len == 0 {
            return;
        }
        *flags |= BLIND;
        let batch = &mut self.batch;
        batch.bytes.extend_from_slice(&len.to_le_bytes());
        batch.bytes.extend_from_slice(keys);
        if let Some(end) = batch.starts.last_mut() {
            *end = batch.bytes.len() as u32;
        }
    }

    fn last_flags(&mut self) -> Option<&mut u8> {
        let start = *self.batch.starts.iter().rev().nth(1)?;
        self.batch.bytes.get_mut(start as usize + FLAGS_AT)
    }

    #[inline(always)]
    fn push_record(&mut self, message: NewMessage<'_>, flags: u8, body_len: usize, tail: &[u8]) {
        let batch = &mut self.batch;
        if batch.starts.is_empty() {
            batch.bytes.reserve(self.last_bytes);
            batch.starts.reserve(self.last_count + 1);
            batch.starts.push(0);
        }
        let key = message.exchange_and_key;
        let properties = message.properties;
        batch
            .bytes
            .reserve(HEAD + key.len() + properties.len() + tail.len());
        let [b0, b1, b2, b3] = (body_len as u32).to_le_bytes();
        let [p0, p1, p2, p3] = (properties.len() as u32).to_le_bytes();
        let [k0, k1] = (key.len() as u16).to_le_bytes();
        let expires = properties::has_expiration(message.properties);
        let flags = flags | if expires { EXPIRES } else { 0 };
        let head = [
            b0,
            b1,
            b2,
            b3,
            p0,
            p1,
            p2,
            p3,
            flags,
            message.priority,
            k0,
            k1,
        ];
        batch.bytes.extend_from_slice(&head);
        batch.bytes.extend_from_slice(key);
        batch.bytes.extend_from_slice(properties);
        batch.bytes.extend_from_slice(tail);
        batch.starts.push(batch.bytes.len() as u32);
        batch.persistent += u32::from(flags & PERSISTENT);
        batch.expiring += u32::from(expires);
    }

    /// How many messages were added since the last seal.
    pub fn len(&self) -> u32 {
        self.batch.len()
    }

    /// Whether nothing was added since the last seal.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes gathered since the last seal, shared bodies included.
    pub fn byte_len(&self) -> usize {
        self.batch.bytes.len() + self.shared_bytes
    }

    /// Ends the batch and begins the next one.
    pub fn seal(&mut self) -> Arc<Batch> {
        self.last_bytes = self.batch.bytes.len();
        self.last_count = self.batch.starts.len();
        self.shared_bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        // It may stay in a queue for long: what the last batch needed and this one does not is given back, where it is worth a copy.
        let spare = batch.bytes.capacity() - batch.bytes.len();
        if spare > SPARE_MAX + batch.bytes.len() / 8 {
            batch.bytes.shrink_to_fit();
            batch.starts.shrink_to_fit();
        }
        Arc::new(batch)
    }
}
