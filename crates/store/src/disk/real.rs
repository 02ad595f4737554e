//! The disk of the operating system.
//!
//! Files are opened without buffers of their own; `write_at` and `read_at` go on after short calls and interruptions, syncs are one system
//! call each and are not repeated for any error. Nothing is synced that the caller did not ask for, but the name of the data folder itself.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};

use super::{Disk, File, Filesystem, Lock, check_name, check_path};

mod filesystem;

#[cfg(test)]
mod tests;

/// Zeros that are written at a time to fill what was reserved.
const ZEROS: usize = 256 * 1024;

/// Files hold users' messages: they are for the broker's own user, whatever the umask.
const FILE_MODE: u32 = 0o600;

/// A data folder of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    syncs: bool,
}

impl RealDisk {
    /// Opens a data folder that is there. **Effect**: its name is synced where the folder above may be opened, so that a new data folder
    /// lasts. **Errors**: `NotFound`, `NotADirectory`.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        if let Some(Ok(above)) = root.parent().map(fs::File::open) {
            rustix::fs::fsync(above)?;
        }
        Ok(Self { root, syncs: true })
    }

    /// As [`RealDisk::open`], for what is thrown away at the next start: syncs do nothing.
    pub fn open_unsynced(root: &Path) -> io::Result<Self> {
        let syncs = false;
        let disk = Self::open(root)?;
        Ok(Self { syncs, ..disk })
    }

    /// Where a folder is, which may be the data folder.
    fn folder(&self, path: &Path) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }

    /// Where something in the data folder is.
    fn path(&self, path: &Path) -> io::Result<PathBuf> {
        check_name(path)?;
        Ok(self.root.join(path))
    }
}

fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = read_write().create_new(true).open(self.path(path)?)?;
        let syncs = self.syncs;
        Ok(Arc::new(RealFile { file, syncs }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let path = self.path(path)?;
        let file = match read_write().open(&path) {
            // A check of a folder that may only be read is still of use.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                fs::File::open(&path)?
            }
            other => other?,
        };
        let syncs = self.syncs;
        Ok(Arc::new(RealFile { file, syncs }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        if fs::symlink_metadata(&from)?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.path(path)?)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder(folder)?)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(self.path(folder)?)
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir_all(self.path(folder)?)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        if !self.syncs {
            return Ok(());
        }
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(self.folder(folder)?)?;
        Ok(rustix::fs::fsync(folder)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let filesystem = rustix::fs::statvfs(&self.root)?;
        Ok(filesystem.f_bavail.saturating_mul(filesystem.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = read_write()
            .create(true)
            .truncate(false)
            .open(self.path(path)?)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Lock::new(HeldFile { file }))
    }

    fn filesystem(&self) -> io::Result<Filesystem> {
        filesystem::of(&self.root)
    }
}

/// A file with its lock. It is given back in so many words: a child process that was forked a moment ago has the file open too, until it
/// becomes another program.
struct HeldFile {
    file: fs::File,
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // Where this fails, closing the file gives the lock back as well.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile {
    file: fs::File,
    syncs: bool,
}

impl RealFile {
    /// Reserves and writes zeros: space that is only reserved costs a change of the file's extents, and so a slower sync, at each first write.
    fn extend(&self, from: u64, to: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
                Err(rustix::io::Errno::INTR) => {}
                // Zeros reserve where the filesystem cannot.
                Err(rustix::io::Errno::OPNOTSUPP) | Ok(()) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let zeros = vec![0; ZEROS];
        let mut at = from;
        while at < to {
            let len = (to - at).min(ZEROS as u64);
            self.file.write_all_at(&zeros[..len as usize], at)?;
            at += len;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self
                .file
                .read_at(&mut into[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        if !self.syncs {
            return Ok(());
        }
        // The standard library's `sync_data` goes on after an interruption; this must not.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        if len <= old {
            return Ok(());
        }
        self.extend(old, len).inspect_err(|_| {
            // The first error is the one to tell; a file that is too long does no harm beyond the space it takes.
            let _ = self.file.set_len(old);
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
