//! Crashes, and what must be found after them.

use std::path::Path;

use super::Held;
use super::check;
use super::model::{Model, State};
use super::rig::Rig;
use super::world::{CAPACITY, Who, World};
use crate::checkpoint;
use crate::disk::{Disk, Faults, SimDisk};
use crate::log::Group;

/// How much is read of a queue at once when everything is read.
const READ_LENS: [usize; 3] = [1, 4096, 1 << 20];

/// What a recovery has found.
pub(super) struct Found {
    pub(super) rig: Rig,
    /// What it must be, and is.
    pub(super) state: State,
    /// The index as bytes.
    pub(super) bytes: Vec<u8>,
}

impl World {
    /// Cuts the power of a copy of the disk; the run goes on as if nothing had been.
    pub(super) fn cut_a_copy(&mut self) -> Held {
        let copy = self.disk.crash(self.chance.number());
        self.figures.cuts += 1;
        self.examine_cut(&copy).map(drop)
    }

    /// Cuts the power, and goes on with what is left.
    pub(super) fn cut(&mut self) -> Held {
        let copy = self.disk.crash(self.chance.number());
        self.figures.cuts += 1;
        let found = self.examine_cut(&copy)?;
        self.adopt(copy, found);
        Ok(())
    }

    /// The process ends, and another one goes on.
    pub(super) fn kill(&mut self) -> Held {
        let copy = self.disk.kill();
        self.figures.kills += 1;
        let least = self.model.written.len();
        let found = self.examine(&copy, least)?;
        self.adopt(copy, found);
        Ok(())
    }

    /// An orderly stop; then a start, or a power cut and a start.
    pub(super) fn close(&mut self) -> Held {
        while self.commit_turn()? == Some(crate::commit::Turn::Wrote) {}
        if self.failed.is_none() {
            self.rest()?;
        }
        if self.failed.is_none() {
            let written = self.rig.keeper.checkpoint(self.now_ms);
            self.went(Who::Keeper, written)?;
        }
        if self.failed.is_some() {
            return self.after_failure();
        }
        if self.model.now != self.model.durable {
            return Err("after an orderly stop, not everything is durable".to_owned());
        }
        self.figures.closes += 1;
        let bytes = self.rig.bytes();
        let copy = match self.chance.coin() {
            true => self.disk.kill(),
            false => self.disk.crash(self.chance.number()),
        };
        let found = self.examine(&copy, 0)?;
        if found.bytes != bytes {
            return Err("after an orderly stop, the index is another one".to_owned());
        }
        self.adopt(copy, found);
        Ok(())
    }

    /// A failure that was asked for has struck: nothing is told any more, and a start finds what it must.
    pub(super) fn after_failure(&mut self) -> Held {
        if !self.disk.crashed() {
            self.figures.errors += 1;
            if self.failed == Some(Who::Commit) {
                self.stays_silent()?;
            }
            return match self.chance.coin() {
                true => self.kill(),
                false => self.cut(),
            };
        }
        for _ in 0..self.chance.below(4) {
            let copy = self.disk.crash(self.chance.number());
            self.figures.crashes += 1;
            self.examine_cut(&copy)?;
        }
        let copy = self.disk.crash(self.chance.number());
        self.figures.crashes += 1;
        let found = self.examine_cut(&copy)?;
        self.adopt(copy, found);
        Ok(())
    }

    /// Recovers from a disk whose power was cut, and in other ways from a copy of it: all must find the same.
    fn examine_cut(&mut self, disk: &SimDisk) -> Held<Found> {
        let twin = disk.kill();
        self.figures.crash_points += 1;
        let found = self.examine(disk, 0)?;
        let again = match self.chance.below(4) {
            0 => self.without_newest(&twin)?,
            1 | 2 => self.cut_in_recovery(&twin)?,
            _ => self.error_in_recovery(&twin)?,
        };
        match again {
            Some((how, bytes)) if bytes != found.bytes => {
                Err(format!("the index is another one {how}"))
            }
            _ => Ok(found),
        }
    }

    /// From the older of two checkpoints.
    fn without_newest(&mut self, disk: &SimDisk) -> Held<Option<(&'static str, Vec<u8>)>> {
        let names = disk.list(Path::new(checkpoint::FOLDER)).unwrap_or_default();
        let mut names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name.ends_with(".ckpt"));
        let Some(newest) = names.pop().filter(|_| !names.is_empty()) else {
            return Ok(None);
        };
        let newest = Path::new(checkpoint::FOLDER).join(newest);
        disk.remove(&newest).map_err(|error| error.to_string())?;
        self.figures.older += 1;
        let found = self.examine(disk, 0);
        let found = found.map_err(|what| format!("from the older checkpoint, {what}"))?;
        Ok(Some(("from the older checkpoint", found.bytes)))
    }

    /// With another power cut in the middle of the recovery.
    fn cut_in_recovery(&mut self, disk: &SimDisk) -> Held<Option<(&'static str, Vec<u8>)>> {
        let faults = Faults {
            crash_at: Some(1 + self.chance.below(60) as u64),
            ..self.faults()
        };
        disk.set_faults(faults);
        drop(Rig::open(&self.seen(disk), &self.setup, 77));
        if !disk.crashed() {
            return Ok(None);
        }
        self.figures.second_crashes += 1;
        self.figures.crash_points += 1;
        let after = disk.crash(self.chance.number());
        let found = self.examine(&after, 0);
        let found = found.map_err(|what| format!("after a second crash, {what}"))?;
        Ok(Some(("after a second crash", found.bytes)))
    }

    /// With an error of the disk in the middle of the recovery, which is then tried again by another process, or after a power cut.
    fn error_in_recovery(&mut self, disk: &SimDisk) -> Held<Option<(&'static str, Vec<u8>)>> {
        let soon = Some(1 + self.chance.below(8) as u64);
        let mut faults = self.faults();
        match self.chance.below(4) {
            0 => faults.fail_read = soon,
            1 => faults.fail_write = soon,
            2 => faults.fail_sync = soon,
            _ => faults.fail_change = soon,
        }
        disk.set_faults(faults);
        if Rig::open(&self.seen(disk), &self.setup, 78).is_ok() {
            return Ok(None);
        }
        self.figures.recovery_errors += 1;
        let after = match self.chance.coin() {
            true => disk.kill(),
            false => disk.crash(self.chance.number()),
        };
        let found = self.examine(&after, 0);
        let found = found.map_err(|what| format!("after an error in recovery, {what}"))?;
        Ok(Some(("after an error in recovery", found.bytes)))
    }

    /// Recovers, and checks that what is found is the model at a moment: with so many of the batches that were written, at least.
    pub(super) fn examine(&mut self, disk: &SimDisk, least: usize) -> Held<Found> {
        let moments = self.model.moments();
        let rig = self.recover(disk)?;
        self.figures.count_recovery(&disk.log());
        let state = {
            let applied = rig.applied.read();
            let due = moments.iter().skip(least);
            let found = due
                .clone()
                .find(|state| check::index(&applied.index, state).is_ok());
            let Some(state) = found.cloned() else {
                let differences = due.map(|state| check::index(&applied.index, state).err());
                let differences: Vec<String> = differences.flatten().collect();
                return Err(format!("nothing fits: {}", differences.join("; or ")));
            };
            check::counts(&applied.index)?;
            state
        };
        let bytes = rig.bytes();
        // With the same entries, it is the same index.
        let last = |rig: &Rig| rig.applied.read().index.last_of(Group::LOCAL);
        if state.last == self.model.durable.last
            && last(&rig) == last(&self.rig)
            && bytes != self.rig.bytes()
        {
            return Err("the same log has made another index".to_owned());
        }
        let mut found = Found { rig, state, bytes };
        let bytes_max = READ_LENS[self.chance.below(READ_LENS.len())];
        check::all_whole(&mut found.rig, &found.state, bytes_max)?;
        Ok(found)
    }

    /// Recovers on a disk that has room, or gets it when there is none.
    fn recover(&mut self, disk: &SimDisk) -> Held<Rig> {
        let random = u128::from(self.chance.number());
        self.figures.recoveries += 1;
        let first = Rig::open(&self.seen(disk), &self.setup, random);
        let full = self.is_narrow && disk.free_bytes().is_ok_and(|free| free < CAPACITY / 2);
        let faults = self.faults();
        disk.set_faults(faults);
        match first {
            Err(_) if full => Rig::open(&self.seen(disk), &self.setup, random)
                .map_err(|error| format!("when there is room again: {error}")),
            first => first.map_err(|error| format!("cannot be opened: {error}")),
        }
    }

    /// Goes on with a disk that was recovered.
    pub(super) fn adopt(&mut self, disk: SimDisk, found: Found) {
        self.leave();
        self.disk = disk;
        self.rig = found.rig;
        let queues = found.state.definitions.keys();
        let queues = queues.filter_map(|key| key.strip_prefix(b"queue "));
        self.queues = queues
            .filter_map(|id| String::from_utf8_lossy(id).parse().ok())
            .collect();
        self.model = Model::new(found.state, self.setup.stagings());
        (self.armed, self.failed, self.is_narrow) = (None, None, false);
    }

    /// Takes down what the disk has to say before it is left.
    pub(super) fn leave(&mut self) {
        let log = self.disk.log();
        self.figures.count(&log);
        let mix = |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.calls = log.bytes().fold(self.calls, mix);
    }
}
