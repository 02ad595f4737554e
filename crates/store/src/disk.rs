//! The disk as the store sees it: one data folder, files written and read at places, and what is true after each call.
//!
//! All I/O of the store goes through [`Disk`] and [`File`], and there are two: [`RealDisk`] is the operating system, [`SimDisk`] a page
//! cache and platters in memory that can lose what was not synced and fail when told to. What the store may rely on is what is written at
//! these traits, and no more: the simulated disk takes away everything else.
//!
//! Paths are relative to the data folder; the empty path is the data folder itself. Files have no formats here.
//!
//! Three words are used: *written* data is seen by every later read and survives the end of the process; *synced* data survives a power cut;
//! what is neither may be gone, there, or there in part.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

mod real;
mod sim;

#[cfg(test)]
mod tests;

pub use real::RealDisk;
#[cfg(any(test, feature = "sim"))]
pub(crate) use sim::Chance;
pub use sim::{Counts, Faults, SimDisk};

/// A data folder: names of files and folders, and when they last.
///
/// **Effect**: names are written on return, and synced by [`Disk::sync_dir`] alone: until then a file that was created may be gone after a
/// power cut with all that was synced into it, a removed one may be back, and of a rename either name may be the one that is found. Within
/// one folder a rename is seen whole or not at all; one between two folders lasts when *both* were synced. **Order**: none between names that
/// were not synced. **Waits**: every call may wait for the disk; none may be made where waiting is not allowed.
///
/// **Errors** that every call has: whatever the operating system says; `InvalidInput` for a path that leaves the data folder. An error of
/// [`Disk::sync_dir`] or [`File::sync`] must never be answered by trying again: the system forgets what it could not write, and the second
/// call succeeds although the data is lost. No implementation here tries again either.
pub trait Disk: Send + Sync + Debug {
    /// Creates an empty file. **Errors**: `AlreadyExists`, `NotFound` where the folder is missing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing, or for reading alone where writing is not permitted. **Errors**: `NotFound`.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name; a file that had that name loses it. Open files stay what they are.
    /// **Errors**: `NotFound` where the file or the new folder is missing, `IsADirectory` for a folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away; its space is given back when nobody has it open any more. **Errors**: `NotFound`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files of a folder with their lengths, sorted by name, without the folders in it. **Errors**: `NotFound`.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Creates a folder in one that is there. It lasts when that one is synced. **Errors**: `AlreadyExists`, `NotFound`.
    fn create_dir(&self, folder: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it. **Errors**: `NotFound`; after an error a part may be gone.
    fn remove_dir_all(&self, folder: &Path) -> io::Result<()>;

    /// Syncs the names in a folder, not those of the folders in it and not what is in the files. **Effect**: files and folders have, after a
    /// power cut, the names they had here when this was called.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that can still be written by who runs this process.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Holds the lock of a file, which is created where it is missing, until the answer is dropped or the process ends. Never waits for the
    /// lock. **Errors**: `WouldBlock` where another process, or this one, holds it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;

    /// What kind of filesystem the data folder is on, so that a caller can warn of one that cannot keep the promises above.
    fn filesystem(&self) -> io::Result<Filesystem>;
}

/// An open file; it stays the same file whatever happens to its name.
///
/// Calls may come from several threads at once; writes to places that overlap must not. **Waits**: as at [`Disk`].
pub trait File: Send + Sync + Debug {
    /// Writes all bytes at an offset; what lies between the old end and the offset becomes zeros. **Effect**: written, not synced; units of
    /// 512 bytes reach the disk in any order. **Errors**: after one, any part of the bytes may have been written (`StorageFull` among them:
    /// it never comes for what [`File::allocate`] reserved, except on a copy-on-write filesystem).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads until `into` is full or the file ends, and says how many bytes it were.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Syncs what was written and the length (`fdatasync`), not the file's name. **Effect**: every write that returned before this was
    /// called survives a power cut, if the file's name does. **Errors**: never to be tried again, see [`Disk`]; what was not synced before
    /// may be lost for good, whatever later calls say, and reads may go on showing it.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes, as written.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reserves space up to a length and fills it with zeros from the old end on; a file that is longer stays as it is. **Effect**: written,
    /// not synced: before a sync the new part may show zeros, or anything that was on the disk before. **Errors**: `StorageFull`; the length
    /// is then the old one.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts the file to a length, or extends it with zeros for which nothing is reserved. **Effect**: written, not synced.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// A held lock, given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _held: Box<dyn Any + Send + Sync>,
}

impl Lock {
    fn new(held: impl Any + Send + Sync) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

/// The filesystem of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// What may be expected of it.
    pub kind: FilesystemKind,
    /// What the system calls it: `ext4`, `nfs`; `unknown` where this program has no name for it.
    pub name: &'static str,
}

/// What may be expected of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesystemKind {
    /// On a disk of this machine, with blocks that are written in place.
    Local,
    /// On another machine: locks, syncs and errors are only as good as that machine and the way to it.
    Network,
    /// On a disk, but writes go to new blocks: reserved space does not protect from a full disk.
    CopyOnWrite,
    /// In memory: nothing survives a power cut.
    Memory,
    /// A layer over others, as containers have: commonly gone with the container.
    Layered,
    /// Behind a program of a user's (FUSE), or not known here.
    Unknown,
}

/// Refuses a path that could lead out of the data folder.
fn check_path(path: &Path) -> io::Result<()> {
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if inside {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} is not a path in the data folder", path.display()),
    ))
}

/// Refuses a path that is not that of a file or folder in the data folder.
fn check_name(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the data folder itself is not for this",
        ));
    }
    check_path(path)
}
