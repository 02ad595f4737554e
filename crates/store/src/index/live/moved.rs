//! The pieces that messages become which move to an extent: runs as long as they can be, bits where many are near each other.

use super::{Block, LiveRun, Location, Piece, RUNS_MAX};
use crate::index::block::BLOCK;

/// The pieces that messages become which move to an extent.
pub(super) struct Moved {
    to: Location,
    /// Runs that do not touch and begin within the numbers of the same block, `in_block`.
    runs: Vec<LiveRun>,
    in_block: u64,
    pieces: Vec<(u64, Piece)>,
}

impl Moved {
    /// Nothing yet; `to` is in a segment.
    pub(super) fn to(to: Location) -> Self {
        Self {
            to,
            runs: vec![],
            in_block: 0,
            pieces: vec![],
        }
    }

    /// Takes the next run, which lies behind all others.
    pub(super) fn push(&mut self, run: LiveRun) {
        let run = LiveRun {
            location: self.to,
            ..run
        };
        if let Some(last) = self
            .runs
            .last_mut()
            .filter(|last| last.last_seq() + 1 == run.first_seq)
        {
            last.count += run.count;
            return;
        }
        if self.in_block != run.first_seq / BLOCK {
            self.end_block();
            self.in_block = run.first_seq / BLOCK;
        }
        self.runs.push(run);
    }

    /// Turns the runs that begin within one block's numbers into pieces; one that leaves the block is no part of the bits.
    pub(super) fn end_block(&mut self) {
        let leaves = self
            .runs
            .pop_if(|run| run.last_seq() / BLOCK != self.in_block);
        let many = self.runs.len() >= RUNS_MAX;
        let block = if many { Block::of(&self.runs) } else { None };
        match block.and_then(|block| Some((block.last()?, block))) {
            Some((last, block)) => self.pieces.push((last, Piece::Block(Box::new(block)))),
            None => self
                .pieces
                .extend(self.runs.iter().map(|run| (run.last_seq(), Piece::of(run)))),
        }
        self.pieces
            .extend(leaves.map(|run| (run.last_seq(), Piece::of(&run))));
        self.runs.clear();
    }

    /// The pieces, with the last number of each.
    pub(super) fn into_pieces(mut self) -> Vec<(u64, Piece)> {
        self.end_block();
        self.pieces
    }
}
