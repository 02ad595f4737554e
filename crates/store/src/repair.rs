//! Repair of a damaged data folder: what can be read is kept, what cannot be is given up only where the operator said so.
//!
//! It begins with the same look as `check`. Then all that is live moves into segments of its own, and a log is begun anew behind everything
//! that the old one ever spoke of; the old files go to the quarantine. Nothing is written over and nothing is deleted, checkpoints excepted,
//! and of those that are damaged a copy is kept. The order makes it safe to be cut off anywhere:
//!
//! 1. Copies of what is damaged, in the quarantine.
//! 2. New segments, which belong to nobody yet; and an empty file of the log at the end of the others, or behind a gap: the old checkpoint
//!    sees the same damages as before.
//! 3. A checkpoint that names the new segments and begins in the new file: with it the folder is repaired, before it nothing has changed.
//! 4. A second one, so that both that are kept are good.
//! 5. Files that are not needed any more are moved to the quarantine.
//!
//! The parts: `rewrite` (2), `quarantine` (1 and 5).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::check::{
    Accept, CheckError, Finding, Look, Loses, NameOf, QUARANTINE, Report, check, list,
};
use crate::checkpoint::{self, Header};
use crate::disk::Disk;
use crate::entry::{Malformed, TooLong};
use crate::index::Inconsistent;
use crate::recovery::{FileLens, WAL_FOLDER};
use crate::segment;
use crate::wal::{self, Unreadable};

mod quarantine;
mod rewrite;
#[cfg(test)]
mod tests;

/// What a repair is made with.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// Lengths of the log's files.
    pub lens: FileLens,
    /// A new random number, for the salt of the new file of the log.
    pub random: u64,
    /// The time, in ms of unix time.
    pub unix_ms: u64,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was damaged, and what was lost by it.
    pub findings: Vec<Finding>,
    /// Where the originals are now: files in the data folder.
    pub quarantined: Vec<String>,
    /// How many messages were written anew, into how many segments.
    pub messages: u64,
    /// See `messages`.
    pub segments: u64,
    /// What could not be kept in the quarantine, and why.
    pub remarks: Vec<String>,
}

/// Why a folder was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be looked at. Nothing was changed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// It has damages that were not accepted. Nothing was changed.
    #[error("{} not accepted:\n{}", count(.0), texts(.0))]
    NotAccepted(Vec<Finding>),
    /// The disk refused something.
    #[error("the data folder cannot be repaired: {0}")]
    Io(#[from] io::Error),
    /// Something that could be read before cannot be read now.
    #[error("the data folder changes, or its disk fails: {0}")]
    Unreadable(String),
    /// What would be written cannot be: an error of this program. The folder is as damaged as before.
    #[error("the repair does not fit what is there: {0}")]
    Unfit(String),
    /// The folder is damaged after the repair.
    #[error("the data folder is damaged after the repair:\n{0}")]
    StillDamaged(Box<Report>),
}

impl From<Unreadable> for RepairError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable.to_string())
    }
}

impl From<segment::Damage> for RepairError {
    fn from(damage: segment::Damage) -> Self {
        Self::Unreadable(damage.to_string())
    }
}

impl From<Inconsistent> for RepairError {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Unfit(inconsistent.to_string())
    }
}

impl From<Malformed> for RepairError {
    fn from(malformed: Malformed) -> Self {
        Self::Unfit(malformed.to_string())
    }
}

impl From<TooLong> for RepairError {
    fn from(too_long: TooLong) -> Self {
        Self::Unfit(too_long.to_string())
    }
}

/// Repairs a data folder, if all that is lost by it is accepted. Does nothing where nothing is damaged.
///
/// **Effect**: on return recovery opens the folder, with every message that could be read; all is synced. Cut off anywhere, the folder is as
/// damaged as before, or repaired. Messages whose settling was in what is lost are live again. **Waits** for the disk: reads all there is, writes
/// all that was in the log. **Errors**: see [`RepairError`].
pub fn repair(
    disk: &Arc<dyn Disk>,
    accept: &[Accept],
    making: Making,
    name_of: NameOf<'_>,
) -> Result<Repaired, RepairError> {
    let mut look = Look::at(&**disk, name_of)?;
    let refused = not_accepted(&look.report.findings, accept);
    if !refused.is_empty() {
        return Err(RepairError::NotAccepted(refused));
    }
    let mut repaired = Repaired::default();
    if look.report.is_good() {
        return Ok(repaired);
    }
    repaired.findings = std::mem::take(&mut look.report.findings);
    make_folders(&**disk)?;
    quarantine::copy_damaged(&**disk, &look.damaged_checkpoints, &mut repaired)?;
    rewrite::rewrite(disk, &mut look, making.unix_ms, &mut repaired)?;
    begin_anew(&**disk, &look, making)?;
    quarantine::move_unneeded(&**disk, &look, &mut repaired)?;
    drop(look);
    let report = check(&**disk, name_of)?;
    match report.is_good() {
        true => Ok(repaired),
        false => Err(RepairError::StillDamaged(Box::new(report))),
    }
}

fn not_accepted(findings: &[Finding], accept: &[Accept]) -> Vec<Finding> {
    let is_refused = |finding: &&Finding| {
        finding.loses == Loses::Something && !accept.iter().any(|range| range.covers(&finding.at))
    };
    findings.iter().filter(is_refused).cloned().collect()
}

/// Makes what folders are missing.
fn make_folders(disk: &dyn Disk) -> io::Result<()> {
    for folder in [WAL_FOLDER, segment::FOLDER, checkpoint::FOLDER, QUARANTINE] {
        match disk.create_dir(Path::new(folder)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    disk.sync_dir(Path::new(""))
}

/// Begins the log in a new file, and writes the index down so that nothing before it is needed.
fn begin_anew(disk: &dyn Disk, look: &Look, making: Making) -> io::Result<()> {
    let mut options = look.options.clone();
    options.file_len_first = making.lens.first;
    options.file_len_full = making.lens.full;
    options.salt_seed = making.random;
    let (seq, start) = (look.newest_file() + 1, look.survey.behind());
    wal::begin_file(disk, &options, seq, start, making.unix_ms)?;
    let newest = newest_generation(disk)?;
    for generation in [newest + 1, newest + 2] {
        let header = Header {
            generation,
            store: look.folder.store,
            applied: start,
            durable: start,
        };
        checkpoint::write(disk, &look.index, &header)?;
    }
    Ok(())
}

/// The highest number of a checkpoint that has a name, whole or not.
fn newest_generation(disk: &dyn Disk) -> io::Result<u64> {
    let names = list(disk, checkpoint::FOLDER)?;
    let generations = names.iter().filter_map(|(name, _)| {
        let digits = name.split_once('.')?.0;
        u64::from_str_radix(digits, 16).ok()
    });
    Ok(generations.max().unwrap_or(0))
}

fn count(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "1 damage is".to_owned(),
        many => format!("{many} damages are"),
    }
}

fn texts(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect()
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return writeln!(f, "nothing is damaged; nothing was done");
        }
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        let Self {
            messages, segments, ..
        } = self;
        writeln!(
            f,
            "{messages} messages were written to {segments} new segments"
        )?;
        for name in &self.quarantined {
            writeln!(f, "in quarantine: {name}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "remark: {remark}")?;
        }
        writeln!(f, "the data folder is repaired")
    }
}
