//! What an open connection tells of its channels and consumers, where somebody wants to hear of it.

use leveret_broker::events::ChannelFacts;
use leveret_broker::ids::ConsumerSlot;
use leveret_message::name::Name;

use super::{ConsumerEntry, Core};

impl Core {
    fn channel(&self, number: u16) -> ChannelFacts<'_> {
        ChannelFacts {
            connection: self.connection(),
            number,
            user: &self.user.name,
            vhost: &self.vhost.name,
        }
    }

    pub(crate) fn channel_created(&self, number: u16) {
        let events = &self.broker.events;
        events.channel_created(self.channel(number), || {
            let facts = self.broker.connections.get(self.connection());
            facts.map(|facts| facts.name).unwrap_or_default()
        });
    }

    pub(crate) fn channel_closed(&self, number: u16) {
        self.broker.events.channel_closed(self.channel(number));
    }

    pub(crate) fn consumer_created(&self, slot: ConsumerSlot) {
        let Some(consumer) = self.consumers.get(slot) else {
            return;
        };
        self.broker.events.consumer_created(
            self.channel(consumer.channel),
            (&consumer.tag, &consumer.queue),
            (consumer.no_ack, consumer.exclusive, consumer.prefetch),
            consumer.arguments.view(),
        );
    }

    pub(crate) fn consumer_deleted(&self, tag: &Name, consumer: &ConsumerEntry) {
        let channel = self.channel(consumer.channel);
        let events = &self.broker.events;
        events.consumer_deleted(channel, tag, &consumer.queue);
    }
}
