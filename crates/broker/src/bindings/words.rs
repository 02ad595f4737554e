//! The words of topic binding keys, numbered.
//!
//! A trie compares words by number: a routing key's words are looked up here once, and every step through the trie is
//! then a lookup of two integers. Words are counted by the edges that carry them and forgotten with the last one, so
//! the numbering never outgrows the bindings. Hashing is keyed: nobody can choose words that collide.
//!
//! Not here: wildcards. `*` and `#` are edges of their own and never numbered, so a routing key that contains a literal
//! `*` or `#` finds no number for it, which is right: only wildcards match such a word.

use std::collections::HashMap;

/// The number of a word; [`UNKNOWN`] when no binding key has it.
pub(super) type WordId = u32;

/// A word that is in no binding key.
pub(super) const UNKNOWN: WordId = WordId::MAX;

/// Words by number, each counted.
#[derive(Debug, Default)]
pub(super) struct Words {
    ids: HashMap<Box<[u8]>, Counted>,
    free: Vec<WordId>,
}

#[derive(Debug)]
struct Counted {
    id: WordId,
    uses: u32,
}

impl Words {
    /// The number of `word`, or [`UNKNOWN`].
    pub(super) fn find(&self, word: &[u8]) -> WordId {
        self.ids.get(word).map_or(UNKNOWN, |counted| counted.id)
    }

    /// Counts one more use of `word` and returns its number.
    pub(super) fn take(&mut self, word: &[u8]) -> WordId {
        if let Some(counted) = self.ids.get_mut(word) {
            counted.uses += 1;
            return counted.id;
        }
        // Numbers in use and free numbers together are 0..n, so the next new one is their count.
        let next = self.ids.len() + self.free.len();
        let id = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(next).expect("fewer words than memory holds"));
        self.ids.insert(word.into(), Counted { id, uses: 1 });
        id
    }

    /// Counts one use of `word` less, and forgets it when that was the last.
    pub(super) fn release(&mut self, word: &[u8]) {
        let Some(counted) = self.ids.get_mut(word) else {
            debug_assert!(false, "a released word was taken before");
            return;
        };
        counted.uses -= 1;
        if counted.uses == 0 {
            self.free.push(counted.id);
            self.ids.remove(word);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
