//! A queue's contents, as its shard sees them: ready, unacked, consumers. Synchronous; nobody else touches it.
//!
//! ```text
//!  enqueue ──> fresh ──┐                      ack, discard
//!                      ├── deal, get ──> unacked ──────────> gone
//!              returned┘                  │ requeue, release
//!                 ^───────────────────────┘
//! ```
//!
//! `fresh` messages are in memory; those behind them may be `away`, known only by their position in the log, and come back in order.
//!
//! Sequence numbers are given in order of arrival and rise. Everything in `returned` was handed out before everything in `fresh`, so its numbers
//! are lower and it is served first: a requeued message is back in its old place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_store::log::Position;
use rustc_hash::FxHashMap;

use crate::command::{Holder, Outcome};
use crate::queue::consumers::{ConsumerKey, Consumers};
use crate::queue_handle::QueueHandle;
use crate::runs::{Piece, RunValue, Runs};

pub mod consumers;
#[cfg(test)]
mod tests;

/// Consecutive messages of one batch in one queue.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where they are.
    pub batch: Arc<Batch>,
    /// The first one's index in the batch.
    pub index: u32,
}

impl RunValue for Ready {
    fn skip(&mut self, count: u64) {
        self.index += count as u32;
    }
}

/// Messages that are not in memory.
#[derive(Clone, Copy, Debug)]
struct Away {
    at: Position,
}

/// As [`Ready`], handed out.
#[derive(Clone, Debug)]
struct Unacked {
    ready: Ready,
    /// Whose credit they take; nobody's after `basic.get`.
    consumer: Option<ConsumerKey>,
}

impl RunValue for Unacked {
    fn skip(&mut self, count: u64) {
        self.ready.skip(count);
    }
}

/// Ready messages that were taken from the front.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The messages.
    pub piece: Piece<Ready>,
    /// Whether they were handed out before.
    pub redelivered: bool,
    /// The memory they stand for, in bytes.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    /// What everyone knows of it.
    pub handle: Arc<QueueHandle>,
    /// Who consumes from it.
    pub consumers: Consumers,
    fresh: VecDeque<Piece<Ready>>,
    away: VecDeque<Piece<Away>>,
    away_count: u64,
    /// Whether the first of `away` was asked for.
    pub reading: bool,
    /// Those who asked for a message while the next one was away.
    pub gets: VecDeque<(Holder, bool)>,
    returned: Runs<Ready>,
    unacked: FxHashMap<Holder, Runs<Unacked>>,
    next_seq: u64,
    fresh_count: u64,
    ready_bytes: usize,
    unacked_bytes: usize,
    unacked_count: u64,
    /// Whether it waits in its shard's list of queues to deal from.
    pub touched: bool,
    /// When it was last used, and when its shard will look whether it expires; kept only for queues that can.
    pub used_at: Option<Instant>,
    /// See `used_at`.
    pub expiry_due: Option<Instant>,
}

impl Queue {
    /// An empty queue.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        Self {
            handle,
            consumers: Consumers::default(),
            fresh: VecDeque::new(),
            away: VecDeque::new(),
            away_count: 0,
            reading: false,
            gets: VecDeque::new(),
            returned: Runs::default(),
            unacked: FxHashMap::default(),
            next_seq: 1,
            fresh_count: 0,
            ready_bytes: 0,
            unacked_bytes: 0,
            unacked_count: 0,
            touched: false,
            used_at: None,
            expiry_due: None,
        }
    }

    /// How many messages are ready.
    pub fn ready_count(&self) -> u64 {
        self.fresh_count + self.away_count + self.returned.count()
    }

    /// The memory that ready messages stand for, in bytes.
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// The memory that all messages stand for, ready and unacked, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.ready_bytes + self.unacked_bytes
    }

    /// How many messages are handed out and not settled.
    pub fn unacked_count(&self) -> u64 {
        self.unacked_count
    }

    /// The sequence number that the next message gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Adds `count` messages of a batch behind all others.
    pub fn enqueue(&mut self, batch: &Arc<Batch>, index: u32, count: u32) {
        let piece = Piece {
            first: self.next_seq,
            count: u64::from(count),
            value: Ready {
                batch: Arc::clone(batch),
                index,
            },
        };
        self.next_seq += piece.count;
        self.fresh_count += piece.count;
        self.ready_bytes += batch.size(index, count);
        self.fresh.push_back(piece);
    }

    /// Whether new messages have to go away: some are, or those in memory stand for more than `max` bytes.
    pub fn is_full(&self, max: usize) -> bool {
        !self.away.is_empty() || self.ready_bytes > max
    }

    /// Adds `count` messages behind all others that the log has and memory has not.
    pub fn enqueue_away(&mut self, at: Position, count: u32) {
        let piece = Piece {
            first: self.next_seq,
            count: u64::from(count),
            value: Away { at },
        };
        self.next_seq += piece.count;
        self.away_count += piece.count;
        self.away.push_back(piece);
    }

    /// The messages to ask for next: the first that are away, if there is room for them below `max` bytes and none were asked for.
    pub fn wanted(&self, max: usize) -> Option<Position> {
        let room = !self.reading && self.ready_bytes <= max / 2;
        self.away
            .front()
            .filter(|_| room)
            .map(|piece| piece.value.at)
    }

    /// The first messages that were away have come.
    pub fn arrived(&mut self, batch: Batch) {
        self.reading = false;
        let Some(Piece { first, count, .. }) = self.away.pop_front() else {
            return;
        };
        debug_assert_eq!(
            count,
            u64::from(batch.len()),
            "the log gives back what it was given"
        );
        self.away_count -= count;
        self.fresh_count += count;
        let value = Ready {
            batch: Arc::new(batch),
            index: 0,
        };
        self.ready_bytes += size(&value, count);
        self.fresh.push_back(Piece {
            first,
            count,
            value,
        });
    }

    /// The positions of all messages that are away.
    pub fn away(&self) -> impl Iterator<Item = Position> {
        self.away.iter().map(|piece| piece.value.at)
    }

    /// Whether messages are ready, but none of them in memory.
    pub fn is_next_away(&self) -> bool {
        self.first_run_len() == 0 && self.away_count > 0
    }

    /// How many messages the first run in memory has; 0 if none is ready there.
    pub fn first_run_len(&self) -> u64 {
        let first = self.returned.first().or_else(|| self.fresh.front());
        first.map_or(0, |piece| piece.count)
    }

    /// Takes up to `most` messages from the front, all of one run.
    pub fn take_ready(&mut self, most: u64) -> Option<Taken> {
        let (piece, redelivered) = match self.returned.pop_front(most) {
            Some(piece) => (piece, true),
            None => (self.pop_fresh(most)?, false),
        };
        let bytes = size(&piece.value, piece.count);
        self.ready_bytes -= bytes;
        Some(Taken {
            piece,
            redelivered,
            bytes,
        })
    }

    fn pop_fresh(&mut self, most: u64) -> Option<Piece<Ready>> {
        let front = self.fresh.front_mut()?;
        let count = front.count.min(most);
        self.fresh_count -= count;
        if count == front.count {
            return self.fresh.pop_front();
        }
        let piece = Piece {
            first: front.first,
            count,
            value: front.value.clone(),
        };
        front.first += count;
        front.count -= count;
        front.value.skip(count);
        Some(piece)
    }

    /// Notes that a channel holds messages that were taken.
    pub fn hold(&mut self, holder: Holder, piece: Piece<Ready>, consumer: Option<ConsumerKey>) {
        self.unacked_count += piece.count;
        self.unacked_bytes += size(&piece.value, piece.count);
        let value = Unacked {
            ready: piece.value,
            consumer,
        };
        let piece = Piece {
            first: piece.first,
            count: piece.count,
            value,
        };
        self.unacked.entry(holder).or_default().insert(piece);
    }

    /// Settles messages that a channel holds; numbers it does not hold are passed over (the queue may have been deleted and declared again).
    /// Credit goes back to the consumers. Calls `gone` for each run that is done with.
    pub fn settle(
        &mut self,
        holder: Holder,
        (first_seq, count): (u64, u64),
        outcome: Outcome,
        mut gone: impl FnMut(u64, u64),
    ) {
        let Some(held) = self.unacked.get_mut(&holder) else {
            return;
        };
        let consumers = &mut self.consumers;
        let (mut count_gone, mut bytes_gone) = (0, 0);
        let mut back = Vec::new();
        held.take(first_seq..=first_seq + count.saturating_sub(1), |piece| {
            count_gone += piece.count;
            bytes_gone += size(&piece.value.ready, piece.count);
            if let Some(key) = piece.value.consumer {
                consumers.give_back(key, piece.count);
            }
            match outcome {
                Outcome::Ack | Outcome::Discard => gone(piece.first, piece.count),
                Outcome::Requeue => back.push(piece),
            }
        });
        if held.is_empty() {
            self.unacked.remove(&holder);
        }
        self.unacked_count -= count_gone;
        self.unacked_bytes -= bytes_gone;
        back.into_iter().for_each(|piece| self.put_back(piece));
    }

    /// Everything that a channel holds is ready again.
    pub fn release(&mut self, holder: Holder) {
        let Some(mut held) = self.unacked.remove(&holder) else {
            return;
        };
        while let Some(piece) = held.pop_front(u64::MAX) {
            self.unacked_count -= piece.count;
            self.unacked_bytes -= size(&piece.value.ready, piece.count);
            if let Some(key) = piece.value.consumer {
                self.consumers.give_back(key, piece.count);
            }
            self.put_back(piece);
        }
    }

    fn put_back(&mut self, piece: Piece<Unacked>) {
        let Piece {
            first,
            count,
            value: Unacked { ready, .. },
        } = piece;
        self.ready_bytes += size(&ready, count);
        self.returned.insert(Piece {
            first,
            count,
            value: ready,
        });
    }

    /// Removes all ready messages; calls `gone` for each run. What is [`Queue::away`] has to be forgotten by the log first. Returns how many there were.
    pub fn purge(&mut self, mut gone: impl FnMut(u64, u64)) -> u64 {
        let count = self.ready_count();
        let returned = std::mem::take(&mut self.returned);
        let fresh = std::mem::take(&mut self.fresh);
        returned
            .iter()
            .chain(&fresh)
            .for_each(|piece| gone(piece.first, piece.count));
        self.away
            .drain(..)
            .for_each(|piece| gone(piece.first, piece.count));
        self.away_count = 0;
        self.reading = false;
        self.fresh_count = 0;
        self.ready_bytes = 0;
        count
    }
}

/// The memory that `count` messages stand for, in bytes.
fn size(ready: &Ready, count: u64) -> usize {
    ready.batch.size(ready.index, count as u32)
}
