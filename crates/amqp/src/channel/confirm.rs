//! Publisher confirms: which publishes the shards have not done yet, and the acks for those they have.
//!
//! Publishes are numbered from 1. What is pending is kept per hand-over, not per message: a hand-over's publishes are confirmed when each shard
//! that got some of them has done its batch. Confirms go out in order, one `basic.ack` with `multiple` for all that are due, but for what a full queue
//! has refused: that gets a `basic.nack` each. Which publishes may be refused, and where they are, is kept for these alone.

use std::collections::{BTreeSet, VecDeque};

use leveret_broker::ids::ShardId;
use leveret_broker::publisher::{Places, ShardSet};
use leveret_wire::protocol::{AMQPClass, confirm};
use leveret_wire::{ReplyCode, encode};
use rustc_hash::FxHashSet;

use crate::channel::Channel;
use crate::core::Core;
use crate::exception::Exception;

#[cfg(test)]
mod tests;

/// Publishes from `first` on wait for a shard to have done a batch.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: u64,
    shard: ShardId,
    number: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Confirms {
    /// The number of the last publish.
    last: u64,
    /// The last publish that was confirmed.
    confirmed: u64,
    /// The first publish since the last hand-over that reached a queue, and the shards reached since.
    gathered: Option<(u64, ShardSet)>,
    pending: VecDeque<Pending>,
    /// Publishes that a full queue may refuse, and where they are.
    refusable: VecDeque<(u64, Places)>,
    /// Those of them that were refused.
    refused: BTreeSet<u64>,
}

impl Confirms {
    pub(crate) fn new() -> Self {
        Self {
            last: 0,
            confirmed: 0,
            gathered: None,
            pending: VecDeque::new(),
            refusable: VecDeque::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Notes a publish and the shards it went to. Returns whether it is the first one since the last hand-over.
    pub(crate) fn published(&mut self, shards: ShardSet) -> bool {
        let first_of_turn = self.gathered.is_none();
        self.last += 1;
        let last = self.last;
        let (_, gathered) = self
            .gathered
            .get_or_insert_with(|| (last, ShardSet::default()));
        gathered.0 |= shards.0;
        first_of_turn
    }

    /// The next publish may be refused by a queue.
    pub(crate) fn next_may_be_refused(&mut self, places: Places) {
        self.refusable.push_back((self.last + 1, places));
    }

    /// Messages of a batch were refused, by their indexes; perhaps some of this channel's.
    pub(crate) fn refuse(&mut self, batch: (ShardId, u64), refused: &FxHashSet<u32>) {
        let is_refused = |(shard, number, index): &(ShardId, u64, u32)| {
            (*shard, *number) == batch && refused.contains(index)
        };
        for (publish, places) in &self.refusable {
            if places.iter().any(is_refused) {
                self.refused.insert(*publish);
            }
        }
    }

    /// Messages of a batch were refused that nobody knows: all that this channel has in it count as refused, which is never wrong.
    pub(crate) fn refuse_all(&mut self, batch: (ShardId, u64)) {
        for (at, pending) in self.pending.iter().enumerate() {
            if (pending.shard, pending.number) == batch {
                let behind = self.pending.range(at..).map(|behind| behind.first);
                let next = behind.chain(self.gathered.map(|(first, _)| first));
                let end = next.filter(|first| *first > pending.first).min();
                self.refused
                    .extend(pending.first..end.unwrap_or(self.last + 1));
            }
        }
    }

    /// What was gathered is on its way, as the batches that `number` tells for each shard.
    pub(crate) fn handed_over(&mut self, number: impl Fn(ShardId) -> u64) {
        if let Some((first, shards)) = self.gathered.take() {
            let pending = shards.iter().map(|shard| Pending {
                first,
                shard,
                number: number(shard),
            });
            self.pending.extend(pending);
        }
    }

    /// Whether publishes wait for a shard.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many publishes there were, and how many of them are confirmed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.last, self.confirmed)
    }

    /// Writes the confirm of everything that is due, given what each shard has done. Returns how many publishes that confirms.
    pub(crate) fn write(&mut self, channel: u16, done: &[u64], out: &mut Vec<u8>) -> u64 {
        let is_done = |pending: &Pending| {
            done.get(pending.shard.0 as usize)
                .is_some_and(|done| *done >= pending.number)
        };
        while self.pending.front().is_some_and(is_done) {
            self.pending.pop_front();
        }
        let waiting = self.pending.front().map(|pending| pending.first);
        let waiting = waiting.or_else(|| self.gathered.map(|(first, _)| first));
        let due = waiting.map_or(self.last, |first| first - 1);
        let count = due.saturating_sub(self.confirmed);
        while let Some(refused) = self.refused.first().copied().filter(|first| *first <= due) {
            self.refused.pop_first();
            self.ack_upto(refused - 1, channel, out);
            encode::nack(out, channel, refused, false, false);
            self.confirmed = refused;
        }
        self.ack_upto(due, channel, out);
        while self
            .refusable
            .front()
            .is_some_and(|(publish, _)| *publish <= due)
        {
            self.refusable.pop_front();
        }
        count
    }

    #[inline]
    fn ack_upto(&mut self, last: u64, channel: u16, out: &mut Vec<u8>) {
        let count = last.saturating_sub(self.confirmed);
        if count > 0 {
            encode::ack(out, channel, last, count > 1);
            self.confirmed = last;
        }
    }
}

/// `confirm.select`; once more changes nothing.
///
/// **Errors**: 406 on a transactional channel.
pub(crate) fn select(
    core: &mut Core,
    channel: &mut Channel,
    nowait: bool,
) -> Result<(), Exception> {
    if channel.transaction.is_some() {
        let explanation = "cannot switch from tx to confirm mode";
        return Err(Exception::channel(
            ReplyCode::PreconditionFailed,
            explanation,
        ));
    }
    channel.confirms.get_or_insert_with(Confirms::new);
    if !nowait {
        let select_ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
        core.send(channel.number, AMQPClass::Confirm(select_ok));
    }
    Ok(())
}
