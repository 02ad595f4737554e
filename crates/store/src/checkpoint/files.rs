//! Checkpoints as files: written beside the last, two kept, the newest that is whole read.
//!
//! `ckpt/<generation:016x>.ckpt` exists only whole and synced: it is built as `.tmp`, synced, renamed, and the folder synced. A crash at any
//! moment leaves the newest of before or the new one. Only the two newest files are ever read: what an older one names may be gone.

use std::io;
use std::path::Path;

use super::{Damage, Header, decode, encode};
use crate::disk::Disk;
use crate::index::Index;

/// The folder of the checkpoints, below the data folder.
pub const FOLDER: &str = "ckpt";

/// How many checkpoints are kept.
pub const KEPT: usize = 2;

/// How many are kept as long as this process has not written two itself: a name of one that is found may be one that a sync of the last
/// process failed to write down, and then the one before it must be there.
pub const KEPT_AT_FIRST: usize = 4;

/// How much is written in one call.
const WRITE_LEN: usize = 1 << 20;

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What it says besides the index.
    pub header: Header,
    /// The index.
    pub index: Index,
    /// The newer one that could not be used, if there was one: its path, and why.
    pub damaged: Vec<(String, Damage)>,
}

/// Why no checkpoint was read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("the folder {FOLDER} cannot be read: {0}")]
    Folder(#[source] io::Error),
    /// There are checkpoints, and none can be used.
    #[error("no checkpoint can be used: {}", list(.0))]
    NoneValid(Vec<(String, Damage)>),
}

fn list(damaged: &[(String, Damage)]) -> String {
    let each = damaged
        .iter()
        .map(|(path, damage)| format!("{path}: {damage}"));
    each.collect::<Vec<_>>().join("; ")
}

fn path(generation: u64) -> String {
    format!("{FOLDER}/{generation:016x}.ckpt")
}

/// Writes a checkpoint, and removes all but this one and the newest before it.
///
/// **Effect**: synced, under its name. **Waits**: for the disk. **Errors**: what the disk says; one of a sync means what such errors mean
/// (see [`Disk`]). After an error the checkpoints of before are as they were.
pub fn write(disk: &dyn Disk, index: &Index, header: &Header) -> io::Result<()> {
    write_encoded(disk, header.generation, &encode(index, header), KEPT)
}

/// As [`write`], of a checkpoint of this generation that was encoded before; all but so many of the newest are removed.
pub fn write_encoded(
    disk: &dyn Disk,
    generation: u64,
    encoded: &[u8],
    kept: usize,
) -> io::Result<()> {
    let folder = Path::new(FOLDER);
    let building = format!("{FOLDER}/{generation:016x}.tmp");
    match disk.remove(Path::new(&building)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match build(disk, Path::new(&building), encoded) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            // The space may be needed for the log.
            disk.remove(Path::new(&building))?;
            return Err(error);
        }
        built => built?,
    }
    disk.rename(Path::new(&building), Path::new(&path(generation)))?;
    disk.sync_dir(folder)?;
    remove_older(disk, kept)
}

/// Writes and syncs a file.
fn build(disk: &dyn Disk, path: &Path, encoded: &[u8]) -> io::Result<()> {
    let file = disk.create(path)?;
    let mut offset = 0;
    for bytes in encoded.chunks(WRITE_LEN) {
        file.write_at(offset, bytes)?;
        offset += bytes.len() as u64;
    }
    file.sync()
}

/// Removes what crashes left unfinished, and all but so many of the newest.
fn remove_older(disk: &dyn Disk, kept: usize) -> io::Result<()> {
    let names = disk.list(Path::new(FOLDER))?;
    let unfinished = names
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.ends_with(".tmp"));
    for name in unfinished {
        disk.remove(&Path::new(FOLDER).join(name))?;
    }
    for generation in generations(&names).into_iter().skip(kept) {
        disk.remove(Path::new(&path(generation)))?;
    }
    Ok(())
}

/// The generations that have a file, from the newest on.
fn generations(names: &[(String, u64)]) -> Vec<u64> {
    let generation = |name: &str| {
        let digits = name
            .strip_suffix(".ckpt")
            .filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    };
    let mut found: Vec<u64> = names
        .iter()
        .filter_map(|(name, _)| generation(name))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// Reads the newest checkpoint, or where that is damaged the one before it and says so. `None` where there is none at all.
///
/// **Waits**: for the disk. **Errors**: checkpoints are there and none of the newest two can be used; each is named with its damage.
pub fn load_newest(disk: &dyn Disk, store: u128) -> Result<Option<Loaded>, LoadError> {
    let names = match disk.list(Path::new(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names.map_err(LoadError::Folder)?,
    };
    let generations = generations(&names);
    let mut damaged = vec![];
    for generation in generations.iter().take(KEPT) {
        match load(disk, *generation, store) {
            Ok((header, index)) => {
                return Ok(Some(Loaded {
                    header,
                    index,
                    damaged,
                }));
            }
            Err(damage) => damaged.push((path(*generation), damage)),
        }
    }
    match damaged.is_empty() {
        true => Ok(None),
        false => Err(LoadError::NoneValid(damaged)),
    }
}

/// A checkpoint that is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its file, in the data folder.
    pub path: String,
    /// Its generation, by its name.
    pub generation: u64,
    /// What it says, or why it cannot be used.
    pub read: Result<(Header, Index), Damage>,
}

/// Reads the newest two checkpoints, whether the first is whole or not; the newest comes first.
///
/// **Waits**: for the disk. **Errors**: the folder cannot be read.
pub fn load_each(disk: &dyn Disk, store: u128) -> io::Result<Vec<Kept>> {
    let names = match disk.list(Path::new(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        names => names?,
    };
    let kept = generations(&names).into_iter().take(KEPT);
    let kept = kept.map(|generation| Kept {
        path: path(generation),
        generation,
        read: load(disk, generation, store),
    });
    Ok(kept.collect())
}

fn load(disk: &dyn Disk, generation: u64, store: u128) -> Result<(Header, Index), Damage> {
    let (header, index) = decode(&read_whole(disk, &path(generation))?)?;
    if header.store != store {
        return Err(Damage::OtherStore(header.store));
    }
    if header.generation != generation {
        return Err(Damage::OtherGeneration(header.generation));
    }
    Ok((header, index))
}

/// The bytes of a checkpoint's file.
pub(super) fn read_whole(disk: &dyn Disk, path: &str) -> Result<Vec<u8>, Damage> {
    let file = disk.open(Path::new(path))?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| Damage::Length)?];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
