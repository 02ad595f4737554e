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

use crate::arguments::{QueueSettings, QueueType};
use crate::command::Moving;
use crate::figures::DeliveryCounts;
use crate::ids::{ConnectionId, Holder};
use crate::queue::consumers::{Consumer, ConsumerKey, Consumers};
use crate::queue::groups::Groups;
use crate::queue::holders::Holders;
use crate::queue::keys::Keys;
use crate::queue::length::{BodyBytes, Length};
use crate::queue::lines::Lines;
use crate::queue::overdue::Tick;
use crate::queue::retry::Waiting;
use crate::queue_handle::QueueHandle;
use crate::reach::Reach;
use crate::runs::Piece;

mod away;
mod bodies;
pub mod consumers;
pub mod counts;
pub mod groups;
mod holders;
pub mod keys;
mod length;
mod lifetime;
mod line;
mod lines;
mod oldest;
pub mod overdue;
mod peek;
mod pieces;
mod purge;
mod reading;
mod relief;
mod retry;
mod returned;
mod settling;
#[cfg(test)]
mod tests;
mod uncounted;

pub use groups::Group;
pub use peek::{Look, Seen};
pub use pieces::{
    Held, Home, KEYS, Level, Place, Ranking, Ready, Taken, deliveries, failures, in_memory,
};
pub use reading::{Asking, Need};
pub use returned::Lifted;
pub use settling::Fate;
pub use uncounted::Count;

/// See the module.
///
/// What is looked at for each message comes first, so that a message for one queue of thousands brings few cache lines with it.
#[derive(Debug)]
#[repr(C)]
pub struct Queue {
    /// [`QueueHandle::id`].
    pub id: QueueId,
    /// [`QueueHandle::is_kept`].
    pub is_kept: bool,
    /// [`QueueHandle::syncs`].
    pub syncs: bool,
    /// How priorities are told apart.
    pub ranking: Ranking,
    /// Whether one of its messages may expire.
    pub expires: bool,
    /// Whether messages were handed out that could leave memory, since they were last looked for.
    handed_out: bool,
    /// Whether it waits in its shard's list of queues to deal from.
    pub touched: bool,
    /// Whether nothing is ready or waits. False says nothing: see [`Queue::look_whether_drained`].
    is_drained: bool,
    /// Whether it is in its shard's list of queues with messages in memory.
    pub is_resident: bool,
    next_seq: u64,
    /// When messages, consumers or a get were its last, in milliseconds since 1970; 0 where nothing was since the broker was started.
    pub used_ms: u64,
    unacked_count: u64,
    unacked_bytes: usize,
    /// How long it may get; see `shard/bury.rs`.
    length: Length,
    /// Where its messages are in groups.
    pub groups: Option<Box<Groups>>,
    /// Where it keeps duplicates out.
    pub keys: Option<Box<Keys>>,
    unacked: Holders,
    waiting: Waiting,
    /// Who consumes from it.
    pub consumers: Consumers,
    /// What became of those that left it.
    pub counts: DeliveryCounts,
    lines: Lines,
    body_bytes: BodyBytes,
    /// Messages below this one may have been delivered before the broker was started.
    redelivered_below: u64,
    /// How often its messages may fail.
    failures_max: u64,
    /// What everyone knows of it. What of that is asked for each message is above as well: the handle is far away.
    pub handle: Arc<QueueHandle>,
    /// What holds for it: its arguments and policies.
    pub settings: QueueSettings,
    reach: Reach,
    /// Those who asked for messages to be moved while the next one was away.
    pub moves: VecDeque<(ConnectionId, Moving)>,
    /// Those who asked for a message while the next one was away.
    pub gets: VecDeque<(Holder, bool)>,
    /// The sequence number of the first message that came since the broker was started.
    first_seq: u64,
    /// Whether it is in its shard's list of queues that may be full.
    pub is_watched: bool,
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
            ranking: Ranking::of(&settings),
            expires: settings.message_ttl.is_some(),
            length: Length::new(&settings.length),
            body_bytes: BodyBytes::default(),
            failures_max: settling::failures_max(&settings),
            consumers: consumers(&settings),
            groups: groups(&settings),
            keys: None,
            lines: Lines::new(Ranking::of(&settings)),
            settings,
            handle,
            reach: Reach::default(),
            gets: VecDeque::new(),
            moves: VecDeque::new(),
            unacked: Holders::default(),
            waiting: Waiting::default(),
            next_seq: 1,
            first_seq: 1,
            counts: DeliveryCounts::default(),
            redelivered_below: 0,
            unacked_bytes: 0,
            unacked_count: 0,
            handed_out: false,
            touched: false,
            is_drained: true,
            is_resident: false,
            is_watched: false,
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
        if let Some(groups) = &mut self.groups {
            groups.look_again();
        }
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

    /// Whether it is known that nothing is ready and nothing waits. **Cost**: one look at what is near anyway.
    #[inline]
    pub fn is_drained(&self) -> bool {
        debug_assert!(!self.is_drained || self.ready_count() + self.waiting_count() == 0);
        self.is_drained
    }

    /// To be called when it has been dealt from. Whether nothing is ready and nothing waits.
    #[inline]
    pub fn look_whether_drained(&mut self) -> bool {
        self.is_drained = self.ready_count() == 0 && self.waiting_count() == 0;
        self.is_drained
    }

    /// As [`Queue::held_bytes`]; where it `has_others`, which are not unacked, is known to the caller.
    #[inline]
    pub fn held_bytes_if(&self, has_others: bool) -> usize {
        match has_others {
            true => self.held_bytes(),
            false => {
                debug_assert_eq!(self.held_bytes(), self.unacked_bytes);
                self.unacked_bytes
            }
        }
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
        self.is_drained = false;
        self.count_bodies(batch, (index, u64::from(count)), true);
        let piece = self.next_piece(messages, place);
        self.lines.get_or_add(place.level).push(piece, room, log);
    }

    /// Messages of a batch that enter a queue without ready ones, and are taken at once.
    #[inline]
    pub fn pass(&mut self, messages: (&Arc<Batch>, u32, u32), place: Place) -> Taken {
        debug_assert_eq!(self.ready_count(), 0);
        let (batch, index, count) = messages;
        Taken {
            bytes: batch.size(index, count),
            piece: self.next_piece(messages, place),
            redelivered: false,
            acquired: 0,
        }
    }

    /// Whether messages are ready, but the next one is not in memory.
    #[inline]
    pub fn is_next_away(&self) -> bool {
        self.lines.count() > 0 && self.first_run_len() == 0
    }

    /// How many messages the first run in memory has; 0 if the next one is not there. Those that may expire each for itself count as runs of one.
    #[inline]
    pub fn first_run_len(&self) -> u64 {
        self.lines.first().first_run(self.redelivered_below).0
    }

    /// Whether messages are ready, but whoever takes the first one has to wait for it.
    #[inline]
    pub fn is_first_away(&self) -> bool {
        self.is_next_away() && self.first_aside().is_none()
    }

    /// Takes up to `most` messages from the front, all of the first run: those first that are set aside. None where the first ones are not in memory.
    #[inline]
    pub fn take_ready(&mut self, most: u64) -> Option<Taken> {
        match self.first_aside() {
            Some(seq) if most > 0 => self.take_aside(seq),
            _ => self.take_line(most),
        }
    }

    /// As [`Queue::take_ready`], of those that are not set aside.
    pub fn take_line(&mut self, most: u64) -> Option<Taken> {
        let line = self.lines.first_mut();
        let (run, redelivered) = line.first_run(self.redelivered_below);
        let most = most.min(run);
        if most == 0 {
            return None;
        }
        let acquired = line.first_acquired();
        let before = line.bytes;
        let piece = line.pop(most)?;
        let bytes = before - line.bytes;
        Some(self.taken(piece, (redelivered, acquired), bytes))
    }

    #[inline]
    fn taken(
        &mut self,
        piece: Piece<Ready>,
        (redelivered, acquired): (bool, u16),
        bytes: usize,
    ) -> Taken {
        let run = (piece.value.index, piece.count);
        self.count_bodies(&piece.value.batch, run, false);
        Taken {
            piece,
            redelivered,
            acquired,
            bytes,
        }
    }

    /// Notes that a channel holds messages that were taken.
    #[inline(always)] // What is held is then written once, where it stays.
    pub fn hold(
        &mut self,
        holder: Holder,
        taken: Taken,
        consumer: Option<ConsumerKey>,
        handed_at: Tick,
    ) {
        let Taken {
            piece,
            bytes,
            acquired,
            ..
        } = taken;
        self.unacked_count += piece.count;
        self.unacked_bytes += bytes;
        self.handed_out |= piece.value.home == Home::Log;
        let value = Held {
            acquired,
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

    /// Where the active consumer leaves and has settled everything, the next one is active.
    pub fn hand_over_activity(&mut self) {
        let Some(leaving) = self.consumers.leaving() else {
            return;
        };
        let held = self.unacked.get_mut(leaving.holder);
        let mut pieces = held.into_iter().flat_map(|held| held.iter());
        if !pieces.any(|piece| piece.value.consumer == Some(leaving.key)) {
            drop(pieces);
            self.consumers.hand_over();
        }
    }

    /// The first message that is not set aside, if it is in memory: its sequence number and its group.
    pub fn first_in_line(&self) -> Option<(u64, Option<Group>)> {
        let (seq, batch, index) = self.lines.first().first_place()?;
        let group = self.groups.as_ref()?.of(batch, index);
        Some((seq, group))
    }

    /// The first message that was handed out before and is not set aside.
    pub fn first_returned(&self) -> Option<u64> {
        let first = self.lines.first().returned.first();
        first.map(|piece| piece.first)
    }

    #[inline]
    fn first_aside(&self) -> Option<u64> {
        self.groups.as_ref()?.first_aside()
    }

    /// Takes a message that is set aside.
    pub fn take_aside(&mut self, seq: u64) -> Option<Taken> {
        let taken = self.groups.as_mut()?.take(seq)?;
        Some(self.leave_aside(taken))
    }

    fn leave_aside(&mut self, taken: Taken) -> Taken {
        let run = (taken.piece.value.index, taken.piece.count);
        self.count_bodies(&taken.piece.value.batch, run, false);
        taken
    }

    /// Whether no more messages may be set aside.
    pub fn groups_are_full(&self) -> bool {
        self.groups.as_ref().is_some_and(|groups| groups.is_full())
    }
}

fn consumers(settings: &QueueSettings) -> Consumers {
    let mut consumers = Consumers::new(settings.single_active_consumer);
    if settings.queue_type == QueueType::Quorum {
        consumers.yield_to_higher();
    }
    if settings.message_group.is_some() {
        consumers.note_woken();
    }
    consumers
}

fn groups(settings: &QueueSettings) -> Option<Box<Groups>> {
    let header = settings.message_group.as_deref()?;
    Some(Box::new(Groups::new(header)))
}
