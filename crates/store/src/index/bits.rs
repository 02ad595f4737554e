//! A fixed set of 2,048 bits: the messages of one block of a stream.
//!
//! Bits alone: what a bit stands for is said in `block.rs`. Ranges are half open and within the block.

/// How many bits a set has.
pub(super) const BITS: u32 = 2048;
const WORDS: usize = BITS as usize / 64;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits([u64; WORDS]);

impl Bits {
    /// The empty set.
    pub(super) const fn empty() -> Self {
        Self([0; WORDS])
    }

    /// The set as bytes, the lowest bit first.
    pub(super) fn to_bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes())
    }

    /// The set that [`Bits::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8; BITS as usize / 8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut bits = Self::empty();
        for (word, bytes) in bits.0.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        bits
    }

    /// Sets the bits from `from` to before `to`.
    pub(super) fn set(&mut self, from: u32, to: u32) {
        self.each_word(from, to, |word, mask| *word |= mask);
    }

    /// Clears the bits from `from` to before `to` and says how many were set.
    pub(super) fn clear(&mut self, from: u32, to: u32) -> u32 {
        let mut cleared = 0;
        self.each_word(from, to, |word, mask| {
            cleared += (*word & mask).count_ones();
            *word &= !mask;
        });
        cleared
    }

    /// How many bits are set.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether no bit is set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The first run of set bits at or behind `from`, as its first bit and the one behind its last.
    pub(super) fn next_run(&self, from: u32) -> Option<(u32, u32)> {
        let first = self.find(from, 0)?;
        Some((first, self.find(first, u64::MAX).unwrap_or(BITS)))
    }

    /// The highest bit that is set.
    pub(super) fn last(&self) -> Option<u32> {
        let (index, word) = self.0.iter().enumerate().rfind(|(_, word)| **word != 0)?;
        Some(index as u32 * 64 + 63 - word.leading_zeros())
    }

    /// The first bit at or behind `from` that differs from those of `flip`.
    fn find(&self, from: u32, flip: u64) -> Option<u32> {
        let mut mask = u64::MAX << (from % 64);
        for (index, word) in self.0.iter().enumerate().skip(from as usize / 64) {
            let found = (word ^ flip) & mask;
            if found != 0 {
                return Some(index as u32 * 64 + found.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    fn each_word(&mut self, from: u32, to: u32, mut change: impl FnMut(&mut u64, u64)) {
        if from >= to {
            return;
        }
        let (low, high) = (from as usize / 64, (to - 1) as usize / 64);
        for (index, word) in self.0.iter_mut().enumerate().take(high + 1).skip(low) {
            let mut mask = u64::MAX;
            if index == low {
                mask &= u64::MAX << (from % 64);
            }
            if index == high {
                mask &= u64::MAX >> (63 - (to - 1) % 64);
            }
            change(word, mask);
        }
    }
}
