//! The book on what has come of one producer: each sequence number once, in whatever order.
//!
//! Below `base` everything has come; above it a bit for each number says so. With one consumer messages come
//! in order and there are no bits at all; with several, as many as one of them lags behind.

use std::collections::VecDeque;

/// How far a number may be ahead of the first one that is missing: 128 MiB of bits.
const AHEAD_MAX: u64 = 1 << 30;
const WORD: u64 = u64::BITS as u64;

/// What has come of one producer.
#[derive(Debug, Default)]
pub(crate) struct Book {
    base: u64,
    /// A bit for each number from `base` on.
    ahead: VecDeque<u64>,
    /// How many different numbers have come.
    pub(crate) different: u64,
    /// How many came that had come before.
    pub(crate) doubled: u64,
    /// How many were too far ahead to be true.
    pub(crate) impossible: u64,
}

impl Book {
    /// Enters consecutive numbers.
    #[inline]
    pub(crate) fn enter(&mut self, first: u64, count: u64) {
        if first == self.base && self.ahead.is_empty() {
            self.base += count;
            self.different += count;
            return;
        }
        for number in first..first + count {
            self.enter_one(number);
        }
        while self.ahead.front() == Some(&u64::MAX) {
            self.ahead.pop_front();
            self.base += WORD;
        }
    }

    fn enter_one(&mut self, number: u64) {
        let Some(at) = number.checked_sub(self.base) else {
            self.doubled += 1;
            return;
        };
        if at >= AHEAD_MAX {
            self.impossible += 1;
            return;
        }
        let (word, bit) = ((at / WORD) as usize, 1 << (at % WORD));
        if self.ahead.len() <= word {
            self.ahead.resize(word + 1, 0);
        }
        if let Some(word) = self.ahead.get_mut(word) {
            match *word & bit {
                0 => self.different += 1,
                _ => self.doubled += 1,
            }
            *word |= bit;
        }
    }
}

#[cfg(test)]
mod tests;
