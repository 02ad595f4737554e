//! Messages that leave a queue though nobody took them: those that are too many, and those that are not wanted and go to dead letters.

use crate::arguments::{LengthLimit, Overflow};
use crate::command::Holder;
use crate::queue::{Queue, Ready, in_memory};
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

    /// As [`Queue::settle`] for messages that are not wanted, in a queue with dead letters: calls `dead` with each run.
    pub fn discard(
        &mut self,
        holder: Holder,
        (first_seq, count): (u64, u64),
        mut dead: impl FnMut(Piece<Ready>),
    ) {
        let Some(held) = self.unacked.get_mut(holder) else {
            return;
        };
        let consumers = &mut self.consumers;
        let (mut count_gone, mut bytes_gone) = (0, 0);
        held.take(first_seq..=first_seq + count.saturating_sub(1), |piece| {
            count_gone += piece.count;
            bytes_gone += piece.value.size(piece.count);
            if let Some(key) = piece.value.consumer {
                consumers.give_back(key, piece.count);
            }
            // It never left memory: see `forget_handed_out`.
            in_memory(piece).into_iter().for_each(&mut dead);
        });
        self.unacked_count -= count_gone;
        self.unacked_bytes -= bytes_gone;
    }
}
