//! Queues that were there before the broker was started, and what is written down for the next start.

use std::sync::Arc;

use leveret_store::log::{Group, QueueId};

use crate::found::RecoveredQueue;
use crate::queue_handle::QueueHandle;
use crate::shard::Shard;
use crate::shard::unique::forget_found_keys;
use crate::stream::Stream;

impl Shard {
    /// Takes a queue that was there before. To be called before the first turn.
    pub(crate) fn recover(&mut self, handle: Arc<QueueHandle>, recovered: RecoveredQueue) {
        if handle.delays().is_some() {
            // What it holds back depends on the time, which is not known before the first turn.
            self.recovered_delays.push((handle, recovered));
            return;
        }
        if handle.is_window_of().is_some() {
            self.load_later(handle.id, &recovered.messages);
            self.declare_window(handle, recovered.next_seq);
            return;
        }
        if handle.is_stream() {
            let id = handle.id;
            let first = recovered.messages.first().map(|found| found.first_seq);
            let mut stream = Stream::new(handle);
            let first = first.unwrap_or(recovered.next_seq);
            stream.recover(first, recovered.next_seq, recovered.offsets);
            self.streams.insert(id, stream);
            self.recovered.push(id);
            return;
        }
        let id = handle.id;
        let mut queue = self.new_queue(handle);
        match queue.keys.is_some() {
            true => self.load_later(id, &recovered.messages),
            // A policy that wanted them has gone, and the end came before they could.
            false => forget_found_keys(id, &recovered.messages, &mut self.table.settled),
        }
        queue.recover(recovered);
        self.queues.insert(id, queue);
        self.recovered.push(id);
    }

    /// Tells the log that a queue is gone: its end was written down, and what the log knew of it was not yet.
    pub(crate) fn forget_undefined(&mut self, id: QueueId) {
        self.log.delete_queue(Group::of(id), id);
    }

    /// Writes down which messages were delivered and went back. After an end without this, all may have been.
    pub(super) fn write_returned(&mut self) {
        self.write_all_offsets();
        self.table.settled.tell(&mut *self.log);
        for (id, queue) in &self.queues {
            for (level, runs) in queue.returned_runs() {
                let of = (*id, level.stream());
                self.log.requeue(Group::of(*id), of, &runs);
            }
        }
    }
}
