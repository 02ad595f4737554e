//! Messages that leave a queue though nobody took them: those that are too many, and those that are not wanted and go to dead letters.

use crate::arguments::{LengthLimit, Overflow};
use crate::command::Holder;
use crate::queue::Queue;
use crate::queue::pieces::{Ready, in_memory};
use crate::runs::Piece;

/// The limit that `x-max-length` sets, where the oldest message has to go.
pub(super) fn max_ready(length: &LengthLimit) -> u64 {
    match length.overflow {
        None | Some(Overflow::DropHead) => length.messages.unwrap_or(u64::MAX),
        Some(Overflow::RejectPublish | Overflow::RejectPublishDlx) => u64::MAX,
    }
}

impl Queue {
    /// Whether more messages are ready than it keeps.
    pub fn is_too_long(&self) -> bool {
        self.ready_count() > self.max_ready
    }

    /// How many are too many.
    pub fn excess(&self) -> u64 {
        self.ready_count().saturating_sub(self.max_ready)
    }

    /// Whether what dies here goes to a dead letter exchange.
    pub fn has_dead_letters(&self) -> bool {
        self.settings.dead_letter.exchange.is_some()
    }

    /// As [`Queue::settle`] for messages that are not wanted, in a queue with dead letters: calls `dead` with each run.
    pub fn discard(&mut self, holder: Holder, run: (u64, u64), mut dead: impl FnMut(Piece<Ready>)) {
        self.take_held(holder, run, |piece| {
            // It never left memory: see `forget_handed_out`. Unless the dead letter exchange is a policy's and came since.
            in_memory(piece).into_iter().for_each(&mut dead);
        });
    }
}
