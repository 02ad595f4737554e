//! The turns of commit, keeper and reader, and what the model has to say to what comes of each.

use std::sync::atomic::Ordering;

use super::Held;
use super::check::{self, Seen};
use super::world::{Armed, Who, World};
use crate::commit::{CommitError, Turn};
use crate::entry::SegmentId;
use crate::keeper::Done;
use crate::reading::Closed;

impl World {
    /// Passes a result of the store on; an error ends the process where one was asked for, and is a failure where not.
    pub(super) fn went<T, E: std::fmt::Display>(
        &mut self,
        who: Who,
        result: Result<T, E>,
    ) -> Held<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.armed.is_some() => {
                self.failed = Some(who);
                Ok(None)
            }
            Err(error) => Err(format!("{who:?} failed: {error}")),
        }
    }

    pub(super) fn commit_turn(&mut self) -> Held<Option<Turn>> {
        let before = self.segments();
        self.model.take();
        let turned = self.rig.commit.turn(self.now_ms);
        let Some(turn) = self.went(Who::Commit, turned)? else {
            return Ok(None);
        };
        match turn {
            Turn::Nothing => {
                let taken = self.model.took_nothing();
                if taken.is_some_and(|batch| batch.entries > 0) {
                    return Err("the commit has overlooked what was staged".to_owned());
                }
            }
            Turn::Full if self.is_narrow => self.figures.full_turns += 1,
            Turn::Full => return Err("the log has no room on a disk that has".to_owned()),
            Turn::Wrote => {
                self.figures.batches += 1;
                let urgent = self.model.taken.as_ref().is_some_and(|batch| batch.urgent);
                self.model.wrote();
                if urgent && self.rig.commit.has_unsynced() {
                    return Err("what was urgent is not durable after a turn".to_owned());
                }
            }
        }
        self.progress(&before)?;
        Ok(Some(turn))
    }

    pub(super) fn flush(&mut self) -> Held {
        let before = self.segments();
        let flushed = self.rig.commit.flush();
        match self.went(Who::Commit, flushed)? {
            Some(()) => self.progress(&before),
            None => Ok(()),
        }
    }

    pub(super) fn rest(&mut self) -> Held {
        let before = self.segments();
        let rested = self.rig.commit.rest(self.now_ms);
        match self.went(Who::Commit, rested)? {
            Some(()) => self.progress(&before),
            None => Ok(()),
        }
    }

    /// What the commit says is written and durable now.
    fn progress(&mut self, before: &[SegmentId]) -> Held {
        if !self.rig.commit.has_unsynced() {
            self.model.synced();
        }
        self.positions()?;
        let after = self.segments();
        let came = after.iter().any(|id| !before.contains(id));
        let went = before.iter().any(|id| !after.contains(id));
        match (came, went) {
            (true, true) => self.figures.compactions += 1,
            (true, false) => self.figures.page_outs += 1,
            (false, true) => self.figures.drops += 1,
            (false, false) => {}
        }
        Ok(())
    }

    fn segments(&self) -> Vec<SegmentId> {
        let applied = self.rig.applied.read();
        applied.index.segments().map(|segment| segment.0).collect()
    }

    /// Whether what each staging was told is what the model says.
    pub(super) fn positions(&self) -> Held {
        for (number, staging) in self.rig.stagings.iter().enumerate() {
            let (durable, written) = (staging.durable().0, staging.written().0);
            let due = (self.model.durable_at[number], self.model.written_at[number]);
            if (durable, written) != due || durable > written || written > staging.last().0 {
                return Err(format!(
                    "staging {number} is durable to {durable} and written to {written}, not {due:?}"
                ));
            }
        }
        Ok(())
    }

    /// One step of the keeper.
    pub(super) fn keeper_turn(&mut self) -> Held<Option<Done>> {
        let keeper = self.setup.keeper();
        let before = self.rig.stagings[keeper].last();
        let turned = self.rig.keeper.turn(self.now_ms);
        if self.rig.stagings[keeper].last() > before {
            self.model.stage(keeper, None, true);
        }
        let Some(done) = self.went(Who::Keeper, turned)? else {
            return Ok(None);
        };
        if done == Done::Full && !self.is_narrow {
            return Err("the keeper has no room on a disk that has".to_owned());
        }
        self.figures.full_turns += u64::from(done == Done::Full);
        for closed in self.rig.keeper.take_closed() {
            self.figures.unlinks += u64::from(matches!(closed, Closed::Segment(_)));
            self.rig.reader.close(closed);
        }
        match self.rig.keeper.take_lost().first() {
            None => Ok(Some(done)),
            // What cannot be read is as good as damaged.
            Some(_) if self.may_be_unreadable() => {
                self.failed = Some(Who::Keeper);
                Ok(None)
            }
            Some(lost) => Err(format!("the keeper, without any damage: {lost}")),
        }
    }

    /// Turns of keeper and commit until neither has anything to do, with some time between. How many it took.
    pub(super) fn settle_down(&mut self, most: u64) -> Held<u64> {
        for turn in 0..most {
            self.now_ms += 50;
            let done = self.keeper_turn()?;
            let turned = self.commit_turn()?;
            if self.failed.is_some() {
                return Ok(turn);
            }
            // What has found no room is tried again after a while.
            let waits = self.rig.orders.is_full() && !self.is_narrow;
            let idle = done == Some(Done::Nothing) && turned == Some(Turn::Nothing) && !waits;
            if idle && !self.rig.keeper.has_plans() && !self.rig.orders.is_pending() {
                return Ok(turn);
            }
        }
        Err(format!("the keeper is not done after {most} turns"))
    }

    /// Reads a range of a queue.
    pub(super) fn read(&mut self) -> Held {
        let queues = &self.model.durable.queues;
        let at = self.chance.below(queues.len().max(1));
        let Some((id, queue)) = queues.iter().nth(at) else {
            return Ok(());
        };
        let last = self.chance.below(queue.next_seq as usize + 2) as u64;
        let first = self.chance.below(last as usize + 1) as u64;
        let bytes_max = 1 << self.chance.below(18);
        let mut seen = Seen::default();
        let reader = &mut self.rig.reader;
        let read = check::range(reader, (*id, queue), (first, last), bytes_max, &mut seen);
        self.figures.reads += 1;
        if self.went(Who::Reader, read)?.is_none() {
            return Ok(());
        }
        match check::nothing_lost(&seen) {
            Err(_) if self.may_be_unreadable() => {
                self.failed = Some(Who::Reader);
                Ok(())
            }
            lost => lost,
        }
    }

    /// Whether a call that reads may have failed.
    fn may_be_unreadable(&self) -> bool {
        self.disk.crashed() || self.armed == Some(Armed::Error)
    }

    /// After an error nobody is told anything any more, whatever is tried.
    pub(super) fn stays_silent(&mut self) -> Held {
        let told = self.rig.told.load(Ordering::Relaxed);
        let durable = self.rig.durable();
        for _ in 0..4 {
            self.stage()?;
            let ended: [Result<(), CommitError>; 3] = [
                self.rig.commit.turn(self.now_ms).map(drop),
                self.rig.commit.flush(),
                self.rig.commit.rest(self.now_ms),
            ];
            drop(ended);
        }
        if self.rig.durable() != durable || self.rig.told.load(Ordering::Relaxed) != told {
            return Err("something was told to be durable after an error".to_owned());
        }
        Ok(())
    }
}
