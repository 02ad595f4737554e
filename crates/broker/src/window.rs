//! What an `x-message-deduplication` exchange knows: the keys of messages that came through it, each until its time is over.
//!
//! All of it is in memory; in the log each key is a record in the stream [`KEYS`](crate::queue::KEYS) of the window's own queue:
//!
//! ```text
//! 0   u128  the key
//! 16  u64   until when it is known, in ms of unix time; the highest number where that is for ever
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::deduplication::{Key, KeyLimit, give_back_room};
use crate::queue_handle::QueueHandle;

#[cfg(test)]
mod tests;

/// Until when a key is known that has no time to live.
pub(crate) const FOR_EVER: u64 = u64::MAX;

/// How many keys are forgotten at the most for one that comes. Where a policy allows fewer than before, the rest goes with those that come next.
const FORGOTTEN_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    /// The queue that the keys are in, as the log knows it.
    pub handle: Arc<QueueHandle>,
    next_seq: u64,
    by_key: FxHashMap<Key, (u64, u64)>,
    /// By the time at which they are over, and their sequence numbers.
    by_end: BTreeMap<(u64, u64), Key>,
    limit: Arc<KeyLimit>,
    /// When its shard will look whether keys are over.
    pub noted: Option<Instant>,
}

impl Window {
    /// Without keys, within what all may know together.
    pub(crate) fn new(handle: Arc<QueueHandle>, next_seq: u64, limit: Arc<KeyLimit>) -> Self {
        Self {
            handle,
            next_seq: next_seq.max(1),
            by_key: FxHashMap::default(),
            by_end: BTreeMap::new(),
            limit,
            noted: None,
        }
    }

    /// How many keys there are, those included that are over and that nobody has looked for yet.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.by_end.len()
    }

    /// Whether a message with the key came through, and is known now.
    pub(crate) fn knows(&self, key: Key, now_ms: u64) -> bool {
        let until = self.by_key.get(&key).map(|(until_ms, _)| *until_ms);
        until.is_some_and(|until_ms| until_ms > now_ms)
    }

    /// When the first key is over, in milliseconds since 1970.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let first = self.by_end.first_key_value();
        let first = first.map(|((until_ms, _), _)| *until_ms);
        first.filter(|until_ms| *until_ms < FOR_EVER)
    }

    /// Forgets keys that are over, up to `most` of them; calls `gone` with their sequence numbers. Whether there may be more.
    pub(crate) fn forget_over(
        &mut self,
        now_ms: u64,
        most: usize,
        mut gone: impl FnMut(u64),
    ) -> bool {
        for _ in 0..most {
            if self.next_ms().is_none_or(|until_ms| until_ms > now_ms) {
                return false;
            }
            self.forget_first(&mut gone);
        }
        true
    }

    /// A message with this key came through, which was not known: it is until then. Of more than `size` keys, and of more than there is room for,
    /// that one goes whose time would be over first. Returns its sequence number; calls `gone` with those of others.
    pub(crate) fn add(
        &mut self,
        key: Key,
        until_ms: u64,
        size: u64,
        mut gone: impl FnMut(u64),
    ) -> u64 {
        if let Some(over) = self.by_key.get(&key).copied() {
            self.by_end.remove(&over);
            self.by_key.remove(&key);
            self.limit.remove(1);
            gone(over.1);
        }
        for _ in 0..FORGOTTEN_MAX {
            let is_full = self.by_end.len() as u64 >= size || self.limit.is_reached();
            if self.by_end.is_empty() || !is_full {
                break;
            }
            self.forget_first(&mut gone);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.put_back(key, until_ms, seq);
        seq
    }

    /// A key that was in the log.
    pub(crate) fn put_back(&mut self, key: Key, until_ms: u64, seq: u64) {
        let place = (until_ms, seq);
        self.limit.add(1);
        if let Some(before) = self.by_key.insert(key, place) {
            self.by_end.remove(&before);
            self.limit.remove(1);
        }
        self.by_end.insert(place, key);
    }

    fn forget_first(&mut self, gone: &mut impl FnMut(u64)) {
        if let Some(((_, seq), key)) = self.by_end.pop_first() {
            self.by_key.remove(&key);
            self.limit.remove(1);
            gone(seq);
        }
        give_back_room(&mut self.by_key);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.limit.remove(self.by_end.len() as u64);
    }
}

/// The record of a key.
pub(crate) fn record(key: Key, until_ms: u64) -> [u8; 24] {
    let mut record = [0; 24];
    let (head, tail) = record.split_at_mut(16);
    head.copy_from_slice(&key.to_bytes());
    tail.copy_from_slice(&until_ms.to_le_bytes());
    record
}

/// The key of a record, and until when it is known.
pub(crate) fn read(record: &[u8]) -> Option<(Key, u64)> {
    let until_ms = record.get(16..)?.first_chunk()?;
    Some((Key::read(record)?, u64::from_le_bytes(*until_ms)))
}
