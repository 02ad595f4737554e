//! A disk that is full for a while, and the end of a run: space is given back.

use std::collections::BTreeMap;
use std::path::Path;

use super::Held;
use super::stage::together;
use super::world::{CAPACITY, World};
use crate::checkpoint;
use crate::commit::Turn;
use crate::disk::{Disk, Faults};
use crate::index::Index;
use crate::recovery::WAL_FOLDER;
use crate::segment;
use crate::wal::SPARES_MAX;

/// So many turns of the keeper must do to give everything back.
const TURNS_MAX: u64 = 600;

impl World {
    /// The disk has little room for a while, and then has it again: nothing is lost, and everything becomes durable.
    pub(super) fn narrow(&mut self) -> Held {
        if self.armed.is_some() {
            return Ok(());
        }
        let more = self.chance.below(3) * self.chance.below(24 * 1024);
        let capacity = Some(self.used()? + more as u64);
        self.disk.set_faults(Faults {
            capacity,
            ..Faults::default()
        });
        self.is_narrow = true;
        self.figures.narrows += 1;
        for _ in 0..1 + self.chance.below(25) {
            self.work()?;
            self.check()?;
            if self.chance.below(4) == 0 {
                self.cut_a_copy()?;
            }
        }
        if self.chance.below(3) == 0 {
            self.give_back_narrowly()?;
        }
        if self.chance.below(6) == 0 {
            return self.cut();
        }
        let faults = self.faults();
        self.disk.set_faults(faults);
        self.is_narrow = false;
        self.redefine_something()?;
        while self.commit_turn()? == Some(Turn::Wrote) {}
        if self.model.durable.last.get(&0) != self.model.now.last.get(&0) {
            return Err("with room again, what is urgent does not become durable".to_owned());
        }
        self.settle_down(TURNS_MAX)?;
        if self.rig.orders.is_full() {
            return Err("with room again, the disk is still said to be full".to_owned());
        }
        self.check()
    }

    /// Nearly everything is settled while there is room for a checkpoint and not for much more: what is dead must go all the same.
    fn give_back_narrowly(&mut self) -> Held {
        let first = |live: &mut dyn Iterator<Item = u64>| live.next().into_iter().collect();
        let queues = self.model.now.queues.iter();
        let pins = queues.map(|(id, queue)| (*id, first(&mut queue.live.keys().copied())));
        let pins: BTreeMap<u64, Vec<u64>> = pins.collect();
        self.settle_all_but(&pins)?;
        self.redefine_something()?;
        while self.commit_turn()? == Some(Turn::Wrote) {}
        let checkpoints = self.disk.list(Path::new(checkpoint::FOLDER));
        let checkpoints = checkpoints.map_err(|error| error.to_string())?;
        let checkpoint = checkpoints.iter().map(|(_, len)| len).max();
        let room = 2048 + 2 * checkpoint.copied().unwrap_or(2048);
        self.disk.set_faults(Faults {
            capacity: Some(self.used()? + room),
            ..Faults::default()
        });
        for _ in 0..200 {
            self.now_ms += 50;
            self.keeper_turn()?;
            if self.commit_turn()? == Some(Turn::Full) {
                // Not even the log has room: nothing can be told of what is dead.
                return Ok(());
            }
        }
        let applied = self.rig.applied.read();
        let mut segments = applied.index.segments();
        match self.rig.keeper.has_plans() || segments.any(|(_, segment)| segment.live == 0) {
            true => Err("on a full disk, what is dead is kept".to_owned()),
            false => Ok(()),
        }
    }

    /// Bytes that the files take, those included that are open without a name.
    fn used(&self) -> Held<u64> {
        let free = self.disk.free_bytes().map_err(|error| error.to_string())?;
        Ok(CAPACITY - free)
    }

    /// Settles everything, or all but a message in each segment; then the store must become small.
    pub(super) fn drain(&mut self) -> Held {
        if self.armed.is_some() {
            // It may have struck already, and not have been met.
            self.cut()?;
        }
        let pins = match self.chance.coin() {
            true => one_of_each_segment(&self.rig.applied.read().index),
            false => BTreeMap::new(),
        };
        self.settle_all_but(&pins)?;
        self.redefine_something()?;
        while self.commit_turn()? == Some(Turn::Wrote) {}
        self.rest()?;
        self.settle_down(TURNS_MAX)?;
        self.check()?;
        self.figures.drains += 1;
        let (used, most) = (self.used()?, self.small());
        if used > most {
            let live = self.model.now.live();
            let named = self.named()?;
            return Err(format!(
                "drained to {live} messages, the store takes {used} bytes, and {most} at most are fine; with names: {named}"
            ));
        }
        self.kill()
    }

    /// Settles everything but some messages of some queues.
    fn settle_all_but(&mut self, pins: &BTreeMap<u64, Vec<u64>>) -> Held {
        let queues: Vec<u64> = self.model.now.queues.keys().copied().collect();
        for queue in queues {
            let pinned = pins.get(&queue).map_or(&[][..], Vec::as_slice);
            let live = self.model.now.queues.get(&queue);
            let live = live.map(|queue| queue.live.keys().copied());
            let live = live.into_iter().flatten();
            let runs = together(live.filter(|seq| !pinned.contains(seq)));
            if !runs.is_empty() {
                self.settle_runs(queue, runs)?;
            }
        }
        Ok(())
    }

    /// What each folder takes, in words.
    fn named(&self) -> Held<String> {
        let mut words = Vec::new();
        for folder in [WAL_FOLDER, segment::FOLDER, checkpoint::FOLDER] {
            let files = self.disk.list(Path::new(folder));
            let files = files.map_err(|error| error.to_string())?;
            let bytes: u64 = files.iter().map(|(_, len)| len).sum();
            words.push(format!("{bytes} in {} files of {folder}", files.len()));
        }
        Ok(words.join(", "))
    }

    /// How many bytes a drained store may take.
    fn small(&self) -> u64 {
        let applied = self.rig.applied.read();
        let segments = applied.index.segments();
        let live: u64 = segments.map(|(_, segment)| segment.live_bytes()).sum();
        let frame = 16 * 1024;
        let segments = 2 * live + frame * (2 + 2 * live / self.setup.aims.segment_bytes);
        let files = SPARES_MAX as u64 + 3;
        self.setup.aims.log_bytes + files * self.setup.lens.full + 2 * frame + segments
    }
}

/// The first live message of each segment, by queue.
fn one_of_each_segment(index: &Index) -> BTreeMap<u64, Vec<u64>> {
    let mut pins: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (id, _) in index.segments() {
        if let Some(placed) = index.runs_in_segment(id).next() {
            let pinned = pins.entry(placed.queue.0).or_default();
            pinned.push(placed.run.first_seq);
        }
    }
    pins
}
