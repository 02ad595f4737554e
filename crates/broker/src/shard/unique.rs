//! Messages on their way into a queue that keeps duplicates out: see `queue/keys.rs`. A duplicate is dropped; its publisher hears that it is done when
//! the one that is there is safe.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::entry::Stream;
use leveret_store::log::{Position, QueueId, Read, Wanted};

use crate::deduplication::KeyLimit;
use crate::found::FoundMessages;
use crate::queue::keys::KeptOut;
use crate::queue::{Home, KEYS, Level, Queue};
use crate::shard::bury::drop_head;
use crate::shard::deal::deal_once;
use crate::shard::lifetime::expire;
use crate::shard::publish::places;
use crate::shard::settled::Settled;
use crate::shard::{Shard, touch};

impl Shard {
    /// Up to where the log has to be durable for what was there of duplicates to be, if there were any since this was asked last.
    pub(super) fn known_at(&mut self) -> Option<Position> {
        self.has_duplicates.then(|| self.are_known_at())
    }

    #[cold]
    fn are_known_at(&mut self) -> Position {
        self.has_duplicates = false;
        let position = self.targets.keys_at;
        if position > self.log.durable() {
            self.log.hurry();
        }
        position
    }

    /// Puts those messages of a batch into a queue that are no duplicates. Whether its publishers should be slowed to the pace of its consumers.
    pub(super) fn enqueue_unique(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) -> bool {
        let (mut at, end) = (first, first + count);
        let (mut is_slow, mut has_looked) = (false, false);
        while let Some(queue) = self.queues.get_mut(&id).filter(|_| at < end) {
            let is_limited = queue.refuses() && !self.reserved;
            let most = if is_limited { 1 } else { end - at };
            let is_full = is_limited && queue.fitting(batch, at, 1) == 0;
            let (fresh, kept_out) = match is_full {
                true => (0, Some(queue.kept_out_of_full(batch, at))),
                false => queue.admit(batch, (at, most), self.reserved),
            };
            if fresh > 0 {
                let first_seq = queue.next_seq();
                is_slow |= self.put(id, batch, (at, fresh), false);
                self.push_keys(id, batch, (at, fresh), first_seq);
                at += fresh;
            } else if kept_out == Some(KeptOut::Full) {
                self.refuse(id, batch, at);
                at += 1;
            } else if has_looked {
                self.has_duplicates = true;
                at += 1;
            } else {
                self.let_go_first(id);
                has_looked = true;
                continue;
            }
            has_looked = false;
        }
        self.note_room(id);
        is_slow
    }

    /// Notes for the log the keys of messages that have entered a queue, as far as these are in the log, and there still.
    fn push_keys(&mut self, id: QueueId, batch: &Batch, (at, count): (u32, u32), first_seq: u64) {
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        let Some(keys) = &queue.keys else {
            return;
        };
        for (first, count, place) in places(batch, (at, count), queue.is_kept, queue.ranking) {
            if place.home == Home::Memory {
                continue;
            }
            let seqs = first_seq + u64::from(first - at);
            for (seq, key) in keys.within(seqs, u64::from(count)) {
                let (of, stream) = ((id, queue.syncs), place.level.keys());
                self.targets.push_key(of, stream, seq, &key.to_bytes());
            }
        }
    }

    /// What is about to leave a queue leaves it: what a consumer takes without acks, what has expired, or is one too many.
    fn let_go_first(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let before = queue.held_bytes();
        let table = &mut self.table;
        if queue.expires {
            let dead = &mut self.dead;
            expire(queue, true, table.clock, dead, &mut table.settled);
        }
        while deal_once(queue, table) {}
        if queue.is_too_long() {
            drop_head(queue, &mut self.dead, &mut table.settled);
        }
        queue.look_whether_drained();
        touch(&mut self.touched, queue);
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
    }
}

/// A queue keeps duplicates out from now on, or does not any more, as its arguments and policies say. What is in it already has no key; the keys that it
/// had go from the log as well.
pub(super) fn know_keys(queue: &mut Queue, limit: &Arc<KeyLimit>, settled: &mut Settled) {
    let wanted = queue.settings.deduplicates;
    if wanted == queue.keys.is_some() {
        return;
    }
    settled.set_keyed(queue.id, wanted);
    if wanted {
        return queue.know_keys(limit);
    }
    queue.keys = None;
    let count = queue.next_seq() - 1;
    if count > 0 && queue.is_kept {
        for level in queue.ranking.levels() {
            settled.push(queue.id, level.keys(), 1, count);
        }
    }
}

/// Keys that the log has of a queue that keeps no duplicates out go.
pub(super) fn forget_found_keys(id: QueueId, found: &[FoundMessages], settled: &mut Settled) {
    for found in found.iter().filter(|found| found.stream >= KEYS) {
        let count = found.last_seq - found.first_seq + 1;
        settled.push(id, Stream(found.stream), found.first_seq, count);
    }
}

/// Messages that are damaged keep nobody out: their keys go, from the log as well.
pub(super) fn forget_lost(queue: &mut Queue, wanted: &Wanted, read: &Read, settled: &mut Settled) {
    let Some(level) = Level::of(wanted.stream) else {
        return;
    };
    if queue.keys.is_none() || read.lost == 0 {
        return;
    }
    let ends = read.runs.iter().map(|run| (run.first_seq, run.count));
    let mut next = wanted.first_seq;
    for (first, count) in ends.chain([(read.next_seq, 0)]) {
        if first > next {
            queue.forget_keys(next, first - next);
            settled.push(queue.id, level.keys(), next, first - next);
        }
        next = first + count;
    }
}
