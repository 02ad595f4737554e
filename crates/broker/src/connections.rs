//! The live connections: who they are, and the way to ask them to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use leveret_message::name::Name;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;

use crate::alarms::Alarms;
use crate::link::{ConnectionId, Event, Link};

/// What is known of a connection from outside.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Its link, to tell it something.
    pub link: Arc<Link>,
    /// `peer -> local`, as RabbitMQ names connections.
    pub name: String,
    /// The user it logged in as and the vhost it is in, once it is open.
    pub open_as: Option<(Name, Name)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Connections {
    next: AtomicU64,
    live: DashMap<ConnectionId, ConnectionFacts, FxBuildHasher>,
    fewer: Notify,
}

impl Connections {
    /// A number for a new connection.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Adds one that was accepted, or tells more of it.
    pub fn add(&self, facts: ConnectionFacts) {
        self.live.insert(facts.link.connection, facts);
    }

    /// Removes one that ended.
    pub fn remove(&self, connection: ConnectionId) {
        if self.live.remove(&connection).is_some() {
            self.fewer.notify_waiters();
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// Asks all of them to close: those that are open get `connection.close` 320 with this reason. **Waits**: never.
    pub fn close_all(&self, reason: &str) {
        for connection in &self.live {
            connection.link.events.push(Event::Close(reason.to_owned()));
        }
    }

    /// Tells all of them which alarms are on. **Waits**: never.
    pub(crate) fn tell_alarms(&self, alarms: Alarms) {
        for connection in &self.live {
            connection.link.events.push(Event::Alarms(alarms));
        }
    }

    /// Notified each time one ended.
    pub fn fewer(&self) -> &Notify {
        &self.fewer
    }
}
