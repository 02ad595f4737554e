//! What the keeper and the commit want of each other, and whether the disk is full.
//!
//! The commit alone writes the log, and must not wait for what can be done beside it: files for the log are made by the keeper. The keeper
//! knows which files are not needed any more: they are given back by the commit, who owns them.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::wal::{Blank, BlankOrder};

/// See the module.
#[derive(Debug, Default)]
pub struct Orders {
    wanted: Mutex<VecDeque<BlankOrder>>,
    made: Mutex<Vec<io::Result<Blank>>>,
    recycle: Mutex<Vec<u64>>,
    log_full: AtomicBool,
    keeper_full: AtomicBool,
    chunks_full: AtomicBool,
}

impl Orders {
    /// Whether something could not be written because the disk is full, and has not been since.
    pub fn is_full(&self) -> bool {
        let flags = [&self.log_full, &self.keeper_full, &self.chunks_full];
        flags.iter().any(|flag| flag.load(Ordering::Relaxed))
    }

    pub(crate) fn set_log_full(&self, full: bool) {
        self.log_full.store(full, Ordering::Relaxed);
    }

    /// Whether the log lacks a file for which there is no room.
    pub(crate) fn is_log_full(&self) -> bool {
        self.log_full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_keeper_full(&self, full: bool) {
        self.keeper_full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn set_chunks_full(&self, full: bool) {
        self.chunks_full.store(full, Ordering::Relaxed);
    }

    /// The commit wants a file, beside those that it may want already.
    pub(crate) fn want(&self, order: BlankOrder) {
        self.wanted.lock().push_back(order);
    }

    /// Whether the commit wants a file.
    pub(crate) fn is_wanting(&self) -> bool {
        !self.wanted.lock().is_empty()
    }

    /// Makes the next file that the commit wants. Whether it wanted one.
    pub(crate) fn make_blank(&self, disk: &dyn Disk) -> bool {
        let Some(order) = self.wanted.lock().pop_front() else {
            return false;
        };
        let made = order.make(disk);
        self.made.lock().push(made);
        true
    }

    /// The files that were made for the commit.
    pub(crate) fn take_made(&self) -> Vec<io::Result<Blank>> {
        std::mem::take(&mut self.made.lock())
    }

    /// Nothing needs a file of the log any more.
    pub(crate) fn recycle(&self, file_seq: u64) {
        self.recycle.lock().push(file_seq);
    }

    /// The files that nothing needs any more.
    pub(crate) fn take_recycled(&self) -> Vec<u64> {
        std::mem::take(&mut self.recycle.lock())
    }

    /// Whether the commit has something to do though nothing was staged.
    pub(crate) fn is_pending(&self) -> bool {
        !self.made.lock().is_empty() || !self.recycle.lock().is_empty()
    }
}
