//! A connection, as a shard sees it: what it is to be told at the end of the turn, and where it holds or consumes something.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use leveret_store::log::QueueId;

use crate::error::Error;
use crate::ids::{ConsumerSlot, ShardId};
use crate::link::{Deliveries, Event, Link, Reply};
use crate::shard::publish::Safe;
use crate::shard::refuse::Refused;

/// Sets of queues smaller than this are not looked through for queues that are gone.
const TIDY_MIN: usize = 64;

/// What a connection is to be told.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) deliveries: Deliveries,
    /// The memory that these stand for, in bytes.
    pub(super) bytes: usize,
    /// What queues have refused, by the number of its batch.
    pub(super) refused: Vec<(u64, Vec<Refused>)>,
    /// The highest batch that is done; 0 says nothing new.
    pub(super) done: u64,
    /// Allowance to give back, in bytes.
    pub(super) returned: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Arc<Link>,
    pub(super) out: Out,
    /// Whether it is listed to be told something.
    pub(super) spoken_to: bool,
    /// Channels and the queues they consume from, or hold messages of. May name more than is true, never less.
    pub(super) held_from: BTreeSet<(u16, QueueId)>,
    /// Batches that are not done: each is once it is safe.
    pub(super) undone: VecDeque<(Safe, u64)>,
    /// Its exclusive queues.
    pub(super) exclusive: BTreeSet<QueueId>,
    /// Queues in which a consumer of its left the turn order for lack of room or of its channel's credit.
    pub(super) parked: BTreeSet<QueueId>,
    /// How large `held_from` and `parked` may get before queues that are gone are taken out of them.
    tidy_at: usize,
}

impl Peer {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            out: Out::default(),
            spoken_to: false,
            held_from: BTreeSet::new(),
            undone: VecDeque::new(),
            exclusive: BTreeSet::new(),
            parked: BTreeSet::new(),
            tidy_at: TIDY_MIN,
        }
    }

    /// Notes that a channel consumes from a queue, or holds messages of it. Now and then, forgets queues that are gone: a connection may live
    /// long and use many.
    pub(super) fn note_held(
        &mut self,
        channel: u16,
        queue: QueueId,
        is_alive: impl Fn(&QueueId) -> bool,
    ) {
        self.held_from.insert((channel, queue));
        if self.held_from.len() + self.parked.len() >= self.tidy_at {
            self.held_from.retain(|(_, queue)| is_alive(queue));
            self.parked.retain(is_alive);
            self.tidy_at = TIDY_MIN.max(2 * (self.held_from.len() + self.parked.len()));
        }
    }

    /// The channels that consume or hold something.
    pub(super) fn channels(&self) -> Vec<u16> {
        let mut channels: Vec<u16> = self.held_from.iter().map(|(channel, _)| *channel).collect();
        channels.dedup();
        channels
    }

    /// The queues that a channel consumes from or holds messages of; forgotten if the channel closes.
    pub(super) fn held_from_by(&mut self, channel: u16, close: bool) -> Vec<QueueId> {
        let of = (channel, QueueId(0))..=(channel, QueueId(u64::MAX));
        let queues: Vec<QueueId> = self.held_from.range(of).map(|(_, queue)| *queue).collect();
        if close {
            queues.iter().for_each(|queue| {
                self.held_from.remove(&(channel, *queue));
            });
        }
        queues
    }

    /// An answer, behind everything that was said before.
    pub(super) fn reply(&mut self, shard: ShardId, reply: Result<Reply, Error>) {
        self.say_gathered(shard);
        self.link.events.push(Event::Reply(reply));
    }

    /// A consumer has lost its queue.
    pub(super) fn cancelled(&mut self, consumer: ConsumerSlot) {
        self.say_deliveries();
        self.link.events.push(Event::ConsumerCancelled(consumer));
    }

    /// Ends the turn for this connection.
    pub(super) fn speak(&mut self, shard: ShardId) {
        self.spoken_to = false;
        self.say_gathered(shard);
    }

    fn say_gathered(&mut self, shard: ShardId) {
        self.say_deliveries();
        let Out {
            done,
            returned,
            refused,
            ..
        } = std::mem::take(&mut self.out);
        for (number, refused) in refused {
            self.link.events.push(Event::Refused {
                shard,
                number,
                refused,
            });
        }
        if done > 0 || returned > 0 {
            self.link.events.push(Event::Progress {
                shard,
                done,
                returned,
            });
        }
    }

    fn say_deliveries(&mut self) {
        if !self.out.deliveries.is_empty() {
            self.link.reserve(std::mem::take(&mut self.out.bytes));
            self.link
                .events
                .push(Event::Deliveries(self.out.deliveries.take()));
        }
    }
}
