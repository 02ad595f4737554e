//! Messages that are not in memory: who asks for them when, and which queues give memory back when all together hold too much. A shard never
//! waits for them; a queue deals on when they arrive.

use leveret_store::log::{Arrived, QueueId, Read, Wanted};

use crate::queue::{Asking, Need, Queue};
use crate::shard::unique::forget_lost;
use crate::shard::{Shard, list_resident, touch};

/// How many bytes a queue whose consumers can take messages keeps when memory is short.
const KEPT_BYTES: usize = 256 * 1024;

/// While so many questions to the log are open, nothing is asked only to see when it expires.
const LOOKS_MAX: usize = 64;

/// How many queues give memory back in one turn at the most.
const RELIEVED_MAX: usize = 64;

impl Shard {
    /// Sets how many bytes of ready messages a queue keeps in memory; what comes beyond it is put away. By default there is no limit but the
    /// one for all queues together.
    pub fn set_resident_max(&mut self, bytes: usize) {
        self.resident_max = bytes;
    }

    /// Asks for a queue's next messages, if they are away, somebody would take them or there is another `need`, and it has room for them.
    pub(super) fn ask(&mut self, id: QueueId, need: Option<Need>) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if !queue.has_away() && !queue.is_next_away() {
            return;
        }
        let need = if !queue.gets.is_empty() || queue.consumers.can_take() {
            let max = self.resident_max;
            Need::Taken { max }
        } else if let Some(need) = need {
            if self.reading >= LOOKS_MAX {
                self.unseen.insert(id);
                return;
            }
            need
        } else {
            return;
        };
        match queue.ask(&mut *self.log, need) {
            Asking::Idle => {}
            Asking::Asked(chunk) => {
                self.reading += 1;
                self.chunks.extend(chunk.map(|chunk| (chunk, id)));
            }
            Asking::Arrived => touch(&mut self.touched, queue),
            Asking::NotDurable => {
                self.not_durable.insert(id);
            }
        }
    }

    /// Asks again for what was not durable when it was asked for.
    pub(super) fn ask_again(&mut self) {
        let durable = self.log.durable();
        if durable == self.asked_at {
            return;
        }
        self.asked_at = durable;
        self.peek_again();
        for id in std::mem::take(&mut self.not_durable) {
            match self.queues.get_mut(&id) {
                Some(queue) => touch(&mut self.touched, queue),
                None => {
                    self.touch_stream(id);
                    self.run_delay(id);
                }
            }
        }
    }

    /// Takes what has come from the log into its queues.
    pub(super) fn take_arrived(&mut self) {
        if self.reading == 0 {
            return;
        }
        self.log.take_arrived(&mut self.arrived);
        for arrived in std::mem::take(&mut self.arrived) {
            self.reading -= 1;
            match arrived {
                Arrived::Read(wanted, read) => {
                    let read = self.arrived_peek(wanted, read);
                    let read = read.and_then(|(wanted, read)| self.arrived_count(wanted, read));
                    if let Some((wanted, read)) = read {
                        self.arrived_read(wanted, read);
                    }
                }
                Arrived::Chunk(chunk, records) => {
                    let Some(id) = self.chunks.remove(&chunk) else {
                        continue;
                    };
                    if let Some(records) = self.arrived_peeked_chunk((chunk, id), records) {
                        self.arrived_in(id, |queue| queue.arrived_chunk(chunk, records));
                    }
                }
            }
        }
        self.peek_again();
    }

    fn arrived_read(&mut self, wanted: Wanted, read: Read) {
        let id = wanted.queue;
        if let Some(queue) = self.queues.get_mut(&id) {
            forget_lost(queue, &wanted, &read, &mut self.table.settled);
            self.arrived_in(id, |queue| {
                queue.arrived(wanted, read);
            });
        } else if self.streams.contains_key(&id) {
            self.arrived_stream(wanted, read);
        } else {
            self.arrived_delayed(wanted, read);
        }
    }

    /// A queue takes in what has come for it.
    fn arrived_in(&mut self, id: QueueId, take_in: impl FnOnce(&mut Queue)) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let before = queue.held_bytes();
        take_in(queue);
        self.held_bytes += queue.held_bytes() as i64 - before as i64;
        list_resident(&mut self.resident, queue);
        touch(&mut self.touched, queue);
        self.answer_gets(id);
        self.answer_moves(id);
        if let Some(queue) = self
            .unseen
            .pop_first()
            .and_then(|id| self.queues.get_mut(&id))
        {
            touch(&mut self.touched, queue);
        }
    }

    /// While all queues together hold more than their budget, lets messages of this shard's leave memory: those first that have had some for
    /// longest.
    pub(super) fn relieve(&mut self) {
        if !self.queued.is_over_budget() {
            return;
        }
        for _ in 0..RELIEVED_MAX.min(self.resident.len()) {
            let Some(id) = self.resident.pop_front() else {
                return;
            };
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.is_resident = false;
            let keep = if queue.consumers.can_take() {
                KEPT_BYTES
            } else {
                0
            };
            let before = queue.held_bytes();
            queue.relieve(keep, &mut *self.log);
            self.held_bytes += queue.held_bytes() as i64 - before as i64;
            list_resident(&mut self.resident, queue);
            self.count_held();
            if !self.queued.is_over_budget() {
                return;
            }
        }
    }
}
