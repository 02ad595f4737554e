//! The delayed messages of an exchange that are in memory, in the order in which they are released.

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret_message::batch::Batch;

use crate::delay::Bucket;

/// A message in memory.
#[derive(Clone, Debug)]
pub struct Near {
    /// Where it is.
    pub batch: Arc<Batch>,
    /// Its index there.
    pub index: u32,
    /// The stream it is in.
    pub bucket: Bucket,
    /// Its sequence number.
    pub seq: u64,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The sequence number that it had first.
    pub number: u64,
}

impl Near {
    pub(super) fn key(&self) -> (u64, u64) {
        (self.due_ms, self.number)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NearMessages {
    messages: BTreeMap<(u64, u64), Near>,
    bytes: usize,
}

impl NearMessages {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The memory that they stand for, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn first_key(&self) -> Option<(u64, u64)> {
        self.messages.keys().next().copied()
    }

    pub(super) fn last(&self) -> Option<&Near> {
        self.messages.values().next_back()
    }

    /// Adds one; nothing changes where it is there.
    pub(super) fn insert(&mut self, near: Near) {
        let bytes = near.batch.size(near.index, 1);
        if let Some(same) = self.messages.insert(near.key(), near) {
            self.bytes -= same.batch.size(same.index, 1);
        }
        self.bytes += bytes;
    }

    /// Whether a message is there.
    pub(super) fn has(&self, near: &Near) -> bool {
        let there = self.messages.get(&near.key());
        there.is_some_and(|there| there.seq == near.seq)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, key: (u64, u64)) -> Option<Near> {
        let near = self.messages.remove(&key)?;
        self.bytes -= near.batch.size(near.index, 1);
        Some(near)
    }

    /// Takes out the first one, if it comes before `end`.
    pub(super) fn pop_before(&mut self, end: (u64, u64)) -> Option<Near> {
        let first = self.first_key().filter(|first| *first < end)?;
        self.remove(first)
    }

    /// Those of a bucket leave memory. **Cost**: by the number of messages that are due while it lasts.
    pub(super) fn remove_bucket(&mut self, bucket: Bucket) {
        let during = (bucket.start_ms(), 0)..(bucket.end_ms(), 0);
        let gone = self
            .messages
            .extract_if(during, |_, near| near.bucket == bucket);
        let bytes: usize = gone.map(|(_, near)| near.batch.size(near.index, 1)).sum();
        self.bytes -= bytes;
    }
}
