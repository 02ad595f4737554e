//! The consumers of a queue: who may take the next message.
//!
//! Messages are dealt one by one, in turn, among the consumers of the highest priority that has any with credit. A consumer without credit
//! leaves the turn order (`rings`) and comes back, last, when it has some again; so finding the next one does not cost more with many that
//! wait.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::command::{ChannelCredit, Holder, NewConsumer};
use crate::link::ConsumerSlot;

/// Numbers the consumers of a queue in the order in which they came. Never used twice in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerKey(u64);

/// One consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its place in the order of subscription.
    pub key: ConsumerKey,
    /// Its channel.
    pub holder: Holder,
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    /// Whether messages are settled by being sent.
    pub no_ack: bool,
    exclusive: bool,
    priority: i64,
    /// How many more it may take; none is no limit.
    credit: Option<i64>,
    channel_credit: Option<ChannelCredit>,
    in_ring: bool,
}

impl Consumer {
    /// How many messages it may take now by its own limit.
    fn own_credit(&self) -> u64 {
        self.credit.unwrap_or(i64::MAX).max(0) as u64
    }

    /// How many messages its channel may take now, by a limit that all its consumers share.
    pub fn channel_credit(&self) -> u64 {
        let credit = self.channel_credit.as_ref();
        credit.map_or(u64::MAX, |credit| {
            credit.load(Ordering::Acquire).max(0) as u64
        })
    }

    fn spend(&mut self, count: u64) {
        if let Some(credit) = &mut self.credit {
            *credit -= count as i64;
        }
        if let Some(credit) = &self.channel_credit {
            credit.fetch_sub(count as i64, Ordering::AcqRel);
        }
    }
}

/// A consumer's turn to take messages.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Whose.
    pub key: ConsumerKey,
    /// Its channel.
    pub holder: Holder,
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    /// Whether messages are settled by being sent.
    pub no_ack: bool,
    /// How many messages it may take before it is another's turn.
    pub most: u64,
}

#[derive(Debug)]
struct Ring {
    priority: i64,
    turn: VecDeque<ConsumerKey>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Consumers {
    /// By key, so in order of subscription.
    members: Vec<Consumer>,
    /// Highest priority first. Empty rings are kept as long as there are consumers.
    rings: Vec<Ring>,
    next_key: u64,
    exclusive: bool,
}

impl Consumers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether another consumer may come; an exclusive one has to be alone.
    pub fn admits(&self, exclusive: bool) -> bool {
        !self.exclusive && (!exclusive || self.is_empty())
    }

    /// Adds one, last in its priority's turn.
    pub fn add(&mut self, holder: Holder, new: NewConsumer) -> ConsumerKey {
        let key = ConsumerKey(self.next_key);
        self.next_key += 1;
        self.exclusive |= new.exclusive;
        self.members.push(Consumer {
            key,
            holder,
            slot: new.slot,
            no_ack: new.no_ack,
            exclusive: new.exclusive,
            priority: new.priority,
            credit: (new.prefetch > 0 && !new.no_ack).then_some(i64::from(new.prefetch)),
            channel_credit: new.channel_credit.filter(|_| !new.no_ack),
            in_ring: false,
        });
        self.enter(self.members.len() - 1);
        key
    }

    /// Removes those that `of` names; returns how many went.
    pub fn remove(&mut self, mut of: impl FnMut(&Consumer) -> bool) -> usize {
        let before = self.members.len();
        let rings = &mut self.rings;
        self.members.retain(|consumer| {
            let goes = of(consumer);
            if goes && consumer.in_ring {
                rings
                    .iter_mut()
                    .for_each(|ring| ring.turn.retain(|key| *key != consumer.key));
            }
            !goes
        });
        self.exclusive = self.members.iter().any(|consumer| consumer.exclusive);
        if self.members.is_empty() {
            self.rings = Vec::new();
        }
        before - self.members.len()
    }

    /// All of them, in order of subscription.
    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.members.iter()
    }

    /// Whose turn it is, and how many messages it may take before it is another's. Those who have no credit leave the order until
    /// [`Consumers::give_back`]; so do those for whom `may_take` says no, until [`Consumers::wake`].
    pub fn next(&mut self, mut may_take: impl FnMut(&Consumer) -> bool) -> Option<Turn> {
        let Self { members, rings, .. } = self;
        rings
            .iter_mut()
            .find_map(|ring| next_in(ring, members, &mut may_take))
    }

    /// The consumer that [`Consumers::next`] named took `count` messages; its turn is over.
    pub fn took(&mut self, key: ConsumerKey, count: u64) {
        let Some(at) = self.find(key) else { return };
        let consumer = &mut self.members[at];
        if !consumer.no_ack {
            consumer.spend(count);
        }
        let priority = consumer.priority;
        if let Some(ring) = self.rings.iter_mut().find(|ring| ring.priority == priority)
            && ring.turn.len() > 1
        {
            ring.turn.rotate_left(1);
        }
    }

    /// Messages of a consumer were settled: it has credit again. One that is gone needs none.
    pub fn give_back(&mut self, key: ConsumerKey, count: u64) {
        if let Some(at) = self.find(key) {
            let consumer = &mut self.members[at];
            if let Some(credit) = &mut consumer.credit {
                *credit += count as i64;
            }
            self.enter(at);
        }
    }

    /// Puts the consumers that `of` names back into the order, if they are not in it.
    pub fn wake(&mut self, mut of: impl FnMut(&Consumer) -> bool) {
        for at in 0..self.members.len() {
            if of(&self.members[at]) {
                self.enter(at);
            }
        }
    }

    fn find(&self, key: ConsumerKey) -> Option<usize> {
        self.members.binary_search_by_key(&key, |c| c.key).ok()
    }

    fn enter(&mut self, at: usize) {
        let consumer = &mut self.members[at];
        if consumer.in_ring {
            return;
        }
        consumer.in_ring = true;
        let priority = consumer.priority;
        let ring = match self
            .rings
            .binary_search_by_key(&Reverse(priority), |r| Reverse(r.priority))
        {
            Ok(ring) => ring,
            Err(place) => {
                self.rings.insert(
                    place,
                    Ring {
                        priority,
                        turn: VecDeque::new(),
                    },
                );
                place
            }
        };
        self.rings[ring].turn.push_back(consumer.key);
    }
}

/// The first consumer of a ring that may take something; those before it leave the ring.
fn next_in(
    ring: &mut Ring,
    members: &mut [Consumer],
    mut may_take: impl FnMut(&Consumer) -> bool,
) -> Option<Turn> {
    while let Some(&key) = ring.turn.front() {
        let at = members.binary_search_by_key(&key, |c| c.key).ok()?;
        let consumer = members.get_mut(at)?;
        if consumer.own_credit() > 0 && may_take(consumer) {
            let credit = consumer.own_credit().min(consumer.channel_credit());
            let most = if ring.turn.len() == 1 { credit } else { 1 };
            let Consumer {
                holder,
                slot,
                no_ack,
                ..
            } = *consumer;
            return Some(Turn {
                key,
                holder,
                slot,
                no_ack,
                most,
            });
        }
        consumer.in_ring = false;
        ring.turn.pop_front();
    }
    None
}
