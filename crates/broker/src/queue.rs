//! A queue's contents, as its shard sees them: ready, unacked, consumers. Synchronous; nobody else touches it.
//!
//! ```text
//!  enqueue ──> fresh ──────────────┐                      ack, discard
//!      └──> away ──> fresh         ├── deal, get ──> unacked ──────────> gone
//!                         returned ┘                  │ requeue, release
//!                            ^────────────────────────┘
//! ```
//!
//! `fresh` messages are in memory; those behind them may be `away` (`queue/away.rs`) and come back in order (`queue/reading.rs`). When little
//! is away, those behind that are kept in memory again, as the `tail`. What is returned or unacked and in the log may have left memory too.
//!
//! Sequence numbers are given in order of arrival and rise. Everything in `returned` was handed out before everything in `fresh`, so its numbers
//! are lower and it is served first: a requeued message is back in its old place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_store::log::{Log, QueueId};
use smallvec::SmallVec;

use crate::command::{Holder, Outcome};
use crate::queue::away::Away;
use crate::queue::consumers::{Consumer, ConsumerKey, Consumers};
use crate::queue::counts::Counts;
use crate::queue::holders::Holders;
use crate::queue::overdue::Tick;
use crate::queue::reading::Reading;
use crate::queue_handle::QueueHandle;
use crate::runs::{Piece, RunValue, Runs};

mod away;
pub mod consumers;
pub mod counts;
mod dying;
mod holders;
pub mod overdue;
mod purge;
mod reading;
mod relief;
#[cfg(test)]
mod tests;

pub use reading::Asking;

/// When fewer messages than this are away, new ones are kept in memory behind them, so that a queue that is caught up with stays so.
const TAIL_AWAY_MAX: u64 = 16 * 1024;

/// How many bytes are kept so.
const TAIL_BYTES: usize = 2 << 20;

/// Where a message is when it is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Nowhere.
    Memory,
    /// In the log.
    Log,
}

/// Consecutive messages of one batch in one queue, in memory.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where they are.
    pub batch: Arc<Batch>,
    /// The first one's index in the batch.
    pub index: u32,
    /// Where else they are.
    pub home: Home,
}

impl RunValue for Ready {
    fn skip(&mut self, count: u64) {
        self.index += count as u32;
    }
}

/// As [`Ready`], once handed out; perhaps not in memory any more.
#[derive(Clone, Debug)]
struct Held {
    /// None where they are only in the log.
    batch: Option<Arc<Batch>>,
    index: u32,
    home: Home,
    /// Whose credit they take; nobody's after `basic.get`, and once they were returned.
    consumer: Option<ConsumerKey>,
    /// When they were handed out, as the shard counts time.
    handed_at: Tick,
}

impl RunValue for Held {
    fn skip(&mut self, count: u64) {
        self.index += count as u32;
    }
}

impl From<Ready> for Held {
    fn from(Ready { batch, index, home }: Ready) -> Self {
        Self {
            batch: Some(batch),
            index,
            home,
            consumer: None,
            handed_at: Tick(0),
        }
    }
}

impl Held {
    fn size(&self, count: u64) -> usize {
        let batch = self.batch.as_ref();
        batch.map_or(0, |batch| batch.size(self.index, count as u32))
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
    /// What everyone knows of it. What of that is asked for each message is here as well: the handle is far away.
    pub handle: Arc<QueueHandle>,
    /// [`QueueHandle::id`].
    pub id: QueueId,
    /// [`QueueHandle::is_kept`].
    pub is_kept: bool,
    /// [`QueueHandle::syncs`].
    pub syncs: bool,
    /// How many ready messages it keeps, the oldest going first; see `shard/bury.rs`.
    max_ready: u64,
    /// Who consumes from it.
    pub consumers: Consumers,
    fresh: VecDeque<Piece<Ready>>,
    fresh_count: u64,
    away: Away,
    tail: VecDeque<Piece<Ready>>,
    tail_count: u64,
    tail_bytes: usize,
    reading: Reading,
    /// Those who asked for a message while the next one was away.
    pub gets: VecDeque<(Holder, bool)>,
    returned: Runs<Held>,
    unacked: Holders,
    next_seq: u64,
    /// The sequence number of the first message that came since the broker was started.
    first_seq: u64,
    /// What became of those that left it.
    pub counts: Counts,
    /// Messages below this one may have been delivered before the broker was started.
    redelivered_below: u64,
    ready_bytes: usize,
    unacked_bytes: usize,
    unacked_count: u64,
    /// Whether messages were handed out that could leave memory, since they were last looked for.
    handed_out: bool,
    /// Whether it waits in its shard's list of queues to deal from.
    pub touched: bool,
    /// Whether it is in its shard's list of queues with messages in memory.
    pub is_resident: bool,
    /// When it was last used, and when its shard will look whether it expires; kept only for queues that can.
    pub used_at: Option<Instant>,
    /// See `used_at`.
    pub expiry_due: Option<Instant>,
    /// When its shard will look for deliveries that are not settled in time; see `queue/overdue.rs`.
    pub overdue_look: Option<Instant>,
}

impl Queue {
    /// An empty queue.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        Self {
            id: handle.id,
            is_kept: handle.is_kept(),
            syncs: handle.syncs,
            max_ready: dying::max_ready(&handle.settings.length),
            consumers: Consumers::new(handle.settings.single_active_consumer),
            handle,
            fresh: VecDeque::new(),
            fresh_count: 0,
            away: Away::default(),
            tail: VecDeque::new(),
            tail_count: 0,
            tail_bytes: 0,
            reading: Reading::default(),
            gets: VecDeque::new(),
            returned: Runs::default(),
            unacked: Holders::default(),
            next_seq: 1,
            first_seq: 1,
            counts: Counts::default(),
            redelivered_below: 0,
            ready_bytes: 0,
            unacked_bytes: 0,
            unacked_count: 0,
            handed_out: false,
            touched: false,
            is_resident: false,
            used_at: None,
            expiry_due: None,
            overdue_look: None,
        }
    }

    /// How many messages are ready.
    pub fn ready_count(&self) -> u64 {
        self.fresh_count + self.away.count() + self.tail_count + self.returned.count()
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

    /// Whether some messages are not in memory.
    pub fn has_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Adds `count` messages of a batch behind all others: in memory where there is `room`.
    pub fn enqueue(
        &mut self,
        (batch, index, count): (&Arc<Batch>, u32, u32),
        home: Home,
        room: bool,
        log: &mut dyn Log,
    ) {
        let value = Ready {
            batch: Arc::clone(batch),
            index,
            home,
        };
        let piece = Piece {
            first: self.next_seq,
            count: u64::from(count),
            value,
        };
        self.next_seq += piece.count;
        let bytes = size(&piece);
        if room && self.away.is_empty() {
            self.fresh_count += piece.count;
            self.ready_bytes += bytes;
            self.fresh.push_back(piece);
        } else if room && self.away.count() <= TAIL_AWAY_MAX && self.tail_bytes < TAIL_BYTES {
            self.tail_count += piece.count;
            self.tail_bytes += bytes;
            self.ready_bytes += bytes;
            self.tail.push_back(piece);
        } else {
            self.send_tail_away(log);
            self.send_away(&piece, log);
        }
    }

    /// Messages of a batch that enter a queue without ready ones, and are taken at once.
    pub fn pass(&mut self, (batch, index, count): (&Arc<Batch>, u32, u32), home: Home) -> Taken {
        debug_assert_eq!(self.ready_count(), 0);
        let first = self.next_seq;
        self.next_seq += u64::from(count);
        let value = Ready {
            batch: Arc::clone(batch),
            index,
            home,
        };
        Taken {
            bytes: batch.size(index, count),
            piece: Piece {
                first,
                count: u64::from(count),
                value,
            },
            redelivered: false,
        }
    }

    /// Whether messages are ready, but none of them in memory.
    pub fn is_next_away(&self) -> bool {
        self.first_run_len() == 0 && self.ready_count() > 0
    }

    /// How many messages the first run in memory has; 0 if none is ready there.
    pub fn first_run_len(&self) -> u64 {
        match self.returned.first() {
            Some(piece) if piece.value.batch.is_some() => piece.count,
            Some(_) => 0,
            None => self
                .fresh
                .front()
                .map_or(0, |piece| self.marked_alike(piece)),
        }
    }

    /// How many messages of a run that was never handed out here, from its first one on, are all marked as redelivered or all not.
    fn marked_alike(&self, piece: &Piece<Ready>) -> u64 {
        match self.redelivered_below.checked_sub(piece.first) {
            None | Some(0) => piece.count,
            Some(marked) => piece.count.min(marked),
        }
    }

    /// Takes up to `most` messages from the front, all of the first run. None where the first ones are not in memory.
    pub fn take_ready(&mut self, most: u64) -> Option<Taken> {
        let most = most.min(self.first_run_len());
        if most == 0 {
            return None;
        }
        let (piece, redelivered) = match self.returned.pop_front(most) {
            Some(piece) => (in_memory(piece)?, true),
            None => {
                let piece = self.pop_fresh(most)?;
                let redelivered = piece.first < self.redelivered_below;
                (piece, redelivered)
            }
        };
        let bytes = size(&piece);
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
    pub fn hold(
        &mut self,
        holder: Holder,
        taken: Taken,
        consumer: Option<ConsumerKey>,
        handed_at: Tick,
    ) {
        let Taken { piece, bytes, .. } = taken;
        self.unacked_count += piece.count;
        self.unacked_bytes += bytes;
        self.handed_out |= piece.value.home == Home::Log;
        let value = Held {
            consumer,
            handed_at,
            ..Held::from(piece.value)
        };
        let piece = Piece {
            first: piece.first,
            count: piece.count,
            value,
        };
        self.unacked.get_or_add(holder).insert(piece);
    }

    /// Settles messages that a channel holds; numbers it does not hold are passed over (the queue may have been deleted and declared again).
    /// Credit goes back to the consumers. Calls `gone` for each run that is done with and is in the log.
    pub fn settle(
        &mut self,
        holder: Holder,
        run: (u64, u64),
        outcome: Outcome,
        mut gone: impl FnMut(u64, u64),
    ) {
        let mut back = SmallVec::<[Piece<Held>; 1]>::new();
        let settled = self.take_held(holder, run, |piece| match outcome {
            Outcome::Ack | Outcome::Discard => {
                if piece.value.home == Home::Log {
                    gone(piece.first, piece.count);
                }
            }
            Outcome::Requeue => back.push(piece),
        });
        if outcome == Outcome::Ack {
            self.counts.note_acked(settled);
        }
        back.into_iter().for_each(|piece| self.put_back(piece));
    }

    /// Takes what a channel holds of a run from it, and gives credit back. Returns how many messages these were.
    #[inline]
    fn take_held(
        &mut self,
        holder: Holder,
        (first_seq, count): (u64, u64),
        mut taken: impl FnMut(Piece<Held>),
    ) -> u64 {
        let Some(held) = self.unacked.get_mut(holder) else {
            return 0;
        };
        let consumers = &mut self.consumers;
        let (mut count_gone, mut bytes_gone) = (0, 0);
        held.take(first_seq..=first_seq + count.saturating_sub(1), |piece| {
            count_gone += piece.count;
            bytes_gone += piece.value.size(piece.count);
            if let Some(key) = piece.value.consumer {
                consumers.give_back(key, piece.count);
            }
            taken(piece);
        });
        self.unacked_count -= count_gone;
        self.unacked_bytes -= bytes_gone;
        count_gone
    }

    /// Changes how many unacked messages consumers take at most; 0 is no limit. **Cost**: by the pieces that their channels hold.
    pub fn set_prefetch(&mut self, of: impl Fn(&Consumer) -> bool, prefetch: u16) {
        let unacked = &mut self.unacked;
        self.consumers.set_prefetch(of, prefetch, |consumer| {
            let held = unacked.get_mut(consumer.holder);
            let pieces = held.into_iter().flat_map(|held| held.iter());
            pieces
                .filter(|piece| piece.value.consumer == Some(consumer.key))
                .map(|piece| piece.count)
                .sum()
        });
    }

    /// Everything that a channel holds is ready again.
    pub fn release(&mut self, holder: Holder) {
        let Some(mut held) = self.unacked.remove(holder) else {
            return;
        };
        while let Some(piece) = held.pop_front(u64::MAX) {
            self.unacked_count -= piece.count;
            self.unacked_bytes -= piece.value.size(piece.count);
            if let Some(key) = piece.value.consumer {
                self.consumers.give_back(key, piece.count);
            }
            self.put_back(piece);
        }
    }

    fn put_back(&mut self, mut piece: Piece<Held>) {
        piece.value.consumer = None;
        self.ready_bytes += piece.value.size(piece.count);
        self.returned.insert(piece);
    }
}

fn in_memory(piece: Piece<Held>) -> Option<Piece<Ready>> {
    let Held {
        batch, index, home, ..
    } = piece.value;
    Some(Piece {
        first: piece.first,
        count: piece.count,
        value: Ready {
            batch: batch?,
            index,
            home,
        },
    })
}

/// The memory that messages stand for, in bytes.
fn size(piece: &Piece<Ready>) -> usize {
    piece
        .value
        .batch
        .size(piece.value.index, piece.count as u32)
}
