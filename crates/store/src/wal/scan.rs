//! Reading the whole log after a start, and telling how it ends.
//!
//! The log ends at X, where the first batch is missing or wrong. D is how far it was durable for certain: the highest durable lsn that any
//! batch or checkpoint speaks of, those behind X included, and those whose header has one wrong bit, which its checksum
//! corrects. If D is not past X, what lies behind X was promised to nobody: a torn tail. If it is, confirmed data is damaged, and nothing is cut
//! or skipped: the caller hears of the file and the range, and may scan again from the end of the range. A file that is missing, unreadable or
//! in the wrong place is damage wherever it is: whole files are never torn.

use std::fmt;
use std::io;
use std::path::PathBuf;

pub(super) use self::files::{Listed, list};

use self::files::Files;
use self::walk::{Tail, Walk};
use super::{Batch, Options, WalFile};
use crate::disk::Disk;
use crate::entry::{Lsn, Malformed};

mod files;
mod walk;

/// Where a scan begins, as the newest valid checkpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first batch that is to be read: where a batch begins or the log ended. 0 without a checkpoint.
    pub from: Lsn,
    /// What the checkpoint knows to be durable. 0 without one.
    pub durable: Lsn,
}

/// What a scan found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// How the log ends.
    pub end: End,
    /// The files of the log in order, older ones than were read included; after damage, those before it.
    pub files: Vec<WalFile>,
    /// What was known to be durable.
    pub durable: Lsn,
    /// How many batches were read.
    pub batches: u64,
    /// Names in the folder that are no files of the log, or older ones that cannot be read. They are left alone.
    pub strays: Vec<String>,
    /// Which of the files the next batch goes to; one past them where there is none.
    pub(super) current: usize,
    /// The number of the next file.
    pub(super) next_seq: u64,
    /// Blocks behind the end that look as if they began batches.
    pub(super) stale: Vec<(WalFile, Lsn)>,
}

/// How the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is behind the last batch.
    Clean {
        /// Where the last batch ends.
        next_lsn: Lsn,
    },
    /// Behind the last batch is what never became durable; [`repair_tail`](super::repair_tail) removes it.
    TornTail {
        /// Where the last batch ends.
        at: Lsn,
    },
    /// Confirmed data cannot be read.
    Damaged(Damage),
}

/// Damage in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, in the data folder.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: Fault,
    /// The first byte of the log that cannot be read.
    pub from: Lsn,
    /// The next one that can be, where a scan may go on; past everything durable where there is none.
    pub to: Lsn,
    /// Where the file begins in the log, where that is known.
    pub file_start: Option<Lsn>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.0, self.to.0);
        write!(
            f,
            "{}: {}; bytes {from} to {to} of the log are lost",
            self.file.display(),
            self.fault
        )?;
        match self.file_start {
            Some(start) if start <= self.from => {
                write!(f, ", from byte {} of the file on", from - start.0)
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The log does not reach to it: one or more files before it are gone.
    #[error("a file of the log before this one is missing")]
    MissingFile,
    /// The log does not reach to where a checkpoint says it was.
    #[error("the log ends before the newest checkpoint")]
    MissingEnd,
    /// It begins before the file before it ends.
    #[error("the file claims a part of the log that another file has")]
    Overlap,
    /// Its header does not pass its checksum, or belongs to another file.
    #[error("the header of the file is damaged")]
    FileHeader,
    /// A newer program wrote it.
    #[error("the file has format {0}, which this program does not know")]
    FileVersion(u32),
    /// It was written for another data folder.
    #[error("the file belongs to another data folder")]
    ForeignFile,
    /// It is shorter than it was made.
    #[error("the file is shorter than it was made")]
    ShortFile,
    /// A batch that was durable is missing or does not pass its checksum.
    #[error("a batch that was confirmed is damaged")]
    Batch,
    /// The disk does not give it. A survey alone says this; to a scan it is an error.
    #[error("the disk cannot read it")]
    Unreadable,
    /// A batch passes its checksum, but what is in it is not known.
    #[error("a batch has an entry that cannot be read: {0}")]
    Entry(Malformed),
}

/// Reads the log from a place on, gives each batch to `on_batch` in order, and says how it ends.
///
/// **Effect**: nothing is changed. **Order**: batches come in the order of the log, without gap; none comes that lies behind the first
/// damage or in a torn tail. **Waits** for the disk. **Errors**: the disk's; damage is not an error but an end.
pub fn scan(
    disk: &dyn Disk,
    options: &Options,
    start: Start,
    mut on_batch: impl FnMut(&Batch<'_>) -> Result<(), Malformed>,
) -> io::Result<Scan> {
    let mut files = Files::find(disk, options, start)?;
    let mut walk = Walk::new(start, &files.readings);
    let mut damage = walk.run(&mut files.readings, options, &mut on_batch)?;
    let mut stale = Vec::new();
    if damage.is_none() {
        let tail = Tail::probe(&mut files.readings, &walk)?;
        walk.durable = walk.durable.max(tail.durable);
        damage = tail.damage(&files.readings, &walk, options);
        stale = tail.stale;
    }
    let end = match damage.or(files.damage) {
        Some(damage) => End::Damaged(damage),
        None if stale.is_empty() => End::Clean {
            next_lsn: walk.cursor,
        },
        None => End::TornTail { at: walk.cursor },
    };
    let current = files.old.len() + walk.at;
    let read = files.readings.iter().map(|reading| reading.info);
    Ok(Scan {
        end,
        files: files.old.into_iter().chain(read).collect(),
        durable: walk.durable,
        batches: walk.batches,
        strays: files.strays,
        current,
        next_seq: files.next_seq,
        stale,
    })
}
