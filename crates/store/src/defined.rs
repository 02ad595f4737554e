//! Definitions in the log, and who waits for them to be durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::entry::{self, Stamp, TooLong};
use crate::log::{Definitions, Group, Position, Urgency};
use crate::staging::Staging;

/// Is called once.
type Then = Box<dyn FnOnce() + Send>;

/// Those who wait for a position.
#[derive(Default)]
pub(crate) struct Waits(Mutex<BTreeMap<Position, Vec<Then>>>);

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waits")
    }
}

impl Waits {
    /// Everything up to a position is durable.
    pub(crate) fn reached(&self, durable: Position) {
        let mut waits = self.0.lock();
        let later = waits.split_off(&Position(durable.0 + 1));
        let due = std::mem::replace(&mut *waits, later);
        drop(waits);
        due.into_values().flatten().for_each(|then| then());
    }
}

/// See the module.
#[derive(Debug)]
pub struct StoreDefinitions {
    staging: Arc<Staging>,
    waits: Arc<Waits>,
    last_index: AtomicU64,
}

impl StoreDefinitions {
    /// Through a staging that tells `waits` how far it is durable.
    pub(crate) fn new(staging: Arc<Staging>, waits: Arc<Waits>, last_index: u64) -> Self {
        Self {
            staging,
            waits,
            last_index: AtomicU64::new(last_index),
        }
    }

    fn push(&self, encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), TooLong>) {
        let pushed = self.staging.push(Urgency::Synced, |out| {
            // Under the staging's lock, so that numbers rise with the order.
            let stamp = Stamp {
                group: Group::DEFINITIONS,
                term: 0,
                index: self.last_index.fetch_add(1, Ordering::Relaxed) + 1,
            };
            encode(out, stamp)
        });
        pushed.expect("a definition comes in a frame, far below the length of an entry");
    }
}

impl Definitions for StoreDefinitions {
    fn define(&self, key: &[u8], value: &[u8]) {
        self.push(|out, stamp| entry::define(out, stamp, key, value));
    }

    fn undefine(&self, key: &[u8]) {
        self.push(|out, stamp| entry::undefine(out, stamp, key));
    }

    fn last(&self) -> Position {
        self.staging.last()
    }

    fn durable(&self) -> Position {
        self.staging.durable()
    }

    fn when_durable(&self, at: Position, then: Then) {
        self.waits.0.lock().entry(at).or_default().push(then);
        let durable = self.staging.durable();
        if durable >= at {
            self.waits.reached(durable);
        }
    }
}
