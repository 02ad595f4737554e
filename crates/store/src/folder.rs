//! The data folder: who may use it, which format it has, and what it is called by the files in it.
//!
//! `LOCK` is held as long as the folder is open. `VERSION` is the last thing a new folder gets: with it, the folder is there; without it, and
//! without any file of the log, the folder is new. A `VERSION` that is missing or damaged where there are files is never written anew: the
//! operator has to look.

use std::io;
use std::path::Path;

use crate::crc::crc32c;
use crate::disk::{Disk, Lock};

#[cfg(test)]
mod tests;

/// The format that this program writes and reads.
pub const FORMAT: u32 = 1;

const LOCK: &str = "LOCK";
const VERSION: &str = "VERSION";
const VERSION_NEW: &str = "VERSION.new";

/// The folders in the data folder.
const FOLDERS: [&str; 4] = ["wal", "seg", "ckpt", "quarantine"];

/// The longest `VERSION` that is read.
const VERSION_LEN_MAX: usize = 4096;

/// A data folder that this process has for itself.
#[derive(Debug)]
pub struct Folder {
    /// The folder's own number, which all its files carry.
    pub store: u128,
    /// Whether it was made just now.
    pub is_new: bool,
    _lock: Lock,
}

/// Why a folder cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("the data folder is in use by another process (its file {LOCK} is locked)")]
    InUse,
    /// A newer program wrote it.
    #[error(
        "the data folder has format {0}, as its file {VERSION} says; this program knows format {FORMAT} and none after it"
    )]
    Newer(u32),
    /// `VERSION` cannot be read as one.
    #[error("the file {VERSION} of the data folder is damaged: {0}")]
    Version(&'static str),
    /// There are files of a log, and no `VERSION`.
    #[error(
        "the data folder has files in {0}, but no file {VERSION}: it is not a whole data folder"
    )]
    NoVersion(&'static str),
    /// There is no `VERSION`, and nothing may be made.
    #[error("there is no data folder: it has no file {VERSION}")]
    None,
    /// The disk refused something.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Folder {
    /// Takes a data folder, or makes one; `store` is the number that a new one gets, which should be random.
    ///
    /// **Effect**: locked until dropped; a new one is synced. **Waits** for the disk, never for the lock. **Errors**: see [`FolderError`].
    pub fn open(disk: &dyn Disk, store: u128) -> Result<Self, FolderError> {
        let lock = lock(disk)?;
        if let Some(text) = read_version(disk)? {
            let store = parse_version(&text)?;
            return Ok(Self {
                store,
                is_new: false,
                _lock: lock,
            });
        }
        make(disk, store)?;
        Ok(Self {
            store,
            is_new: true,
            _lock: lock,
        })
    }

    /// Takes a data folder that is there, and makes nothing.
    ///
    /// **Effect**: locked until dropped. **Waits** for the disk, never for the lock. **Errors**: see [`FolderError`].
    pub fn open_existing(disk: &dyn Disk) -> Result<Self, FolderError> {
        // Before the lock, whose file would be made where there is no data folder.
        read_version(disk)?.ok_or(FolderError::None)?;
        let lock = lock(disk)?;
        let text = read_version(disk)?.ok_or(FolderError::None)?;
        Ok(Self {
            store: parse_version(&text)?,
            is_new: false,
            _lock: lock,
        })
    }
}

fn lock(disk: &dyn Disk) -> Result<Lock, FolderError> {
    disk.lock(Path::new(LOCK))
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => FolderError::InUse,
            _ => FolderError::Io(error),
        })
}

/// Makes the folders and, last, `VERSION`. What a crash left of an earlier try is used or overwritten.
fn make(disk: &dyn Disk, store: u128) -> Result<(), FolderError> {
    for folder in FOLDERS {
        match disk.create_dir(Path::new(folder)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !disk.list(Path::new(folder))?.is_empty() {
                    return Err(FolderError::NoVersion(folder));
                }
                // A sync of the last process may have failed to write its name down, and no later one would make up for that.
                disk.remove_dir_all(Path::new(folder))?;
                disk.create_dir(Path::new(folder))?;
            }
            made => made?,
        }
    }
    disk.sync_dir(Path::new(""))?;
    match disk.remove(Path::new(VERSION_NEW)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = disk.create(Path::new(VERSION_NEW))?;
    file.write_at(0, version_text(store).as_bytes())?;
    file.sync()?;
    disk.rename(Path::new(VERSION_NEW), Path::new(VERSION))?;
    disk.sync_dir(Path::new(""))?;
    Ok(())
}

fn read_version(disk: &dyn Disk) -> Result<Option<String>, FolderError> {
    let file = match disk.open(Path::new(VERSION)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = vec![0; VERSION_LEN_MAX];
    let len = file.read_at(0, &mut bytes)?;
    bytes.truncate(len);
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| FolderError::Version("it is not text"))
}

fn version_text(store: u128) -> String {
    let lines = format!("format={FORMAT}\nstore={store:032x}\n");
    let crc = crc32c(lines.as_bytes());
    format!("{lines}crc={crc:08x}\n")
}

/// The number of the folder. The format is looked at first: another one may have other lines.
fn parse_version(text: &str) -> Result<u128, FolderError> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix('='))
    };
    let format = value("format").and_then(|format| format.parse().ok());
    match format {
        None => return Err(FolderError::Version("it names no format")),
        Some(format) if format > FORMAT => return Err(FolderError::Newer(format)),
        Some(_) => {}
    }
    let store = value("store").and_then(|store| u128::from_str_radix(store, 16).ok());
    let store = store.ok_or(FolderError::Version("it does not name the folder"))?;
    if version_text(store) != text {
        return Err(FolderError::Version("its checksum does not fit"));
    }
    Ok(store)
}
