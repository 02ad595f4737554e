//! Staging: where those who have something for the log put it, encoded, for the commit to take.
//!
//! Each producer has one of its own, so that producers never wait for each other, nor for the disk: a push is a copy under a lock that is
//! otherwise held only to swap buffers. A *position* counts the entries that were staged; the commit tells how far they are durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::entry::TooLong;
use crate::log::Position;

/// What depends on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it to be durable: a confirm, a `declare-ok`.
    Now,
    /// Nobody waits; it becomes durable with the next that is urgent, or when there is time. Lost, it is only done again.
    Whenever,
}

/// See the module.
pub struct Staging {
    staged: Mutex<Staged>,
    durable: AtomicU64,
    bell: Arc<Bell>,
    on_durable: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging")
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

/// Entries that wait for the commit.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: u32,
    pub(crate) urgent: bool,
    /// How many were staged since the start, these included.
    pub(crate) position: u64,
}

impl Staging {
    /// An empty one. `on_durable` is called, by the commit, whenever [`Staging::durable`] has moved; it must not wait.
    pub fn new(bell: Arc<Bell>, on_durable: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            staged: Mutex::default(),
            durable: AtomicU64::new(0),
            bell,
            on_durable,
        }
    }

    /// Stages one entry, which `encode` appends to the buffer it is given, and gives its position.
    ///
    /// **Effect**: in memory. **Order**: entries of one staging reach the log in the order of their positions. **Waits**: never for the disk.
    /// **Errors**: those of `encode`; nothing is staged then.
    pub fn push(
        &self,
        urgency: Urgency,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
    ) -> Result<Position, TooLong> {
        let mut staged = self.staged.lock();
        let before = staged.bytes.len();
        if let Err(error) = encode(&mut staged.bytes) {
            staged.bytes.truncate(before);
            return Err(error);
        }
        staged.entries += 1;
        staged.position += 1;
        let rings = staged.entries == 1 || (urgency == Urgency::Now && !staged.urgent);
        staged.urgent |= urgency == Urgency::Now;
        let position = Position(staged.position);
        drop(staged);
        if rings {
            self.bell.ring();
        }
        Ok(position)
    }

    /// Everything at or before this position is durable.
    pub fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Moves what waits to the end of `to`, and says how many entries these are, how far positions go with them, and whether they are urgent.
    pub(crate) fn take(&self, to: &mut Vec<u8>) -> Staged {
        let mut staged = self.staged.lock();
        let taken = Staged {
            bytes: std::mem::take(&mut staged.bytes),
            entries: std::mem::take(&mut staged.entries),
            urgent: std::mem::take(&mut staged.urgent),
            position: staged.position,
        };
        drop(staged);
        to.extend_from_slice(&taken.bytes);
        taken
    }

    /// Gives a buffer back to be used again.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut staged = self.staged.lock();
        if staged.bytes.capacity() < buffer.capacity() && staged.bytes.is_empty() {
            staged.bytes = buffer;
        }
    }

    /// Everything up to a position is durable now.
    pub(crate) fn made_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
        (self.on_durable)();
    }
}

/// Wakes the commit: rung by stagings, waited for by one thread.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    rung: bool,
    stop: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something was staged.
    Rung,
    /// Nothing was, for as long as was waited.
    Quiet,
    /// The end was asked for, and everything staged before it was taken.
    Stop,
}

impl Bell {
    /// Something was staged.
    pub fn ring(&self) {
        self.rung.lock().rung = true;
        self.changed.notify_one();
    }

    /// Asks for the end.
    pub fn stop(&self) {
        self.rung.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits until it is rung, or for so long; without a limit, until it is rung.
    pub fn wait(&self, limit: Option<std::time::Duration>) -> Woken {
        let mut rung = self.rung.lock();
        let mut quiet = false;
        while !rung.rung && !rung.stop && !quiet {
            match limit {
                Some(limit) => quiet = self.changed.wait_for(&mut rung, limit).timed_out(),
                None => self.changed.wait(&mut rung),
            }
        }
        if std::mem::take(&mut rung.rung) {
            Woken::Rung
        } else if rung.stop {
            Woken::Stop
        } else {
            Woken::Quiet
        }
    }
}
