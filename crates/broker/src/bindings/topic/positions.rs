//! A set of positions in a routing key: how many of its words may have been consumed.
//!
//! Positions run from 0 to the number of words, both included. A key that fits AMQP's short string has at most 256
//! words, and its sets live on the stack; only a longer key, which can come from a `CC` header, makes them allocate.
//!
//! Invariant: all sets of one walk are made for the same number of words, so they have the same blocks.

const BITS: usize = u64::BITS as usize;

/// Enough for 0..=256.
const INLINE_BLOCKS: usize = 5;

/// A set of positions between 0 and a number of words.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    inline: [u64; INLINE_BLOCKS],
    /// The blocks of a set that does not fit inline; else empty.
    spilled: Vec<u64>,
    words: usize,
}

impl Positions {
    /// The empty set, for a key of `words` words.
    pub(super) fn none(words: usize) -> Self {
        let blocks = words / BITS + 1;
        let spilled = if blocks > INLINE_BLOCKS {
            vec![0; blocks]
        } else {
            Vec::new()
        };
        Self {
            inline: [0; INLINE_BLOCKS],
            spilled,
            words,
        }
    }

    /// The set of `first` and all after it, `words` included.
    pub(super) fn from_to(first: usize, words: usize) -> Self {
        let mut set = Self::none(words);
        for (index, block) in set.blocks_mut().iter_mut().enumerate() {
            let start = index * BITS;
            // The bits of this block that lie in first..=words.
            let from = first.saturating_sub(start).min(BITS);
            let to = (words + 1).saturating_sub(start).min(BITS);
            *block = ones_below(to) & !ones_below(from);
        }
        set
    }

    pub(super) fn contains(&self, position: usize) -> bool {
        self.blocks()[position / BITS] >> (position % BITS) & 1 == 1
    }

    pub(super) fn insert(&mut self, position: usize) {
        self.blocks_mut()[position / BITS] |= 1 << (position % BITS);
    }

    pub(super) fn remove(&mut self, position: usize) {
        self.blocks_mut()[position / BITS] &= !(1 << (position % BITS));
    }

    /// The smallest position of the set.
    pub(super) fn first(&self) -> Option<usize> {
        let block = self.blocks().iter().position(|block| *block != 0)?;
        Some(block * BITS + self.blocks()[block].trailing_zeros() as usize)
    }

    /// The set that has `p + 1` for each `p` of this one; the last position has nothing further and drops out.
    pub(super) fn each_one_further(&self) -> Self {
        let mut set = self.clone();
        set.remove(self.words);
        let mut carry = 0;
        for block in set.blocks_mut() {
            let carried = *block >> (BITS - 1);
            *block = *block << 1 | carry;
            carry = carried;
        }
        set
    }

    fn blocks(&self) -> &[u64] {
        if self.spilled.is_empty() {
            &self.inline
        } else {
            &self.spilled
        }
    }

    fn blocks_mut(&mut self) -> &mut [u64] {
        if self.spilled.is_empty() {
            &mut self.inline
        } else {
            &mut self.spilled
        }
    }
}

/// The lowest `count` bits, of at most 64.
fn ones_below(count: usize) -> u64 {
    if count >= BITS {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}
