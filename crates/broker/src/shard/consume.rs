//! Consumers come, change and go, and take up where they stopped for lack of room.

use leveret_store::log::QueueId;

use crate::command::NewConsumer;
use crate::error::Error;
use crate::ids::{ConnectionId, ConsumerSlot, Holder};
use crate::link::Reply;
use crate::queue::consumers::Consumer;
use crate::queue_handle::QueueHandle;
use crate::shard::{Shard, touch};

impl Shard {
    pub(super) fn consume(
        &mut self,
        holder: Holder,
        handle: &QueueHandle,
        new: NewConsumer,
    ) -> Result<Reply, Error> {
        let id = handle.id;
        let Some(queue) = self.queues.get_mut(&id) else {
            let reading = self.read_stream(holder, handle, &new);
            return reading.unwrap_or_else(|| Err(Error::NotFound(handle.resource())));
        };
        if !queue.consumers.admits(new.exclusive) {
            return Err(Error::ExclusiveUse(queue.handle.resource()));
        }
        let peer = self
            .table
            .peers
            .get_mut(&holder.connection)
            .ok_or(Error::Unavailable)?;
        queue.used_ms = self.table.clock.unix_ms();
        let timeout = queue.settings.consumer_timeout.or(self.consumer_timeout);
        queue.consumers.add(holder, new, timeout);
        touch(&mut self.touched, queue);
        let (queues, streams) = (&self.queues, &self.streams);
        peer.note_held(holder.channel, id, |queue| {
            queues.contains_key(queue) || streams.contains_key(queue)
        });
        Ok(Reply::Consuming)
    }

    pub(super) fn cancel(&mut self, connection: ConnectionId, id: QueueId, slot: ConsumerSlot) {
        // What was dealt before has to be on its way before the answer.
        self.deal_touched();
        self.remove_consumers(id, |c| c.slot == slot && c.holder.connection == connection);
        self.leave_readers(id, |r| r.slot == slot && r.holder.connection == connection);
    }

    pub(super) fn set_prefetch(
        &mut self,
        connection: ConnectionId,
        id: QueueId,
        slot: ConsumerSlot,
        prefetch: u16,
    ) {
        if let Some(queue) = self.queues.get_mut(&id) {
            let is_meant = |c: &Consumer| c.slot == slot && c.holder.connection == connection;
            queue.set_prefetch(is_meant, prefetch);
            touch(&mut self.touched, queue);
        }
    }

    pub(super) fn resume(&mut self, connection: ConnectionId) {
        let Some(peer) = self.table.peers.get_mut(&connection) else {
            return;
        };
        for id in std::mem::take(&mut peer.parked) {
            let Some(queue) = self.queues.get_mut(&id) else {
                self.touch_stream(id);
                continue;
            };
            queue
                .consumers
                .wake(|consumer| consumer.holder.connection == connection);
            touch(&mut self.touched, queue);
        }
    }
}
