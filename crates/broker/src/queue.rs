//! A queue's contents, as its shard sees them: ready, unacked, consumers. Synchronous; nobody else touches it.
//!
//! ```text
//!  enqueue ──> lines ── deal, get ──> unacked ── ack, discard ──> gone
//!                ^                      │
//!                └── requeue, release ──┘
//! ```
//!
//! What is ready stands in lines, one for each priority (`queue/line.rs`). What is unacked and in the log may have left memory.
//!
//! Sequence numbers are given in order of arrival, whatever the priority, and rise.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_store::log::{Log, QueueId};

use crate::arguments::QueueSettings;
use crate::command::{Holder, Moving};
use crate::link::ConnectionId;
use crate::queue::consumers::{Consumer, ConsumerKey, Consumers};
use crate::queue::counts::Counts;
use crate::queue::groups::Groups;
use crate::queue::holders::Holders;
use crate::queue::length::{BodyBytes, Length};
use crate::queue::lines::Lines;
use crate::queue::overdue::Tick;
use crate::queue::retry::Waiting;
use crate::queue_handle::QueueHandle;
use crate::runs::Piece;

mod away;
mod bodies;
pub mod consumers;
pub mod counts;
pub mod groups;
mod holders;
mod length;
mod lifetime;
mod line;
mod lines;
pub mod overdue;
mod pieces;
mod purge;
mod reading;
mod relief;
mod retry;
mod settling;
#[cfg(test)]
mod tests;

pub use groups::Group;
pub use pieces::{Held, Home, Level, Place, Ready, Taken, in_memory};
pub use reading::{Asking, Need, Reach, batch_of};
pub use settling::Fate;

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
    /// What holds for it: its arguments and policies.
    pub settings: QueueSettings,
    /// The highest priority that is told apart.
    pub max_level: Level,
    /// Whether one of its messages may expire.
    pub expires: bool,
    /// How long it may get; see `shard/bury.rs`.
    length: Length,
    body_bytes: BodyBytes,
    /// How often its messages may fail.
    failures_max: u64,
    /// Who consumes from it.
    pub consumers: Consumers,
    /// Those who asked for messages to be moved while the next one was away.
    pub moves: VecDeque<(ConnectionId, Moving)>,
    lines: Lines,
    reach: Reach,
    /// Those who asked for a message while the next one was away.
    pub gets: VecDeque<(Holder, bool)>,
    unacked: Holders,
    waiting: Waiting,
    /// Where its messages are in groups.
    pub groups: Option<Box<Groups>>,
    next_seq: u64,
    /// The sequence number of the first message that came since the broker was started.
    first_seq: u64,
    /// What became of those that left it.
    pub counts: Counts,
    /// Messages below this one may have been delivered before the broker was started.
    redelivered_below: u64,
    unacked_bytes: usize,
    unacked_count: u64,
    /// Whether messages were handed out that could leave memory, since they were last looked for.
    handed_out: bool,
    /// Whether it waits in its shard's list of queues to deal from.
    pub touched: bool,
    /// Whether it is in its shard's list of queues with messages in memory.
    pub is_resident: bool,
    /// When messages, consumers or a get were its last, in milliseconds since 1970; 0 where nothing was since the broker was started.
    pub used_ms: u64,
    /// When it was last used, and when its shard will look whether it expires; kept only for queues that can.
    pub used_at: Option<Instant>,
    /// See `used_at`.
    pub expiry_due: Option<Instant>,
    /// When its shard will look whether messages have waited for long enough.
    pub retry_due: Option<Instant>,
    /// When its shard will look whether its first message has expired.
    pub lifetime_due: Option<Instant>,
    /// When its shard will look for deliveries that are not settled in time; see `queue/overdue.rs`.
    pub overdue_look: Option<Instant>,
}

impl Queue {
    /// An empty queue.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        let settings = handle.governed();
        Self {
            id: handle.id,
            is_kept: handle.is_kept(),
            syncs: handle.syncs,
            max_level: Level(settings.max_priority.unwrap_or(0)),
            expires: settings.message_ttl.is_some(),
            length: Length::new(&settings.length),
            body_bytes: BodyBytes::default(),
            failures_max: settling::failures_max(&settings),
            consumers: Consumers::new(settings.single_active_consumer),
            groups: groups(&settings),
            settings,
            handle,
            lines: Lines::default(),
            reach: Reach::default(),
            gets: VecDeque::new(),
            moves: VecDeque::new(),
            unacked: Holders::default(),
            waiting: Waiting::default(),
            next_seq: 1,
            first_seq: 1,
            counts: Counts::default(),
            redelivered_below: 0,
            unacked_bytes: 0,
            unacked_count: 0,
            handed_out: false,
            touched: false,
            is_resident: false,
            used_ms: 0,
            used_at: None,
            expiry_due: None,
            lifetime_due: None,
            retry_due: None,
            overdue_look: None,
        }
    }

    /// Policies have changed.
    pub fn govern(&mut self, settings: QueueSettings) {
        self.expires |= settings.message_ttl.is_some();
        self.failures_max = settling::failures_max(&settings);
        let counted = self.length.counts_bytes();
        self.length = Length::new(&settings.length);
        if !counted && self.length.counts_bytes() {
            self.count_bytes();
        }
        self.settings = settings;
    }

    /// How many messages are ready.
    #[inline]
    pub fn ready_count(&self) -> u64 {
        let aside = self.groups.as_ref().map_or(0, |groups| groups.count());
        self.lines.count() + aside
    }

    /// The memory that ready messages stand for, in bytes.
    #[inline]
    pub fn ready_bytes(&self) -> usize {
        let aside = self.groups.as_ref().map_or(0, |groups| groups.bytes());
        self.lines.bytes() + aside
    }

    /// The memory that all messages stand for, ready, unacked and waiting, in bytes.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.ready_bytes() + self.unacked_bytes + self.waiting.bytes()
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
        self.lines.iter().any(|line| !line.away.is_empty())
    }

    /// The next messages, from now on with sequence numbers.
    #[inline]
    fn next_piece(&mut self, messages: (&Arc<Batch>, u32, u32), place: Place) -> Piece<Ready> {
        let (batch, index, count) = messages;
        let first = self.next_seq;
        self.next_seq += u64::from(count);
        self.expires |= batch.has_expiring();
        Piece {
            first,
            count: u64::from(count),
            value: Ready {
                batch: Arc::clone(batch),
                index,
                home: place.home,
                level: place.level,
                failed: 0,
            },
        }
    }

    /// Adds `count` messages of a batch behind all others of their priority: in memory where there is `room`.
    pub fn enqueue(
        &mut self,
        messages: (&Arc<Batch>, u32, u32),
        place: Place,
        room: bool,
        log: &mut dyn Log,
    ) {
        let (batch, index, count) = messages;
        self.count_bodies(batch, (index, u64::from(count)), true);
        let piece = self.next_piece(messages, place);
        self.lines.get_or_add(place.level).push(piece, room, log);
    }

    /// Messages of a batch that enter a queue without ready ones, and are taken at once.
    pub fn pass(&mut self, messages: (&Arc<Batch>, u32, u32), place: Place) -> Taken {
        debug_assert_eq!(self.ready_count(), 0);
        let (batch, index, count) = messages;
        Taken {
            bytes: batch.size(index, count),
            piece: self.next_piece(messages, place),
            redelivered: false,
        }
    }

    /// Whether messages are ready, but the next one is not in memory.
    pub fn is_next_away(&self) -> bool {
        self.lines.count() > 0 && self.first_run_len() == 0
    }

    /// How many messages the first run in memory has; 0 if the next one is not there. Those that may expire each for itself count as runs of one.
    #[inline]
    pub fn first_run_len(&self) -> u64 {
        self.lines.first().first_run(self.redelivered_below).0
    }

    /// Takes up to `most` messages from the front, all of the first run. None where the first ones are not in memory.
    pub fn take_ready(&mut self, most: u64) -> Option<Taken> {
        let line = self.lines.first_mut();
        let (run, redelivered) = line.first_run(self.redelivered_below);
        let most = most.min(run);
        if most == 0 {
            return None;
        }
        let before = line.bytes;
        let piece = line.pop(most)?;
        let bytes = before - line.bytes;
        Some(self.taken(piece, redelivered, bytes))
    }

    #[inline]
    fn taken(&mut self, piece: Piece<Ready>, redelivered: bool, bytes: usize) -> Taken {
        let run = (piece.value.index, piece.count);
        self.count_bodies(&piece.value.batch, run, false);
        Taken {
            piece,
            redelivered,
            bytes,
        }
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

    /// Messages that were taken stay: they are where they were, as if they had been handed out.
    pub fn stay(&mut self, piece: Piece<Ready>) {
        self.put_back(Piece {
            first: piece.first,
            count: piece.count,
            value: Held::from(piece.value),
        });
    }

    /// Ready messages from the front, as far as they are in memory, and whether they were handed out before.
    pub fn in_memory(&self) -> impl Iterator<Item = (Piece<Ready>, bool)> {
        let marked = self.redelivered_below;
        self.lines.iter().flat_map(move |line| {
            let returned = line.returned.iter();
            let returned = returned.map_while(|piece| in_memory(piece.clone()));
            let is_cut = line
                .returned
                .iter()
                .any(|piece| piece.value.batch.is_none());
            let fresh = line.fresh.iter().filter(move |_| !is_cut);
            let fresh = fresh.map(move |piece| (piece.clone(), piece.first < marked));
            returned.map(|piece| (piece, true)).chain(fresh)
        })
    }

    /// Whether the first message was handed out before.
    pub fn is_first_returned(&self) -> bool {
        self.lines.first().returned.first().is_some()
    }

    /// The group of a message that was taken.
    pub fn group_of(&self, taken: &Taken) -> Option<Group> {
        let Ready { batch, index, .. } = &taken.piece.value;
        self.groups.as_ref()?.of(batch, *index)
    }

    /// Whether no more messages may be set aside.
    pub fn groups_are_full(&self) -> bool {
        self.groups.as_ref().is_some_and(|groups| groups.is_full())
    }

    fn put_back(&mut self, piece: Piece<Held>) {
        if let Some(batch) = &piece.value.batch {
            self.count_bodies(batch, (piece.value.index, piece.count), true);
        }
        self.lines.get_or_add(piece.value.level).put_back(piece);
    }
}

fn groups(settings: &QueueSettings) -> Option<Box<Groups>> {
    let header = settings.message_group.as_deref()?;
    Some(Box::new(Groups::new(header)))
}
