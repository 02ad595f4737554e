//! Reading messages back by queue and sequence number: from entries of the log and from segments, wherever the index says they are.
//!
//! The index is asked first and the file read after that, without a lock between: a file may be given back in the meantime and say something
//! else then. So what is read counts only where it names the queue and the sequence numbers that were asked for, and where it does not, the
//! index is asked again. Only if that gives the same place is it damage: it is told, and nothing else is lost for it.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::applied::Applied;
use crate::disk::Disk;
use crate::entry::{RequeueRun, SegmentId};
use crate::index::{LiveRun, Location};
use crate::log::{Read, Wanted};
use crate::segment::OpenSegments;

mod entries;
mod extents;
#[cfg(test)]
mod tests;

pub use entries::WalFiles;
pub(crate) use entries::{LogReader, index_of};

/// How many runs are asked of the index at a time.
const RUNS_MAX: usize = 256;

/// Damage that was met while reading: the messages of a queue that are lost by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "confirmed data is damaged: {what}; lost by it: messages {first_seq} to {last_seq} of queue {queue}"
)]
pub struct Lost {
    /// The file and the place in it.
    pub what: String,
    /// The queue's number.
    pub queue: u64,
    /// The first message.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
}

/// A file that has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// A segment was unlinked.
    Segment(SegmentId),
    /// A file of the log, by its number, was removed or is something else now.
    LogFile(u64),
}

/// See the module. Each thread that reads has one.
#[derive(Debug)]
pub struct Reader {
    applied: Arc<RwLock<Applied>>,
    log: LogReader,
    segments: OpenSegments,
}

/// What came of reading some runs.
enum Taken {
    /// All of them are here, or lost.
    All,
    /// Everything up to before this sequence number is; there is no room for more.
    Full(u64),
    /// From this sequence number on they are somewhere else now, or seem to be.
    Moved(u64, String),
}

impl Reader {
    /// Of a data folder's log and segments.
    pub fn new(disk: Arc<dyn Disk>, applied: Arc<RwLock<Applied>>, files: Arc<WalFiles>) -> Self {
        Self {
            applied,
            log: LogReader::new(Arc::clone(&disk), files),
            segments: OpenSegments::new(disk),
        }
    }

    /// Reads messages that are applied to the index. Each damage is given to `lost`.
    ///
    /// **Waits** for the disk. **Errors**: those that the disk has for a whole file; damage is not among them.
    pub fn read(&mut self, wanted: &Wanted, lost: &mut dyn FnMut(Lost)) -> io::Result<Read> {
        let mut read = Read {
            next_seq: self.first_seq(wanted),
            ..Read::default()
        };
        let mut moved = None;
        while read.next_seq <= wanted.last_seq {
            let runs = self.runs(wanted, read.next_seq);
            if runs.is_empty() {
                read.next_seq = wanted.last_seq + 1;
            }
            match self.take_runs(wanted, &runs, &mut read)? {
                Taken::All => {}
                Taken::Full(_) => break,
                Taken::Moved(seq, what) => {
                    let place = runs.iter().find(|run| run.last_seq() >= seq);
                    let place = place.map(|run| run.within(seq, u64::MAX));
                    let is_lost = moved == place;
                    moved = place;
                    if is_lost {
                        self.give_up(wanted, &runs, &what, &mut read, lost);
                    }
                }
            }
        }
        read.returned = self.returned(wanted, read.next_seq);
        Ok(read)
    }

    /// The first message that is read. **Cost**: by the runs of those that are passed over.
    fn first_seq(&self, wanted: &Wanted) -> u64 {
        let mut skip = wanted.skip;
        if skip == 0 {
            return wanted.first_seq;
        }
        let applied = self.applied.read();
        let from = wanted.first_seq;
        let runs = applied.index.live(wanted.queue, wanted.stream, from);
        let mut runs = runs.take_while(|run| run.first_seq <= wanted.last_seq);
        let first = runs.find_map(|run| {
            let run = run.within(from, wanted.last_seq);
            let first = (skip < run.count).then(|| run.first_seq + skip);
            skip = skip.saturating_sub(run.count);
            first
        });
        first.unwrap_or(wanted.last_seq + 1)
    }

    /// Which messages up to before a sequence number were delivered and went back.
    fn returned(&self, wanted: &Wanted, next_seq: u64) -> Vec<RequeueRun> {
        let applied = self.applied.read();
        let first = wanted.first_seq;
        let runs = applied.index.deliveries(wanted.queue, wanted.stream, first);
        runs.take_while(|run| run.first_seq < next_seq)
            .map(|run| RequeueRun {
                first_seq: run.first_seq,
                count: run.count.min(next_seq - run.first_seq),
                delivery_count: run.delivery_count,
                ready_ms: run.ready_ms,
            })
            .collect()
    }

    /// Takes runs in their order, those together that are in one entry or extent. `next_seq` says how far it came.
    fn take_runs(
        &mut self,
        wanted: &Wanted,
        runs: &[LiveRun],
        read: &mut Read,
    ) -> io::Result<Taken> {
        for runs in runs.chunk_by(is_together) {
            let taken = self.take(wanted, runs, read)?;
            match taken {
                Taken::All => {}
                Taken::Full(seq) | Taken::Moved(seq, _) => {
                    read.next_seq = seq;
                    return Ok(taken);
                }
            }
            if let Some(last) = runs.last() {
                read.next_seq = last.last_seq() + 1;
            }
        }
        Ok(Taken::All)
    }

    /// A file has gone: it is closed.
    pub fn close(&mut self, closed: Closed) {
        match closed {
            Closed::Segment(segment) => self.segments.close(segment),
            Closed::LogFile(seq) => self.log.close(seq),
        }
    }

    fn runs(&self, wanted: &Wanted, from: u64) -> Vec<LiveRun> {
        let applied = self.applied.read();
        let runs = applied.index.live(wanted.queue, wanted.stream, from);
        runs.take_while(|run| run.first_seq <= wanted.last_seq)
            .map(|run| run.within(from, wanted.last_seq))
            .take(RUNS_MAX)
            .collect()
    }

    fn take(&mut self, wanted: &Wanted, runs: &[LiveRun], read: &mut Read) -> io::Result<Taken> {
        match runs.first().map(|run| run.location) {
            Some(Location::Wal { lsn, .. }) => self.log.take(wanted, lsn, runs, read),
            Some(Location::Segment { id, extent }) => Ok(extents::take(
                &mut self.segments,
                (id, extent),
                wanted,
                runs,
                read,
            )),
            None => Ok(Taken::All),
        }
    }

    /// The first message that is missing is lost, with those that cannot be told from it.
    fn give_up(
        &mut self,
        wanted: &Wanted,
        runs: &[LiveRun],
        what: &str,
        read: &mut Read,
        lost: &mut dyn FnMut(Lost),
    ) {
        let from = read.next_seq;
        let behind = runs.partition_point(|run| run.last_seq() < from);
        let rest = runs.get(behind..).unwrap_or_default();
        let Some(first) = rest.first() else {
            return;
        };
        let together = rest.iter().take_while(|run| is_together(first, run));
        let end = together.last().map_or(from, LiveRun::last_seq);
        let last = match first.location {
            Location::Segment { id, extent } => {
                extents::lost_upto(&mut self.segments, (id, extent), from)
            }
            Location::Wal { .. } => None,
        };
        let last = last.unwrap_or(end).clamp(from, end);
        let touched = rest.iter().take_while(|run| run.first_seq <= last);
        read.lost += touched.map(|run| run.within(from, last).count).sum::<u64>();
        read.next_seq = last + 1;
        lost(Lost {
            what: what.to_owned(),
            queue: wanted.queue.0,
            first_seq: from,
            last_seq: last,
        });
    }
}

/// Whether two runs are in the same entry, or in the same extent.
fn is_together(one: &LiveRun, other: &LiveRun) -> bool {
    match (one.location, other.location) {
        (Location::Wal { lsn, .. }, Location::Wal { lsn: same, .. }) => lsn == same,
        (one, other) => one == other,
    }
}
