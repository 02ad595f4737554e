//! How long a queue may get: `x-max-length`, `x-max-length-bytes`, and what `x-overflow` says of a message too many
//! (<https://www.rabbitmq.com/docs/maxlength>). Only what is ready counts.
//!
//! Bytes are those of bodies, and are counted only where there is a limit to them. What the log had when the broker was started, or when a policy
//! brought the limit, is counted once it has been read.

use leveret_message::batch::Batch;

use crate::arguments::LengthLimit;
use crate::queue::Queue;
use crate::queue::pieces::Ready;
use crate::runs::Piece;

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// How many messages may be ready.
    messages: u64,
    /// How many bytes their bodies may have.
    bytes: u64,
    /// Whether a message too many is refused; else the oldest has to go.
    refuses: bool,
}

impl Length {
    pub(super) fn new(limit: &LengthLimit) -> Self {
        Self {
            messages: limit.messages.unwrap_or(u64::MAX),
            bytes: limit.bytes.unwrap_or(u64::MAX),
            refuses: limit.may_refuse(),
        }
    }

    /// Whether bytes are counted.
    #[inline]
    pub(super) fn counts_bytes(&self) -> bool {
        self.bytes < u64::MAX
    }
}

/// The bytes of the bodies of ready messages, where they are counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyBytes {
    counted: u64,
    /// How many messages that are away were never counted; they come before all others that are.
    uncounted: u64,
}

impl Queue {
    /// Whether more is ready than it keeps.
    #[inline]
    pub fn is_too_long(&self) -> bool {
        !self.length.refuses
            && (self.ready_count() > self.length.messages
                || self.body_bytes.counted > self.length.bytes)
    }

    /// How many messages have to go at least.
    pub fn excess(&self) -> u64 {
        let messages = self.ready_count().saturating_sub(self.length.messages);
        messages.max(u64::from(self.body_bytes.counted > self.length.bytes))
    }

    /// Whether it refuses what is too much.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.length.refuses
    }

    /// How many messages it has room for; where bodies are counted, as if they had no length.
    pub fn room(&self) -> u64 {
        // Dead letters that wait for somewhere to go count: else they could grow without end.
        let there = self.ready_count() + self.waiting.dead_count();
        match self.body_bytes.counted < self.length.bytes {
            true => self.length.messages.saturating_sub(there),
            false => 0,
        }
    }

    /// How many of `count` messages of a batch, from `first` on, it does not refuse.
    pub fn fitting(&self, batch: &Batch, first: u32, count: u32) -> u32 {
        let most = u32::try_from(self.room()).unwrap_or(u32::MAX).min(count);
        if !self.length.counts_bytes() {
            return most;
        }
        let mut left = self.length.bytes.saturating_sub(self.body_bytes.counted);
        let fits = batch.body_lens(first, most).take_while(|len| {
            let fits = *len <= left;
            left = left.saturating_sub(*len);
            fits
        });
        fits.count() as u32
    }

    /// Begins to count, where it was not done and is to be now.
    pub(super) fn count_bytes(&mut self) {
        let counted = self.lines.iter().flat_map(|line| {
            let returned = line.returned.iter().filter_map(|piece| {
                let batch = piece.value.batch.as_ref()?;
                Some(body_bytes(batch, piece.value.index, piece.count))
            });
            let fresh = line.fresh.iter().chain(&line.tail);
            returned.chain(fresh.map(of_piece))
        });
        self.body_bytes = BodyBytes {
            counted: counted.sum(),
            uncounted: self.lines.iter().map(|line| line.away.count()).sum(),
        };
    }

    /// Messages are ready that were not, or not any more.
    #[inline]
    pub(super) fn count_bodies(&mut self, batch: &Batch, (index, count): (u32, u64), more: bool) {
        if !self.length.counts_bytes() {
            return;
        }
        let bytes = body_bytes(batch, index, count);
        let counted = &mut self.body_bytes.counted;
        *counted = match more {
            true => *counted + bytes,
            false => counted.saturating_sub(bytes),
        };
    }

    /// Messages that were away are in memory.
    pub(super) fn count_read(&mut self, pieces: &[Piece<Ready>]) {
        for piece in pieces {
            if self.body_bytes.uncounted == 0 || !self.length.counts_bytes() {
                return;
            }
            self.body_bytes.uncounted = self.body_bytes.uncounted.saturating_sub(piece.count);
            self.body_bytes.counted += of_piece(piece);
        }
    }

    /// Nothing is ready any more.
    pub(super) fn forget_bodies(&mut self) {
        self.body_bytes = BodyBytes::default();
    }
}

fn of_piece(piece: &Piece<Ready>) -> u64 {
    body_bytes(&piece.value.batch, piece.value.index, piece.count)
}

fn body_bytes(batch: &Batch, index: u32, count: u64) -> u64 {
    batch.body_lens(index, count as u32).sum()
}
