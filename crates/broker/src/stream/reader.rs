//! A consumer of a stream: how far it has come, and how many messages more it may take.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use leveret_message::name::Name;

use crate::command::{ChannelCredit, Holder, NewConsumer};
use crate::figures::ConsumedBy;
use crate::link::ConsumerSlot;
use crate::runs::{Piece, RunValue, Runs};
use crate::stream::{Filter, Run};

/// How many messages a filter passes over at once.
const PASSED_OVER_MAX: u32 = 10_000;

/// Nothing is known of what a reader holds but the numbers.
#[derive(Clone, Debug)]
struct Unsettled;

impl RunValue for Unsettled {
    fn skip(&mut self, _count: u64) {}
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    /// Its channel.
    pub holder: Holder,
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    tag: Name,
    /// The next message it takes.
    seq: u64,
    /// How many more it may take.
    credit: u64,
    channel_credit: Option<ChannelCredit>,
    filter: Option<Filter>,
    unsettled: Runs<Unsettled>,
    /// What was read for it.
    read: VecDeque<Run>,
    read_bytes: usize,
    /// The open question for it.
    pub(super) asked: Option<u64>,
}

impl Reader {
    pub(super) fn new(holder: Holder, new: &NewConsumer, seq: u64) -> Self {
        Self {
            holder,
            slot: new.slot,
            tag: new.tag.clone(),
            seq,
            credit: u64::from(new.prefetch),
            channel_credit: new.channel_credit.clone(),
            filter: new.filter.clone(),
            unsettled: Runs::default(),
            read: VecDeque::new(),
            read_bytes: 0,
            asked: None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.read_bytes
    }

    /// What it tells of itself.
    pub(super) fn consumed_by(&self) -> ConsumedBy {
        ConsumedBy {
            holder: self.holder,
            tag: self.tag.clone(),
            active: true,
        }
    }

    /// How many messages it has taken and not settled.
    pub fn unacked(&self) -> u64 {
        self.unsettled.count()
    }

    /// For how many messages it has credit of its own and of its channel.
    pub fn credit(&self) -> u64 {
        let channel = self.channel_credit.as_ref().map_or(u64::MAX, |credit| {
            credit.load(Ordering::Acquire).max(0) as u64
        });
        self.credit.min(channel)
    }

    /// Takes credit for up to `wanted` messages; returns for how many. The channel's may be gone since it was looked at.
    pub fn claim(&mut self, wanted: u64) -> u64 {
        let mut claimed = wanted.min(self.credit);
        if let Some(credit) = &self.channel_credit {
            let most = claimed;
            let _ = credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                claimed = most.min(left.max(0) as u64);
                Some(left - claimed as i64)
            });
        }
        self.credit -= claimed;
        claimed
    }

    pub(super) fn settle(&mut self, (first, count): (u64, u64)) -> u64 {
        let mut settled = 0;
        let run = first..=first + count.saturating_sub(1);
        self.unsettled.take(run, |piece| settled += piece.count);
        self.credit += settled;
        settled
    }

    /// What is before a sequence number is gone.
    pub(super) fn skip_to(&mut self, first_seq: u64) {
        self.seq = self.seq.max(first_seq);
        while let Some(run) = self.read.pop_front_if(|run| run.end() <= self.seq) {
            self.read_bytes -= run.bytes();
        }
    }

    /// The next messages, of those that were read for it or are in the tail.
    pub(super) fn next_run(
        &mut self,
        tail: &VecDeque<Run>,
        next_seq: u64,
        most: u64,
    ) -> Option<Run> {
        let mut passed_over = 0;
        while self.seq < next_seq && passed_over < PASSED_OVER_MAX {
            let in_tail = tail.front().is_some_and(|run| run.first_seq <= self.seq);
            if let Some(run) = self.read.front().filter(|_| !in_tail) {
                // What is not between them is nowhere.
                self.seq = self.seq.max(run.first_seq);
            }
            let source = match in_tail {
                true => tail.get(tail.partition_point(|run| run.end() <= self.seq)),
                false => self.read.front(),
            };
            let run = source?.from(self.seq, most)?;
            let Some(filter) = &self.filter else {
                return Some(run);
            };
            let wanted = |index: u32| {
                let message = run.batch.message(run.index + index);
                message.is_some_and(|message| filter.takes(&message))
            };
            let skipped = (0..run.count).take_while(|index| !wanted(*index)).count() as u32;
            let taken = (skipped..run.count)
                .take_while(|index| wanted(*index))
                .count();
            passed_over += skipped;
            let from = self.seq + u64::from(skipped);
            self.skip_to(from);
            if taken > 0 {
                return run.from(from, taken as u64);
            }
        }
        None
    }

    pub(super) fn note_delivered(&mut self, run: &Run) {
        self.unsettled.insert(Piece {
            first: run.first_seq,
            count: u64::from(run.count),
            value: Unsettled,
        });
        self.skip_to(run.end());
    }

    /// The first message that has to be read for it, where it waits for one before the tail.
    pub(super) fn wants(&self, tail_seq: u64) -> Option<u64> {
        let is_short = self.read.is_empty() && self.asked.is_none();
        (is_short && self.seq < tail_seq).then_some(self.seq)
    }

    /// Takes in what was read for it; what did not come up to before `next_seq` is lost.
    pub(super) fn take_in(&mut self, runs: Vec<Run>, next_seq: u64) {
        let first = runs.first().map_or(next_seq, |run| run.first_seq);
        for run in runs {
            self.read_bytes += run.bytes();
            self.read.push_back(run);
        }
        self.skip_to(first);
    }
}
