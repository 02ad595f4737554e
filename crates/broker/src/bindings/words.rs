//! The words of topic keys in a form that is compared and hashed as a few bytes.
//!
//! A word of up to 15 bytes is its own form, so the trie finds its way without another lookup. A longer one, as
//! identifiers are, is numbered: counted by the edges that carry it and forgotten with the last one, so that the
//! numbering never outgrows the bindings.
//!
//! Not here: wildcards. `*` and `#` in a binding key are edges of their own; in a routing key they are words like any
//! other, which no edge carries, so that only wildcards match them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// The longest word that is its own form.
const SHORT: usize = 15;

/// The last byte of a word that is a number; in a short word it is the length.
const NUMBERED: u8 = 0xff;

/// A word of a binding key, or [`Word::UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word([u8; SHORT + 1]);

impl Word {
    /// A word that is in no binding key.
    pub(super) const UNKNOWN: Self = Self([NUMBERED; SHORT + 1]);

    /// One of 64 bits, chosen by the word and a secret: what a node needs to say quickly that no edge carries a word.
    /// [`Word::UNKNOWN`] has none.
    pub(super) fn bit(self, secret: u64) -> u64 {
        if self == Self::UNKNOWN {
            return 0;
        }
        let (low, high) = halves(u128::from_le_bytes(self.0));
        let (low, high) = halves(u128::from(low ^ secret) * u128::from(high ^ !secret));
        1 << ((low ^ high) >> 58)
    }

    fn short(word: &[u8]) -> Option<Self> {
        let len = u8::try_from(word.len())
            .ok()
            .filter(|len| usize::from(*len) <= SHORT)?;
        let mut bytes = [0; SHORT + 1];
        bytes[..word.len()].copy_from_slice(word);
        bytes[SHORT] = len;
        Some(Self(bytes))
    }

    fn numbered(number: u32) -> Self {
        let mut bytes = [0; SHORT + 1];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        bytes[SHORT] = NUMBERED;
        Self(bytes)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
fn halves(number: u128) -> (u64, u64) {
    (number as u64, (number >> 64) as u64)
}

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_le_bytes(self.0));
    }
}

/// The numbers of long words.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<Box<[u8]>, Numbered>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Numbered {
    number: u32,
    uses: u32,
}

impl Words {
    /// The form of a word, which is [`Word::UNKNOWN`] if it is long and in no binding key.
    pub(super) fn find(&self, word: &[u8]) -> Word {
        Word::short(word).unwrap_or_else(|| match self.numbers.get(word) {
            Some(numbered) => Word::numbered(numbered.number),
            None => Word::UNKNOWN,
        })
    }

    /// The form of a word that one more edge carries.
    pub(super) fn take(&mut self, word: &[u8]) -> Word {
        if let Some(short) = Word::short(word) {
            return short;
        }
        if let Some(numbered) = self.numbers.get_mut(word) {
            numbered.uses += 1;
            return Word::numbered(numbered.number);
        }
        // Numbers in use and free numbers together are 0..n, so the next new one is their count.
        let next = self.numbers.len() + self.free.len();
        let number = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(next).expect("fewer words than memory holds"));
        self.numbers
            .insert(word.into(), Numbered { number, uses: 1 });
        Word::numbered(number)
    }

    /// Takes note that one edge less carries the word, and forgets it when that was the last.
    pub(super) fn release(&mut self, word: &[u8]) {
        let Some(numbered) = self.numbers.get_mut(word) else {
            debug_assert!(word.len() <= SHORT, "a released long word was taken before");
            return;
        };
        numbered.uses -= 1;
        if numbered.uses == 0 {
            self.free.push(numbered.number);
            self.numbers.remove(word);
        }
    }

    /// How many words are numbered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}
