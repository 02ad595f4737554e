//! Recovery: from a data folder to what is live in it, and a log that can be written.
//!
//! The newest checkpoint that is whole, and the log behind it. A torn tail, which nobody was promised, is cleared. Damage to what was confirmed
//! is an error that names file and range; nothing is cut, skipped or written then.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{self, LoadError};
use crate::disk::Disk;
use crate::entry::SegmentId;
use crate::folder::{Folder, FolderError};
use crate::index::{Inconsistent, Index};
use crate::keeper::Kept;
use crate::segment::{self, SegmentReader};
use crate::wal::{Damage, End, Options, Scan, Start, WalWriter, repair_tail, scan};

#[cfg(test)]
mod tests;

/// The log's folder, below the data folder.
pub const WAL_FOLDER: &str = "wal";

/// Lengths of the log's files, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct FileLens {
    /// Of the first ones.
    pub first: u64,
    /// Up to which they grow.
    pub full: u64,
}

/// A folder that is open and consistent.
#[derive(Debug)]
pub struct Recovered {
    /// The folder, locked.
    pub folder: Folder,
    /// What is live.
    pub index: Index,
    /// The log, to go on with.
    pub wal: WalWriter,
    /// The newest checkpoint, if there is one.
    pub checkpoint: Option<Kept>,
    /// No segment has this number or a higher one.
    pub next_segment: u64,
    /// Segments that are on the disk and have nothing that is live: dropped, or never added.
    pub dropped: Vec<SegmentId>,
    /// What the operator should hear of, though it stops nothing: an older checkpoint that had to do, files that belong to nobody.
    pub remarks: Vec<String>,
}

/// What the operator can do about damage.
const ADVICE: &str = "Nothing was changed. Put back a copy of the data folder, or move it away to begin with an empty one; \
                      `leveret store check` tells of all damage, and `leveret store repair` keeps what is whole";

/// Why a folder cannot be opened. Nothing in it was lost, cut or skipped.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The folder itself.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] LoadError),
    /// Confirmed data in the log is damaged.
    #[error("confirmed data is damaged: {0}. {ADVICE}")]
    Damaged(Damage),
    /// The log says what cannot be.
    #[error("the log is damaged: {0}. {ADVICE}")]
    Inconsistent(#[from] Inconsistent),
    /// A segment or a file of the log that has live messages is missing.
    #[error("confirmed data is missing: there is no file {}. {ADVICE}", .0.display())]
    Missing(PathBuf),
    /// A file of the log has live messages from before the checkpoint, and is not known for one.
    #[error("confirmed data is damaged: the header of {} cannot be read. {ADVICE}", .0.display())]
    LogFile(PathBuf),
    /// A segment that has live messages does not say where they are.
    #[error("confirmed data is damaged: {0}. {ADVICE}")]
    Segment(segment::Damage),
    /// The disk refused something.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Opens a data folder, or makes one. `random` becomes the number of a new folder and the seed of the log's salts.
///
/// **Effect**: everything in the index is durable; a second crash at any moment in here changes nothing that the next recovery finds.
/// **Waits** for the disk. **Errors**: see [`RecoveryError`].
pub fn recover(
    disk: &Arc<dyn Disk>,
    lens: FileLens,
    random: u128,
) -> Result<Recovered, RecoveryError> {
    let folder = Folder::open(&**disk, random)?;
    let mut options = Options::new(WAL_FOLDER, folder.store, random as u64);
    options.file_len_first = lens.first;
    options.file_len_full = lens.full;
    let mut remarks = Vec::new();
    let (mut index, start, checkpoint) = match checkpoint::load_newest(&**disk, folder.store)? {
        None => (Index::default(), Start::default(), None),
        Some(loaded) => {
            let damaged = loaded.damaged.iter();
            remarks.extend(damaged.map(|(path, damage)| format!("{path} is damaged: {damage}")));
            let header = loaded.header;
            let start = Start {
                from: header.applied,
                durable: header.durable,
            };
            let kept = Kept {
                generation: header.generation,
                applied: header.applied,
            };
            (loaded.index, start, Some(kept))
        }
    };
    let mut scanned = replay(&**disk, &options, start, &mut index)?;
    remarks.extend(
        scanned
            .strays
            .iter()
            .map(|name| format!("{WAL_FOLDER}/{name} is no file of the log")),
    );
    check_log_files(&index, &scanned)?;
    let segments = check_segments(&**disk, &index, folder.store, &mut remarks)?;
    repair_tail(&**disk, &options, &mut scanned)?;
    let wal = WalWriter::open_at(Arc::clone(disk), options, &scanned)?;
    Ok(Recovered {
        folder,
        index,
        wal,
        checkpoint,
        next_segment: segments.next,
        dropped: segments.dropped,
        remarks,
    })
}

/// Applies the log from a place on.
fn replay(
    disk: &dyn Disk,
    options: &Options,
    start: Start,
    index: &mut Index,
) -> Result<Scan, RecoveryError> {
    let mut inconsistent = None;
    let scanned = scan(disk, options, start, |batch| {
        for decoded in batch.entries() {
            let decoded = decoded?;
            if inconsistent.is_none() {
                inconsistent = index.apply(&decoded, batch.file_seq).err();
            }
        }
        Ok(())
    })?;
    match (&scanned.end, inconsistent) {
        (End::Damaged(damage), _) => Err(RecoveryError::Damaged(damage.clone())),
        (_, Some(inconsistent)) => Err(inconsistent.into()),
        _ => Ok(scanned),
    }
}

/// Whether all files of the log are there that have live messages: the scan does not miss those that are older than the checkpoint.
fn check_log_files(index: &Index, scanned: &Scan) -> Result<(), RecoveryError> {
    let live = index.wal_files().iter().filter(|file| file.live > 0);
    for seq in live.map(|file| file.file_seq) {
        if scanned.files.iter().any(|file| file.seq == seq) {
            continue;
        }
        let name = format!("{seq:016x}.wal");
        let path = Path::new(WAL_FOLDER).join(&name);
        return Err(match scanned.strays.contains(&name) {
            true => RecoveryError::LogFile(path),
            false => RecoveryError::Missing(path),
        });
    }
    Ok(())
}

/// What was found of segments.
struct Segments {
    next: u64,
    dropped: Vec<SegmentId>,
}

/// Whether all segments are there, and say where their messages are; those that do not count and are of this folder are named, others told,
/// and those that were never finished go.
fn check_segments(
    disk: &dyn Disk,
    index: &Index,
    store: u128,
    remarks: &mut Vec<String>,
) -> Result<Segments, RecoveryError> {
    let mut found = Segments {
        next: 1,
        dropped: Vec::new(),
    };
    let mut unknown: BTreeSet<String> = BTreeSet::new();
    for (name, _) in disk.list(Path::new(segment::FOLDER))? {
        let path = format!("{}/{name}", segment::FOLDER);
        if name.ends_with(".tmp") {
            disk.remove(Path::new(&path))?;
        } else {
            unknown.insert(path);
        }
    }
    for (id, _) in index.segments() {
        found.next = found.next.max(id.0 + 1);
        let path = segment::sealed_path(id);
        if !unknown.remove(&path) {
            return Err(RecoveryError::Missing(path.into()));
        }
        let reader = SegmentReader::open(disk, id).map_err(RecoveryError::Segment)?;
        remarks.extend(reader.flaws().iter().map(ToString::to_string));
    }
    for path in unknown {
        let id = segment::id_of(&path);
        let reader = id.and_then(|id| SegmentReader::open(disk, id).ok());
        match reader.filter(|reader| reader.uuid() == store) {
            Some(reader) => {
                found.next = found.next.max(reader.id().0 + 1);
                found.dropped.push(reader.id());
            }
            None => remarks.push(format!("{path} belongs to nobody")),
        }
    }
    Ok(found)
}
