//! The keys of what is in a queue with `x-message-deduplication`: a message whose key is known stays out, until the one that has it has left.
//!
//! All of them are in memory, those of messages that are not as well. In the log they stand in a stream beside that of their priority, under the
//! sequence numbers of their messages.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use leveret_message::batch::Batch;
use rustc_hash::FxHashMap;

use crate::deduplication::{Key, KeyLimit, give_back_room};
use crate::queue::Queue;

/// See the module.
#[derive(Debug)]
pub struct Keys {
    by_key: FxHashMap<Key, u64>,
    by_seq: BTreeMap<u64, Key>,
    limit: Arc<KeyLimit>,
}

impl Keys {
    /// None, within what all queues may know together.
    pub fn new(limit: Arc<KeyLimit>) -> Self {
        Self {
            by_key: FxHashMap::default(),
            by_seq: BTreeMap::new(),
            limit,
        }
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.by_seq.len()
    }

    /// Whether a message with the key is in the queue.
    pub fn knows(&self, key: Key) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Whether no more may be known.
    pub fn are_full(&self) -> bool {
        self.limit.is_reached()
    }

    /// The message of a sequence number has this key. Nothing changes where another one has it.
    pub fn add(&mut self, key: Key, seq: u64) {
        if let Entry::Vacant(vacant) = self.by_key.entry(key) {
            vacant.insert(seq);
            self.by_seq.insert(seq, key);
            self.limit.add(1);
        }
    }

    /// The keys of messages, with their sequence numbers.
    pub fn within(&self, first: u64, count: u64) -> impl Iterator<Item = (u64, Key)> {
        let all = self.by_seq.range(first..first.saturating_add(count));
        all.map(|(seq, key)| (*seq, *key))
    }

    /// Messages have left the queue.
    pub fn forget(&mut self, first: u64, count: u64) {
        let last = first.saturating_add(count.saturating_sub(1));
        for (_, key) in self.by_seq.extract_if(first..=last, |_, _| true) {
            self.by_key.remove(&key);
            self.limit.remove(1);
        }
        give_back_room(&mut self.by_key);
    }

    /// Forgets all but those of messages for which it is said to hold.
    fn retain(&mut self, mut stays: impl FnMut(u64) -> bool) {
        for (_, key) in self.by_seq.extract_if(.., |seq, _| !stays(*seq)) {
            self.by_key.remove(&key);
            self.limit.remove(1);
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.limit.remove(self.by_seq.len() as u64);
    }
}

/// Why a message does not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptOut {
    /// One with its key is in the queue.
    Duplicate,
    /// There is no room for it, or for its key.
    Full,
}

impl Queue {
    /// Begins to keep duplicates out.
    pub fn know_keys(&mut self, limit: &Arc<KeyLimit>) {
        self.keys = Some(Box::new(Keys::new(Arc::clone(limit))));
    }

    /// Up to `most` messages of a batch, from `first` on, are the next to enter, and their keys are known from now on: as many as there are before
    /// one that is kept out. Where it is `forced`, only a duplicate is.
    pub fn admit(
        &mut self,
        batch: &Batch,
        (first, most): (u32, u32),
        forced: bool,
    ) -> (u32, Option<KeptOut>) {
        let Some(keys) = &mut self.keys else {
            return (most, None);
        };
        for count in 0..most {
            let Some(key) = Key::of_message(batch, first + count) else {
                continue;
            };
            if keys.knows(key) {
                return (count, Some(KeptOut::Duplicate));
            }
            if keys.are_full() && !forced {
                return (count, Some(KeptOut::Full));
            }
            keys.add(key, self.next_seq + u64::from(count));
        }
        (most, None)
    }

    /// Why a message does not enter that finds no room.
    pub fn kept_out_of_full(&self, batch: &Batch, index: u32) -> KeptOut {
        let key = Key::of_message(batch, index);
        match key.zip(self.keys.as_ref()) {
            Some((key, keys)) if keys.knows(key) => KeptOut::Duplicate,
            _ => KeptOut::Full,
        }
    }

    /// Messages have left: others with their keys may come.
    #[inline]
    pub fn forget_keys(&mut self, first: u64, count: u64) {
        if let Some(keys) = &mut self.keys {
            keys.forget(first, count);
        }
    }

    /// Everything that is not handed out has left.
    pub(super) fn forget_keys_of_ready(&mut self) {
        let Some(keys) = &mut self.keys else {
            return;
        };
        let mut held = BTreeMap::new();
        self.unacked.each(|_, piece| {
            held.insert(piece.first, piece.first + piece.count);
        });
        keys.retain(|seq| {
            let before = held.range(..=seq).next_back();
            before.is_some_and(|(_, end)| seq < *end)
        });
    }
}
