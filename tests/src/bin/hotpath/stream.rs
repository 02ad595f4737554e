//! What the publisher writes.

use std::time::Instant;

use crate::machine::Client;

/// How much one read of the publisher's socket takes.
const READ_SIZE: usize = 64 * 1024;

/// The same messages again and again, in reads of one size.
pub(crate) struct Stream {
    /// All messages in turn, as often as one read and some more needs.
    pattern: Vec<u8>,
    /// How long all of them are.
    period: usize,
    /// Bytes that have not been read.
    unread: usize,
    /// Where in the pattern the next read begins.
    at: usize,
    /// What was read: from `used` on, what the connection has not taken.
    buffer: Vec<u8>,
    used: usize,
}

impl Stream {
    pub(crate) fn new(messages: &[Vec<u8>], count: u64) -> Self {
        let (period, of) = (messages.concat(), messages.len() as u64);
        assert_eq!(count % of, 0, "each queue gets equally many");
        Self {
            pattern: period.repeat(READ_SIZE / period.len() + 2),
            period: period.len(),
            unread: period.len() * (count / of) as usize,
            at: 0,
            buffer: Vec::with_capacity(2 * READ_SIZE),
            used: 0,
        }
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.unread == 0 && self.used == self.buffer.len()
    }

    /// One read, as long as the publisher's connection takes it.
    pub(crate) fn feed(&mut self, producer: &mut Client, now: Instant) -> bool {
        if self.is_used_up() || !producer.connection.takes_input() {
            return false;
        }
        self.buffer.drain(..self.used);
        let len = READ_SIZE.min(self.unread);
        let read = self.pattern.get(self.at..self.at + len);
        self.buffer.extend_from_slice(read.expect("a read fits"));
        self.at = (self.at + len) % self.period;
        self.unread -= len;
        self.used = producer.connection.input(&self.buffer, now);
        self.used > 0
    }
}
