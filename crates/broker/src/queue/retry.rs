//! Messages that came back and wait before they are ready again: `x-delayed-retry-type`, `-min` and `-max`
//! (<https://www.rabbitmq.com/docs/quorum-queues>). The wait is the minimum, times the failures, up to the maximum.
//!
//! Beside them wait dead letters that have nowhere to go, where they must not be lost (`x-dead-letter-strategy` of `at-least-once`): they are published
//! again now and then (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>).
//!
//! The log is told until when a message waits, so that it does so after a restart too. Dead letters are in their queue again then, as if they had not died.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arguments::{
    DeadLetterStrategy, DelayedRetrySettings, DelayedRetryType, Overflow, QueueType,
};
use crate::dead_letter::Reason;
use crate::queue::pieces::{Held, Home, Level, Ready, in_memory};
use crate::queue::{Fate, Queue};
use crate::runs::Piece;

/// How many pieces of a queue wait at the most; what comes beyond that is ready at once.
const WAITING_MAX: usize = 1_000_000;

/// What becomes of messages that have waited.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// They are ready.
    Ready,
    /// They are published to the dead letter exchange.
    Dead(Reason),
}

/// How long a dead letter that has nowhere to go waits before it is published again.
const DEAD_LETTER_RETRY_MS: u64 = 3_000;

/// See the module. Pieces are under the time, in milliseconds since 1970, and their first sequence number.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pieces: BTreeMap<(u64, u64), (Piece<Held>, Then)>,
    count: u64,
    /// How many of them are dead letters.
    dead_count: u64,
    bytes: usize,
}

impl Waiting {
    /// How many messages wait.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are dead letters.
    pub(super) fn dead_count(&self) -> u64 {
        self.dead_count
    }

    /// The memory that they stand for, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn add(&mut self, until_ms: u64, mut piece: Piece<Held>, then: Then) {
        piece.value.consumer = None;
        self.count += piece.count;
        if matches!(then, Then::Dead(_)) {
            self.dead_count += piece.count;
        }
        self.bytes += piece.value.size(piece.count);
        self.pieces.insert((until_ms, piece.first), (piece, then));
    }

    fn pop_due(&mut self, now_ms: u64) -> Option<(Piece<Held>, Then)> {
        let first = self.pieces.first_entry()?;
        if first.key().0 > now_ms {
            return None;
        }
        let (piece, then) = first.remove();
        self.count -= piece.count;
        if matches!(then, Then::Dead(_)) {
            self.dead_count -= piece.count;
        }
        self.bytes -= piece.value.size(piece.count);
        Some((piece, then))
    }

    /// What waits, and until when; dead letters do not wait for their consumers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<u64>, &Piece<Held>)> {
        self.pieces.iter().map(|((until_ms, _), (piece, then))| {
            let until_ms = match then {
                Then::Ready => Some(*until_ms),
                Then::Dead(_) => None,
            };
            (until_ms, piece)
        })
    }

    /// What is in the log leaves memory, but for dead letters, which are needed soon.
    pub(super) fn forget(&mut self) {
        for (piece, then) in self.pieces.values_mut() {
            if piece.value.home == Home::Log && matches!(then, Then::Ready) {
                self.bytes -= piece.value.size(piece.count);
                piece.value.batch = None;
            }
        }
    }

    /// Takes everything out; calls `gone` for what is in the log.
    pub(super) fn purge(&mut self, gone: &mut impl FnMut(Level, u64, u64)) {
        for (piece, _) in std::mem::take(self).pieces.into_values() {
            if piece.value.home == Home::Log {
                gone(piece.value.level, piece.first, piece.count);
            }
        }
    }
}

/// How long messages wait that came back; nothing where they do not.
fn wait(retry: &DelayedRetrySettings, failed: bool, failures: u16) -> Option<Duration> {
    let is_meant = match retry.retry? {
        DelayedRetryType::Disabled => false,
        DelayedRetryType::All => true,
        DelayedRetryType::Failed => failed,
        DelayedRetryType::Returned => !failed,
    };
    let wait = retry.min?.saturating_mul(u32::from(failures.max(1)));
    let wait = retry.max.map_or(wait, |max| wait.min(max));
    Some(wait).filter(|wait| is_meant && !wait.is_zero())
}

impl Queue {
    /// Messages are back: ready, or waiting to be. Calls `each` with what is to be remembered of that.
    pub(super) fn go_back(
        &mut self,
        mut piece: Piece<Held>,
        failed: bool,
        now_ms: u64,
        each: &mut impl FnMut(Fate, &Piece<Held>),
    ) {
        if self.settings.queue_type == QueueType::Quorum {
            piece.value.acquired = piece.value.acquired.saturating_add(1);
        }
        let wait = wait(&self.settings.delayed_retry, failed, piece.value.failed);
        if let Some(wait) = wait.filter(|_| self.waiting.pieces.len() < WAITING_MAX) {
            let until_ms = now_ms.saturating_add(wait.as_millis() as u64);
            each(Fate::Waits(until_ms), &piece);
            self.is_drained = false;
            return self.waiting.add(until_ms, piece, Then::Ready);
        }
        if failed && self.failures_max < u64::MAX {
            each(Fate::Failed, &piece);
        }
        self.put_back(piece);
    }

    /// Messages that waited when the broker ended go on waiting.
    pub(super) fn recover_wait(&mut self, until_ms: u64, piece: Piece<Held>) {
        self.waiting.add(until_ms, piece, Then::Ready);
    }

    /// When the next one of those that wait is ready, in milliseconds since 1970.
    pub fn next_retry(&self) -> Option<u64> {
        self.waiting
            .pieces
            .keys()
            .next()
            .map(|(until_ms, _)| *until_ms)
    }

    /// Messages that have waited for long enough are ready; calls `dead` with those that are to be published as dead letters again.
    pub fn end_waits(&mut self, now_ms: u64, mut dead: impl FnMut(Reason, Piece<Ready>)) {
        while let Some((piece, then)) = self.waiting.pop_due(now_ms) {
            match then {
                Then::Ready => self.put_back(piece),
                Then::Dead(reason) => {
                    if let Some(piece) = in_memory(piece) {
                        dead(reason, piece);
                    }
                }
            }
        }
    }

    /// Dead letters have nowhere to go and must not be lost: they wait for the next attempt.
    pub fn keep_dead(&mut self, piece: Piece<Ready>, reason: Reason, now_ms: u64) {
        let held = Piece {
            first: piece.first,
            count: piece.count,
            value: Held::from(piece.value),
        };
        let until_ms = now_ms.saturating_add(DEAD_LETTER_RETRY_MS);
        self.is_drained = false;
        self.waiting.add(until_ms, held, Then::Dead(reason));
    }

    /// Whether its dead letters must not be lost. As in RabbitMQ that needs `reject-publish`: otherwise what waits could grow without end.
    pub fn keeps_dead(&self) -> bool {
        let strategy = self.settings.dead_letter.strategy;
        strategy == Some(DeadLetterStrategy::AtLeastOnce)
            && self.settings.length.overflow == Some(Overflow::RejectPublish)
    }

    /// How many messages wait before they are ready again.
    pub fn waiting_count(&self) -> u64 {
        self.waiting.count()
    }
}
