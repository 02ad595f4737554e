//! Removing all ready messages at once. The cost goes by pieces, not by messages.

use std::collections::VecDeque;

use leveret_store::log::Log;

use crate::queue::Queue;
use crate::queue::away::{Away, AwayPiece};
use crate::queue::line::Line;
use crate::queue::pieces::{Held, Home, Level, Ready};
use crate::queue::returned::Returned;
use crate::runs::Piece;

impl Queue {
    /// Removes all messages that are ready or wait to be; calls `gone` for runs, in order in each priority, that have all those that are in the log, and none that is
    /// unacked. Returns how many there were.
    pub fn purge(&mut self, log: &mut dyn Log, mut gone: impl FnMut(Level, u64, u64)) -> u64 {
        let count = self.ready_count() + self.waiting_count();
        self.waiting.purge(&mut gone);
        if let Some(groups) = &mut self.groups {
            groups.purge(&mut gone);
        }
        for line in self.lines.iter_mut() {
            line.purge(log, &mut gone);
        }
        self.forget_bodies();
        self.forget_keys_of_ready();
        self.look_whether_drained();
        count
    }

    /// Lets the log forget the chunks of a queue that ends.
    pub fn forget_chunks(&mut self, log: &mut dyn Log) {
        for line in self.lines.iter_mut() {
            line.stop_reading();
            purge_away(&mut std::mem::take(&mut line.away), log, &mut |_, _| {});
        }
    }
}

impl Line {
    fn purge(&mut self, log: &mut dyn Log, all_gone: &mut impl FnMut(Level, u64, u64)) {
        self.stop_reading();
        let returned = std::mem::replace(&mut self.returned, Returned::of(self.level));
        let logged = returned.iter().filter(|p| p.value.home == Home::Log);
        let mut logged: Vec<&Piece<Held>> = logged.collect();
        logged.sort_unstable_by_key(|piece| (piece.value.level, piece.first));
        for piece in logged {
            all_gone(piece.value.level, piece.first, piece.count);
        }
        let level = self.level;
        let mut gone = |first, count| all_gone(level, first, count);
        purge_in_memory(&mut self.fresh, &mut gone);
        let mut away = std::mem::take(&mut self.away);
        purge_away(&mut away, log, &mut gone);
        purge_in_memory(&mut self.tail, &mut gone);
        self.fresh_count = 0;
        self.tail_count = 0;
        self.tail_bytes = 0;
        self.bytes = 0;
    }
}

fn purge_in_memory(pieces: &mut VecDeque<Piece<Ready>>, gone: &mut impl FnMut(u64, u64)) {
    for piece in std::mem::take(pieces) {
        if piece.value.home == Home::Log {
            gone(piece.first, piece.count);
        }
    }
}

fn purge_away(away: &mut Away, log: &mut dyn Log, gone: &mut impl FnMut(u64, u64)) {
    while let Some(piece) = away.pop_front() {
        let content = match piece {
            AwayPiece::Logged { first, last, .. } => {
                gone(first, last - first + 1);
                continue;
            }
            AwayPiece::Chunk(id, content) => {
                log.forget(id);
                content
            }
            AwayPiece::Filling(content, _) => content,
        };
        for (run, home) in content.runs {
            if home == Home::Log {
                gone(run.first_seq, run.count);
            }
        }
    }
}
