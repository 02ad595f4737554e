//! What an open connection tells the firehose, in a vhost that is traced: what its client publishes, and what it gets.

use std::sync::Arc;

use leveret_broker::filling::NewBody;
use leveret_broker::publisher::RouteIndex;
use leveret_broker::publisher::firehose::Witness;
use leveret_broker::queue_handle::QueueHandle;
use leveret_message::batch::{Message, NewMessage};

use crate::core::Core;

/// Whose doing something is, with what that is borrowed from.
struct Names {
    connection: String,
    node: Arc<str>,
    user: Arc<leveret_broker::users::User>,
}

impl Names {
    fn of(core: &Core) -> Self {
        let facts = core.broker.connections.get(core.connection());
        Self {
            connection: facts.map(|facts| facts.name).unwrap_or_default(),
            node: Arc::clone(&core.broker.node),
            user: Arc::clone(&core.user),
        }
    }

    fn witness(&self, channel: u16) -> Witness<'_> {
        Witness {
            node: &self.node,
            connection: &self.connection,
            channel,
            user: &self.user.name,
        }
    }
}

/// A message that the client publishes on a route, which is to be looked up again.
pub(super) fn published(
    core: &mut Core,
    (channel, route): (u16, RouteIndex),
    routing_keys: &[&[u8]],
    message: NewMessage<'_>,
    body: &NewBody<'_>,
) {
    let names = Names::of(core);
    let by = names.witness(channel);
    core.publisher
        .trace_published(route, routing_keys, message, body, &by);
}

/// Messages that the client gets from a queue.
pub(crate) fn delivered<'m>(
    core: &mut Core,
    channel: u16,
    queue: &QueueHandle,
    messages: impl Iterator<Item = Message<'m>>,
    redelivered: bool,
) {
    let names = Names::of(core);
    let to = names.witness(channel);
    for message in messages {
        core.publisher
            .trace_delivered(queue, &message, redelivered, &to);
    }
}
