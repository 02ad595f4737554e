//! What becomes of messages that were handed out: they are gone, ready again, or dead.
//!
//! A message that comes back because its consumer failed with it is counted (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>):
//! `basic.reject` with requeue, and the end of a channel that held it. `basic.nack` with requeue and `basic.recover` give back what nobody failed with.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use smallvec::SmallVec;

use crate::arguments::{DeliveryLimit, QueueArguments, QueueType};
use crate::command::Outcome;
use crate::dead_letter::Reason;
use crate::ids::Holder;
use crate::queue::Queue;
use crate::queue::consumers::Consumers;
use crate::queue::groups::Groups;
use crate::queue::pieces::{Held, Home, Level};
use crate::runs::Piece;

/// `x-delivery-limit` of quorum queues that have none.
const QUORUM_DELIVERY_LIMIT: u64 = 20;

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are gone.
    Gone,
    /// They leave their queue for its dead letter exchange. They are in memory.
    Dead(Reason),
    /// They are in the queue as before, with one failure more, which is to be remembered.
    Failed,
    /// They are in the queue, and ready again only at a time in milliseconds since 1970, which is to be remembered with their failures.
    Waits(u64),
}

/// How often messages of a queue may fail.
pub(super) fn failures_max(settings: &QueueArguments) -> u64 {
    match settings.delivery_limit {
        Some(DeliveryLimit::Times(times)) => times,
        Some(DeliveryLimit::Unlimited) => u64::MAX,
        None if settings.queue_type == QueueType::Quorum => QUORUM_DELIVERY_LIMIT,
        None => u64::MAX,
    }
}

impl Queue {
    /// Whether what dies here goes to a dead letter exchange.
    pub fn has_dead_letters(&self) -> bool {
        self.settings.dead_letter.exchange.is_some()
    }

    /// Messages that a channel holds are done with; numbers it does not hold are passed over (the queue may have been deleted and declared again).
    /// Credit goes back to the consumers. Calls `gone` for each run that is in the log. Returns the memory that they stood for, in bytes.
    #[inline]
    pub fn ack(
        &mut self,
        holder: Holder,
        run: (u64, u64),
        mut gone: impl FnMut(Level, u64, u64),
    ) -> usize {
        let Some(held) = self.unacked.get_mut(holder) else {
            return 0;
        };
        let (consumers, groups) = (&mut self.consumers, &mut self.groups);
        let keys = &mut self.keys;
        let (mut count_gone, mut bytes_gone) = (0, 0);
        held.remove(numbers(run), |piece| {
            count_gone += piece.count;
            bytes_gone += piece.value.size(piece.count);
            note_back(piece, consumers, groups);
            if let Some(keys) = keys {
                keys.forget(piece.first, piece.count);
            }
            if piece.value.home == Home::Log {
                gone(piece.value.level, piece.first, piece.count);
            }
        });
        self.unacked_count -= count_gone;
        self.unacked_bytes -= bytes_gone;
        self.counts.note_acked(count_gone);
        bytes_gone
    }

    /// As [`Queue::ack`] for whatever becomes of messages. Calls `each` with what is to be told of them.
    pub fn settle(
        &mut self,
        holder: Holder,
        run: (u64, u64),
        outcome: Outcome,
        now_ms: u64,
        mut each: impl FnMut(Fate, &Piece<Held>),
    ) {
        let mut back = SmallVec::<[Piece<Held>; 1]>::new();
        let has_dead_letters = self.has_dead_letters();
        let leaves = match outcome {
            Outcome::Ack => true,
            Outcome::Discard => !has_dead_letters,
            Outcome::Return | Outcome::Fail => false,
        };
        let taken = self.take_held(holder, run, leaves, |piece| match outcome {
            _ if leaves => each(Fate::Gone, &piece),
            Outcome::Discard if piece.value.batch.is_some() => {
                each(Fate::Dead(Reason::Rejected), &piece);
            }
            // A policy brought the dead letter exchange when the message had left memory already. It comes round again rather than being lost.
            _ => back.push(piece),
        });
        if outcome == Outcome::Ack {
            self.counts.note_acked(taken);
        }
        for piece in back {
            match outcome {
                Outcome::Fail => self.fail(piece, now_ms, &mut each),
                Outcome::Return => self.go_back(piece, false, now_ms, &mut each),
                Outcome::Ack | Outcome::Discard => self.put_back(piece),
            }
        }
    }

    /// Takes what a channel holds of a run from it, where it may leave the queue, and gives credit back. Returns how many messages these were.
    fn take_held(
        &mut self,
        holder: Holder,
        run: (u64, u64),
        leaves: bool,
        mut taken: impl FnMut(Piece<Held>),
    ) -> u64 {
        let Some(held) = self.unacked.get_mut(holder) else {
            return 0;
        };
        let (consumers, groups) = (&mut self.consumers, &mut self.groups);
        let keys = &mut self.keys;
        let (mut count_gone, mut bytes_gone) = (0, 0);
        held.take(numbers(run), |piece| {
            count_gone += piece.count;
            bytes_gone += piece.value.size(piece.count);
            note_back(&piece, consumers, groups);
            if let Some(keys) = keys
                && leaves
            {
                keys.forget(piece.first, piece.count);
            }
            taken(piece);
        });
        self.unacked_count -= count_gone;
        self.unacked_bytes -= bytes_gone;
        count_gone
    }

    /// Everything that a channel holds is ready again; it failed with it where it has ended.
    pub fn release(
        &mut self,
        holder: Holder,
        failed: bool,
        now_ms: u64,
        mut each: impl FnMut(Fate, &Piece<Held>),
    ) {
        let mut back = Vec::new();
        self.take_held(holder, (0, u64::MAX), false, |piece| back.push(piece));
        self.unacked.remove(holder);
        if self.serves_returned_first() {
            // As they were handed out, which is not known otherwise any more.
            let ranking = self.ranking;
            back.sort_by_key(|piece| Reverse(ranking.rank(piece.value.level)));
        }
        for piece in back {
            match failed {
                true => self.fail(piece, now_ms, &mut each),
                false => self.go_back(piece, false, now_ms, &mut each),
            }
        }
    }

    fn fail(
        &mut self,
        mut piece: Piece<Held>,
        now_ms: u64,
        each: &mut impl FnMut(Fate, &Piece<Held>),
    ) {
        piece.value.failed = piece.value.failed.saturating_add(1);
        let is_too_often = u64::from(piece.value.failed) > self.failures_max;
        match is_too_often {
            true if !self.has_dead_letters() => {
                self.forget_keys(piece.first, piece.count);
                each(Fate::Gone, &piece);
            }
            true if piece.value.batch.is_some() => {
                each(Fate::Dead(Reason::DeliveryLimit), &piece);
            }
            _ => self.go_back(piece, true, now_ms, each),
        }
    }
}

/// The numbers of a run: its first one, and how many.
fn numbers((first, count): (u64, u64)) -> RangeInclusive<u64> {
    first..=first + count.saturating_sub(1)
}

/// Messages that were handed out are not with their consumer any more: it has credit again, and their groups are free.
#[inline]
fn note_back(piece: &Piece<Held>, consumers: &mut Consumers, groups: &mut Option<Box<Groups>>) {
    if let Some(key) = piece.value.consumer {
        consumers.give_back(key, piece.count);
    }
    if let Some(groups) = groups {
        groups.note_back(piece);
    }
}
