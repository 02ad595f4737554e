//! A route that a connection remembers: where messages go, and how long that holds.

use std::sync::Arc;

use leveret_store::log::Group;
use smallvec::SmallVec;

use super::{ShardSet, by_shard};
use crate::command::RunQueues;
use crate::exchange::Exchange;
use crate::ids::ShardId;
use crate::queue_handle::QueueHandle;
use crate::route::{Reached, Visited};

/// Keys up to this length are near what else is looked at for each message.
const KEY_NEAR: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Route {
    /// `u8 length, exchange, u8 length, routing key`.
    pub(super) key: SmallVec<[u8; KEY_NEAR]>,
    /// The exchange that it begins at.
    pub(super) exchange: Arc<Exchange>,
    pub(super) visited: Visited,
    pub(super) handles: Arc<[Arc<QueueHandle>]>,
    pub(super) lanes: SmallVec<[(ShardId, RunQueues); 1]>,
    pub(super) shards: ShardSet,
    /// How many groups of queues it leads to, each of which has an entry of the log of its own.
    pub(super) groups: usize,
    /// The shards in which it comes to the window of an exchange first.
    pub(super) windows: ShardSet,
    /// Whether one of the queues may refuse it.
    pub(super) may_refuse: bool,
    /// What [`changes`] was when it was last found to hold.
    pub(super) held_at: u64,
    /// Whether its exchange knows that this connection publishes to it.
    pub(super) is_known: bool,
}

impl Route {
    pub(super) fn new(
        key: SmallVec<[u8; KEY_NEAR]>,
        reached: Reached,
        exchange: Arc<Exchange>,
        changes: u64,
    ) -> Self {
        let mut handles = reached.queues;
        let lanes: SmallVec<[_; 1]> = by_shard(&mut handles).collect();
        let bits = lanes.iter().fold(0, |bits, (shard, _)| bits | 1 << shard.0);
        let groups = handles
            .iter()
            .fold(0_u128, |groups, queue| groups | 1 << Group::of(queue.id).0);
        let windows = handles
            .iter()
            .filter(|queue| queue.is_window_of().is_some())
            .fold(0, |bits, window| bits | 1 << window.shard.0);
        let handles: Arc<[Arc<QueueHandle>]> = handles.into();
        Self {
            key,
            exchange,
            may_refuse: may_refuse(&handles),
            visited: reached.visited,
            handles,
            lanes,
            shards: ShardSet(bits),
            windows: ShardSet(windows),
            groups: groups.count_ones() as usize,
            held_at: changes,
            is_known: false,
        }
    }

    /// Whether it still leads where it did.
    pub(super) fn holds(&self) -> bool {
        self.visited
            .iter()
            .all(|(exchange, version)| exchange.version() == *version)
            && !self.handles.iter().any(|queue| queue.is_deleted())
            && self.may_refuse == may_refuse(&self.handles)
    }
}

fn may_refuse(queues: &[Arc<QueueHandle>]) -> bool {
    queues.iter().any(|queue| queue.may_turn_away())
}
