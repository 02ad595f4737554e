//! Alarms, as a connection feels them: whoever publishes while one is on is not read from until all are off.
//!
//! Clients with the capability hear `connection.blocked` and `unblocked` (<https://www.rabbitmq.com/docs/connection-blocked>). Connections that only
//! consume feel nothing.

use leveret_broker::alarms::Alarms;
use leveret_wire::encode;
use leveret_wire::protocol::{AMQPClass, connection};

use super::Session;

impl Session {
    /// A message was published.
    #[inline]
    pub(super) fn published(&mut self) {
        if self.alarms.any() && !self.blocked {
            self.block();
        }
    }

    #[cold]
    fn block(&mut self) {
        self.blocked = true;
        if self.core.client.connection_blocked {
            let reason = encode::short_string(&self.alarms.to_string());
            let blocked = connection::AMQPMethod::Blocked(connection::Blocked { reason });
            self.core.send(0, AMQPClass::Connection(blocked));
        }
    }

    /// Alarms went on or off. Who has published and waits is told at once: it may have nothing more to publish until that is
    /// confirmed, or is to be committed.
    pub(super) fn alarms_changed(&mut self, alarms: Alarms) {
        self.alarms = alarms;
        let publishes = || self.core.publisher.is_waiting() || self.has_uncommitted();
        if alarms.any() && !self.blocked && publishes() {
            self.block();
        }
        if self.blocked && !alarms.any() {
            self.blocked = false;
            if self.core.client.connection_blocked {
                let unblocked = connection::AMQPMethod::Unblocked(connection::Unblocked {});
                self.core.send(0, AMQPClass::Connection(unblocked));
            }
        }
    }

    /// Whether there are messages that only a commit has to follow.
    fn has_uncommitted(&self) -> bool {
        let mut transactions = self.channels.iter().filter_map(|c| c.transaction.as_ref());
        transactions.any(|transaction| transaction.uncommitted().0 > 0)
    }
}
