//! How long messages may stay: as `x-message-ttl` or a policy says, and as the message itself says with its `expiration`; the shorter time counts.
//! <https://www.rabbitmq.com/docs/ttl>.
//!
//! Only the first ready message of each priority is looked at, as in RabbitMQ: what expires behind it goes when it has become the first. Nothing is
//! kept for a message: its batch knows when it arrived, and its properties have the rest. Of a first message that has left memory again it is
//! remembered.

use std::sync::Arc;

use leveret_message::batch::Batch;

use crate::queue::Queue;
use crate::queue::away::AwayPiece;
use crate::queue::groups::Group;
use crate::queue::line::Line;
use crate::queue::pieces::Taken;
use crate::queue::reading::Need;

/// When the first ready message expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// Never, or there is none.
    Never,
    /// Then, in milliseconds since 1970.
    At(u64),
    /// It has to be read back to be known.
    Unknown,
}

/// What was seen of the message that was the first ready one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    seq: u64,
    arrived_ms: u64,
    expiration_ms: Option<u64>,
}

impl Seen {
    fn of(seq: u64, batch: &Batch, index: u32) -> Self {
        Self {
            seq,
            arrived_ms: batch.arrivals().of(index),
            expiration_ms: batch.expiration_ms(index),
        }
    }

    fn deadline(&self, ttl_ms: Option<u64>) -> Deadline {
        let lives_ms = ttl_ms.into_iter().chain(self.expiration_ms).min();
        lives_ms.map_or(Deadline::Never, |lives_ms| {
            Deadline::At(self.arrived_ms.saturating_add(lives_ms))
        })
    }

    fn has_expired(&self, ttl_ms: Option<u64>, now_ms: u64) -> bool {
        matches!(self.deadline(ttl_ms), Deadline::At(ms) if ms <= now_ms)
    }
}

impl Queue {
    fn ttl_ms(&self) -> Option<u64> {
        let ttl = self.settings.message_ttl;
        ttl.map(|ttl| ttl.as_millis() as u64)
    }

    /// When the first message that will expires, and why messages should be read back though nobody takes any, if they should.
    pub fn next_deadline(&mut self, now_ms: u64) -> (Option<u64>, Option<Need>) {
        if !self.expires {
            return (None, None);
        }
        let ttl_ms = self.ttl_ms();
        if self.ready_count() + self.unacked_count + self.waiting_count() == 0 {
            self.expires = ttl_ms.is_some();
        }
        let (mut next, mut need) = (None, None);
        for line in self.lines.iter_mut() {
            let (deadline, in_memory) = line.first_deadline(ttl_ms);
            match deadline {
                Deadline::Never => {}
                Deadline::Unknown => need = need.or(Some(Need::Look)),
                Deadline::At(ms) if ms <= now_ms && !in_memory => need = Some(Need::LetGo),
                Deadline::At(ms) => next = Some(next.map_or(ms, |next: u64| next.min(ms))),
            }
        }
        let aside = self.groups.as_ref().and_then(|groups| groups.due_ms());
        let next = next.into_iter().chain(aside).min();
        (next, need)
    }

    /// When a message that was taken expires, in milliseconds since 1970; never is the highest number.
    fn deadline_of(ttl_ms: Option<u64>, taken: &Taken) -> u64 {
        let piece = &taken.piece;
        let seen = Seen::of(piece.first, &piece.value.batch, piece.value.index);
        match seen.deadline(ttl_ms) {
            Deadline::At(ms) => ms,
            Deadline::Never | Deadline::Unknown => u64::MAX,
        }
    }

    /// Sets a message aside that cannot be handed out now; see `queue/groups.rs`.
    pub fn set_aside(&mut self, group: Option<Group>, taken: Taken) {
        let ttl_ms = self.ttl_ms();
        let expires_ms = match self.expires {
            true => Self::deadline_of(ttl_ms, &taken),
            false => u64::MAX,
        };
        let run = (taken.piece.value.index, taken.piece.count);
        self.count_bodies(&taken.piece.value.batch, run, true);
        if let Some(groups) = &mut self.groups {
            groups.set_aside(group, taken, expires_ms);
        }
    }

    /// The oldest message that has expired though it is aside: wherever it is in its group.
    fn take_expired_aside(&mut self, now_ms: u64) -> Option<Taken> {
        let ttl_ms = self.ttl_ms();
        let deadline = |taken: &Taken| Self::deadline_of(ttl_ms, taken);
        let taken = self.groups.as_mut()?.take_expired(now_ms, deadline)?;
        Some(self.leave_aside(taken))
    }

    /// Takes messages that have expired from the front of a priority, at most `most`; `new_too` where also those of which the time is over just
    /// now and that were never handed out.
    pub fn take_expired(&mut self, now_ms: u64, new_too: bool, most: u64) -> Option<Taken> {
        if let Some(taken) = self.take_expired_aside(now_ms) {
            return Some(taken);
        }
        let ttl_ms = self.ttl_ms();
        let marked = self.redelivered_below;
        let (piece, redelivered, bytes) = self.lines.iter_mut().find_map(|line| {
            let (run, redelivered) = line.first_run(marked);
            let is_new = line.returned.first().is_none();
            let at_ms = now_ms.saturating_sub(u64::from(is_new && !new_too));
            let count = line.count_expired(ttl_ms, at_ms, run.min(most));
            if count == 0 {
                return None;
            }
            let before = line.bytes;
            let piece = line.pop(count)?;
            Some((piece, redelivered, before - line.bytes))
        })?;
        Some(self.taken(piece, (redelivered, 0), bytes))
    }

    /// Whether the message that is served first has expired.
    pub fn is_first_expired(&mut self, now_ms: u64) -> bool {
        let groups = self.groups.as_ref();
        if groups.is_some_and(|groups| groups.may_have_expired(now_ms)) {
            return true;
        }
        let ttl_ms = self.ttl_ms();
        let line = self.lines.first_mut();
        let at_ms = now_ms.saturating_sub(u64::from(line.returned.first().is_none()));
        line.count_expired(ttl_ms, at_ms, 1) > 0
    }
}

impl Line {
    /// When the first message expires, and whether it is in memory.
    fn first_deadline(&mut self, ttl_ms: Option<u64>) -> (Deadline, bool) {
        let place = self
            .first_place()
            .map(|(seq, batch, index)| Seen::of(seq, batch, index));
        if let Some(seen) = place {
            self.seen = seen;
            return (seen.deadline(ttl_ms), true);
        }
        let returned = self.returned.first().map(|piece| piece.first);
        match returned.or_else(|| self.away.front().map(AwayPiece::first_seq)) {
            None => (Deadline::Never, true),
            Some(seq) if seq == self.seen.seq => (self.seen.deadline(ttl_ms), false),
            Some(_) => (Deadline::Unknown, false),
        }
    }

    /// The first message: its sequence number and where in memory it is. None where it is not.
    pub(super) fn first_place(&self) -> Option<(u64, &Arc<Batch>, u32)> {
        if let Some(piece) = self.returned.first() {
            let batch = piece.value.batch.as_ref()?;
            return Some((piece.first, batch, piece.value.index));
        }
        let piece = self.fresh.front()?;
        Some((piece.first, &piece.value.batch, piece.value.index))
    }

    /// How many of the first `most` messages, all of the first run in memory, have expired one behind the other.
    fn count_expired(&self, ttl_ms: Option<u64>, now_ms: u64, most: u64) -> u64 {
        let Some((seq, batch, index)) = self.first_place() else {
            return 0;
        };
        let end = index + most as u32;
        let mut at = index;
        while at < end && Seen::of(seq, batch, at).has_expired(ttl_ms, now_ms) {
            at = match batch.has_expiring() {
                true => at + 1,
                false => batch.arrivals().change_after(at).unwrap_or(end).min(end),
            };
        }
        u64::from(at - index)
    }
}
