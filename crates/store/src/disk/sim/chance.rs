//! Where the simulated disk's choices come from: numbers that follow from a seed alone, and what lay on the disk before.

use std::collections::VecDeque;

/// Bytes of a block, in which space is given to files.
pub(super) const BLOCK: usize = 4096;

/// Blocks of removed files that are remembered.
const REMEMBERED: usize = 64;

/// The numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

/// What a power cut does to a set of changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// None of them reached the disk.
    Nothing,
    /// All of them did.
    Everything,
    /// Each has a fate of its own.
    Each,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit that is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.number() & 1 == 1
    }

    /// The two ends are what a program most likely meets, and what independent choices would almost never give.
    pub(super) fn fate(&mut self) -> Fate {
        match self.below(8) {
            0 => Fate::Nothing,
            1 => Fate::Everything,
            _ => Fate::Each,
        }
    }
}

/// Blocks of files that are gone: what may be read from blocks that were given to a file and never reached the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Recycled {
    blocks: VecDeque<Vec<u8>>,
}

impl Recycled {
    /// Remembers the whole blocks of what a file had.
    pub(super) fn remember(&mut self, content: &[u8]) {
        for block in content.chunks_exact(BLOCK).rev().take(REMEMBERED).rev() {
            if self.blocks.len() == REMEMBERED {
                self.blocks.pop_front();
            }
            self.blocks.push_back(block.to_vec());
        }
    }

    /// A block that lay on the disk before: mostly one of a file, as it was; else nonsense.
    pub(super) fn block(&self, chance: &mut Chance) -> Vec<u8> {
        if self.blocks.is_empty() || chance.below(4) == 0 {
            return (0..BLOCK / 8)
                .flat_map(|_| chance.number().to_le_bytes())
                .collect();
        }
        self.blocks[chance.below(self.blocks.len())].clone()
    }
}
