//! Looking at a whole data folder without changing it: what is damaged, where, and which queues it concerns.
//!
//! Recovery stops at the first damage; this goes on, so that an operator sees all of it before deciding anything. `repair` begins with the
//! same look and acts on it. The parts: `index` (the checkpoints), `log` (the log behind them), `resident` (messages that live in the log before
//! them), `segments`, `names` (files of nobody); `report` and `text` say it.

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::folder::{Folder, FolderError};
use crate::index::Index;
use crate::log::QueueId;
use crate::recovery::WAL_FOLDER;
use crate::wal::{Options, Start, Survey};

mod absent;
mod index;
mod log;
mod names;
mod range;
mod report;
mod resident;
mod segments;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub(crate) use segments::LostRun;

pub use range::{Accept, DamagedRange, NoRange};
pub use report::{Concerned, Counts, Finding, How, Loses, Report};

/// The folder of what was damaged, below the data folder.
pub const QUARANTINE: &str = "quarantine";

/// Why a data folder cannot be looked at. Damage is no reason: it is what a check is for.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The folder itself.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The disk refused something.
    #[error("the data folder cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Says what a queue is called, if that is known: by the definitions, which the index has.
pub type NameOf<'a> = &'a dyn Fn(&Index, QueueId) -> Option<String>;

/// Looks at a data folder; `name_of` gives the names of queues.
///
/// **Effect**: nothing is changed; the folder is locked meanwhile. **Waits** for the disk: reads the log and all segments. **Errors**: see
/// [`CheckError`]; a folder that is in use is refused.
pub fn check(disk: &dyn Disk, name_of: NameOf<'_>) -> Result<Report, CheckError> {
    Ok(Look::at(disk, name_of)?.report)
}

/// A data folder that was looked at.
#[derive(Debug)]
pub(crate) struct Look {
    /// The folder, locked.
    pub(crate) folder: Folder,
    pub(crate) options: Options,
    /// What is live, as far as it can be told; messages that cannot be read are still in it.
    pub(crate) index: Index,
    pub(crate) survey: Survey,
    /// Live messages that cannot be read.
    pub(crate) lost: Vec<LostRun>,
    /// Messages that seem live because their settling was lost, and that were settled.
    pub(crate) settled: Vec<LostRun>,
    /// Whether something of the log behind the checkpoint is lost.
    pub(crate) log_is_lossy: bool,
    /// Segments of the index that are damaged or missing.
    pub(crate) damaged_segments: Vec<segments::DamagedSegment>,
    /// Segments that nobody knows.
    pub(crate) strangers: Vec<String>,
    /// The names of the checkpoints that cannot be used.
    pub(crate) damaged_checkpoints: Vec<String>,
    pub(crate) report: Report,
}

impl Look {
    pub(crate) fn at(disk: &dyn Disk, name_of: NameOf<'_>) -> Result<Self, CheckError> {
        let folder = Folder::open_existing(disk)?;
        let options = Options::new(WAL_FOLDER, folder.store, 0);
        let mut report = Report {
            store: folder.store,
            ..Report::default()
        };
        let index::Read {
            index,
            start,
            damaged_checkpoints,
        } = index::read(disk, folder.store, &mut report)?;
        let survey = Survey::new(disk, options.clone(), start)?;
        let mut look = Self {
            folder,
            options,
            index,
            survey,
            lost: vec![],
            settled: vec![],
            log_is_lossy: false,
            damaged_segments: vec![],
            strangers: vec![],
            damaged_checkpoints,
            report,
        };
        look.replay()?;
        look.check_resident(start.from);
        look.check_segments(disk)?;
        if !look.settled.is_empty() {
            let remark = format!(
                "{} messages whose settling is lost are known to be settled, since later segments do not have them",
                look.settled.len()
            );
            look.report.remarks.push(remark);
        }
        look.find_names(disk)?;
        look.count(start);
        look.name_queues(name_of);
        Ok(look)
    }

    /// The number of the newest file that has a name of the log's.
    pub(crate) fn newest_file(&self) -> u64 {
        let indexed = self.index.wal_files().iter().map(|file| file.file_seq);
        self.survey.numbers().chain(indexed).max().unwrap_or(0)
    }

    fn name_queues(&mut self, name_of: NameOf<'_>) {
        let findings = self.report.findings.iter_mut();
        for concerned in findings.flat_map(|finding| &mut finding.queues) {
            concerned.name = name_of(&self.index, concerned.queue);
        }
    }

    fn count(&mut self, start: Start) {
        let gone = self.lost.iter().chain(&self.settled);
        let lost = gone.map(|run| run.count).sum::<u64>();
        let live = self.index.queues().map(|stream| stream.count).sum::<u64>();
        let mut queues: Vec<_> = self
            .index
            .queues()
            .filter(|stream| stream.count > 0)
            .collect();
        queues.dedup_by_key(|stream| stream.queue);
        let counts = &mut self.report.counts;
        let behind = self.survey.files().filter(|file| file.end() > start.from);
        counts.log_files = behind.count() as u64;
        counts.segments = self.index.segments().len() as u64;
        counts.queues = queues.len() as u64;
        counts.messages = live.saturating_sub(lost);
        counts.definitions = self.index.definitions().len() as u64;
    }
}

impl Finding {
    fn new(at: DamagedRange, what: impl Into<String>, loses: Loses) -> Self {
        Self {
            at,
            what: what.into(),
            loses,
            queues: vec![],
        }
    }
}

/// The files of a folder; none where there is no such folder.
pub(crate) fn list(disk: &dyn Disk, folder: &str) -> io::Result<Vec<(String, u64)>> {
    match disk.list(Path::new(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        names => names,
    }
}
