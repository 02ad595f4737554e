//! Dealing, as the model has it: one message after the other, and for each one all consumers are looked at.

use leveret_store::log::QueueId;

use super::{ConsumerName, Model, address};
use crate::shard::tests::fixture::{Delivery, Seen};

impl Model {
    /// The end of a turn; and what the answers to most questions need to be true.
    pub(in crate::shard::tests) fn deal(&mut self) {
        while let Some(id) = self.touched.pop() {
            self.deal_from(id);
        }
    }

    pub(super) fn deal_from(&mut self, id: QueueId) {
        while self.deal_one(id) {}
    }

    fn deal_one(&mut self, id: QueueId) -> bool {
        let Some((seq, name)) = self.next(id) else {
            return false;
        };
        let queue = self.queues.get_mut(&id).expect("it has a message");
        let message = queue.ready.remove(&seq).expect("it is the first");
        queue.turn.retain(|other| *other != name);
        queue.turn.push(name);
        let consumer = queue.consumer(name).expect("it is its turn");
        let holder = consumer.holder;
        if !consumer.new.no_ack {
            consumer.unacked += 1;
            let credit = consumer.new.channel_credit.as_ref().map(address);
            queue.unacked.insert(seq, (message, holder, Some(name)));
            if let Some(credit) = credit {
                self.add_credit(credit, -1);
            }
        }
        let delivery = Delivery {
            consumer: name.1,
            queue: id,
            seq,
            message: message.number,
            redelivered: message.redelivered,
        };
        self.tell(name.0, Seen::Delivery(delivery));
        let connection = self.connections.get_mut(&name.0);
        connection.expect("its consumers go with it").waiting += message.bytes;
        true
    }

    /// The first message, and whose turn it is: of those of the highest priority, whoever has waited longest and has credit and room.
    fn next(&mut self, id: QueueId) -> Option<(u64, ConsumerName)> {
        loop {
            let queue = self.queues.get(&id)?;
            let seq = *queue.ready.first_key_value()?.0;
            let of = |name: &ConsumerName| queue.consumers.iter().find(|c| c.name == *name);
            let priority = |name: &&ConsumerName| of(name).map(|c| c.new.priority);
            // `rev`, because of several that are highest the last one is taken.
            let name = *queue.turn.iter().rev().max_by_key(priority)?;
            let consumer = of(&name)?;
            let limit = u64::from(consumer.new.prefetch);
            let own = consumer.new.no_ack || limit == 0 || consumer.unacked < limit;
            let channel = consumer
                .new
                .channel_credit
                .as_ref()
                .filter(|_| !consumer.new.no_ack);
            let shared = channel.is_none_or(|credit| self.credits[&address(credit)] > 0);
            let connection = self.connections.get_mut(&name.0)?;
            let mut may_take = own;
            if own {
                let full = connection.waiting >= connection.outbox_max;
                connection.stalled |= full;
                let room = !full || connection.waiting <= connection.outbox_max / 2;
                may_take = room && shared;
                if !may_take {
                    connection.passed_over_in.insert(id);
                }
            }
            if may_take {
                return Some((seq, name));
            }
            let queue = self.queues.get_mut(&id)?;
            queue.turn.retain(|other| *other != name);
        }
    }
}
