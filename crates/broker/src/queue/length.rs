//! How long a queue may get: `x-max-length`, `x-max-length-bytes`, and what `x-overflow` says of a message too many
//! (<https://www.rabbitmq.com/docs/maxlength>). Only what is ready counts.
//!
//! Bytes are those of bodies, and are counted only where there is a limit to them. What is not in memory when that begins is counted once it has been
//! read: see `queue/uncounted.rs`.

use leveret_message::batch::Batch;

use crate::arguments::LengthLimit;
use crate::queue::Queue;
use crate::queue::away::{AwayPiece, unpack};
use crate::queue::line::Line;
use crate::queue::pieces::{Held, Home, Level, Ready};
use crate::queue::uncounted::Uncounted;
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
#[derive(Debug, Default)]
pub(super) struct BodyBytes {
    pub(super) counted: u64,
    pub(super) uncounted: Uncounted,
}

impl BodyBytes {
    /// With an estimate of those that are not counted.
    #[inline]
    fn estimated(&self) -> u64 {
        self.counted.saturating_add(self.uncounted.bytes())
    }
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
        match self.body_bytes.estimated() < self.length.bytes {
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
        let mut left = self
            .length
            .bytes
            .saturating_sub(self.body_bytes.estimated());
        let fits = batch.body_lens(first, most).take_while(|len| {
            let fits = *len <= left;
            left = left.saturating_sub(*len);
            fits
        });
        fits.count() as u32
    }

    /// Begins to count, where it was not done and is to be now.
    pub(super) fn count_bytes(&mut self) {
        let Self {
            lines, body_bytes, ..
        } = self;
        body_bytes.counted = 0;
        body_bytes.uncounted.clear();
        if !self.length.counts_bytes() {
            return;
        }
        for line in lines.iter() {
            for piece in line.returned.iter() {
                body_bytes.add_held(piece);
            }
            let here = line.fresh.iter().chain(&line.tail);
            body_bytes.counted += here.map(of_piece).sum::<u64>();
            body_bytes.add_away(line);
        }
        let aside = self.groups.iter().flat_map(|groups| groups.aside());
        body_bytes.counted += aside.map(|taken| of_piece(&taken.piece)).sum::<u64>();
    }

    /// Messages are ready that were handed out, and perhaps have left memory since.
    #[inline]
    pub(super) fn count_held(&mut self, piece: &Piece<Held>) {
        if self.length.counts_bytes() {
            self.body_bytes.add_held(piece);
        }
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

    /// Nothing is ready any more.
    pub(super) fn forget_bodies(&mut self) {
        self.body_bytes.counted = 0;
        self.body_bytes.uncounted.clear();
    }
}

impl BodyBytes {
    fn add_held(&mut self, piece: &Piece<Held>) {
        let (first, count, value) = (piece.first, piece.count, &piece.value);
        match &value.batch {
            Some(batch) => self.counted += body_bytes(batch, value.index, count),
            None => {
                let numbers = (first, first + (count - 1));
                let uncounted = &mut self.uncounted;
                uncounted.add(value.level, numbers, (count, 0), Home::Log);
            }
        }
    }

    fn add_away(&mut self, line: &Line) {
        let (level, count, size) = (line.level, line.away.count(), line.away.size());
        let about = |part: u64| {
            let bytes = u128::from(size) * u128::from(part);
            (
                part,
                bytes.checked_div(u128::from(count)).unwrap_or(0) as u64,
            )
        };
        for piece in line.away.iter() {
            match piece {
                AwayPiece::Logged { first, last, count } => {
                    let numbers = (*first, *last);
                    let uncounted = &mut self.uncounted;
                    uncounted.add(level, numbers, about(*count), Home::Log);
                }
                AwayPiece::Chunk(_, content) => {
                    for (run, _) in &content.runs {
                        let uncounted = &mut self.uncounted;
                        let numbers = (run.first_seq, run.last_seq());
                        uncounted.add(level, numbers, about(run.count), Home::Memory);
                    }
                }
                AwayPiece::Filling(content, records) => {
                    let pieces = unpack(content, Level::default(), records.clone());
                    self.counted += pieces.iter().map(of_piece).sum::<u64>();
                }
            }
        }
    }
}

fn of_piece(piece: &Piece<Ready>) -> u64 {
    body_bytes(&piece.value.batch, piece.value.index, piece.count)
}

fn body_bytes(batch: &Batch, index: u32, count: u64) -> u64 {
    batch.body_lens(index, count as u32).sum()
}
