//! How far a stream is safe. A reader is given nothing that a crash can undo: another message would get its offset, and whoever goes on behind that
//! would never see it.

use std::collections::VecDeque;

use leveret_store::log::Position;

/// How many places are remembered at most.
const MARKS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Safe {
    upto: u64,
    /// Everything up to the number is safe once the log has reached the position.
    marks: VecDeque<(Position, u64)>,
}

impl Safe {
    /// Everything up to this sequence number is.
    pub(super) fn upto(&self) -> u64 {
        self.upto
    }

    pub(super) fn set(&mut self, upto: u64) {
        self.upto = upto;
    }

    /// Messages up to `last_seq` were appended, the last of them at or before `appended`, and what is at or before `reached` is safe.
    pub(super) fn look(&mut self, last_seq: u64, appended: Position, reached: Position) {
        let marked = self.marks.back().map_or(self.upto, |(_, seq)| *seq);
        if marked < last_seq {
            if self.marks.len() >= MARKS_MAX {
                self.marks.pop_back();
            }
            self.marks.push_back((appended, last_seq));
        }
        while let Some((_, seq)) = self.marks.pop_front_if(|(at, _)| *at <= reached) {
            self.upto = seq;
        }
    }
}
