//! Messages that came back and wait before they are ready again: `x-delayed-retry-type`, `-min` and `-max`
//! (<https://www.rabbitmq.com/docs/quorum-queues>). The wait is the minimum, times the failures, up to the maximum.
//!
//! Waits are kept in memory only: after a restart, what waited is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arguments::{DelayedRetrySettings, DelayedRetryType};
use crate::queue::Queue;
use crate::queue::pieces::{Held, Home, Level};
use crate::runs::Piece;

/// How many pieces of a queue wait at the most; what comes beyond that is ready at once.
const WAITING_MAX: usize = 1_000_000;

/// See the module. Pieces are under the time, in milliseconds since 1970, and their first sequence number.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pieces: BTreeMap<(u64, u64), Piece<Held>>,
    count: u64,
    bytes: usize,
}

impl Waiting {
    /// How many messages wait.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The memory that they stand for, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn add(&mut self, until_ms: u64, mut piece: Piece<Held>) {
        piece.value.consumer = None;
        self.count += piece.count;
        self.bytes += piece.value.size(piece.count);
        self.pieces.insert((until_ms, piece.first), piece);
    }

    fn pop_due(&mut self, now_ms: u64) -> Option<Piece<Held>> {
        let first = self.pieces.first_entry()?;
        if first.key().0 > now_ms {
            return None;
        }
        let piece = first.remove();
        self.count -= piece.count;
        self.bytes -= piece.value.size(piece.count);
        Some(piece)
    }

    /// What waits, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece<Held>> {
        self.pieces.values()
    }

    /// What is in the log leaves memory.
    pub(super) fn forget(&mut self) {
        for piece in self
            .pieces
            .values_mut()
            .filter(|piece| piece.value.home == Home::Log)
        {
            self.bytes -= piece.value.size(piece.count);
            piece.value.batch = None;
        }
    }

    /// Takes everything out; calls `gone` for what is in the log.
    pub(super) fn purge(&mut self, gone: &mut impl FnMut(Level, u64, u64)) {
        for piece in std::mem::take(self).pieces.into_values() {
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
    /// Messages are back: ready, or waiting to be.
    pub(super) fn go_back(&mut self, piece: Piece<Held>, failed: bool, now_ms: impl Fn() -> u64) {
        let retry = &self.settings.delayed_retry;
        match wait(retry, failed, piece.value.failed) {
            Some(wait) if self.waiting.pieces.len() < WAITING_MAX => {
                let until_ms = now_ms().saturating_add(wait.as_millis() as u64);
                self.waiting.add(until_ms, piece);
            }
            _ => self.put_back(piece),
        }
    }

    /// When the next one of those that wait is ready, in milliseconds since 1970.
    pub fn next_retry(&self) -> Option<u64> {
        self.waiting
            .pieces
            .keys()
            .next()
            .map(|(until_ms, _)| *until_ms)
    }

    /// Messages that have waited for long enough are ready.
    pub fn end_waits(&mut self, now_ms: u64) {
        while let Some(piece) = self.waiting.pop_due(now_ms) {
            self.put_back(piece);
        }
    }

    /// How many messages wait before they are ready again.
    pub fn waiting_count(&self) -> u64 {
        self.waiting.count()
    }
}
