//! Checkpoints, and what they let go: files of the log and dropped segments.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::{Keeper, KeeperError};
use crate::checkpoint::{self, Header};
use crate::entry::Lsn;
use crate::reading::Closed;
use crate::segment;

/// A checkpoint that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub generation: u64,
    /// Where replay begins after it.
    pub applied: Lsn,
}

impl Keeper {
    /// Writes a checkpoint.
    ///
    /// **Effect**: synced on return. **Waits** for the disk; the index is held only while it is turned into bytes. **Errors**: the disk's.
    pub fn checkpoint(&mut self, now_ms: u64) -> io::Result<()> {
        let generation = self.generation + 1;
        let (bytes, upto) = {
            let applied = self.applied.read();
            let header = Header {
                generation,
                store: self.store,
                applied: applied.upto,
                durable: applied.upto,
            };
            (checkpoint::encode(&applied.index, &header), applied.upto)
        };
        let kept = match self.kept.is_empty() {
            true => checkpoint::KEPT_AT_FIRST,
            false => checkpoint::KEPT,
        };
        checkpoint::write_encoded(self.disk.as_ref(), generation, &bytes, kept)?;
        self.generation = generation;
        self.checkpointed = upto;
        self.checkpointed_ms = now_ms;
        self.kept.push_back(Kept {
            generation,
            applied: upto,
        });
        while self.kept.len() > checkpoint::KEPT {
            self.kept.pop_front();
        }
        Ok(())
    }

    /// Writes a checkpoint if it is time for one. Whether it was.
    pub(super) fn checkpoint_if_due(&mut self, now_ms: u64) -> Result<bool, KeeperError> {
        let upto = self.applied.read().upto;
        let appended = upto.0.saturating_sub(self.checkpointed.0);
        let is_time = now_ms.saturating_sub(self.checkpointed_ms) >= self.aims.checkpoint_ms;
        let is_due = appended >= self.aims.checkpoint_bytes || (is_time && self.would_give_back());
        if is_due {
            self.checkpoint(now_ms)?;
        }
        Ok(is_due)
    }

    /// Whether up to two more checkpoints let something go.
    pub(super) fn would_give_back(&self) -> bool {
        if !self.dropped.is_empty() {
            return true;
        }
        let live = self.live_files();
        let finished = self.finished();
        let mut dead = finished.iter().filter(|file| !live.contains(&file.seq));
        dead.any(|file| !self.recycled.contains(&file.seq))
    }

    /// The older of the checkpoints that are kept, once all are there that are to be: what lies before it is needed by none.
    fn older(&self) -> Option<Kept> {
        let are_all_there = self.kept.len() >= checkpoint::KEPT;
        self.kept.front().copied().filter(|_| are_all_there)
    }

    /// Gives back files of the log and segments that nothing needs any more. Whether there were any.
    pub(super) fn give_back(&mut self, _now_ms: u64) -> Result<bool, KeeperError> {
        let from = self.older().map_or(Lsn(0), |older| older.applied);
        let live = self.live_files();
        let finished = self.finished();
        let is_there = |seq: &u64| finished.iter().any(|file| file.seq == *seq);
        let mut gone: Vec<u64> = self.recycled.extract_if(|seq| !is_there(seq)).collect();
        gone.sort_unstable();
        for seq in gone {
            self.log.close(seq);
            self.closed.push(Closed::LogFile(seq));
        }
        let mut any = false;
        for file in finished {
            let is_free = file.end() <= from && !live.contains(&file.seq);
            if is_free && self.recycled.insert(file.seq) {
                self.orders.recycle(file.seq);
                any = true;
            }
        }
        Ok(self.unlink_dropped()? || any)
    }

    fn unlink_dropped(&mut self) -> io::Result<bool> {
        let older = self.older();
        let goes = |generation: u64| older.is_some_and(|older| older.generation > generation);
        let mut any = false;
        for (id, generation) in std::mem::take(&mut self.dropped) {
            if !goes(generation) {
                self.dropped.push((id, generation));
                continue;
            }
            self.segments.close(id);
            self.closed.push(Closed::Segment(id));
            match self.disk.remove(Path::new(&segment::sealed_path(id))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => any = true,
            }
        }
        Ok(any)
    }

    /// The files of the log that have live messages.
    pub(super) fn live_files(&self) -> HashSet<u64> {
        let applied = self.applied.read();
        let files = applied.index.wal_files().iter();
        files
            .filter(|file| file.live > 0)
            .map(|file| file.file_seq)
            .collect()
    }

    /// The files of the log that are written to their end, and whose entries are all in the index.
    pub(super) fn finished(&self) -> Vec<crate::wal::WalFile> {
        let mut files = self.files.list();
        files.pop();
        let upto = self.applied.read().upto;
        files.retain(|file| file.end() <= upto);
        files
    }
}
