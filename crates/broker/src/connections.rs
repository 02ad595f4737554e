//! The live connections: who they are, and the way to ask them to close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dashmap::DashMap;
use leveret_message::name::Name;
use leveret_message::table::Table;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::alarms::Alarms;
use crate::error::Error;
use crate::events::Events;
use crate::figures::{Traffic, TrafficFigures};
use crate::ids::ConnectionId;
use crate::link::{Event, Link};

/// What is known of a connection from outside.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Its link, to tell it something.
    pub link: Arc<Link>,
    /// `peer -> local`, as RabbitMQ names connections.
    pub name: String,
    /// When it was accepted.
    pub since: Instant,
    /// What it has read and written.
    pub traffic: Arc<Traffic>,
    /// How its socket is encrypted, if it is.
    pub tls: Option<TlsFacts>,
    /// What both sides agreed on, once it is open.
    pub open_as: Option<Arc<OpenAs>>,
}

/// How a socket is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version of the protocol, such as `tlsv1.3`.
    pub protocol: &'static str,
    /// The cipher suite, by its name in the standard.
    pub cipher: String,
    /// The subject of the client's certificate, if it has shown one.
    pub peer_subject: Option<String>,
}

/// What an open connection and its broker agreed on.
#[derive(Clone, Debug)]
pub struct OpenAs {
    /// The user that it logged in as.
    pub user: Name,
    /// The vhost that it is in.
    pub vhost: Name,
    /// The protocol, such as `AMQP 0-9-1`.
    pub protocol: &'static str,
    /// The login mechanism, such as `PLAIN`.
    pub mechanism: String,
    /// What the client says of itself.
    pub client_properties: Table,
    /// The highest channel number.
    pub channel_max: u16,
    /// The largest frame, in bytes.
    pub frame_max: u32,
    /// The heartbeat interval, in seconds; 0 is none.
    pub heartbeat: u16,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Connections {
    next: AtomicU64,
    live: DashMap<ConnectionId, ConnectionFacts, FxBuildHasher>,
    /// What those that have ended had read, written and done.
    ended: Mutex<Ended>,
    /// Held while one opens where there is a limit, so that two do not both become the last one.
    opening: Mutex<()>,
    /// Why all are closing, once they are.
    closing: OnceLock<String>,
    events: Arc<Events>,
}

#[derive(Debug, Default)]
struct Ended {
    count: u64,
    all: TrafficFigures,
    by_vhost: HashMap<Name, TrafficFigures, FxBuildHasher>,
}

impl Connections {
    /// None yet; those that come and go are told.
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            ..Self::default()
        }
    }

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

    /// Notes what one that was added has agreed on with its client, unless that would be one too many in its vhost or of its user.
    ///
    /// **Errors**: [`Error::VhostConnections`], [`Error::UserConnections`] (530).
    pub fn open(
        &self,
        connection: ConnectionId,
        open_as: OpenAs,
        vhost_max: Option<u64>,
        user_max: Option<u64>,
    ) -> Result<(), Error> {
        let _opening = (vhost_max.is_some() || user_max.is_some()).then(|| self.opening.lock());
        if let Some(max) = vhost_max
            && self.links_of(|other| other.vhost == open_as.vhost).len() as u64 >= max
        {
            return Err(Error::VhostConnections {
                vhost: open_as.vhost,
                user: open_as.user,
                max,
            });
        }
        if let Some(max) = user_max
            && self.links_of(|other| other.user == open_as.user).len() as u64 >= max
        {
            return Err(Error::UserConnections {
                user: open_as.user,
                max,
            });
        }
        if let Some(mut facts) = self.live.get_mut(&connection) {
            let open_as = Arc::new(open_as);
            facts.open_as = Some(Arc::clone(&open_as));
            self.events.connection_created(&facts, &open_as);
        }
        Ok(())
    }

    /// How many channels the connections of a user have.
    pub fn channels_of(&self, user: &str) -> u64 {
        let is_meant =
            |facts: &ConnectionFacts| facts.open_as.as_ref().is_some_and(|o| *o.user == *user);
        let meant = self.live.iter().filter(|facts| is_meant(facts));
        meant.map(|facts| facts.traffic.figures().channels).sum()
    }

    /// Removes one that ended.
    pub fn remove(&self, connection: ConnectionId) {
        // Together, so that no sum lacks it.
        let mut ended = self.ended.lock();
        if let Some((_, facts)) = self.live.remove(&connection) {
            let mut figures = facts.traffic.figures();
            figures.channels = 0;
            ended.count += 1;
            ended.all += figures;
            if let Some(open) = &facts.open_as {
                *ended.by_vhost.entry(open.vhost.clone()).or_default() += figures;
                self.events.connection_closed(&facts, open);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// How many there were since the broker was started, those that are live included.
    pub fn created(&self) -> u64 {
        let ended = self.ended.lock();
        ended.count + self.live.len() as u64
    }

    /// Something was done in a vhost without a connection.
    pub fn note(&self, vhost: &Name, done: TrafficFigures) {
        let mut ended = self.ended.lock();
        ended.all += done;
        *ended.by_vhost.entry(vhost.clone()).or_default() += done;
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<ConnectionFacts> {
        self.live.iter().map(|facts| facts.clone()).collect()
    }

    /// The one with that number.
    pub fn get(&self, connection: ConnectionId) -> Option<ConnectionFacts> {
        self.live.get(&connection).map(|facts| facts.clone())
    }

    /// What all connections have read, written and done since the broker was started.
    pub fn traffic(&self) -> TrafficFigures {
        let ended = self.ended.lock();
        let mut sum = ended.all;
        for facts in &self.live {
            sum += facts.traffic.figures();
        }
        sum
    }

    /// What the connections of each vhost that had any have read, written and done.
    pub fn traffic_by_vhost(&self) -> HashMap<Name, TrafficFigures, FxBuildHasher> {
        let ended = self.ended.lock();
        let mut sums = ended.by_vhost.clone();
        for facts in &self.live {
            if let Some(open) = &facts.open_as {
                *sums.entry(open.vhost.clone()).or_default() += facts.traffic.figures();
            }
        }
        sums
    }

    /// What ended connections of a vhost did is of no interest any longer.
    pub(crate) fn forget_vhost(&self, vhost: &str) {
        self.ended.lock().by_vhost.remove(vhost);
    }

    /// Asks those to close that `of` names: they get `connection.close` 320 with this reason. **Waits**: never.
    pub fn close_those(&self, reason: &str, of: impl Fn(&OpenAs) -> bool) {
        for link in self.links_of(of) {
            link.events.push(Event::Close(reason.to_owned()));
        }
    }

    /// What a user may do was changed: its connections look again before they go on. **Waits**: never.
    pub(crate) fn tell_access_changed(&self, of: impl Fn(&OpenAs) -> bool) {
        for link in self.links_of(of) {
            link.events.push(Event::AccessChanged);
        }
    }

    fn links_of(&self, of: impl Fn(&OpenAs) -> bool) -> Vec<Arc<Link>> {
        let is_meant = |facts: &ConnectionFacts| facts.open_as.as_deref().is_some_and(&of);
        let meant = self.live.iter().filter(|facts| is_meant(facts));
        meant.map(|facts| Arc::clone(&facts.link)).collect()
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
