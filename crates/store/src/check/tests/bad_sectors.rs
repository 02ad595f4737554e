//! A disk on which some bytes cannot be read, now or ever.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, File, Filesystem, Lock, SimDisk};

/// A simulated disk with a range of a file that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct BadSectors {
    pub(crate) disk: SimDisk,
    pub(crate) path: PathBuf,
    pub(crate) bad: Range<u64>,
}

#[derive(Debug)]
struct Opened {
    file: Arc<dyn File>,
    bad: Range<u64>,
}

impl BadSectors {
    fn opened(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        match path == self.path {
            true => Arc::new(Opened {
                file,
                bad: self.bad.clone(),
            }),
            false => file,
        }
    }
}

impl Disk for BadSectors {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.opened(path, self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(folder)
    }

    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_dir(folder)
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(folder)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }

    fn filesystem(&self) -> io::Result<Filesystem> {
        self.disk.filesystem()
    }
}

impl File for Opened {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let read = offset..offset + into.len() as u64;
        if read.start < self.bad.end && self.bad.start < read.end {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.read_at(offset, into)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
}
