//! A consumer of a stream: how far it has come, and how many messages more it may take.

use std::sync::atomic::Ordering;

use leveret_message::name::Name;
use leveret_store::log::Read;

use crate::arguments::{Filter, Offset};
use crate::command::{ChannelCredit, NewConsumer};
use crate::figures::ConsumedBy;
use crate::ids::{ConnectionId, ConsumerSlot, Holder};
use crate::runs::{Piece, RunValue, Runs};
use crate::stream::run::{InMemory, Run, runs_of};
use crate::stream::seek::Seek;

/// How many messages are passed over at once.
const PASSED_OVER_MAX: u32 = 10_000;

/// Nothing is known of what a reader holds but the numbers.
#[derive(Clone, Debug)]
struct Unsettled;

impl RunValue for Unsettled {
    fn skip(&mut self, _count: u64) {}
}

/// Which reader it is: its connection, and how many it had before. Never used twice.
pub type ReaderId = (ConnectionId, u32);

/// What a reader is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits until it is its turn, and begins then.
    Waits,
    /// It takes messages.
    Reads,
    /// It takes none any more, but may yet acknowledge some.
    HasLeft,
}

/// What there is for a reader next.
#[derive(Debug)]
pub enum Next {
    /// Messages.
    Run(Run),
    /// There may be some: what was looked at so far is passed over.
    PassedOver,
    /// Nothing in memory.
    Nothing,
}

/// What was read from the log for one reader.
#[derive(Debug, Default)]
struct ReadBack {
    runs: InMemory,
    /// Everything there is up to before this number is in `runs`, or was.
    upto: u64,
    /// The open question for it.
    asked: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    /// Its channel.
    pub holder: Holder,
    /// How its connection numbers it.
    pub slot: ConsumerSlot,
    /// Which one it is.
    pub id: ReaderId,
    /// The name under which it is kept how far it has come.
    pub name: Option<Box<str>>,
    /// Where it wants to begin.
    pub(super) offset: Offset,
    pub(super) state: State,
    tag: Name,
    /// The next message it takes.
    seq: u64,
    /// What came before this time is passed over.
    since_ms: Option<u64>,
    /// It does not know yet where to begin.
    pub(super) seek: Option<Seek>,
    /// How many more it may take.
    credit: u64,
    channel_credit: Option<ChannelCredit>,
    filter: Option<Filter>,
    unsettled: Runs<Unsettled>,
    read: ReadBack,
}

impl Reader {
    pub(super) fn new(holder: Holder, new: &NewConsumer) -> Self {
        Self {
            holder,
            slot: new.slot,
            id: (holder.connection, new.reader),
            name: new.offset_name.as_deref().map(Into::into),
            offset: new.offset,
            state: State::Waits,
            seq: 0,
            since_ms: None,
            seek: None,
            tag: new.tag.clone(),
            credit: u64::from(new.prefetch),
            channel_credit: new.channel_credit.clone(),
            filter: new.filter.clone(),
            unsettled: Runs::default(),
            read: ReadBack::default(),
        }
    }

    /// The sequence number of the message that it takes next, where it takes some.
    pub(super) fn next_seq(&self) -> Option<u64> {
        (self.state == State::Reads && self.seek.is_none()).then_some(self.seq)
    }

    /// It begins with a message, and passes over what came before a time.
    pub(super) fn begin(&mut self, seq: u64, since_ms: Option<u64>) {
        self.state = State::Reads;
        self.seek = None;
        self.seq = seq;
        self.since_ms = since_ms;
    }

    /// It begins where that is found.
    pub(super) fn begin_at(&mut self, seek: Seek) {
        self.state = State::Reads;
        self.seek = Some(seek);
    }

    /// It takes no more.
    pub(super) fn leave(&mut self) {
        self.state = State::HasLeft;
        self.seek = None;
        self.read = ReadBack::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.read.runs.bytes()
    }

    /// What it tells of itself.
    pub(super) fn consumed_by(&self) -> ConsumedBy {
        ConsumedBy {
            holder: self.holder,
            tag: self.tag.clone(),
            active: self.state == State::Reads,
        }
    }

    /// How many messages it has taken and not settled.
    pub fn unacked(&self) -> u64 {
        self.unsettled.count()
    }

    /// Whether it is still a consumer.
    pub fn consumes(&self) -> bool {
        self.state != State::HasLeft
    }

    /// Whether it waits for its turn.
    pub(super) fn waits(&self) -> bool {
        self.state == State::Waits
    }

    /// Whether it takes messages.
    pub(super) fn reads(&self) -> bool {
        self.state == State::Reads
    }

    /// The first message that it has not done with; none where it does not know yet where it begins.
    pub(super) fn done_upto(&self) -> Option<u64> {
        if self.state == State::Waits || self.seek.is_some() {
            return None;
        }
        Some(self.unsettled.first().map_or(self.seq, |run| run.first))
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

    /// What it holds comes once more.
    pub(super) fn go_back(&mut self) {
        if let Some(seq) = self.done_upto() {
            self.seq = seq;
        }
        self.credit += self.unacked();
        self.unsettled = Runs::default();
        self.read = ReadBack::default();
    }

    /// What is before a sequence number is gone.
    pub(super) fn skip_to(&mut self, first_seq: u64) {
        if let Some(seek) = &mut self.seek {
            seek.skip_to(first_seq);
        }
        self.seq = self.seq.max(first_seq);
        self.read.runs.forget_before(self.seq);
    }

    /// The next messages below `end`, of those that were read for it or are in the tail. Passes over what it does not want.
    pub(super) fn next_run(&mut self, tail: &InMemory, end: u64, most: u64) -> Next {
        if self.seek.is_some() {
            return Next::Nothing;
        }
        let mut passed_over = 0;
        while self.seq < end {
            if passed_over >= PASSED_OVER_MAX {
                return Next::PassedOver;
            }
            let is_before_tail = tail.first().is_none_or(|first| self.seq < first.first_seq);
            let run = match is_before_tail {
                false => tail.at(self.seq),
                true => {
                    if let Some(first) = self.read.runs.first() {
                        // What is not between them is nowhere.
                        self.seq = self.seq.max(first.first_seq);
                    }
                    self.read.runs.first()
                }
            };
            let run = run.and_then(|run| run.from(self.seq, end.saturating_sub(self.seq)));
            let Some(run) = run else {
                return Next::Nothing;
            };
            let skipped = self.unwanted(&run);
            if skipped < run.count {
                let taken = self.wanted(&run, skipped, most);
                let from = run.first_seq + u64::from(skipped);
                self.skip_to(from);
                return run.from(from, taken).map_or(Next::Nothing, Next::Run);
            }
            passed_over += skipped;
            self.skip_to(run.end());
        }
        Next::Nothing
    }

    /// How many of the first messages of a run are passed over.
    fn unwanted(&mut self, run: &Run) -> u32 {
        let mut skipped = 0;
        if let Some(since_ms) = self.since_ms {
            skipped = run.count_before(since_ms);
            if skipped < run.count {
                self.since_ms = None;
            }
        }
        let Some(filter) = &self.filter else {
            return skipped;
        };
        let most = PASSED_OVER_MAX.max(skipped).min(run.count);
        let unwanted = |index: &u32| !filter.takes_one(&run.batch, run.index + index);
        skipped + (skipped..most).take_while(unwanted).count() as u32
    }

    /// How many messages from one on that is wanted are so too, at most `most`.
    fn wanted(&self, run: &Run, first: u32, most: u64) -> u64 {
        let most = most.min(u64::from(run.count - first));
        let Some(filter) = &self.filter else {
            return most;
        };
        let wanted = |index: &u32| filter.takes_one(&run.batch, run.index + index);
        (first..run.count)
            .take(most as usize)
            .take_while(wanted)
            .count() as u64
    }

    pub(super) fn note_delivered(&mut self, run: &Run) {
        self.unsettled.insert(Piece {
            first: run.first_seq,
            count: u64::from(run.count),
            value: Unsettled,
        });
        self.skip_to(run.end());
    }

    /// Whether it has taken everything before a message.
    pub(super) fn is_at(&self, seq: u64) -> bool {
        self.seq >= seq
    }

    /// Whether what it takes next is before the tail.
    pub(super) fn is_behind(&self, tail_seq: u64) -> bool {
        self.reads() && (self.seek.is_some() || self.seq < tail_seq)
    }

    /// Whether a question for it is open.
    pub(super) fn is_asking(&self) -> bool {
        self.read.asked.is_some()
    }

    /// Whether a question for it is open with this token.
    pub(super) fn has_asked(&self, token: u64) -> bool {
        self.read.asked == Some(token)
    }

    pub(super) fn note_asked(&mut self, token: u64) {
        self.read.asked = Some(token);
    }

    /// The first message before the tail that is to be read for it: the next one, or one ahead of it where less than `bytes_min` are left.
    pub(super) fn wants(&self, tail_seq: u64, bytes_min: usize) -> Option<u64> {
        let seq = match self.read.runs.is_empty() {
            true => self.seq,
            false => self.read.upto,
        };
        let is_short = !self.is_asking() && self.read.runs.bytes_from(self.seq) < bytes_min;
        (is_short && seq < tail_seq).then_some(seq)
    }

    /// Takes in what was read for it; what did not come up to before `upto` is lost.
    pub(super) fn take_in(&mut self, runs: impl Iterator<Item = Run>, upto: u64) {
        self.read.asked = None;
        self.read.upto = upto;
        let had = !self.read.runs.is_empty();
        let mut first = None;
        for run in runs.filter(|run| run.end() > self.seq) {
            first.get_or_insert(run.first_seq);
            self.read.runs.push(run);
        }
        if !had {
            self.skip_to(first.unwrap_or(upto));
        }
    }

    /// Takes in what it looked at to find out where to begin.
    pub(super) fn take_in_look(&mut self, read: &Read) {
        self.read.asked = None;
        if let Some(seek) = &mut self.seek {
            seek.learn(read);
        }
    }
}

/// What was read, as runs, and up to before which number that is all there is.
pub(super) fn taken_in(read: Read) -> (Vec<Run>, u64) {
    let upto = read.next_seq;
    (runs_of(read), upto)
}
