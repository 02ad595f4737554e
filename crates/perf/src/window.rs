//! The window of unconfirmed messages: the writer waits for room in it, the reader settles what is confirmed.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::PerfError;
use crate::latency::Times;

/// How long a wait for room is before one looks whether the run is over.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// The mark of a tag that is settled; nothing is sent at this time.
const SETTLED: u64 = u64::MAX;

/// The unconfirmed messages of one producer.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    open: Mutex<Open>,
    room: Condvar,
}

/// When the messages from `first` on were sent.
#[derive(Debug)]
struct Open {
    first: u64,
    sent_ns: VecDeque<u64>,
}

/// What one ack or nack stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settle {
    pub(crate) tag: u64,
    pub(crate) multiple: bool,
}

impl Window {
    pub(crate) fn new(limit: u32) -> Window {
        Window {
            limit: limit as usize,
            open: Mutex::new(Open {
                first: 1,
                sent_ns: VecDeque::new(),
            }),
            room: Condvar::new(),
        }
    }

    /// How much room there is; waits a tenth of a second for some, and calls `waited` if it had to.
    pub(crate) fn room(&self, waited: impl FnOnce()) -> u64 {
        let mut open = self.open.lock();
        if open.sent_ns.len() >= self.limit {
            self.room.wait_for(&mut open, LOOK_AROUND);
            waited();
        }
        self.limit.saturating_sub(open.sent_ns.len()) as u64
    }

    /// Notes that so many messages are sent now. Before they are, so that no confirm comes first.
    pub(crate) fn sent(&self, count: u64, now_ns: u64) {
        let mut open = self.open.lock();
        let len = open.sent_ns.len() + count as usize;
        open.sent_ns.resize(len, now_ns);
    }

    /// How many are unconfirmed; waits a tenth of a second for the last of them.
    pub(crate) fn left(&self) -> u64 {
        let mut open = self.open.lock();
        if !open.sent_ns.is_empty() {
            self.room.wait_for(&mut open, LOOK_AROUND);
        }
        open.sent_ns.len() as u64
    }

    /// Settles messages and writes down how long they took; how many there were.
    ///
    /// **Errors**: for what was not sent or is settled already.
    pub(crate) fn settle(
        &self,
        settle: Settle,
        now_ns: u64,
        times: &mut Times,
    ) -> Result<u64, PerfError> {
        let Settle { tag, multiple } = settle;
        let open = &mut *self.open.lock();
        let last = open.first + open.sent_ns.len() as u64;
        let is_open = match tag {
            0 => multiple,
            tag => open.first <= tag && tag < last,
        };
        if !is_open {
            return Err(PerfError::Unexpected(format!("a confirm of message {tag}")));
        }
        let settled = match (multiple, tag) {
            (true, 0) => open.settle_front(last, now_ns, times),
            (true, tag) => open.settle_front(tag + 1, now_ns, times),
            (false, tag) => open.settle_one(tag, now_ns, times)?,
        };
        self.room.notify_all();
        Ok(settled)
    }
}

impl Open {
    /// Settles those before that tag, but for those that are settled.
    fn settle_front(&mut self, before: u64, now_ns: u64, times: &mut Times) -> u64 {
        let count = before - self.first;
        let mut settled = 0;
        let (mut together, mut sent_ns) = (0, SETTLED);
        for sent in self.sent_ns.drain(..count as usize) {
            if sent == SETTLED {
                continue;
            }
            if sent != sent_ns {
                write_down(times, now_ns.saturating_sub(sent_ns), together);
                (together, sent_ns) = (0, sent);
            }
            together += 1;
            settled += 1;
        }
        write_down(times, now_ns.saturating_sub(sent_ns), together);
        self.first += count;
        self.drop_settled();
        settled
    }

    fn settle_one(&mut self, tag: u64, now_ns: u64, times: &mut Times) -> Result<u64, PerfError> {
        let at = (tag - self.first) as usize;
        let again = || PerfError::Unexpected(format!("a second confirm of message {tag}"));
        let sent = self.sent_ns.get_mut(at).ok_or_else(again)?;
        let sent = std::mem::replace(sent, SETTLED);
        if sent == SETTLED {
            return Err(again());
        }
        write_down(times, now_ns.saturating_sub(sent), 1);
        self.drop_settled();
        Ok(1)
    }

    fn drop_settled(&mut self) {
        while self.sent_ns.front() == Some(&SETTLED) {
            self.sent_ns.pop_front();
            self.first += 1;
        }
    }
}

fn write_down(times: &mut Times, ns: u64, count: u64) {
    if count > 0 {
        times.saturating_record_n(ns, count);
    }
}

#[cfg(test)]
mod tests;
