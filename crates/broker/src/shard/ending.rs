//! How consumers, channels, connections and queues end. Whatever was handed out to them is ready again, in its old place.

use std::sync::Arc;

use leveret_store::log::QueueId;

use crate::command::Done;
use crate::error::Error;
use crate::ids::{ConnectionId, ConsumerSlot, Holder};
use crate::link::Reply;
use crate::queue::consumers::Consumer;
use crate::queue_handle::QueueHandle;
use crate::shard::settle::Fates;
use crate::shard::{Shard, peer, touch};

impl Shard {
    /// Removes consumers of a queue; an auto-delete queue goes with its last one.
    pub(super) fn remove_consumers(&mut self, id: QueueId, of: impl FnMut(&Consumer) -> bool) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let removed = queue.consumers.remove(of);
        let last = removed > 0 && queue.consumers.is_empty();
        if last && queue.handle.declaration.auto_delete {
            self.drop_queue(id);
            return;
        }
        touch(&mut self.touched, queue);
        if last {
            self.used(id);
        }
    }

    pub(super) fn delete(
        &mut self,
        id: QueueId,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, Error> {
        self.deal_touched();
        let Some(queue) = self.queues.get(&id) else {
            return self.delete_stream(id, if_unused, if_empty);
        };
        if if_unused && !queue.consumers.is_empty() {
            return Err(Error::InUse(queue.handle.resource()));
        }
        if if_empty && queue.ready_count() + queue.waiting_count() > 0 {
            return Err(Error::NotEmpty(queue.handle.resource()));
        }
        Ok(self.drop_queue(id))
    }

    fn delete_stream(
        &mut self,
        id: QueueId,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, Error> {
        let Some(stream) = self.streams.get(&id) else {
            return Ok(0);
        };
        if if_unused && stream.consumers_count() > 0 {
            return Err(Error::InUse(stream.handle.resource()));
        }
        if if_empty && stream.count() > 0 {
            return Err(Error::NotEmpty(stream.handle.resource()));
        }
        Ok(self.drop_stream(id).unwrap_or_default())
    }

    pub(super) fn drop_queues(&mut self, queues: Vec<QueueId>, done: &Done) {
        for queue in queues {
            self.drop_queue(queue);
            self.drop_stream(queue);
            self.drop_delay(queue);
            self.drop_window(queue);
        }
        (done.0)();
    }

    /// Ends a queue: contents here, directory entry and bindings at the vhost's door; its consumers are told. Returns how many were ready.
    pub(super) fn drop_queue(&mut self, id: QueueId) -> u64 {
        let Some(mut queue) = self.queues.remove(&id) else {
            return 0;
        };
        self.held_bytes -= queue.held_bytes() as i64;
        self.table.settled.set_keyed(id, false);
        let ready = queue.ready_count();
        self.deleted += 1;
        self.ended += queue.message_counts();
        queue.forget_chunks(&mut *self.log);
        self.expiries.forget(id, queue.expiry_due);
        self.lifetimes.forget(id, queue.lifetime_due);
        self.retries.forget(id, queue.retry_due);
        self.table.looks.forget(id, queue.overdue_look);
        if let Some(owner) = queue.handle.declaration.owner
            && let Some(peer) = self.table.peers.get_mut(&owner)
        {
            peer.exclusive.remove(&id);
        }
        self.end_handle(&queue.handle);
        let got = queue.gets.iter().map(|(holder, _)| holder.connection);
        let moved = queue.moves.iter().map(|(connection, _)| *connection);
        for connection in got.chain(moved) {
            let gone = Error::NotFound(queue.handle.resource());
            self.reply(connection, Err(gone));
        }
        for consumer in queue.consumers.iter() {
            self.tell_cancelled(consumer.holder.connection, consumer.slot);
        }
        ready
    }

    /// A queue has ended: its directory entry, its definition, and what the log has of it.
    pub(super) fn end_handle(&mut self, handle: &Arc<QueueHandle>) {
        handle.mark_deleted();
        if let Some(vhost) = handle.vhost.upgrade() {
            vhost.forget_queue(handle);
        }
        if handle.is_kept() {
            // Behind the end of its definition: then both are in one batch of the log, or that one in an earlier one.
            self.table.settled.tell(&mut *self.log);
            self.log.delete_queue(handle.group, handle.id);
        }
    }

    pub(super) fn tell_cancelled(&mut self, connection: ConnectionId, consumer: ConsumerSlot) {
        if let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection) {
            peer.cancelled(consumer);
        }
    }

    pub(super) fn release(&mut self, holder: Holder, close: bool) {
        let Some(peer) = self.table.peers.get_mut(&holder.connection) else {
            return;
        };
        let held_from = peer.held_from_by(holder.channel, close);
        for id in held_from {
            let Some(queue) = self.queues.get_mut(&id) else {
                self.leave_stream(id, holder, close);
                continue;
            };
            let before = queue.held_bytes();
            let mut fates = Fates::new(id, &mut self.table.settled, &mut *self.log);
            let now_ms = self.table.clock.unix_ms();
            queue.release(holder, close, now_ms, |fate, piece| {
                fates.note(fate, piece);
            });
            fates.end(queue, &mut self.dead);
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            touch(&mut self.touched, queue);
            if close {
                self.remove_consumers(id, |consumer| consumer.holder == holder);
            }
        }
    }

    pub(super) fn disconnect(&mut self, connection: ConnectionId) {
        let Some(peer) = self.table.peers.get_mut(&connection) else {
            return;
        };
        let exclusive = std::mem::take(&mut peer.exclusive);
        for channel in peer.channels() {
            self.release(
                Holder {
                    connection,
                    channel,
                },
                true,
            );
        }
        for id in exclusive {
            self.drop_queue(id);
        }
        self.reply(connection, Ok(Reply::Disconnected));
        self.speak();
        self.table.peers.remove(&connection);
    }
}
