//! What an open connection tells of itself when it is asked.

use leveret_broker::figures::{
    ChannelFigures, ConnectionFigures, ConnectionState, ConsumerFigures, MessageCounts,
};

use super::Session;
use crate::channel::{Channel, Credit};
use crate::core::Core;

impl Session {
    /// **Cost**: by its channels and their consumers.
    pub(super) fn describe(&self) -> ConnectionFigures {
        let channels = self.channels.iter().filter(|channel| !channel.closing);
        ConnectionFigures {
            state: self.state(),
            channels: channels
                .map(|channel| describe_channel(&self.core, channel))
                .collect(),
        }
    }

    fn state(&self) -> ConnectionState {
        if self.is_ending() {
            ConnectionState::Closing
        } else if self.blocked {
            ConnectionState::Blocked
        } else if self.alarms.any() {
            ConnectionState::Blocking
        } else if !self.core.publisher.has_allowance() {
            ConnectionState::Flow
        } else {
            ConnectionState::Running
        }
    }
}

fn describe_channel(core: &Core, channel: &Channel) -> ChannelFigures {
    let consumers = || {
        let slots = channel.consumers.values();
        slots.filter_map(|slot| core.consumers.get(*slot))
    };
    let running = consumers().map(|consumer| (&consumer.queue, consumer.counts));
    let (published, confirmed) = channel
        .confirms
        .as_ref()
        .map_or((0, 0), |confirms| confirms.counts());
    let transaction = channel.transaction.as_ref();
    let (uncommitted, acks_uncommitted) = transaction.map_or((0, 0), |of| of.uncommitted());
    let limit = channel.credit.as_ref().map_or(0, Credit::limit);
    let is_own = limit < i64::from(core.settings.unacked_per_channel_max);
    let mut counts = MessageCounts {
        confirmed,
        ..channel.counts
    };
    consumers().for_each(|consumer| counts += consumer.counts.into());
    ChannelFigures {
        number: channel.number,
        confirm: channel.confirms.is_some(),
        transactional: transaction.is_some(),
        prefetch: channel.prefetch,
        global_prefetch: if is_own { limit as u32 } else { 0 },
        unacked: channel.unacked.count(),
        unconfirmed: published - confirmed,
        uncommitted,
        acks_uncommitted,
        consumers: consumers()
            .map(|consumer| ConsumerFigures {
                tag: consumer.tag.clone(),
                queue: consumer.queue.name().clone(),
                no_ack: consumer.no_ack,
                exclusive: consumer.exclusive,
                prefetch: consumer.prefetch,
                arguments: consumer.arguments.clone(),
            })
            .collect(),
        counts,
        published_to: channel.breakdown.published_to(),
        delivered_from: channel.breakdown.delivered_from(running),
        idle_for: core.now.saturating_duration_since(channel.used_at),
    }
}
