//! The live connections: who they are, and the way to ask them to close.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use leveret_message::name::Name;
use rustc_hash::FxBuildHasher;

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
    /// Why all are closing, once they are.
    closing: OnceLock<String>,
}

impl Connections {
    /// A number for a new connection.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Adds one that was accepted, or tells more of it. After [`Connections::close_all`] it is asked to close.
    pub fn add(&self, facts: ConnectionFacts) {
        let link = Arc::clone(&facts.link);
        self.live.insert(link.connection, facts);
        // Looked at behind the insertion: one that `close_all` did not find there is told here.
        if let Some(reason) = self.closing.get() {
            link.events.push(Event::Close(reason.clone()));
        }
    }

    /// Removes one that ended.
    pub fn remove(&self, connection: ConnectionId) {
        self.live.remove(&connection);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// Asks all of them to close, and those that are still to come: open ones get `connection.close` 320 with this reason. **Waits**: never.
    pub fn close_all(&self, reason: &str) {
        let _ = self.closing.set(reason.to_owned());
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
}
