//! Recovery: from a data folder to what is live in it, and a log that can be written.
//!
//! The newest checkpoint that is whole, and the log behind it. A torn tail, which nobody was promised, is cleared. Damage to what was confirmed
//! is an error that names file and range; nothing is cut, skipped or written then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{self, LoadError};
use crate::disk::Disk;
use crate::folder::{Folder, FolderError};
use crate::index::{Inconsistent, Index};
use crate::segment;
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
    /// The generation of the newest checkpoint; 0 without one.
    pub generation: u64,
    /// What the operator should hear of, though it stops nothing: an older checkpoint that had to do, files that belong to nobody.
    pub remarks: Vec<String>,
}

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
    #[error("confirmed data is damaged: {0}")]
    Damaged(Damage),
    /// The log says what cannot be.
    #[error("the log is damaged: {0}")]
    Inconsistent(#[from] Inconsistent),
    /// A segment that has live messages is missing.
    #[error("confirmed data is missing: there is no file {}", .0.display())]
    MissingSegment(PathBuf),
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
    let (mut index, start, generation) = match checkpoint::load_newest(&**disk, folder.store)? {
        None => (Index::default(), Start::default(), 0),
        Some(loaded) => {
            let damaged = loaded.damaged.iter();
            remarks.extend(damaged.map(|(path, damage)| format!("{path} is damaged: {damage}")));
            let header = loaded.header;
            let start = Start {
                from: header.applied,
                durable: header.durable,
            };
            (loaded.index, start, header.generation)
        }
    };
    let mut scanned = replay(&**disk, &options, start, &mut index)?;
    remarks.extend(
        scanned
            .strays
            .iter()
            .map(|name| format!("{WAL_FOLDER}/{name} is no file of the log")),
    );
    check_segments(&**disk, &index, &mut remarks)?;
    repair_tail(&**disk, &options, &mut scanned)?;
    let wal = WalWriter::open_at(Arc::clone(disk), options, &scanned)?;
    Ok(Recovered {
        folder,
        index,
        wal,
        generation,
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

/// Whether all segments are there; those that nobody knows are told, those that were never finished go.
fn check_segments(
    disk: &dyn Disk,
    index: &Index,
    remarks: &mut Vec<String>,
) -> Result<(), RecoveryError> {
    let names = disk.list(Path::new(segment::FOLDER))?;
    for (id, _) in index.segments() {
        let path = PathBuf::from(segment::sealed_path(id));
        let name = path.file_name().and_then(|name| name.to_str());
        if !names.iter().any(|(there, _)| Some(there.as_str()) == name) {
            return Err(RecoveryError::MissingSegment(path));
        }
    }
    let known: Vec<String> = index
        .segments()
        .map(|(id, _)| segment::sealed_path(id))
        .collect();
    for (name, _) in &names {
        let path = format!("{}/{name}", segment::FOLDER);
        if name.ends_with(".tmp") {
            disk.remove(Path::new(&path))?;
        } else if !known.contains(&path) {
            remarks.push(format!("{path} belongs to nobody"));
        }
    }
    Ok(())
}
