//! `basic.get`: one message, at once where it is in memory, and otherwise when it has come.

use std::sync::Arc;

use leveret_store::log::QueueId;

use crate::arguments::QueueType;
use crate::error::Error;
use crate::ids::Holder;
use crate::link::{Got, Reply};
use crate::queue::{Home, Queue};
use crate::queue_handle::QueueHandle;
use crate::shard::Shard;
use crate::shard::lifetime::expire;

impl Shard {
    /// Answers at once, or not yet: where the next message is away, when it has come.
    pub(super) fn get(
        &mut self,
        holder: Holder,
        handle: &QueueHandle,
        no_ack: bool,
    ) -> Option<Result<Reply, Error>> {
        let id = handle.id;
        self.used(id);
        self.deal_touched();
        let Some(queue) = self.queues.get_mut(&id) else {
            return Some(Err(Error::NotFound(handle.resource())));
        };
        let settings = &queue.settings;
        if settings.single_active_consumer && settings.queue_type == QueueType::Quorum {
            return Some(Err(Error::SingleActive(handle.resource())));
        }
        if queue.is_first_away() {
            queue.gets.push_back((holder, no_ack));
            self.ask(id, None);
            self.deal_touched();
            self.answer_gets(id);
            return None;
        }
        Some(self.take_one(holder, id, no_ack))
    }

    fn take_one(&mut self, holder: Holder, id: QueueId, no_ack: bool) -> Result<Reply, Error> {
        let tick = self.table.clock.tick;
        let Some(queue) = self.queues.get_mut(&id) else {
            return Err(Error::Unavailable);
        };
        let peer = self
            .table
            .peers
            .get_mut(&holder.connection)
            .ok_or(Error::Unavailable)?;
        queue.used_ms = self.table.clock.unix_ms();
        let before = queue.held_bytes();
        if queue.expires {
            expire(
                queue,
                true,
                self.table.clock,
                &mut self.dead,
                &mut self.table.settled,
            );
        }
        let Some(taken) = queue.take_ready(1) else {
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            queue.counts.got_empty += 1;
            return Ok(Reply::Got(None));
        };
        queue.counts.note_got(no_ack, taken.redelivered);
        if queue.refuses() {
            queue.handle.note_room(queue.room());
        }
        let level = taken.piece.value.level;
        let got = Got {
            queue: id,
            seq: taken.piece.first,
            batch: Arc::clone(&taken.piece.value.batch),
            index: taken.piece.value.index,
            redelivered: taken.redelivered,
            failed: taken.piece.value.failed,
            acquired: taken.acquired,
            remaining: queue.ready_count(),
        };
        if !no_ack {
            queue.hold(holder, taken, None, tick);
        } else {
            queue.forget_keys(got.seq, 1);
            if taken.piece.value.home == Home::Log {
                self.table.settled.push(id, level.stream(), got.seq, 1);
            }
        }
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
        if !no_ack {
            let (queues, streams) = (&self.queues, &self.streams);
            peer.note_held(holder.channel, id, |queue| {
                queues.contains_key(queue) || streams.contains_key(queue)
            });
        }
        Ok(Reply::Got(Some(got)))
    }

    /// Answers those who wait for a message, until the next one is away.
    pub(super) fn answer_gets(&mut self, id: QueueId) {
        while let Some(queue) = self.queues.get(&id) {
            if queue.gets.is_empty() {
                return;
            }
            if queue.is_first_away() {
                self.ask(id, None);
                // What was still filling a chunk is there at once.
                if self.queues.get(&id).is_none_or(Queue::is_first_away) {
                    return;
                }
            }
            let waiting = self.queues.get_mut(&id).and_then(|q| q.gets.pop_front());
            if let Some((holder, no_ack)) = waiting {
                let reply = self.take_one(holder, id, no_ack);
                self.reply(holder.connection, reply);
            }
        }
    }
}
