//! Messages that are not in memory: put away when a queue has too many, fetched when it has room again. A shard never waits for them; the queue
//! deals on when they arrive.

use leveret_message::batch::Batch;
use leveret_store::log::{Fetched, Log, Position, QueueId};

use crate::shard::{Shard, touch};

impl Shard {
    /// Sets how many bytes of ready messages a queue keeps in memory; what comes beyond it is put away. By default there is no limit.
    pub fn set_resident_max(&mut self, bytes: usize) {
        self.resident_max = bytes;
    }

    /// Asks for a queue's next messages, if they are away and it has room for them.
    pub(super) fn fetch(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if let Some(at) = queue.wanted(self.resident_max) {
            queue.reading = true;
            self.reading.insert(at, id);
            self.log.fetch(at);
        }
    }

    /// Takes what has come from the log into its queues.
    pub(super) fn take_fetched(&mut self) {
        self.log.take_fetched(&mut self.fetched);
        for Fetched {
            at,
            records,
            bodies,
        } in std::mem::take(&mut self.fetched)
        {
            let Some(id) = self.reading.remove(&at) else {
                continue;
            };
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            let batch = Batch::read(records, bodies).expect("the memory log keeps what it gets");
            let before = queue.held_bytes();
            queue.arrived(batch);
            self.held_bytes += (queue.held_bytes() - before) as i64;
            touch(&mut self.touched, queue);
            self.answer_gets(id);
        }
    }

    /// Answers those who wait for a message, until the next one is away.
    pub(super) fn answer_gets(&mut self, id: QueueId) {
        while let Some(queue) = self.queues.get_mut(&id) {
            if queue.gets.is_empty() {
                return;
            }
            if queue.is_next_away() {
                self.fetch(id);
                return;
            }
            if let Some((holder, no_ack)) = queue.gets.pop_front() {
                let reply = self.take_one(holder, id, no_ack);
                self.reply(holder.connection, reply);
            }
        }
    }

    /// Lets the log forget what a queue has put away.
    pub(super) fn forget_away(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        for at in queue.away() {
            self.reading.remove(&at);
            self.log.forget(at);
        }
    }
}

/// Puts messages of a batch away.
pub(super) fn put_away(log: &mut dyn Log, batch: &Batch, (first, count): (u32, u32)) -> Position {
    let put_away = log.put_away(batch.records(first, count), batch.shared_bodies());
    put_away.expect("the memory log takes everything")
}
