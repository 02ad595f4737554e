//! Files that are to become files of the log: made with zeros, or given back; called `<number>.new` until they have a header.
//!
//! Making one takes long (its zeros are written and synced) and needs nothing of the writer, so that it can be done on another thread.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Syncing;
use crate::disk::{Disk, File};

/// A wish for a file, from [`WalWriter::order_blank`](super::WalWriter::order_blank).
#[derive(Debug)]
pub struct BlankOrder {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) syncing: Syncing,
}

/// A file of zeros, for [`WalWriter::take_blank`](super::WalWriter::take_blank).
#[derive(Debug)]
pub struct Blank {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) file: Arc<dyn File>,
}

impl BlankOrder {
    /// Bytes that the file takes.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Makes the file. **Effect**: its zeros are synced; its name is not. **Waits** for the disk. **Errors**: the disk's, `StorageFull` among
    /// them; nothing of the file is left then, as far as the disk permits.
    pub fn make(self, disk: &dyn Disk) -> io::Result<Blank> {
        let file = disk.create(&self.path)?;
        let made = file.allocate(self.len).and_then(|()| match self.syncing {
            Syncing::On => file.sync(),
            Syncing::Off => Ok(()),
        });
        if let Err(error) = made {
            // What is left means nothing to anybody and goes with the next start.
            let _ = disk.remove(&self.path);
            return Err(error);
        }
        Ok(Blank {
            path: self.path,
            len: self.len,
            file,
        })
    }
}

pub(super) fn blank_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.new"))
}

/// Whether a name is one of a file that never became one of the log.
pub(super) fn is_blank(name: &str) -> bool {
    name.strip_suffix(".new").is_some_and(|digits| {
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
