//! One connection's way into the queues: routes messages, gathers them into a batch per shard, hands the batches over.
//!
//! Routes are remembered by exchange and routing key. A remembered route holds as long as every exchange it visited has the same version and none of
//! its queues is deleted, which is looked at once per turn, and only if anything of that sort has changed anywhere. Nothing here waits; how much
//! may be handed over before the connection has to stop reading is the allowance.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::iter;
use std::sync::Arc;

use hashbrown::HashTable;
use leveret_message::batch::NewMessage;
use leveret_message::properties::Properties;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::command::{Command, Publish, RunQueues, Shards};
use crate::exchange::Exchange;
use crate::filling::{Filling, Kept, NewBody, by_shard};
use crate::ids::{ConnectionId, ShardId};
use crate::publisher::remembered::Route;
use crate::publisher::told::Stretch;
pub use crate::publisher::told::{NOBODY, PublishedTo};
use crate::route::pick::Chances;
use crate::route::{Routed, changes, route};
use crate::vhost::Vhost;

pub mod firehose;
pub mod gathered;
mod remembered;
#[cfg(test)]
mod tests;
mod told;

/// How many bytes of batches a connection may have with each shard before it stops reading.
pub const ALLOWANCE: usize = 1024 * 1024;

/// How many routes a connection remembers; when there are more, it forgets them all.
const ROUTES_MAX: usize = 4096;

/// How many queues the remembered routes lead to; when there are more, it forgets them all: a route may lead to thousands.
const ROUTED_QUEUES_MAX: usize = 64 * 1024;

/// Stands for a turn without messages so far. There are never so many changes.
const UNKNOWN: u64 = u64::MAX;

/// A route that was computed: an index, good until the next [`Publisher::route`] or [`Publisher::hand_over`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteIndex(usize);

/// The shards a message went to: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(pub u64);

impl ShardSet {
    /// Whether the message reached no queue.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards, lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        iter::from_fn(move || {
            let lowest = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (lowest < u64::BITS).then_some(ShardId(lowest as u16))
        })
    }
}

/// Where a message is: shards, the numbers of batches, and indexes in them.
pub type Places = SmallVec<[(ShardId, u64, u32); 1]>;

#[derive(Debug, Default)]
struct Lane {
    filling: Filling,
    /// The number of the last batch that was handed over.
    number: u64,
    /// Bytes handed over and not given back.
    outstanding: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Publisher {
    connection: ConnectionId,
    vhost: Arc<Vhost>,
    shards: Shards,
    lanes: Vec<Lane>,
    routes: Vec<Route>,
    /// Batches with messages that a queue may refuse, as far as their routes say, until they are done.
    refusable: BTreeSet<(ShardId, u64)>,
    /// Batches with messages for windows, until they are done.
    passing: BTreeSet<(ShardId, u64)>,
    /// What was published since the last hand-over.
    stretches: Vec<Stretch>,
    /// Who has published to what, as far as it was not asked for yet.
    told: Vec<PublishedTo>,
    /// The exchanges that know that this connection publishes to them.
    known_to: Vec<Arc<Exchange>>,
    /// How many messages were handed over.
    published: u64,
    /// How many queues `routes` lead to, each counted as often as it is named.
    routed_queues: usize,
    /// The routes that are remembered, by their keys.
    by_key: HashTable<RouteIndex>,
    /// The last answer, so that a stream to one queue costs one comparison.
    last: Option<RouteIndex>,
    /// What [`changes`] was when the first message of this turn was routed.
    changes: u64,
    chances: Chances,
}

impl Publisher {
    /// A publisher for one connection in one vhost.
    pub fn new(connection: ConnectionId, vhost: Arc<Vhost>, shards: Shards) -> Self {
        let lanes = (0..shards.count()).map(|_| Lane::default()).collect();
        Self {
            connection,
            vhost,
            shards,
            lanes,
            routes: Vec::new(),
            refusable: BTreeSet::new(),
            passing: BTreeSet::new(),
            stretches: Vec::new(),
            told: Vec::new(),
            known_to: Vec::new(),
            published: 0,
            routed_queues: 0,
            by_key: HashTable::new(),
            last: None,
            changes: UNKNOWN,
            chances: Chances::new(rand::random()),
        }
    }

    /// The remembered route for `u8 length, exchange, u8 length, routing key`, if it still holds. A message may use it only if its headers do
    /// not matter (no `CC` or `BCC`); a message that may not asks [`Publisher::route`].
    #[inline]
    pub fn remembered(&mut self, exchange_and_key: &[u8]) -> Option<RouteIndex> {
        if let Some(index) = self.last {
            let route = &self.routes[index.0];
            if route.key.as_slice() == exchange_and_key && route.held_at == self.changes {
                return Some(index);
            }
        }
        self.recall(exchange_and_key)
    }

    fn recall(&mut self, exchange_and_key: &[u8]) -> Option<RouteIndex> {
        let changes = self.look_for_changes();
        let routes = &mut self.routes;
        let is_it = |index: &RouteIndex| routes[index.0].key.as_slice() == exchange_and_key;
        let index = *self.by_key.find(hash(exchange_and_key), is_it)?;
        let route = &mut routes[index.0];
        if route.held_at != changes {
            if !route.holds() {
                self.forget_route(index);
                return None;
            }
            route.held_at = changes;
        }
        self.last = Some(index);
        Some(index)
    }

    /// The route does not hold any more. Its place is kept until all are forgotten.
    #[cold]
    fn forget_route(&mut self, index: RouteIndex) {
        let hash = hash(&self.routes[index.0].key);
        if let Ok(entry) = self.by_key.find_entry(hash, |of| *of == index) {
            entry.remove();
        }
        self.last = None;
    }

    /// Routes a message that was published to `exchange`, under its routing key and the further ones of `CC` and `BCC`.
    ///
    /// **Cost**: a walk over the exchanges. The answer is remembered where it depends on nothing but exchange and key.
    pub fn route<'k>(
        &mut self,
        exchange: &Arc<Exchange>,
        exchange_and_key: &[u8],
        routing_keys: impl Iterator<Item = &'k [u8]>,
        properties: Properties<'_>,
    ) -> RouteIndex {
        let keys: SmallVec<[&[u8]; 4]> = routing_keys.collect();
        let changes = self.look_for_changes();
        let routed = Routed {
            routing_keys: &keys,
            properties,
            chance: self.chances.draw(),
        };
        let reached = route(&self.vhost, exchange, &routed);
        if self.routes.len() >= ROUTES_MAX || self.routed_queues >= ROUTED_QUEUES_MAX {
            self.forget_routes();
        }
        let fleeting = reached.fleeting || keys.len() != 1;
        self.routed_queues += reached.queues.len();
        let index = RouteIndex(self.routes.len());
        let key = exchange_and_key.into();
        let route = Route::new(key, reached, Arc::clone(exchange), changes);
        self.routes.push(route);
        if !fleeting {
            let routes = &self.routes;
            let rehash = |index: &RouteIndex| hash(&routes[index.0].key);
            self.by_key
                .insert_unique(hash(exchange_and_key), index, rehash);
            self.last = Some(index);
        }
        index
    }

    /// How many messages were handed over.
    pub fn published(&self) -> u64 {
        self.published
    }

    fn look_for_changes(&mut self) -> u64 {
        if self.changes == UNKNOWN {
            self.changes = changes();
        }
        self.changes
    }

    fn forget_routes(&mut self) {
        self.tell();
        self.known_to.retain(|exchange| !exchange.is_deleted());
        self.routes.clear();
        self.routed_queues = 0;
        self.by_key.clear();
        self.last = None;
    }

    /// Forgets every route, for example because permissions changed.
    pub fn forget(&mut self) {
        self.forget_routes();
    }

    /// Whether the route leads to no queue.
    pub fn reaches_nobody(&self, route: RouteIndex) -> bool {
        self.routes[route.0].shards.is_empty()
    }

    /// Whether a queue may refuse messages on a route. These need [`Publisher::next_places`] each.
    #[inline]
    pub fn may_refuse(&self, route: RouteIndex) -> bool {
        self.routes[route.0].may_refuse
    }

    /// Where the next message on a route, which a queue may refuse, will be in the batches of its shards. They are remembered until they are done.
    pub fn next_places(&mut self, route: RouteIndex) -> Places {
        let place = |(shard, _): &(ShardId, RunQueues)| {
            let lane = &self.lanes[shard.0 as usize];
            (*shard, lane.number + 1, lane.filling.builder.len())
        };
        let places: Places = self.routes[route.0].lanes.iter().map(place).collect();
        let batches = places.iter().map(|(shard, number, _)| (*shard, *number));
        self.refusable.extend(batches);
        places
    }

    /// A message is published next on a route that was not remembered: those to windows are never.
    #[cold]
    pub fn note_passing(&mut self, route: RouteIndex) {
        let windows = self.routes[route.0].windows.iter();
        let batches = windows.map(|shard| (shard, self.lanes[shard.0 as usize].number + 1));
        self.passing.extend(batches);
    }

    /// The message that was published last, on this route, keeps its blind keys.
    #[cold]
    pub fn keep_blind(&mut self, route: RouteIndex, blind: &[u8]) {
        for (shard, _) in &self.routes[route.0].lanes {
            let filling = &mut self.lanes[shard.0 as usize].filling;
            filling.builder.mark_blind(blind);
        }
    }

    /// Whether messages that were handed over may be on their way to a window still, and so to their queues.
    #[inline]
    pub fn has_passing(&self) -> bool {
        !self.passing.is_empty()
    }

    /// Adds a message of a channel to the batches of the shards its route leads to, and says which these are.
    ///
    /// **Effect**: in this connection's memory only, until [`Publisher::hand_over`]. **Cost**: copies into one buffer per shard.
    #[inline(always)]
    pub fn publish(
        &mut self,
        (channel, route): (u16, RouteIndex),
        message: NewMessage<'_>,
        body: &NewBody<'_>,
    ) -> ShardSet {
        match self.stretches.last_mut() {
            Some(last) if last.route == route && last.channel == channel => last.count += 1,
            _ => self.stretches.push(Stretch {
                channel,
                route,
                count: 1,
            }),
        }
        let route = &self.routes[route.0];
        for (shard, queues) in &route.lanes {
            self.lanes[shard.0 as usize]
                .filling
                .add(queues, message, body);
        }
        route.shards
    }

    /// Lets the exchanges on a route keep a message and its blind keys, where they keep recent ones. For routes that were not remembered: such exchanges are on no other.
    #[cold]
    pub fn keep_recent(
        &self,
        route: RouteIndex,
        message: NewMessage<'_>,
        body: &NewBody<'_>,
        blind: &[u8],
    ) {
        let visited = &self.routes[route.0].visited;
        let kept = Kept { died: false, blind };
        self.vhost.keep_recent(visited, message, body, kept);
    }

    /// Whether nothing waits to be handed over.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.filling.is_empty())
    }

    /// Sends what was gathered to the shards.
    ///
    /// `first` is called with each shard before something is sent to it.
    ///
    /// **Order**: batches of one connection reach a shard in the order they were handed over. **Waits**: never.
    pub fn hand_over(&mut self, mut first: impl FnMut(ShardId)) {
        self.changes = UNKNOWN;
        self.tell();
        for (shard, lane) in self.lanes.iter_mut().enumerate() {
            let filling = &mut lane.filling;
            if filling.is_empty() {
                continue;
            }
            let shard = ShardId(shard as u16);
            first(shard);
            lane.number += 1;
            let bytes = filling.builder.byte_len();
            lane.outstanding += bytes;
            let (batch, runs) = filling.seal();
            let publish = Publish {
                connection: self.connection,
                number: lane.number,
                bytes,
                batch,
                runs,
            };
            self.shards.send(shard, Command::Publish(publish));
        }
    }

    /// The number of the last batch handed over to a shard.
    pub fn number(&self, shard: ShardId) -> u64 {
        self.lanes[shard.0 as usize].number
    }

    /// Whether a batch has messages on routes to queues that may refuse them.
    pub fn may_be_refused(&self, batch: (ShardId, u64)) -> bool {
        self.refusable.contains(&batch)
    }

    /// A shard has done its batches up to a number.
    pub fn done(&mut self, shard: ShardId, number: u64) {
        if !self.refusable.is_empty() {
            let done = (shard, 0)..=(shard, number);
            self.refusable.extract_if(done, |_| true).for_each(drop);
        }
        if !self.passing.is_empty() {
            let done = (shard, 0)..=(shard, number);
            self.passing.extract_if(done, |_| true).for_each(drop);
        }
    }

    /// A shard gave allowance back.
    pub fn returned(&mut self, shard: ShardId, bytes: usize) {
        let lane = &mut self.lanes[shard.0 as usize];
        debug_assert!(
            lane.outstanding >= bytes,
            "a shard gives back what it was given"
        );
        lane.outstanding = lane.outstanding.saturating_sub(bytes);
    }

    /// Whether the connection may go on reading.
    pub fn has_allowance(&self) -> bool {
        self.lanes.iter().all(|lane| lane.outstanding < ALLOWANCE)
    }

    /// Whether a shard has something of it and has not given that back.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| lane.outstanding > 0)
    }

    /// Bytes gathered and not handed over.
    pub fn gathered_bytes(&self) -> usize {
        let lanes = self.lanes.iter();
        lanes.map(|lane| lane.filling.builder.byte_len()).sum()
    }
}

fn hash(exchange_and_key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(exchange_and_key)
}
