//! A run: the store, its model, the time, and steps that follow from the seed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::figures::Figures;
use super::model::{Model, State};
use super::rig::{Rig, Setup};
use super::{Held, Outcome, Plan, check};
use crate::disk::{Chance, Disk, Faults, SimDisk};

/// Bytes of a disk that is not narrow. It has a limit so that it can be asked what is used.
pub(super) const CAPACITY: u64 = 1 << 30;

/// A failure that was asked for and has not struck yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    /// The machine stops.
    Crash,
    /// A call fails with EIO, or two do.
    Error,
}

/// A part of the store that a failure can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Commit,
    Keeper,
    Reader,
}

/// See the module.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) setup: Setup,
    pub(super) chance: Chance,
    pub(super) disk: SimDisk,
    pub(super) rig: Rig,
    pub(super) model: Model,
    pub(super) figures: Figures,
    pub(super) now_ms: u64,
    /// Queues that are defined.
    pub(super) queues: BTreeSet<u64>,
    pub(super) next_queue: u64,
    pub(super) next_id: u64,
    pub(super) armed: Option<Armed>,
    /// Whom a failure has struck: the process is at its end.
    pub(super) failed: Option<Who>,
    /// The disk has little room.
    pub(super) is_narrow: bool,
    /// Stands for the calls of the disks that were left behind.
    pub(super) calls: u64,
}

/// Runs a plan; `step` always has the step it is at.
pub(super) fn run(plan: &Plan, step: &Cell<u64>) -> Held<Outcome> {
    let mut world = World::new(plan)?;
    for number in 1..=plan.steps {
        step.set(number);
        world.step()?;
    }
    step.set(plan.steps + 1);
    world.drain()?;
    world.leave();
    world.figures.runs = 1;
    world.figures.steps = plan.steps;
    Ok(Outcome {
        figures: world.figures,
        calls: world.calls,
    })
}

impl World {
    fn new(plan: &Plan) -> Held<Self> {
        let mut chance = Chance::new(plan.seed ^ 0x5eed);
        let setup = Setup::new(&mut chance);
        let disk = SimDisk::new(chance.number());
        disk.set_faults(Faults {
            capacity: Some(CAPACITY),
            garbage: chance.coin(),
            ..Faults::default()
        });
        let random = u128::from(chance.number());
        let rig = Rig::open(&(plan.disk)(&disk), &setup, random);
        Ok(Self {
            plan: *plan,
            rig: rig.map_err(|error| format!("a new folder: {error}"))?,
            model: Model::new(State::default(), setup.stagings()),
            setup,
            chance,
            disk,
            figures: Figures::default(),
            now_ms: 1_000,
            queues: BTreeSet::new(),
            next_queue: 1,
            next_id: 1,
            armed: None,
            failed: None,
            is_narrow: false,
            calls: 0,
        })
    }

    /// A disk as the store gets it.
    pub(super) fn seen(&self, disk: &SimDisk) -> Arc<dyn Disk> {
        (self.plan.disk)(disk)
    }

    fn step(&mut self) -> Held {
        self.work()?;
        if self.failed.is_some() || self.disk.crashed() {
            return self.after_failure();
        }
        self.check()?;
        self.trouble()
    }

    /// What happens on a good day.
    pub(super) fn work(&mut self) -> Held {
        self.now_ms += self.chance.below(40) as u64;
        for _ in 0..self.chance.below(4) {
            self.stage()?;
        }
        let turns = 1 + self.chance.below(4);
        for _ in 0..turns {
            if self.failed.is_some() {
                return Ok(());
            }
            match self.chance.below(20) {
                0..10 => drop(self.commit_turn()?),
                10 => self.flush()?,
                11 => self.rest()?,
                12..18 => drop(self.keeper_turn()?),
                _ => self.read()?,
            }
        }
        Ok(())
    }

    /// What goes wrong.
    fn trouble(&mut self) -> Held {
        let many = 200;
        match self.chance.below(many) {
            0..80 => self.cut_a_copy(),
            80..86 if self.armed.is_none() => {
                self.arm(Armed::Crash);
                Ok(())
            }
            86..90 if self.armed.is_none() => {
                self.arm(Armed::Error);
                Ok(())
            }
            90..94 => self.narrow(),
            94..97 => self.close(),
            97..99 => self.kill(),
            99..103 => self.cut(),
            103..109 => self.flip_a_copy(),
            _ => Ok(()),
        }
    }

    /// Lets a failure strike in one of the next calls.
    fn arm(&mut self, armed: Armed) {
        let counts = self.disk.counts();
        let soon = 1 + self.chance.below(40) as u64;
        let mut faults = self.faults();
        match (armed, self.chance.below(4)) {
            (Armed::Crash, _) => faults.crash_at = Some(counts.calls + soon),
            (Armed::Error, 0) => faults.fail_write = Some(counts.writes + soon.div_ceil(4)),
            (Armed::Error, 1) => faults.fail_sync = Some(counts.syncs + soon.div_ceil(4)),
            (Armed::Error, 2) => faults.fail_change = Some(counts.changes + soon.div_ceil(8)),
            (Armed::Error, _) => faults.fail_read = Some(counts.reads + soon.div_ceil(8)),
        }
        faults.short_writes = self.chance.coin();
        self.disk.set_faults(faults);
        self.armed = Some(armed);
    }

    /// The failures of a disk that is as it should be.
    pub(super) fn faults(&mut self) -> Faults {
        Faults {
            capacity: Some(CAPACITY),
            garbage: self.chance.coin(),
            ..Faults::default()
        }
    }

    /// Whether the store is what the model is.
    pub(super) fn check(&self) -> Held {
        let applied = self.rig.applied.read();
        check::index(&applied.index, &self.model.durable)?;
        check::counts(&applied.index)
    }
}
