//! Messages whose time is over leave their queues, whether somebody consumes or publishes or not. See `queue/lifetime.rs`.
//!
//! A queue is looked at when its first message expires. New messages get the chance to be dealt before a time to live of zero ends them; what a consumer
//! gave back does not.

use std::time::Instant;

use leveret_store::log::QueueId;

use crate::dead_letter::Reason;
use crate::queue::{Need, Queue};
use crate::shard::bury::{Dead, let_go};
use crate::shard::clock::Clock;
use crate::shard::settled::Settled;
use crate::shard::{Shard, touch};

/// How many messages of a queue with dead letters expire in one turn at the most: each is written anew.
const EXPIRED_MAX: u64 = 4096;

impl Shard {
    /// Queues whose first messages have expired are looked at in this turn.
    pub(super) fn touch_expired(&mut self, now: Instant) {
        while let Some(id) = self.lifetimes.pop(now) {
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.lifetime_due = None;
                touch(&mut self.touched, queue);
            }
        }
    }

    /// Lets go of what has expired though it was never handed out, and notes when the queue is to be looked at again. Returns why its messages should
    /// be read back though nobody takes any, if they should.
    pub(super) fn expire_new(&mut self, id: QueueId) -> Option<Need> {
        let queue = self.queues.get_mut(&id)?;
        let clock = self.table.clock;
        let is_done = expire(queue, true, clock, &mut self.dead, &mut self.table.settled);
        let (next_ms, need) = queue.next_deadline(clock.unix_ms());
        let next = match is_done {
            true => next_ms.and_then(|ms| clock.instant(ms)),
            false => clock.now,
        };
        if let Some(next) = next {
            self.lifetimes.add(id, &mut queue.lifetime_due, next);
        }
        need
    }
}

/// Lets go of what has expired at the front of a queue, also of new messages with `new_too`. `false` where there is more than a turn can do.
pub(super) fn expire(
    queue: &mut Queue,
    new_too: bool,
    clock: Clock,
    dead: &mut Vec<Dead>,
    settled: &mut Settled,
) -> bool {
    let now_ms = clock.unix_ms();
    let mut most = match queue.has_dead_letters() {
        true => EXPIRED_MAX,
        false => u64::MAX,
    };
    while most > 0 {
        let Some(taken) = queue.take_expired(now_ms, new_too, most) else {
            return true;
        };
        most -= taken.piece.count;
        let_go(queue, taken.piece, Reason::Expired, dead, settled);
    }
    !queue.is_first_expired(now_ms)
}
