//! The live messages of one stream: an ordered set of sequence numbers, each with its location.
//!
//! Kept as pieces that never overlap, each under its *last* number, so that settling in order moves nothing in the tree. A piece is a run, or
//! a *block* (`block.rs`) of bits. A run that is cut in its middle becomes two; where eight or more runs in line stand within the same 2,048
//! numbers they become a block, and a block takes in the runs in line with it that come to stand beside it. So what settling leaves behind
//! costs little more than a bit for each number, in whatever order it is done, and everything else costs by runs.
//!
//! What is done depends on the pieces alone: the same calls give the same pieces.
//!
//! Runs that were pushed and that nothing but settling in order has touched stand in a `line`, which costs no tree operation. Whatever else is done
//! to them first moves them into the tree, each once.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque, btree_map, vec_deque};
use std::ops::RangeInclusive;

use super::block::{BLOCK, Block};
use super::location::{LiveRun, Location};

mod moved;
mod piece;
#[cfg(test)]
mod tests;

use moved::Moved;

pub(super) use piece::Piece;

/// How many runs in line within one block's numbers become a block.
const RUNS_MAX: usize = 8;

/// An empty line does not keep more room than this many runs take.
const LINE_KEPT_MAX: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    by_last: BTreeMap<u64, Piece>,
    /// Runs behind all pieces of the tree, each with its last number.
    line: VecDeque<(u64, Piece)>,
    count: u64,
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        self.pieces().eq(other.pieces())
    }
}

impl Eq for Live {}

impl Live {
    /// How many messages.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Memory that the pieces take on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        let is_block = |piece: &&Piece| matches!(piece, Piece::Block(_));
        let blocks = self.by_last.values().filter(is_block).count();
        // A tree that grows at its end splits its leaves a little above their half.
        let tree = self.by_last.len() * size_of::<(u64, Piece)>() * 11 / 6;
        blocks * size_of::<Block>() + tree + self.line.capacity() * size_of::<(u64, Piece)>()
    }

    /// How many pieces there are.
    pub(super) fn pieces_count(&self) -> usize {
        self.by_last.len() + self.line.len()
    }

    /// The pieces as they are kept, with the last number of each.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &Piece)> {
        let tree = self.by_last.iter().map(|(last, piece)| (*last, piece));
        tree.chain(self.line.iter().map(|(last, piece)| (*last, piece)))
    }

    /// Each piece's place, its first number, and how many messages it has.
    pub(super) fn places(&self) -> impl Iterator<Item = (Location, u64, u64)> {
        self.pieces()
            .map(|(last, piece)| (piece.origin(), piece.first(last), piece.count()))
    }

    /// Adds a run behind all that were added before.
    pub(super) fn push(&mut self, run: &LiveRun) {
        debug_assert!(self.last().is_none_or(|last| last < run.first_seq));
        self.count += run.count;
        self.line.push_back((run.last_seq(), Piece::of(run)));
    }

    /// Adds a block, under its last number or a later one, behind all pieces that were added before.
    pub(super) fn push_block(&mut self, last: u64, block: Block) {
        debug_assert!(block.last().is_some_and(|live| live <= last));
        self.count += block.count();
        self.leave_line();
        self.by_last.insert(last, Piece::Block(Box::new(block)));
    }

    /// Moves everything into the tree.
    fn leave_line(&mut self) {
        self.by_last.extend(std::mem::take(&mut self.line));
    }

    /// The number that the last piece is under; no live one is higher.
    pub(super) fn last(&self) -> Option<u64> {
        let tree = || self.by_last.last_key_value().map(|(last, _)| *last);
        self.line.back().map(|(last, _)| *last).or_else(tree)
    }

    /// The runs in order, from the first live number at or behind `seq` on.
    pub(super) fn runs_from(&self, seq: u64) -> LiveRuns<'_> {
        let at = self.line.partition_point(|(last, _)| *last < seq);
        LiveRuns {
            tree: self.by_last.range(seq..),
            line: self.line.range(at..),
            block: None,
            seq,
        }
    }

    /// Takes out every number of `range` and tells of each piece touched where it was and how many of its messages went.
    ///
    /// **Cost**: a few tree operations for the first and the last piece touched, less for each between.
    pub(super) fn remove(
        &mut self,
        range: RangeInclusive<u64>,
        mut removed: impl FnMut(Location, u64),
    ) {
        let (first, last) = range.into_inner();
        if self.remove_from_line(first, last, &mut removed) {
            return;
        }
        self.leave_line();
        let Some(key) = self.cut_at(first, first, last, &mut removed) else {
            return;
        };
        if key >= last {
            return;
        }
        for (_, piece) in self.by_last.extract_if(key + 1..=last, |_, _| true) {
            self.count -= piece.count();
            removed(piece.origin(), piece.count());
        }
        self.cut_at(last, first, last, &mut removed);
    }

    /// Removes what lies within two numbers, if that is from the front of the line on. `false` where it is elsewhere; nothing is changed then.
    fn remove_from_line(
        &mut self,
        first: u64,
        last: u64,
        removed: &mut impl FnMut(Location, u64),
    ) -> bool {
        let tree = self.by_last.last_key_value();
        if tree.is_some_and(|(key, _)| *key >= first) {
            return false;
        }
        let front = self.line.front();
        let front = front.and_then(|(key, piece)| piece.run(*key));
        if front.is_none_or(|run| run.first_seq < first) {
            return false;
        }
        while let Some((key, piece)) = self.line.front_mut() {
            let Some(run) = piece.run(*key).filter(|run| run.first_seq <= last) else {
                break;
            };
            let gone = run.within(first, last);
            if gone.count < run.count {
                *piece = Piece::of(&run.within(gone.last_seq() + 1, *key));
            } else {
                self.line.pop_front();
            }
            self.count -= gone.count;
            removed(run.location, gone.count);
        }
        if self.line.is_empty() && self.line.capacity() > LINE_KEPT_MAX {
            self.line = VecDeque::new();
        }
        true
    }

    /// Says that the messages of a range that are in some places are in another one now, and tells of each piece touched where it was and how
    /// many of its messages moved. `to` is in a segment.
    pub(super) fn relocate(
        &mut self,
        range: RangeInclusive<u64>,
        to: Location,
        is_moved: impl Fn(&Location) -> bool,
        mut left: impl FnMut(Location, u64),
    ) {
        let (first, last) = range.into_inner();
        if first > last {
            return;
        }
        self.leave_line();
        self.split_before(first, &is_moved);
        if let Some(behind) = last.checked_add(1) {
            self.split_before(behind, &is_moved);
        }
        // The last piece may be under a number behind the range that is not live.
        let end = self
            .by_last
            .range(last..)
            .next()
            .map_or(last, |(key, _)| *key);
        let is_passed = Cell::new(false);
        let taken = self.by_last.extract_if(first..=end, |key, piece| {
            // Bits under a number in the range may all lie before it.
            let is_within = (first..=last).contains(&piece.first(*key));
            let is_taken = is_within && is_moved(&piece.origin());
            is_passed.set(is_passed.get() || !is_taken);
            is_taken
        });
        let mut moved = Moved::to(to);
        for (key, piece) in taken {
            if is_passed.take() {
                // A piece that stays lies between: bits must not reach over it.
                moved.end_block();
            }
            left(piece.origin(), piece.count());
            match piece {
                Piece::Block(block) => block.runs().for_each(|run| moved.push(run)),
                run => run.run(key).into_iter().for_each(|run| moved.push(run)),
            }
        }
        self.by_last.extend(moved.into_pieces());
    }

    /// How many messages of a range are in some places. **Cost**: by runs.
    pub(super) fn count_in(
        &self,
        range: RangeInclusive<u64>,
        is_counted: impl Fn(&Location) -> bool,
    ) -> u64 {
        let (first, last) = range.into_inner();
        self.runs_from(first)
            .take_while(|run| run.first_seq <= last)
            .filter(|run| is_counted(&run.location))
            .map(|run| run.within(first, last).count)
            .sum()
    }

    /// Makes a piece that begins before `seq` and reaches it two pieces, where it is in one of some places.
    fn split_before(&mut self, seq: u64, is_moved: impl Fn(&Location) -> bool) {
        let (Some(before), Some((&key, piece))) =
            (seq.checked_sub(1), self.by_last.range_mut(seq..).next())
        else {
            return;
        };
        if !is_moved(&piece.origin()) {
            return;
        }
        let head = match piece {
            Piece::Block(block) => {
                let mut head = block.clone();
                head.clear(seq, key);
                if head.count() == block.count() {
                    // What reaches behind is not live.
                    return;
                }
                block.clear(0, before);
                head.last()
                    .filter(|last| *last < seq)
                    .map(|last| (last, Piece::Block(head)))
            }
            run => run.run(key).filter(|run| run.first_seq < seq).map(|whole| {
                *run = Piece::of(&whole.within(seq, key));
                (seq - 1, Piece::of(&whole.within(0, seq - 1)))
            }),
        };
        self.by_last.extend(head);
    }

    /// Removes, from the piece that has `seq` or comes behind it, what lies within two numbers. Gives the number that the piece is under.
    fn cut_at(
        &mut self,
        seq: u64,
        first: u64,
        last: u64,
        removed: &mut impl FnMut(Location, u64),
    ) -> Option<u64> {
        if first > last {
            return None;
        }
        let (&key, piece) = self.by_last.range_mut(seq..).next()?;
        let origin = piece.origin();
        let gone = if let Piece::Block(block) = piece {
            let gone = block.clear(first, last);
            if block.is_empty() {
                self.by_last.remove(&key);
            }
            gone
        } else {
            piece
                .run(key)
                .map_or(0, |run| self.cut_run(&run, first, last))
        };
        if gone > 0 {
            self.count -= gone;
            removed(origin, gone);
        }
        Some(key)
    }

    /// Removes from a run, which is a piece, what lies within two numbers, and says how many did. A run cut in its middle may become bits.
    fn cut_run(&mut self, run: &LiveRun, first: u64, last: u64) -> u64 {
        if run.first_seq > last {
            return 0;
        }
        let key = run.last_seq();
        let gone = run.within(first, last);
        if gone.last_seq() < key {
            let rest = run.within(gone.last_seq() + 1, key);
            self.by_last.insert(key, Piece::of(&rest));
        } else {
            self.by_last.remove(&key);
        }
        if run.first_seq < gone.first_seq {
            let head = gone.first_seq - 1;
            self.insert(&run.within(0, head));
            if gone.last_seq() < key {
                self.tidy(head, key);
            }
        }
        gone.count
    }

    fn insert(&mut self, run: &LiveRun) {
        let replaced = self.by_last.insert(run.last_seq(), Piece::of(run));
        debug_assert!(replaced.is_none(), "pieces never overlap");
    }

    /// Turns the runs under `left` and `right`, which are neighbours, and those around them into bits where that takes less.
    fn tidy(&mut self, left: u64, right: u64) {
        let absorbed_right = self.absorb(right);
        let absorbed_left = self.absorb(left);
        let absorbed = absorbed_right || absorbed_left && self.absorb(right);
        if !absorbed && !absorbed_left {
            self.gather(left);
        }
    }

    /// Puts the run under `key` into a block beside it, where there is one that can take it.
    fn absorb(&mut self, key: u64) -> bool {
        let Some(run) = self.by_last.get(&key).and_then(|piece| piece.run(key)) else {
            return false;
        };
        if run.first_seq / BLOCK != key / BLOCK {
            return false;
        }
        if let Some((_, Piece::Block(block))) = self.by_last.range_mut(key + 1..).next()
            && block.add(&run)
        {
            self.by_last.remove(&key);
            return true;
        }
        if let Some((&before, Piece::Block(block))) = self.by_last.range_mut(..key).next_back()
            && block.add(&run)
        {
            let block = self.by_last.remove(&before);
            self.by_last.extend(block.map(|block| (key, block)));
            return true;
        }
        false
    }

    /// Makes a block of the runs around the one under `key`, where they are many enough.
    fn gather(&mut self, key: u64) {
        let block = key / BLOCK;
        let in_block = |(last, piece): (&u64, &Piece)| {
            let run = piece.run(*last)?;
            (run.first_seq / BLOCK == block && *last / BLOCK == block).then_some(run)
        };
        let before = self.by_last.range(..=key).rev().map_while(in_block);
        let behind = self.by_last.range(key + 1..).map_while(in_block);
        let mut runs: Vec<LiveRun> = vec![];
        let in_line =
            |runs: &[LiveRun], run: &LiveRun| runs.last().is_none_or(|near| near.is_in_line(run));
        for run in before.take(RUNS_MAX) {
            if !in_line(&runs, &run) {
                break;
            }
            runs.push(run);
        }
        runs.reverse();
        for run in behind.take(RUNS_MAX) {
            if !in_line(&runs, &run) {
                break;
            }
            runs.push(run);
        }
        if runs.len() < RUNS_MAX {
            return;
        }
        let Some((last, block)) = Block::of(&runs).and_then(|block| Some((block.last()?, block)))
        else {
            return;
        };
        for run in &runs {
            self.by_last.remove(&run.last_seq());
        }
        self.by_last.insert(last, Piece::Block(Box::new(block)));
    }
}

/// Live messages in the order of their sequence numbers, as runs.
#[derive(Clone, Debug)]
pub(super) struct LiveRuns<'a> {
    tree: btree_map::Range<'a, u64, Piece>,
    line: vec_deque::Iter<'a, (u64, Piece)>,
    block: Option<&'a Block>,
    seq: u64,
}

impl Iterator for LiveRuns<'_> {
    type Item = LiveRun;

    fn next(&mut self) -> Option<LiveRun> {
        loop {
            if let Some(run) = self.block.and_then(|block| block.next_run(self.seq)) {
                self.seq = run.last_seq() + 1;
                return Some(run);
            }
            let in_line = || self.line.next().map(|(last, piece)| (last, piece));
            let (last, piece) = self.tree.next().or_else(in_line)?;
            self.block = match piece {
                Piece::Block(block) => Some(block),
                run => {
                    self.block = None;
                    return run.run(*last).map(|run| run.within(self.seq, *last));
                }
            };
        }
    }
}
