//! An ordered set of runs: consecutive numbers that share a value.
//!
//! Channels keep their unacked delivery tags in one, queues their unacked and requeued messages. Work is done per run, so that a hundred
//! messages acknowledged at once cost as one. Runs never overlap. Each run is stored under its *last* number, so that taking from its front,
//! which is what in-order settling does, moves nothing in the tree.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

#[cfg(test)]
mod tests;

/// The value of a run, which may depend on the number it begins with.
pub trait RunValue: Clone {
    /// The value of the rest of the run, `count` numbers later.
    fn skip(&mut self, count: u64);
}

/// A piece of a run: `count` numbers from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<V> {
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What belongs to them.
    pub value: V,
}

impl<V> Piece<V> {
    fn last(&self) -> u64 {
        self.first + self.count - 1
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Runs<V> {
    by_last: BTreeMap<u64, Piece<V>>,
    count: u64,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self {
            by_last: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<V: RunValue> Runs<V> {
    /// How many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a run that overlaps none in the set. **Cost**: one tree insertion.
    pub fn insert(&mut self, piece: Piece<V>) {
        debug_assert!(piece.count > 0);
        self.count += piece.count;
        let replaced = self.by_last.insert(piece.last(), piece);
        debug_assert!(replaced.is_none(), "runs never overlap");
    }

    /// The first run.
    pub fn first(&self) -> Option<&Piece<V>> {
        self.by_last.first_key_value().map(|(_, piece)| piece)
    }

    /// The highest number in the set.
    pub fn last_number(&self) -> Option<u64> {
        self.by_last.last_key_value().map(|(last, _)| *last)
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.by_last
            .range(number..)
            .next()
            .is_some_and(|(_, piece)| piece.first <= number)
    }

    /// Takes up to `most` numbers from the front of the first run.
    pub fn pop_front(&mut self, most: u64) -> Option<Piece<V>> {
        let mut entry = self.by_last.first_entry()?;
        let piece = entry.get_mut();
        if piece.count <= most {
            self.count -= piece.count;
            return Some(entry.remove());
        }
        self.count -= most;
        Some(split_front(piece, most))
    }

    /// Takes out every number of `range` that is in the set, in order, and gives each piece to `taken`.
    ///
    /// **Cost**: a tree operation for each run touched, whatever the length of the runs.
    pub fn take(&mut self, range: RangeInclusive<u64>, mut taken: impl FnMut(Piece<V>)) {
        let (first, last) = (*range.start(), *range.end());
        if first > last {
            return;
        }
        while let Some((&key, piece)) = self.by_last.range_mut(first..).next() {
            if piece.first > last {
                break;
            }
            let head = if piece.first < first {
                Some(split_front(piece, first - piece.first))
            } else {
                None
            };
            let part = if key <= last {
                self.by_last.remove(&key)
            } else {
                Some(split_front(piece, last - piece.first + 1))
            };
            if let Some(head) = head {
                self.by_last.insert(head.last(), head);
            }
            if let Some(part) = part {
                self.count -= part.count;
                taken(part);
            }
        }
    }

    /// Calls `each` with the value and the count of every run, in order.
    pub fn each_value(&mut self, mut each: impl FnMut(&mut V, u64)) {
        for piece in self.by_last.values_mut() {
            each(&mut piece.value, piece.count);
        }
    }

    /// The runs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Piece<V>> {
        self.by_last.values()
    }
}

/// Cuts `count` numbers off the front of a piece that has more than that.
fn split_front<V: RunValue>(piece: &mut Piece<V>, count: u64) -> Piece<V> {
    let front = Piece {
        first: piece.first,
        count,
        value: piece.value.clone(),
    };
    piece.first += count;
    piece.count -= count;
    piece.value.skip(count);
    front
}
