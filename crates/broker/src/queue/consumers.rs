//! The consumers of a queue: who may take the next message.
//!
//! Messages are dealt one by one, in turn, among the consumers of the highest priority that has any with credit. A consumer without credit
//! leaves the turn order (`rings`) and comes back, last, when it has some again; so finding the next one does not cost more with many that
//! wait.
//!
//! A queue with a single active consumer deals to that one alone: the others stay out of the turn order until it is their time, in the order in
//! which they came (<https://www.rabbitmq.com/docs/consumers#single-active-consumer>). In a quorum queue the active one leaves to one of a higher
//! priority: it gets nothing more, and once it has settled what it holds it is the other one's time.
//!
//! A channel's own limit is a counter that its consumers on all shards share: credit is claimed from it before messages are taken, so that two
//! shards never both spend the last of it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leveret_message::name::Name;
use smallvec::SmallVec;

use crate::command::{ChannelCredit, NewConsumer};
use crate::ids::{ConsumerSlot, Holder};

#[cfg(test)]
mod tests;

/// Numbers the consumers of a queue in the order in which they came. Never used twice in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey(NonZeroU64);

/// One consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its place in the order of subscription.
    pub key: ConsumerKey,
    /// Its channel.
    pub holder: Holder,
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    /// Its tag, unique on its channel.
    pub tag: Name,
    /// Whether messages are settled by being sent.
    pub no_ack: bool,
    /// How long it may keep a message unsettled.
    pub timeout: Option<Duration>,
    /// The same, where it says so itself.
    own_timeout: Option<Duration>,
    exclusive: bool,
    priority: i64,
    /// How many more it may take; none is no limit.
    credit: Option<i64>,
    channel_credit: Option<ChannelCredit>,
    in_ring: bool,
}

impl Consumer {
    /// Its turn to take messages.
    fn turn(&self, count: u64) -> Turn {
        Turn {
            key: self.key,
            holder: self.holder,
            slot: self.slot,
            no_ack: self.no_ack,
            timeout: self.timeout,
            count,
        }
    }

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

    /// Takes credit for up to `wanted` messages; returns for how many. None may be left when its channel's other consumers were quicker.
    fn claim(&mut self, wanted: u64) -> u64 {
        let mut claimed = wanted.min(self.own_credit());
        if let Some(credit) = &self.channel_credit {
            let most = claimed;
            let _ = credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                claimed = most.min(left.max(0) as u64);
                Some(left - claimed as i64)
            });
        }
        if let Some(credit) = &mut self.credit {
            *credit -= claimed as i64;
        }
        claimed
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
    /// How long it may keep them unsettled.
    pub timeout: Option<Duration>,
    /// How many messages it takes.
    pub count: u64,
}

#[derive(Debug)]
struct Ring {
    priority: i64,
    turn: VecDeque<ConsumerKey>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Consumers {
    /// By key, so in order of subscription. A single one is near.
    members: SmallVec<[Consumer; 1]>,
    /// Highest priority first. A ring may be empty until the next consumer goes.
    rings: Vec<Ring>,
    last_key: u64,
    exclusive: bool,
    single_active: bool,
    /// The only one that is dealt to, where it is `single_active`.
    active: Option<ConsumerKey>,
    /// Whether it leaves to one of a higher priority, and whether it does now.
    yields: bool,
    is_leaving: bool,
    /// Who is in the order again, where somebody asks.
    woken: Option<Vec<ConsumerKey>>,
}

impl Consumers {
    /// Nobody yet; with `single_active` one at a time gets messages.
    pub fn new(single_active: bool) -> Self {
        Self {
            single_active,
            ..Self::default()
        }
    }

    /// From now on the active one leaves to those of a higher priority.
    pub fn yield_to_higher(&mut self) {
        self.yields = true;
    }

    /// From now on it is noted who is in the order again.
    pub fn note_woken(&mut self) {
        self.woken = Some(Vec::new());
    }

    /// One that is in the order again, where that is noted.
    pub fn pop_woken(&mut self) -> Option<ConsumerKey> {
        self.woken.as_mut()?.pop()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether another consumer may come; an exclusive one has to be alone, and has no place where a single one is active anyway.
    pub fn admits(&self, exclusive: bool) -> bool {
        !self.exclusive && (!exclusive || (self.is_empty() && !self.single_active))
    }

    /// Sets how long those may keep a message that do not say so themselves, from now on and for what they hold.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        for consumer in self.members.iter_mut().filter(|consumer| !consumer.no_ack) {
            consumer.timeout = consumer.own_timeout.or(timeout);
        }
    }

    /// Adds one, last in its priority's turn. What it says of a timeout is its own; `timeout` holds where it says nothing.
    pub fn add(
        &mut self,
        holder: Holder,
        new: NewConsumer,
        timeout: Option<Duration>,
    ) -> ConsumerKey {
        self.last_key += 1;
        let key = ConsumerKey(NonZeroU64::new(self.last_key).unwrap_or(NonZeroU64::MAX));
        self.exclusive |= new.exclusive;
        self.members.push(Consumer {
            key,
            holder,
            slot: new.slot,
            tag: new.tag,
            no_ack: new.no_ack,
            timeout: new.timeout.or(timeout).filter(|_| !new.no_ack),
            own_timeout: new.timeout,
            exclusive: new.exclusive,
            priority: new.priority,
            credit: (new.prefetch > 0 && !new.no_ack).then_some(i64::from(new.prefetch)),
            channel_credit: new.channel_credit.filter(|_| !new.no_ack),
            in_ring: false,
        });
        if self.single_active && self.active.is_none() {
            self.active = Some(key);
        }
        self.leave_to_higher();
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
        self.rings.retain(|ring| !ring.turn.is_empty());
        self.hand_over_activity();
        before - self.members.len()
    }

    /// Where the active one has gone, the next is active: of the highest priority the one that came first.
    fn hand_over_activity(&mut self) {
        match self.active.map(|active| self.find(active)) {
            None => {}
            Some(None) => self.hand_over(),
            Some(Some(at)) if self.is_leaving && !self.is_outranked(at) => {
                self.is_leaving = false;
                self.enter(at);
            }
            Some(Some(_)) => {}
        }
    }

    /// The next one is active.
    pub fn hand_over(&mut self) {
        self.is_leaving = false;
        let next = (0..self.members.len()).min_by_key(|at| Reverse(self.members[*at].priority));
        self.active = next.map(|at| self.members[at].key);
        if let Some(at) = next {
            self.enter(at);
        }
    }

    /// The active one, where it leaves: it is to [hand over](Consumers::hand_over) when it holds nothing any more.
    #[inline]
    pub fn leaving(&self) -> Option<&Consumer> {
        match self.is_leaving {
            true => self.single_active(),
            false => None,
        }
    }

    fn is_outranked(&self, at: usize) -> bool {
        let priority = self.members[at].priority;
        self.members.iter().any(|other| other.priority > priority)
    }

    fn leave_to_higher(&mut self) {
        let active = self.active.and_then(|active| self.find(active));
        let active = active.filter(|at| self.yields && self.is_outranked(*at));
        if let Some(at) = active {
            self.is_leaving = true;
            self.step_out(at);
        }
    }

    /// Takes a consumer out of the order.
    fn step_out(&mut self, at: usize) {
        let consumer = &mut self.members[at];
        let (key, priority) = (consumer.key, consumer.priority);
        if std::mem::take(&mut consumer.in_ring) {
            let ring = self.rings.iter_mut().find(|r| r.priority == priority);
            if let Some(ring) = ring {
                ring.turn.retain(|other| *other != key);
            }
        }
    }

    /// Who is dealt to, where that is one at a time.
    pub fn single_active(&self) -> Option<&Consumer> {
        let at = self.find(self.active?)?;
        self.members.get(at)
    }

    /// The one that has the queue for itself.
    pub fn exclusive(&self) -> Option<&Consumer> {
        self.members.iter().find(|consumer| consumer.exclusive)
    }

    /// Whether a consumer may get messages: not while another one is the only one that does.
    pub fn is_active(&self, consumer: &Consumer) -> bool {
        self.active.is_none_or(|active| active == consumer.key)
    }

    /// Whether one of them may have credit.
    pub fn can_take(&self) -> bool {
        self.rings.iter().any(|ring| !ring.turn.is_empty())
    }

    /// All of them, in order of subscription.
    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.members.iter()
    }

    /// Gives the next consumer its turn: one of `available` messages, or all of them where nobody else waits. The credit is spent with that, so
    /// whoever asks has to hand the messages out. Consumers without credit leave the order until [`Consumers::give_back`]; so do those for whom
    /// `may_take` says no, until [`Consumers::wake`].
    #[inline]
    pub fn next(
        &mut self,
        available: u64,
        mut may_take: impl FnMut(&Consumer) -> bool,
    ) -> Option<Turn> {
        let Self { members, rings, .. } = self;
        if let [only] = members.as_mut_slice()
            && only.in_ring
            && only.own_credit() > 0
            && may_take(only)
        {
            // It has the next turn, too: the rings, which are far away, stay as they are.
            let count = only.claim(available);
            if count > 0 {
                return Some(only.turn(count));
            }
        }
        rings
            .iter_mut()
            .find_map(|ring| next_in(ring, members, available, &mut may_take))
    }

    /// Gives one consumer its turn to take one message, if it may. Otherwise it leaves the order, as with [`Consumers::next`].
    pub fn next_of(
        &mut self,
        key: ConsumerKey,
        mut may_take: impl FnMut(&Consumer) -> bool,
    ) -> Option<Turn> {
        let at = self.find(key)?;
        let is_active = self.active.is_none_or(|active| active == key) && !self.is_leaving;
        let consumer = self.members.get_mut(at)?;
        while is_active && consumer.own_credit() > 0 && may_take(consumer) {
            if consumer.claim(1) == 1 {
                return Some(consumer.turn(1));
            }
            // The channel's credit went to another shard meanwhile: ask again whether it may take.
        }
        self.step_out(at);
        None
    }

    /// Messages of a consumer were settled: it has credit again. One that is gone needs none.
    #[inline]
    pub fn give_back(&mut self, key: ConsumerKey, count: u64) {
        if let Some(at) = self.find(key) {
            let consumer = &mut self.members[at];
            if let Some(credit) = &mut consumer.credit {
                *credit += count as i64;
            }
            if !consumer.in_ring {
                self.enter(at);
            }
        }
    }

    /// Sets the limit of the consumers that `of` names, of which `unacked` says how many messages they hold; 0 is none. One that may take more
    /// than before is in the order again.
    pub fn set_prefetch(
        &mut self,
        of: impl Fn(&Consumer) -> bool,
        prefetch: u16,
        mut unacked: impl FnMut(&Consumer) -> u64,
    ) {
        for at in 0..self.members.len() {
            let consumer = &mut self.members[at];
            if !of(consumer) || consumer.no_ack {
                continue;
            }
            let limit = (prefetch > 0).then_some(i64::from(prefetch));
            consumer.credit = limit.map(|limit| limit - unacked(consumer) as i64);
            if consumer.own_credit() > 0 {
                self.enter(at);
            }
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

    #[inline]
    fn find(&self, key: ConsumerKey) -> Option<usize> {
        if let [only] = self.members.as_slice() {
            return (only.key == key).then_some(0);
        }
        self.members.binary_search_by_key(&key, |c| c.key).ok()
    }

    fn enter(&mut self, at: usize) {
        let consumer = &mut self.members[at];
        let is_active = self.active.is_none_or(|active| active == consumer.key);
        if consumer.in_ring || !is_active || self.is_leaving {
            return;
        }
        consumer.in_ring = true;
        if let Some(woken) = &mut self.woken {
            woken.push(consumer.key);
        }
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

/// The turn of the first consumer of a ring that may take something, which is last after it; those before it leave the ring.
fn next_in(
    ring: &mut Ring,
    members: &mut [Consumer],
    available: u64,
    mut may_take: impl FnMut(&Consumer) -> bool,
) -> Option<Turn> {
    while let Some(&key) = ring.turn.front() {
        let at = members.binary_search_by_key(&key, |c| c.key).ok()?;
        let consumer = members.get_mut(at)?;
        if consumer.own_credit() > 0 && may_take(consumer) {
            let alone = ring.turn.len() == 1;
            let count = consumer.claim(if alone { available } else { available.min(1) });
            if count == 0 {
                // The channel's credit went to another shard meanwhile: ask again whether it may take.
                continue;
            }
            ring.turn.rotate_left(1);
            return Some(consumer.turn(count));
        }
        consumer.in_ring = false;
        ring.turn.pop_front();
    }
    None
}
