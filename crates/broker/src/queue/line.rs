//! The ready messages of one priority of a queue, in their order. A queue without priorities has one line.
//!
//! ```text
//!  push ──> fresh ──────────────┐
//!      └──> away ──> fresh      ├── pop
//!                      returned ┘
//!                         ^── put_back
//! ```
//!
//! `fresh` messages are in memory; those behind them may be `away` (`queue/away.rs`) and come back in order (`queue/reading.rs`). When little
//! is away, those behind that are kept in memory again, as the `tail`. What was returned and is in the log may have left memory too.
//!
//! Everything in `returned` was handed out before everything in `fresh`, so its numbers are lower and it is served first: a requeued message
//! is back in its old place. In a quorum queue `returned` is a line of its own: see `queue/returned.rs`.

use std::collections::VecDeque;

use leveret_message::batch::Batch;
use leveret_store::log::Log;

use crate::queue::away::Away;
use crate::queue::lifetime::Seen;
use crate::queue::pieces::{Held, Level, Ready, in_memory, size};
use crate::queue::reading::Asked;
use crate::queue::returned::Returned;
use crate::runs::{Piece, split_front};

/// When fewer messages than this are away, new ones are kept in memory behind them, so that a queue that is caught up with stays so.
const TAIL_AWAY_MAX: u64 = 16 * 1024;

/// How many bytes are kept so.
const TAIL_BYTES: usize = 2 << 20;

/// See the module. Counts come first, as in [`Queue`](crate::queue::Queue).
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Line {
    pub(super) fresh_count: u64,
    pub(super) tail_count: u64,
    /// The memory that all of it stands for, in bytes.
    pub(super) bytes: usize,
    pub(super) away: Away,
    pub(super) returned: Returned,
    pub(super) fresh: VecDeque<Piece<Ready>>,
    pub(super) tail: VecDeque<Piece<Ready>>,
    pub(super) tail_bytes: usize,
    pub(super) level: Level,
    /// What was asked for.
    pub(super) asked: Asked,
    /// The first message, when it was last seen.
    pub(super) seen: Seen,
}

impl Line {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            returned: Returned::of(level),
            ..Self::default()
        }
    }

    /// How many messages.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.fresh_count + self.away.count() + self.tail_count + self.returned.count()
    }

    /// Adds messages behind all others: in memory where there is `room`.
    pub(super) fn push(&mut self, piece: Piece<Ready>, room: bool, log: &mut dyn Log) {
        let bytes = size(&piece);
        if room && self.away.is_empty() {
            self.fresh_count += piece.count;
            self.bytes += bytes;
            self.fresh.push_back(piece);
        } else if room && self.away.count() <= TAIL_AWAY_MAX && self.tail_bytes < TAIL_BYTES {
            self.tail_count += piece.count;
            self.tail_bytes += bytes;
            self.bytes += bytes;
            self.tail.push_back(piece);
        } else {
            self.send_tail_away(log);
            self.send_away(&piece, log);
        }
    }

    /// How many messages the first run in memory has, and whether they were handed out before; 0 if the first message is not in memory. Where each may
    /// expire for itself, it has one. What is `marked` comes before that number.
    #[inline]
    pub(super) fn first_run(&self, marked: u64) -> (u64, bool) {
        match self.returned.first() {
            Some(piece) => {
                let batch = piece.value.batch.as_ref();
                (batch.map_or(0, |batch| alike(batch, piece.count)), true)
            }
            None => self
                .fresh
                .front()
                .map_or((0, false), |piece| marked_alike(piece, marked)),
        }
    }

    /// How often the messages of the first run came back, where that is counted.
    #[inline]
    pub(super) fn first_acquired(&self) -> u16 {
        self.returned
            .first()
            .map_or(0, |piece| piece.value.acquired)
    }

    /// Takes up to `most` messages from the front, all of the first run. None where the first ones are not in memory.
    #[inline]
    pub(super) fn pop(&mut self, most: u64) -> Option<Piece<Ready>> {
        let piece = match self.returned.pop_front(most) {
            Some(piece) => in_memory(piece)?,
            None => self.pop_fresh(most)?,
        };
        self.bytes -= size(&piece);
        Some(piece)
    }

    fn pop_fresh(&mut self, most: u64) -> Option<Piece<Ready>> {
        let front = self.fresh.front_mut()?;
        let count = front.count.min(most);
        self.fresh_count -= count;
        if count == front.count {
            return self.fresh.pop_front();
        }
        Some(split_front(front, count))
    }

    /// Messages that were handed out are back.
    pub(super) fn put_back(&mut self, mut piece: Piece<Held>) {
        piece.value.consumer = None;
        self.bytes += piece.value.size(piece.count);
        self.returned.insert(piece);
    }

    /// Takes up to `most` messages that were returned, whether they are in memory or not.
    pub(super) fn lift(&mut self, most: u64) -> Vec<Piece<Held>> {
        let (mut lifted, mut left) = (Vec::new(), most);
        while left > 0
            && let Some(piece) = self.returned.pop_front(left)
        {
            left -= piece.count;
            self.bytes -= piece.value.size(piece.count);
            lifted.push(piece);
        }
        lifted
    }

    /// Messages that were taken are there again, as [`Returned::put_there`] says.
    pub(super) fn put_there(&mut self, place: usize, pieces: Vec<Piece<Held>>) {
        let size = |piece: &Piece<Held>| piece.value.size(piece.count);
        self.bytes += pieces.iter().map(size).sum::<usize>();
        self.returned.put_there(place, pieces);
    }
}

/// How many messages of a run that was never handed out here, from its first one on, are all marked as redelivered or all not; and which.
fn marked_alike(piece: &Piece<Ready>, marked: u64) -> (u64, bool) {
    let count = alike(&piece.value.batch, piece.count);
    match marked.checked_sub(piece.first) {
        None | Some(0) => (count, false),
        Some(marked) => (count.min(marked), true),
    }
}

fn alike(batch: &Batch, count: u64) -> u64 {
    if batch.has_expiring() { 1 } else { count }
}
