//! The commit: takes what was staged, writes it as one batch, syncs it, and tells everybody who waits. The group of a group commit forms by
//! itself: what is staged while one batch is being written goes into the next.
//!
//! The index hears of entries only once they are durable. Any error is the end: nothing becomes durable any more, and nothing is tried again.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::entry::{Lsn, Malformed};
use crate::index::{Inconsistent, Index};
use crate::staging::Staging;
use crate::wal::{BATCH_HEADER_LEN, WalWriter};

#[cfg(test)]
mod tests;

/// When this much was written and not synced, it is synced though nobody waits.
const UNSYNCED_MAX: usize = 1 << 20;

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

/// A batch that was written and is not durable yet.
#[derive(Debug)]
struct Written {
    lsn: Lsn,
    file_seq: u64,
    payload: Vec<u8>,
    /// How far each staging's positions go with it, by the staging's number.
    positions: Vec<(usize, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Commit {
    wal: WalWriter,
    index: Arc<RwLock<Index>>,
    stagings: Vec<Arc<Staging>>,
    written: Vec<Written>,
    unsynced: usize,
    spare: Vec<u8>,
}

impl Commit {
    /// Of these stagings; entries of an earlier one come first in a batch.
    pub fn new(wal: WalWriter, index: Arc<RwLock<Index>>, stagings: Vec<Arc<Staging>>) -> Self {
        Self {
            wal,
            index,
            stagings,
            written: Vec::new(),
            unsynced: 0,
            spare: Vec::new(),
        }
    }

    /// Takes and writes what was staged; syncs it if anybody waits. Returns whether there was anything.
    ///
    /// **Effect**: what was urgent is durable, applied to the index, and told. **Waits** for the disk. **Errors**: for good.
    pub fn turn(&mut self, unix_ms: u64) -> Result<bool, CommitError> {
        let mut payload = std::mem::take(&mut self.spare);
        payload.clear();
        let (mut entries, mut urgent, mut positions) = (0, false, Vec::new());
        for (number, staging) in self.stagings.iter().enumerate() {
            let taken = staging.take(&mut payload);
            if taken.entries > 0 {
                entries += taken.entries;
                urgent |= taken.urgent;
                positions.push((number, taken.position));
            }
            staging.give_back(taken.bytes);
        }
        if entries == 0 {
            self.spare = payload;
            return Ok(false);
        }
        let lsn = self.wal.append_batch(&payload, entries, unix_ms)?;
        let file_seq = self
            .wal
            .files()
            .next_back()
            .map(|file| file.seq)
            .unwrap_or_default();
        self.unsynced += payload.len();
        self.written.push(Written {
            lsn,
            file_seq,
            payload,
            positions,
        });
        if urgent || self.unsynced >= UNSYNCED_MAX {
            self.sync()?;
        }
        Ok(true)
    }

    /// Makes everything that was written durable, and seals the log: to be called when nothing was staged for a moment.
    ///
    /// **Waits** for the disk. **Errors**: for good.
    pub fn rest(&mut self, unix_ms: u64) -> Result<(), CommitError> {
        self.sync()?;
        Ok(self.wal.seal(unix_ms)?)
    }

    fn sync(&mut self) -> Result<(), CommitError> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.wal.sync()?;
        self.unsynced = 0;
        let mut index = self.index.write();
        for written in &self.written {
            let first = Lsn(written.lsn.0 + BATCH_HEADER_LEN as u64);
            for entry in crate::entry::Entries::new(first, &written.payload) {
                index.apply(&entry?, written.file_seq)?;
            }
        }
        drop(index);
        for Written {
            payload, positions, ..
        } in self.written.drain(..)
        {
            for (number, position) in positions {
                if let Some(staging) = self.stagings.get(number) {
                    staging.made_durable(position);
                }
            }
            self.spare = payload;
        }
        Ok(())
    }

    /// The log.
    pub fn wal(&mut self) -> &mut WalWriter {
        &mut self.wal
    }
}
