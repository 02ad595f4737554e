//! Direct reply-to: where the answers to a requester go, without a queue of its own
//! (<https://www.rabbitmq.com/docs/direct-reply-to>).
//!
//! A channel that consumes from [`REPLY_TO`] gets a queue that stands outside the topology: it is in no directory, so that nobody can declare, bind,
//! consume from or delete it; only its name, which the broker makes up and nobody can guess, leads to it by the default exchange. It belongs to its
//! connection and ends with its one consumer.

use std::sync::Arc;

use leveret_message::table::Table;

use crate::arguments::QueueSettings;
use crate::command::Command;
use crate::ids::ConnectionId;
use crate::queue_handle::{QueueDeclaration, QueueHandle};
use crate::vhost::Vhost;
use crate::vhost::door::generated_name;

/// What a requester consumes from, and gives as `reply-to`; what the answerer sees begins with it.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

const PREFIX: &str = "amq.rabbitmq.reply-to.";

impl Vhost {
    /// A place for the answers to a channel of a connection. Its shard, which has to know the connection, hears of it before any later command.
    ///
    /// **Effect**: messages reach it by its name until its consumer ends.
    pub fn open_replies(&self, connection: ConnectionId) -> Arc<QueueHandle> {
        let declaration = QueueDeclaration {
            name: generated_name(PREFIX),
            durable: false,
            owner: Some(connection),
            auto_delete: true,
            arguments: Table::default(),
        };
        let id = self.placement.next_queue();
        let queue = self.handle(id, declaration, QueueSettings::default());
        self.shards
            .send(queue.shard, Command::Declare(Arc::clone(&queue)));
        self.replies
            .insert(queue.name().clone(), Arc::clone(&queue));
        queue
    }

    /// The place of that name, as long as whoever asked lives.
    pub fn find_replies(&self, name: &str) -> Option<Arc<QueueHandle>> {
        // Most names are none of these.
        if !name.starts_with(PREFIX) {
            return None;
        }
        let found = self.replies.get(name).map(|found| Arc::clone(&found));
        found.filter(|found| !found.is_deleted())
    }

    /// Whether whoever asked under this name lives; of the name that requesters give, somebody always does.
    pub fn has_replies(&self, name: &str) -> bool {
        name == REPLY_TO || self.find_replies(name).is_some()
    }

    /// Forgets a place whose consumer has ended.
    pub(super) fn forget_replies(&self, queue: &QueueHandle) {
        if queue.name().starts_with(PREFIX) {
            self.replies.remove(queue.name());
        }
    }
}
