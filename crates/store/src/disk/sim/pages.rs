//! What is in one file of the simulated disk: the page cache, the platter, and what was written since they last agreed.
//!
//! Invariants: a sector in which cache and platter differ is in `dirty`, but for those that a failed sync marked clean; the last version of a
//! dirty sector is what the cache shows; all bytes that a longer length added are dirty.

use std::collections::BTreeMap;
use std::ops::Range;

use super::chance::{BLOCK, Chance, Fate, Recycled};

/// Bytes that reach the platter together or not at all.
pub(super) const SECTOR: usize = 512;

/// Versions of a sector, and lengths, that are remembered between two syncs: the first ones and the last.
const VERSIONS_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    /// What reads show.
    cache: Vec<u8>,
    /// What is left when everything that was not synced is lost.
    platter: Vec<u8>,
    /// What each sector has held since the last sync, oldest first: any of it may have been written back.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// The lengths since the last sync.
    lengths: Vec<usize>,
}

impl Pages {
    pub(super) fn content(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (old, end) = (self.len(), offset + bytes.len());
        if end > old {
            self.cache.resize(end, 0);
            remember(&mut self.lengths, end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.touch(offset.min(old)..end);
    }

    /// Cuts or extends with zeros.
    pub(super) fn set_len(&mut self, len: usize) {
        let old = self.len();
        if len == old {
            return;
        }
        self.cache.resize(len, 0);
        remember(&mut self.lengths, len);
        self.touch(old.min(len)..old.max(len));
    }

    pub(super) fn sync(&mut self) {
        self.platter.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let place = place(sector, self.cache.len());
            self.platter[place.clone()].copy_from_slice(&self.cache[place]);
        }
        self.lengths.clear();
    }

    /// The sync that failed: what it did not bring to the platter is marked clean, so no later sync will.
    pub(super) fn fail_sync(&mut self, chance: &mut Chance) {
        let left = self.crash(Fate::Each, chance, None);
        let cache = std::mem::take(&mut self.cache);
        *self = Self { cache, ..left };
    }

    /// What is left after a power cut. With `recycled`, sectors that were new to the file and did not reach the platter show what lay there
    /// before.
    pub(super) fn crash(
        &self,
        overall: Fate,
        chance: &mut Chance,
        recycled: Option<&Recycled>,
    ) -> Self {
        let fate = match overall {
            Fate::Each => chance.fate(),
            settled => settled,
        };
        let len = match fate {
            Fate::Nothing => self.platter.len(),
            Fate::Everything => *self.lengths.last().unwrap_or(&self.platter.len()),
            Fate::Each => *pick(&self.lengths, chance).unwrap_or(&self.platter.len()),
        };
        let mut platter = self.platter.clone();
        platter.resize(len, 0);
        if let Some(recycled) = recycled {
            fill(&mut platter, self.platter.len(), recycled, chance);
        }
        for (sector, versions) in &self.dirty {
            let survivor = match fate {
                Fate::Nothing => None,
                Fate::Everything => versions.last(),
                Fate::Each => pick(versions, chance),
            };
            let place = place(*sector, len);
            if let Some(version) = survivor {
                platter[place.clone()].copy_from_slice(&version[..place.len()]);
            }
        }
        Self {
            cache: platter.clone(),
            platter,
            ..Self::default()
        }
    }

    /// Flips a bit everywhere: in the cache, on the platter and in what is on its way there.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        let mask = 1 << (bit % 8);
        let versions = self.dirty.get_mut(&(offset / SECTOR)).into_iter().flatten();
        let sectors = versions.filter_map(|version| version.get_mut(offset % SECTOR));
        let whole = [self.cache.get_mut(offset), self.platter.get_mut(offset)];
        for byte in whole.into_iter().flatten().chain(sectors) {
            *byte ^= mask;
        }
    }

    /// Takes down what the sectors of a range hold now; zeros where the file does not reach.
    fn touch(&mut self, range: Range<usize>) {
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            let mut version = self.cache[place(sector, self.cache.len())].to_vec();
            version.resize(SECTOR, 0);
            remember(self.dirty.entry(sector).or_default(), version);
        }
    }
}

/// The part of a sector that a file of a length has.
fn place(sector: usize, len: usize) -> Range<usize> {
    let start = (sector * SECTOR).min(len);
    start..(start + SECTOR).min(len)
}

fn remember<T>(versions: &mut Vec<T>, version: T) {
    if versions.len() == VERSIONS_MAX {
        versions.pop();
    }
    versions.push(version);
}

/// One of the versions, or none of them.
fn pick<'a, T>(versions: &'a [T], chance: &mut Chance) -> Option<&'a T> {
    versions.get(chance.below(versions.len() + 1))
}

/// Puts what lay on the disk before into about half the blocks from a place on.
fn fill(content: &mut [u8], from: usize, recycled: &Recycled, chance: &mut Chance) {
    let mut at = from;
    while at < content.len() {
        let end = content.len().min((at / BLOCK + 1) * BLOCK);
        if chance.coin() {
            let block = recycled.block(chance);
            let start = at % BLOCK;
            content[at..end].copy_from_slice(&block[start..start + (end - at)]);
        }
        at = end;
    }
}
