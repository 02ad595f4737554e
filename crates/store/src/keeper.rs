//! The keeper: what has to be done so that log, segments and checkpoints stay small and whole, beside the commit and never in its way.
//!
//! Files of the log that are old and have live messages are *paged out* into segments; segments that are mostly dead are *compacted*; the
//! index is written down as a *checkpoint*; files of the log and segments that nothing needs any more are given back. Each is a step that is
//! safe to be cut off anywhere: what it changes counts only with an entry of the log, or with the name of a file that is whole.
//!
//! A file of the log goes when nothing in it is live and both kept checkpoints begin behind it; a segment when its drop is durable and both
//! kept checkpoints were written after that.
//!
//! [`Keeper::turn`] does one step and never waits for the commit, so that a simulation can run both in turns; `store.rs` has the thread.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::applied::Applied;
use crate::disk::Disk;
use crate::entry::{Lsn, SegmentId, Stamp, TooLong};
use crate::log::{Group, Position, Urgency};
use crate::orders::Orders;
use crate::reading::{Closed, LogReader, Lost, WalFiles};
use crate::segment::OpenSegments;
use crate::staging::Staging;

mod checkpoints;
mod compaction;
mod page_out;

#[cfg(test)]
mod tests;

pub use checkpoints::Kept;

/// What the keeper aims at.
#[derive(Clone, Copy, Debug)]
pub struct Aims {
    /// Files of the log that are written to their end may take so many bytes before the oldest is paged out.
    pub log_bytes: u64,
    /// About how long segments get, and files of chunks.
    pub segment_bytes: u64,
    /// A checkpoint is written when so much was appended to the log since the last.
    pub checkpoint_bytes: u64,
    /// So much of a disk that fills up is left to the log: to write acks to until they have made room.
    pub reserve_bytes: u64,
    /// Where a checkpoint only gives space back, so many ms lie between two.
    pub checkpoint_ms: u64,
}

impl Default for Aims {
    fn default() -> Self {
        Self {
            log_bytes: 128 << 20,
            segment_bytes: 32 << 20,
            checkpoint_bytes: 64 << 20,
            reserve_bytes: 48 << 20,
            checkpoint_ms: 1000,
        }
    }
}

/// Why the keeper cannot go on. None of these is tried again.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The disk refused something else than space.
    #[error("the data folder cannot be written: {0}")]
    Io(#[from] io::Error),
    /// An entry of more than 1 GiB: an error of this program.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Something: there may be more.
    Step,
    /// Nothing, until the log is durable further.
    Waiting,
    /// Nothing, since the disk is full.
    Full,
    /// Nothing: there is nothing to do.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    disk: Arc<dyn Disk>,
    store: u128,
    aims: Aims,
    applied: Arc<RwLock<Applied>>,
    files: Arc<WalFiles>,
    orders: Arc<Orders>,
    staging: Arc<Staging>,
    log: LogReader,
    segments: OpenSegments,
    /// An entry that has to be durable before the next step.
    waits_for: Option<Position>,
    /// Its entries are numbered.
    last_index: u64,
    next_segment: u64,
    /// The two newest checkpoints of those that were written here, the older one first.
    kept: VecDeque<Kept>,
    /// The newest one of all.
    generation: u64,
    checkpointed: Lsn,
    checkpointed_ms: u64,
    /// Segments whose drop is on its way to the log.
    dropping: Vec<SegmentId>,
    /// Dropped segments, and the generation of the newest checkpoint then.
    dropped: Vec<(SegmentId, u64)>,
    /// Files of the log that were given back and are not gone yet.
    recycled: HashSet<u64>,
    /// Files of the log and segments with damaged live messages: they stay as they are.
    damaged_files: HashSet<u64>,
    damaged_segments: HashSet<SegmentId>,
    /// What has gone, and damage that was met, since these were asked for.
    closed: Vec<Closed>,
    lost: Vec<Lost>,
}

/// What a keeper is made from.
#[derive(Debug)]
pub struct KeeperParts {
    /// The data folder.
    pub disk: Arc<dyn Disk>,
    /// The data folder's own number.
    pub store: u128,
    /// What to aim at.
    pub aims: Aims,
    /// What is live.
    pub applied: Arc<RwLock<Applied>>,
    /// The files of the log.
    pub files: Arc<WalFiles>,
    /// What is asked of the commit, and by it.
    pub orders: Arc<Orders>,
    /// The keeper's own way into the log.
    pub staging: Arc<Staging>,
    /// The checkpoint that was loaded. Nothing is given back for it: the last process may have failed to sync its name, and no later sync
    /// would make up for that.
    pub checkpoint: Option<Kept>,
    /// No segment has this number or a higher one.
    pub next_segment: u64,
    /// Segments on the disk that do not count any more.
    pub dropped: Vec<SegmentId>,
}

impl Keeper {
    /// Of a folder that was recovered.
    pub fn new(parts: KeeperParts) -> Self {
        let last_index = {
            let applied = parts.applied.read();
            applied.index.last_of(Group::LOCAL).map_or(0, |last| last.1)
        };
        let loaded = parts.checkpoint.unwrap_or_default();
        let generation = loaded.generation;
        let dropped = parts.dropped.iter().map(|id| (*id, generation)).collect();
        Self {
            log: LogReader::new(Arc::clone(&parts.disk), Arc::clone(&parts.files)),
            segments: OpenSegments::new(Arc::clone(&parts.disk)),
            disk: parts.disk,
            store: parts.store,
            aims: parts.aims,
            applied: parts.applied,
            files: parts.files,
            orders: parts.orders,
            staging: parts.staging,
            waits_for: None,
            last_index,
            next_segment: parts.next_segment,
            kept: VecDeque::new(),
            generation,
            checkpointed: loaded.applied,
            checkpointed_ms: 0,
            dropping: Vec::new(),
            dropped,
            recycled: HashSet::new(),
            damaged_files: HashSet::new(),
            damaged_segments: HashSet::new(),
            closed: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Does one step, the most needed first. `now_ms` is unix time, or any time that does not go back.
    ///
    /// **Effect**: see the module. **Waits** for the disk, never for the commit. **Errors**: for good; a full disk is none.
    pub fn turn(&mut self, now_ms: u64) -> Result<Done, KeeperError> {
        if self.orders.make_blank(self.disk.as_ref()) {
            return Ok(Done::Step);
        }
        if let Some(position) = self.waits_for {
            if self.staging.durable() < position {
                return Ok(Done::Waiting);
            }
            self.waits_for = None;
            let generation = self.generation;
            let dropped = self.dropping.drain(..).map(|id| (id, generation));
            self.dropped.extend(dropped);
        }
        let mut is_full = false;
        let mut done = Done::Nothing;
        for job in [
            Self::give_back,
            Self::page_out,
            Self::compact,
            Self::checkpoint_if_due,
        ] {
            match job(self, now_ms) {
                Ok(true) => {
                    done = Done::Step;
                    break;
                }
                Ok(false) => {}
                // What comes behind it may need less, and give space back.
                Err(KeeperError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                    self.log.let_go();
                    is_full = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.orders.set_keeper_full(is_full);
        Ok(match done {
            Done::Nothing if is_full => Done::Full,
            done => done,
        })
    }

    /// Whether there is something to do when some time has gone by.
    pub fn has_plans(&self) -> bool {
        self.would_give_back()
    }

    /// What has gone since this was called last: whoever has it open is to close it, for only then its space is given back.
    pub fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }

    /// Damage that was met since this was called last.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn next_segment(&mut self) -> SegmentId {
        let id = SegmentId(self.next_segment);
        self.next_segment += 1;
        id
    }

    fn next_stamp(&mut self) -> Stamp {
        self.last_index += 1;
        Stamp {
            group: Group::LOCAL,
            term: 0,
            index: self.last_index,
        }
    }

    /// Stages an entry; the next step waits until it is durable.
    fn stage(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), TooLong>,
    ) -> Result<(), KeeperError> {
        let stamp = self.next_stamp();
        let position = self
            .staging
            .push(Urgency::Synced, |out| encode(out, stamp))?;
        self.waits_for = Some(position);
        Ok(())
    }
}
