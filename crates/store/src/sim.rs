//! A simulation of the whole store: the parts below the threads, on a simulated disk, in an order that follows from a seed alone.
//!
//! What is done to the store is done to a model of queues as well (`sim/model.rs`), and after every step the store must be what the model
//! is. The disk fails in all the ways it can (see [`SimDisk`]); what is found after each of them must be the model at a moment that is
//! not before what was told to be durable and not behind what was staged:
//!
//! * *told is kept*: a durable position means that every entry up to it survives any crash; what is settled and durable stays settled;
//! * *nothing is made up*: what is found was staged, is whole batches from the beginning on, and a settle never outlives its enqueue;
//! * *in one place*: each live message can be read, byte for byte, and nothing else comes; counts of queues, files and segments are recounts;
//! * *nothing needed goes*: the older of the two checkpoints alone recovers to the same;
//! * *the same again*: the same log makes the same index, to the byte; the same seed the same calls of the disk;
//! * *silence*: after an error nothing becomes durable; a full disk is no error, and nothing is lost by it;
//! * *damage is told*: a flipped bit is refused with its file or costs what it hit, and nothing wrong is ever read;
//! * *space comes back*: when everything is settled, or all but one message in each file, what the store takes is small again.
//!
//! A *crash point* is one crash at a step or in the middle of a call, with recovery and a full check behind it. Compiled for tests and with
//! the feature `sim`; `cargo xtask sim` runs many seeds.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::disk::{Disk, SimDisk};

mod check;
mod crashes;
mod figures;
mod flips;
mod full;
mod model;
mod rig;
mod stage;
#[cfg(test)]
mod tests;
mod turns;
mod world;

pub use figures::Figures;

/// How many steps a run has where nobody says.
pub const STEPS: u64 = 300;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// How many steps.
    pub steps: u64,
    /// What the store gets as its disk: the simulated one, or one before it that breaks a rule.
    pub disk: fn(&SimDisk) -> Arc<dyn Disk>,
}

impl Plan {
    /// On the simulated disk itself.
    pub fn new(seed: u64, steps: u64) -> Self {
        let disk = |disk: &SimDisk| Arc::new(disk.clone()) as Arc<dyn Disk>;
        Self { seed, steps, disk }
    }
}

/// What came of a run in which everything held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub figures: Figures,
    /// Stands for all calls of all disks, in order.
    pub calls: u64,
}

/// Something did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// The step after which it was seen.
    pub step: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, step {}: {}", self.seed, self.step, self.what)
    }
}

/// What a part of a run ends with: nothing, or in words what did not hold.
type Held<T = ()> = Result<T, String>;

/// Runs a plan. **Errors**: the first thing that did not hold; a panic of the store is one.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    let step = Cell::new(0);
    let ran = catch_unwind(AssertUnwindSafe(|| world::run(plan, &step)));
    let held = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a text")))
    });
    held.map_err(|what| Failure {
        seed: plan.seed,
        step: step.get(),
        what,
    })
}
