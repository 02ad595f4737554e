//! An ordered set of runs: consecutive numbers that share a value.
//!
//! Channels keep their unacked delivery tags in one, queues their unacked and requeued messages. Work is done per run, so that a hundred
//! messages acknowledged at once cost as one. Runs never overlap.
//!
//! What is added in rising order and taken from the front, which is what in-order settling does, stays in a `line` that only grows at its end
//! and shrinks at its front. A number that is taken from the middle, or added before the end, first moves the runs before it `aside`, into a
//! tree; there each is stored under its *last* number, so that taking from its front moves nothing. A run is moved once at the most.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

#[cfg(test)]
mod tests;

/// An empty line does not keep more room than this many runs take.
const LINE_KEPT_MAX: usize = 64;

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

/// See the module. Everything aside is lower than everything in line.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Runs<V> {
    count: u64,
    line: VecDeque<Piece<V>>,
    aside: BTreeMap<u64, Piece<V>>,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self {
            aside: BTreeMap::new(),
            line: VecDeque::new(),
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

    /// Adds a run that overlaps none in the set. **Cost**: the same for any number of runs, if it is behind all others; else a tree operation for
    /// it and for each run in line.
    #[inline(always)] // A piece is then written once, where it stays.
    pub fn insert(&mut self, piece: Piece<V>) {
        debug_assert!(piece.count > 0);
        self.count += piece.count;
        if self.last_number().is_none_or(|last| last < piece.first) {
            self.line.push_back(piece);
        } else {
            self.insert_aside(piece);
        }
    }

    #[cold]
    fn insert_aside(&mut self, piece: Piece<V>) {
        self.put_aside(self.line.len());
        let replaced = self.aside.insert(piece.last(), piece);
        debug_assert!(replaced.is_none(), "runs never overlap");
    }

    /// The first run.
    pub fn first(&self) -> Option<&Piece<V>> {
        let aside = self.aside.first_key_value().map(|(_, piece)| piece);
        aside.or_else(|| self.line.front())
    }

    /// The highest number in the set.
    pub fn last_number(&self) -> Option<u64> {
        let aside = || self.aside.last_key_value().map(|(last, _)| *last);
        self.line.back().map(Piece::last).or_else(aside)
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let aside = self.aside.range(number..).next().map(|(_, piece)| piece);
        let in_line = || {
            let index = self.line.partition_point(|piece| piece.last() < number);
            self.line.get(index)
        };
        aside
            .or_else(in_line)
            .is_some_and(|piece| piece.first <= number)
    }

    /// Takes up to `most` numbers from the front of the first run.
    pub fn pop_front(&mut self, most: u64) -> Option<Piece<V>> {
        let piece = match self.aside.first_entry() {
            Some(mut entry) if entry.get().count > most => split_front(entry.get_mut(), most),
            Some(entry) => entry.remove(),
            None => self.pop_line(most)?,
        };
        self.count -= piece.count;
        Some(piece)
    }

    /// Takes out every number of `range` that is in the set, in order, and gives each piece to `taken`.
    ///
    /// **Cost**: for each run touched the same for any number of runs, as long as they are taken from the front; else a tree operation. By the
    /// length of the runs, nothing.
    pub fn take(&mut self, range: RangeInclusive<u64>, mut taken: impl FnMut(Piece<V>)) {
        let (first, last) = range.into_inner();
        if first > last {
            return;
        }
        if !self.aside.is_empty() {
            self.take_aside(first, last, &mut taken);
        }
        let before = match self.line.front() {
            Some(front) if front.last() < first => {
                self.line.partition_point(|piece| piece.last() < first)
            }
            _ => 0,
        };
        if self.line.get(before).is_none_or(|piece| piece.first > last) {
            return;
        }
        if before > 0 {
            self.put_aside(before);
        }
        while let Some(front) = self.line.front_mut().filter(|front| front.first <= last) {
            if front.first < first {
                let head = split_front(front, first - front.first);
                self.aside.insert(head.last(), head);
                continue;
            }
            let most = last - front.first + 1;
            if let Some(part) = self.pop_line(most) {
                self.count -= part.count;
                taken(part);
            }
        }
    }

    /// As [`Runs::take`], for who only looks at what goes: whole runs at the front of the line are dropped where they are.
    #[inline]
    pub fn remove(&mut self, range: RangeInclusive<u64>, mut removed: impl FnMut(&Piece<V>)) {
        let (first, last) = range.into_inner();
        if self.aside.is_empty() {
            let goes = |front: &&Piece<V>| first <= front.first && front.last() <= last;
            while let Some(front) = self.line.front().filter(goes) {
                removed(front);
                self.count -= front.count;
                self.line.pop_front();
            }
            if self.line.is_empty() {
                return self.give_room_back();
            }
        }
        self.take(first..=last, |piece| removed(&piece));
    }

    fn take_aside(&mut self, first: u64, last: u64, taken: &mut impl FnMut(Piece<V>)) {
        while let Some((&key, piece)) = self.aside.range_mut(first..).next() {
            if piece.first > last {
                break;
            }
            let head = if piece.first < first {
                Some(split_front(piece, first - piece.first))
            } else {
                None
            };
            let part = if key <= last {
                self.aside.remove(&key)
            } else {
                Some(split_front(piece, last - piece.first + 1))
            };
            if let Some(head) = head {
                self.aside.insert(head.last(), head);
            }
            if let Some(part) = part {
                self.count -= part.count;
                taken(part);
            }
        }
    }

    /// Takes up to `most` numbers from the front of the line.
    fn pop_line(&mut self, most: u64) -> Option<Piece<V>> {
        let front = self.line.front_mut()?;
        if front.count > most {
            return Some(split_front(front, most));
        }
        let piece = self.line.pop_front();
        if self.line.is_empty() {
            self.give_room_back();
        }
        piece
    }

    /// The line is empty.
    #[inline]
    fn give_room_back(&mut self) {
        if self.line.capacity() > LINE_KEPT_MAX {
            self.line = VecDeque::new();
        }
    }

    /// Moves the first runs in line aside.
    fn put_aside(&mut self, count: usize) {
        let moved = self.line.drain(..count);
        self.aside.extend(moved.map(|piece| (piece.last(), piece)));
    }

    /// Calls `each` with the value and the count of every run, in order.
    pub fn each_value(&mut self, mut each: impl FnMut(&mut V, u64)) {
        for piece in self.aside.values_mut().chain(&mut self.line) {
            each(&mut piece.value, piece.count);
        }
    }

    /// The runs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Piece<V>> {
        self.aside.values().chain(&self.line)
    }
}

/// Takes up to `count` numbers from the front of a piece.
pub fn split_front<V: RunValue>(piece: &mut Piece<V>, count: u64) -> Piece<V> {
    let count = count.min(piece.count);
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
