//! Messages that a full queue does not take: `x-overflow` of `reject-publish` and `reject-publish-dlx`. Their publisher hears which these are
//! before it hears that their batch is done.
//!
//! Dead letters that must not be lost have nobody who would hear of it: room is reserved for each before it is on its way
//! ([`QueueHandle::reserve`](crate::queue_handle::QueueHandle)).

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::log::QueueId;

use crate::queue::Queue;
use crate::shard::Shard;
use crate::shard::bury::Dead;

/// Messages of a batch that a queue has refused: the first one's index, and how many.
pub(super) type Refused = (u32, u32);

/// How many queues are looked at in a turn for the room they have.
const LOOKED_AT_MAX: usize = 16;

impl Shard {
    /// Says how much room a queue has that may refuse messages. One that is full is looked at again: who waits for room sends nothing.
    pub(super) fn note_room(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.refuses()) {
            let room = queue.room();
            queue.handle.note_room(room);
            if room == 0 {
                watch(&mut self.narrow, queue);
            }
        }
    }

    /// A full queue must not refuse these: room was reserved for them.
    pub(super) fn put_reserved(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        run: (u32, u32),
    ) -> bool {
        let is_unique = |queue: &Queue| queue.keys.is_some();
        let is_slow = match self.queues.get(&id).is_some_and(is_unique) {
            true => self.enqueue_unique(id, batch, run),
            false => self.put(id, batch, run, false),
        };
        self.note_room(id);
        if let Some(queue) = self.queues.get_mut(&id).filter(|queue| queue.refuses()) {
            queue.handle.came(run.1);
            watch(&mut self.narrow, queue);
        }
        is_slow
    }

    /// Says how much room there is by now in queues that were full, or to which letters come that must not be refused.
    pub(super) fn look_at_narrow(&mut self) {
        for _ in 0..self.narrow.len().min(LOOKED_AT_MAX) {
            let Some(id) = self.narrow.pop_front() else {
                return;
            };
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.is_watched = false;
                if queue.refuses() {
                    queue.handle.note_room(queue.room());
                    watch(&mut self.narrow, queue);
                }
            }
        }
    }

    /// Puts those messages of a batch into a queue for which there is room. Whether its publishers should be slowed to the pace of its consumers.
    pub(super) fn enqueue_fitting(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) -> bool {
        let (mut at, end) = (first, first + count);
        let mut is_slow = false;
        while let Some(queue) = self.queues.get(&id).filter(|_| at < end) {
            let fitting = queue.fitting(batch, at, end - at);
            if fitting == 0 {
                self.refuse(id, batch, at);
                at += 1;
            } else {
                is_slow |= self.put(id, batch, (at, fitting), false);
                at += fitting;
            }
        }
        self.note_room(id);
        is_slow
    }

    pub(super) fn refuse(&mut self, id: QueueId, batch: &Arc<Batch>, index: u32) {
        match self.refused.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => self.refused.push((index, 1)),
        }
        let queue = self.queues.get(&id);
        let dead = queue.and_then(|queue| {
            Dead::of_refused(&queue.handle, queue.settings.clone(), (batch, index))
        });
        self.dead.extend(dead);
    }
}

/// The room that a queue has is looked at now and then.
fn watch(narrow: &mut VecDeque<QueueId>, queue: &mut Queue) {
    if !queue.is_watched {
        queue.is_watched = true;
        narrow.push_back(queue.id);
    }
}
