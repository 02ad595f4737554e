//! Which command is carried out where, and how it is answered.

use std::time::Instant;

use crate::command::Command;
use crate::link::Reply;
use crate::shard::Shard;

impl Shard {
    pub(super) fn carry_out(&mut self, command: Command, now: Instant) {
        match command {
            Command::Connect(link) => self.connect(link),
            Command::Disconnect(connection) => self.disconnect(connection),
            Command::Declare(queue) => self.declare(queue),
            Command::Govern(queue) => self.govern(&queue),
            Command::Publish(publish) => self.publish(publish, now),
            Command::Settle(connection, settles) => self.settle_now(connection, &settles),
            Command::Transact(part) => self.transact(*part, now),
            Command::Consume(holder, queue, consumer) => {
                let reply = self.consume(holder, &queue, consumer);
                self.reply(holder.connection, reply);
            }
            Command::Cancel(connection, queue, slot) => {
                self.cancel(connection, queue, slot);
                self.reply(connection, Ok(Reply::Cancelled));
            }
            Command::SetPrefetch {
                connection,
                queue,
                slot,
                prefetch,
            } => self.set_prefetch(connection, queue, slot, prefetch),
            Command::Get {
                holder,
                queue,
                no_ack,
            } => {
                if let Some(reply) = self.get(holder, &queue, no_ack) {
                    self.reply(holder.connection, reply);
                }
            }
            Command::Purge(connection, queue) => {
                let reply = self.purge(&queue).map(Reply::Purged);
                self.reply(connection, reply);
            }
            Command::Delete {
                connection,
                queue,
                if_unused,
                if_empty,
            } => {
                let reply = self.delete(queue, if_unused, if_empty).map(Reply::Deleted);
                self.reply(connection, reply);
            }
            Command::Count(connection, queue) => {
                self.deal_touched();
                let reply = self.count(&queue);
                self.reply(connection, reply);
            }
            Command::Release { holder, close } => {
                self.release(holder, close);
                self.reply(holder.connection, Ok(Reply::Released(self.id)));
            }
            Command::Resume(connection) => self.resume(connection),
            Command::Operate(connection, queue, operation) => {
                self.operate(connection, &queue, operation);
            }
            Command::Observe {
                queues,
                detail,
                then,
            } => then.answer(self.observe(&queues, detail)),
            Command::Drop { queues, done } => self.drop_queues(queues, &done),
            Command::End(done) => {
                self.write_returned();
                (done.0)();
            }
        }
    }
}
