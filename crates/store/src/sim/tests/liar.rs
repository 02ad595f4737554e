//! Disks that say they have done what they have not.

use std::io;
use std::path::Path;

use super::*;
use crate::disk::{File, Filesystem, Lock};

/// What a disk does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Sync,
    SyncDir,
    Write,
}

#[derive(Debug)]
struct Liar {
    disk: SimDisk,
    lie: Lie,
}

#[derive(Debug)]
struct LiarFile {
    file: Arc<dyn File>,
    lie: Lie,
}

/// One that syncs no file.
pub(super) fn without_sync(disk: &SimDisk) -> Arc<dyn Disk> {
    liar(disk, Lie::Sync)
}

/// One that syncs no name.
pub(super) fn without_sync_dir(disk: &SimDisk) -> Arc<dyn Disk> {
    liar(disk, Lie::SyncDir)
}

/// One that leaves out the last block of long writes.
pub(super) fn with_short_writes(disk: &SimDisk) -> Arc<dyn Disk> {
    liar(disk, Lie::Write)
}

fn liar(disk: &SimDisk, lie: Lie) -> Arc<dyn Disk> {
    let disk = disk.clone();
    Arc::new(Liar { disk, lie })
}

impl Liar {
    fn opened(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let lie = self.lie;
        Arc::new(LiarFile { file, lie })
    }
}

impl Disk for Liar {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.opened(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.opened(self.disk.open(path)?))
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
        // The folders themselves last: without them nothing would be found that could be wrong.
        match self.lie == Lie::SyncDir && !folder.as_os_str().is_empty() {
            true => Ok(()),
            false => self.disk.sync_dir(folder),
        }
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

impl File for LiarFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let is_long = bytes.len() > 8192;
        match bytes.split_last_chunk::<4096>() {
            Some((rest, _)) if self.lie == Lie::Write && is_long => {
                self.file.write_at(offset, rest)
            }
            _ => self.file.write_at(offset, bytes),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }

    fn sync(&self) -> io::Result<()> {
        match self.lie {
            Lie::Sync => Ok(()),
            _ => self.file.sync(),
        }
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
