//! The commit: takes what was staged, writes it as one batch, syncs it, and tells everybody who waits. The group of a group commit forms by
//! itself: what is staged while one batch is being written goes into the next.
//!
//! The index hears of entries only once they are durable. Any error is the end: nothing becomes durable any more, and nothing is tried again.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::applied::Applied;
use crate::entry::{Entries, Lsn, Malformed};
use crate::index::Inconsistent;
use crate::orders::Orders;
use crate::reading::WalFiles;
use crate::staging::{Staging, empty_batch};
use crate::transactions::Transactions;
use crate::wal::{BATCH_HEADER_LEN, BLOCK, WalWriter};

#[cfg(test)]
mod tests;

/// When this much was written and not synced, it is synced though nobody waits.
const UNSYNCED_MAX: usize = 1 << 20;

/// How long a full disk is left alone before a file is asked for again.
const FULL_MS: u64 = 100;

/// Why the commit ended. Nothing is durable that was not before.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk refused a write or a sync.
    #[error("the log cannot be written: {0}")]
    Io(#[from] io::Error),
    /// An entry that was written cannot be read: an error of this program.
    #[error("the log has an entry that cannot be: {0}")]
    Malformed(#[from] Malformed),
    /// An entry does not follow on those before it: an error of this program.
    #[error("the log has an entry that cannot follow: {0}")]
    Inconsistent(#[from] Inconsistent),
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was written.
    Wrote,
    /// Nothing was staged.
    Nothing,
    /// The disk is full: what was taken is kept, and written when there is room.
    Full,
}

/// A batch that was taken, and is not durable yet.
#[derive(Debug, Default)]
struct Batch {
    lsn: Lsn,
    file_seq: u64,
    /// As it is written, without the padding.
    bytes: Vec<u8>,
    entries: u32,
    urgent: bool,
    taken: Vec<TakenFrom>,
}

/// What a batch has of a staging.
#[derive(Clone, Copy, Debug)]
struct TakenFrom {
    /// The staging's number.
    staging: usize,
    /// How far its positions go with it.
    position: u64,
    bytes: usize,
    /// Whether somebody waits for it to be written.
    awaited: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Commit {
    wal: WalWriter,
    applied: Arc<RwLock<Applied>>,
    files: Arc<WalFiles>,
    orders: Arc<Orders>,
    stagings: Vec<Arc<Staging>>,
    transactions: Arc<Transactions>,
    /// One for which there was no room.
    stuck: Option<Batch>,
    written: Vec<Batch>,
    unsynced: usize,
    spare: Vec<u8>,
    /// Before this no file is ordered: the last one had no room.
    no_order_before_ms: u64,
    /// The file that the last batch went to.
    newest_file: u64,
}

impl Commit {
    /// Of these stagings; entries of an earlier one come first in a batch. What is staged in a later one before something in an earlier one
    /// is never durable after it.
    pub fn new(
        wal: WalWriter,
        applied: Arc<RwLock<Applied>>,
        files: Arc<WalFiles>,
        orders: Arc<Orders>,
        (stagings, transactions): (Vec<Arc<Staging>>, Arc<Transactions>),
    ) -> Self {
        files.set(wal.files());
        Self {
            wal,
            applied,
            files,
            orders,
            stagings,
            transactions,
            stuck: None,
            written: Vec::new(),
            unsynced: 0,
            spare: Vec::new(),
            no_order_before_ms: 0,
            newest_file: 0,
        }
    }

    /// Takes and writes what was staged; syncs it if anybody waits.
    ///
    /// **Effect**: what was urgent is durable, applied to the index, and told; so is what was told of files. **Waits** for the disk.
    /// **Errors**: for good; a full disk is none.
    pub fn turn(&mut self, unix_ms: u64) -> Result<Turn, CommitError> {
        self.carry_out_orders(unix_ms)?;
        let batch = match self.stuck.take() {
            Some(stuck) => stuck,
            None => self.take(),
        };
        if batch.entries == 0 {
            if self.orders.is_log_full() {
                self.order_blank(unix_ms)?;
            }
            return Ok(Turn::Nothing);
        }
        let urgent = batch.urgent;
        if !self.write(batch, unix_ms)? {
            return Ok(Turn::Full);
        }
        if urgent || self.unsynced >= UNSYNCED_MAX {
            self.sync()?;
        }
        self.order_blank(unix_ms)?;
        Ok(Turn::Wrote)
    }

    /// Asks for a file before it is needed. The log is full as long as it cannot have one, or there is little room: what is left is for acks.
    fn order_blank(&mut self, unix_ms: u64) -> Result<(), CommitError> {
        if unix_ms < self.no_order_before_ms {
            return Ok(());
        }
        let order = self.wal.order_blank();
        let is_served = order.is_none() && !self.wal.is_waiting_for_blank();
        if let Some(order) = order {
            self.orders.want(order);
        }
        if is_served && self.orders.is_log_full() {
            let is_short = self.wal.is_short_of_room()?;
            self.orders.set_log_full(is_short);
            if is_short {
                self.no_order_before_ms = unix_ms + FULL_MS;
            }
        }
        Ok(())
    }

    /// Whether the disk was full when something was to be written, and it still waits. Nothing that was staged since was taken.
    pub fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Whether something was written that is not synced.
    pub fn has_unsynced(&self) -> bool {
        !self.written.is_empty()
    }

    /// Makes everything that was written durable. **Waits** for the disk. **Errors**: for good.
    pub fn flush(&mut self) -> Result<(), CommitError> {
        self.sync()
    }

    /// Makes everything that was written durable, and seals the log: to be called when nothing was staged for a moment.
    ///
    /// **Waits** for the disk. **Errors**: for good; where the disk is full, the log is not sealed.
    pub fn rest(&mut self, unix_ms: u64) -> Result<(), CommitError> {
        self.sync()?;
        match self.wal.seal(unix_ms) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            sealed => {
                sealed?;
                self.applied.write().upto = self.wal.durable();
                Ok(())
            }
        }
    }

    /// The log.
    pub fn wal(&mut self) -> &mut WalWriter {
        &mut self.wal
    }

    fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        let taken = self.transactions.take(&self.stagings, &mut self.spare);
        for buffer in taken {
            let (number, what) = (buffer.staging, buffer.what);
            batch.entries += what.entries;
            batch.urgent |= what.urgent;
            batch.taken.push(TakenFrom {
                staging: number,
                position: what.position,
                bytes: what.bytes,
                awaited: what.awaited,
            });
            if batch.bytes.is_empty() {
                batch.bytes = buffer.batch;
                continue;
            }
            let entries = buffer.batch.get(BATCH_HEADER_LEN..).unwrap_or_default();
            batch.bytes.extend_from_slice(entries);
            if let Some(staging) = self.stagings.get(number) {
                staging.give_back(buffer.batch);
            }
        }
        batch
    }

    /// Writes a batch; `false` where there is no room for it.
    fn write(&mut self, mut batch: Batch, unix_ms: u64) -> Result<bool, CommitError> {
        let appended = self
            .wal
            .append_batch(&mut batch.bytes, batch.entries, unix_ms);
        match appended {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.orders.set_log_full(true);
                self.stuck = Some(batch);
                return Ok(false);
            }
            appended => batch.lsn = appended?,
        }
        let newest = self.wal.files().next_back();
        batch.file_seq = newest.map(|file| file.seq).unwrap_or_default();
        if self.newest_file != batch.file_seq {
            self.newest_file = batch.file_seq;
            self.files.set(self.wal.files());
            if self.wal.is_short_of_room()? {
                self.orders.set_log_full(true);
            }
        }
        for taken in &batch.taken {
            if let Some(staging) = self.stagings.get(taken.staging) {
                // Where a sync follows, most wait for that: to be woken twice costs them a part of it.
                let tells = taken.awaited || !batch.urgent;
                staging.made_written(taken.position, taken.bytes, tells);
            }
        }
        self.unsynced += batch.bytes.len().next_multiple_of(BLOCK as usize);
        self.written.push(batch);
        Ok(true)
    }

    fn sync(&mut self) -> Result<(), CommitError> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.wal.sync()?;
        self.unsynced = 0;
        let mut applied = self.applied.write();
        for batch in &self.written {
            let first = Lsn(batch.lsn.0 + BATCH_HEADER_LEN as u64);
            let entries = batch.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default();
            for entry in Entries::new(first, entries) {
                applied.index.apply(&entry?, batch.file_seq)?;
            }
        }
        applied.upto = self.wal.durable();
        drop(applied);
        for batch in self.written.drain(..) {
            for taken in &batch.taken {
                if let Some(staging) = self.stagings.get(taken.staging) {
                    staging.made_durable(taken.position);
                }
            }
            self.spare = empty_batch(batch.bytes);
        }
        Ok(())
    }

    /// Does what the keeper has asked for.
    fn carry_out_orders(&mut self, unix_ms: u64) -> Result<(), CommitError> {
        for made in self.orders.take_made() {
            match self.wal.take_blank(made) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    self.no_order_before_ms = unix_ms + FULL_MS;
                    self.orders.set_log_full(true);
                }
                taken => taken?,
            }
        }
        let recycled = self.orders.take_recycled();
        for file_seq in &recycled {
            // Nobody may look for it any more before it is something else.
            let others = self.wal.files().filter(|file| file.seq != *file_seq);
            self.files.set(others);
            self.wal.recycle(*file_seq)?;
        }
        if !recycled.is_empty() {
            self.files.set(self.wal.files());
        }
        Ok(())
    }
}
