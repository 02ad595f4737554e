//! The calls of the simulated disk, and where its failures strike.
//!
//! Every call that is counted goes through `call`, which counts it, lets a failure strike, and takes down the outcome.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::names::Node;
use super::{SimDisk, State};
use crate::disk::{Disk, File, Filesystem, FilesystemKind, Lock, check_name, check_path};

/// The sorts of calls, as [`super::Counts`] has them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Read,
    Write,
    Sync,
    Change,
}

/// What one call is to do.
enum Turn {
    Work,
    /// Fail with EIO.
    Fail,
    /// Stop the machine in the middle of it.
    Crash,
}

impl State {
    fn next_turn(&mut self, sort: Sort) -> io::Result<Turn> {
        let faults = &self.faults;
        let (count, fails) = match sort {
            Sort::Read => (&mut self.counts.reads, faults.fail_read),
            Sort::Write => (&mut self.counts.writes, faults.fail_write),
            Sort::Sync => (&mut self.counts.syncs, faults.fail_sync),
            Sort::Change => (&mut self.counts.changes, faults.fail_change),
        };
        *count += 1;
        self.counts.calls += 1;
        if self.crashed {
            return Err(off());
        }
        if faults.crash_at == Some(self.counts.calls) {
            return Ok(Turn::Crash);
        }
        Ok(if fails == Some(*count) {
            Turn::Fail
        } else {
            Turn::Work
        })
    }
}

/// The answer to every call from the crash on.
fn off() -> io::Error {
    io::Error::other("the simulated machine is off")
}

impl SimDisk {
    /// Makes a call: `work` does it, `spoil` does what is left of it when it fails with EIO.
    fn call<T>(
        &self,
        sort: Sort,
        line: fmt::Arguments<'_>,
        work: impl FnOnce(&mut State) -> io::Result<T>,
        spoil: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        let mut state = self.state();
        let result = match state.next_turn(sort) {
            Ok(Turn::Work) => work(&mut state),
            Ok(Turn::Fail) => {
                spoil(&mut state);
                Err(Errno::IO.into())
            }
            Ok(Turn::Crash) => {
                // Done and not synced is what may or may not have happened; a sync that was not finished promises nothing.
                if sort != Sort::Sync {
                    let _ = work(&mut state);
                }
                state.crashed = true;
                Err(off())
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => state.take_down(line, &"ok"),
            Err(error) => state.take_down(line, error),
        }
        result
    }

    /// A call that leaves nothing behind when it fails.
    fn plain<T>(
        &self,
        sort: Sort,
        line: fmt::Arguments<'_>,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(sort, line, work, |_| {})
    }

    fn opened(&self, id: u64) -> Arc<dyn File> {
        Arc::new(SimFile {
            disk: self.clone(),
            id,
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        check_name(path)?;
        let line = format_args!("create {}", path.display());
        let id = self.plain(Sort::Change, line, |state| {
            let name = state.names.vacant(path)?;
            let id = state.new_id();
            state.files.entry(id).or_default().open += 1;
            state.names.change(vec![(name, Some(Node::File(id)))]);
            Ok(id)
        })?;
        Ok(self.opened(id))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        check_name(path)?;
        let line = format_args!("open {}", path.display());
        let id = self.plain(Sort::Read, line, |state| {
            let (_, id) = state.names.file(path)?;
            state.files.entry(id).or_default().open += 1;
            Ok(id)
        })?;
        Ok(self.opened(id))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let line = format_args!("rename {} {}", from.display(), to.display());
        self.plain(Sort::Change, line, |state| {
            let (old, file) = state.names.file(from)?;
            let (new, there) = state.names.name(to)?;
            match there {
                Some(Node::Folder(_)) => return Err(ErrorKind::IsADirectory.into()),
                Some(Node::File(same)) if same == file => return Ok(()),
                _ => {}
            }
            let changes = vec![(old, None), (new, Some(Node::File(file)))];
            state.names.change(changes);
            state.forget_unknown_files();
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        check_name(path)?;
        let line = format_args!("remove {}", path.display());
        self.plain(Sort::Change, line, |state| {
            let (name, _) = state.names.file(path)?;
            state.names.change(vec![(name, None)]);
            state.forget_unknown_files();
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        check_path(folder)?;
        let line = format_args!("list {}", folder.display());
        self.plain(Sort::Read, line, |state| {
            let folder = state.names.folder(folder)?;
            let files = state.names.in_folder(folder);
            let files = files.filter_map(|(name, node)| match node {
                Node::File(file) => Some((name.to_owned(), state.files.get(&file)?)),
                Node::Folder(_) => None,
            });
            Ok(files
                .map(|(name, inode)| (name, inode.pages.len() as u64))
                .collect())
        })
    }

    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        check_name(folder)?;
        let line = format_args!("create_dir {}", folder.display());
        self.plain(Sort::Change, line, |state| {
            let name = state.names.vacant(folder)?;
            let id = state.new_id();
            state.names.change(vec![(name, Some(Node::Folder(id)))]);
            Ok(())
        })
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        check_name(folder)?;
        let line = format_args!("remove_dir_all {}", folder.display());
        self.plain(Sort::Change, line, |state| {
            let id = state.names.folder(folder)?;
            let (name, _) = state.names.name(folder)?;
            // Many calls of the system, so each may last or not on its own.
            for change in state.names.emptied(id) {
                state.names.change(vec![change]);
            }
            state.names.change(vec![(name, None)]);
            state.forget_unknown_files();
            Ok(())
        })
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        check_path(folder)?;
        let line = format_args!("sync_dir {}", folder.display());
        let work = |state: &mut State| {
            let folder = state.names.folder(folder)?;
            state.names.sync(folder);
            state.forget_unknown_files();
            Ok(())
        };
        self.call(Sort::Sync, line, work, |state| {
            if let Ok(folder) = state.names.folder(folder) {
                state.names.fail_sync(folder, &mut state.chance);
            }
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        if state.crashed {
            return Err(off());
        }
        Ok(state.free())
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        check_name(path)?;
        let line = format_args!("lock {}", path.display());
        let id = self.plain(Sort::Change, line, |state| {
            let id = match state.names.file(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let name = state.names.vacant(path)?;
                    let id = state.new_id();
                    state.names.change(vec![(name, Some(Node::File(id)))]);
                    id
                }
                other => other?.1,
            };
            if !state.locks.insert(id) {
                return Err(ErrorKind::WouldBlock.into());
            }
            state.files.entry(id).or_default().open += 1;
            Ok(id)
        })?;
        let file = SimFile {
            disk: self.clone(),
            id,
        };
        Ok(Lock::new(HeldFile { file }))
    }

    fn filesystem(&self) -> io::Result<Filesystem> {
        Ok(Filesystem {
            kind: FilesystemKind::Local,
            name: "simulated",
        })
    }
}

/// An open file of the simulated disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if let Some(inode) = state.files.get_mut(&self.id) {
            inode.open -= 1;
        }
        state.forget_unknown_files();
    }
}

/// A file whose lock is held.
struct HeldFile {
    file: SimFile,
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.file.disk.state().locks.remove(&self.file.id);
    }
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (id, start, len) = (self.id, offset as usize, bytes.len());
        let line = format_args!("write #{id} {offset}+{len} {:016x}", checksum(bytes));
        let work = |state: &mut State| {
            let end = state.free().saturating_add(state.pages(id).len() as u64);
            let fits = end.saturating_sub(offset).min(len as u64) as usize;
            state.pages(id).write(start, &bytes[..fits]);
            if fits < len {
                return Err(Errno::NOSPC.into());
            }
            Ok(())
        };
        self.disk.call(Sort::Write, line, work, |state| {
            if state.faults.short_writes {
                let part = state.chance.below(len + 1);
                state.pages(id).write(start, &bytes[..part]);
            }
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let (id, len) = (self.id, into.len());
        let line = format_args!("read #{id} {offset}+{len}");
        self.disk.plain(Sort::Read, line, |state| {
            let content = state.pages(id).content();
            let rest = content.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(len);
            into[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let id = self.id;
        let work = |state: &mut State| {
            state.pages(id).sync();
            Ok(())
        };
        let line = format_args!("sync #{id}");
        self.disk.call(Sort::Sync, line, work, |state| {
            let mut chance = state.chance.clone();
            state.pages(id).fail_sync(&mut chance);
            state.chance = chance;
        })
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        if state.crashed {
            return Err(off());
        }
        Ok(state.pages(self.id).len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let id = self.id;
        let line = format_args!("allocate #{id} {len}");
        self.disk.plain(Sort::Write, line, |state| {
            let old = state.pages(id).len() as u64;
            let more = len.saturating_sub(old);
            if more > state.free() {
                return Err(Errno::NOSPC.into());
            }
            state.pages(id).set_len((old + more) as usize);
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let id = self.id;
        let line = format_args!("truncate #{id} {len}");
        self.disk.plain(Sort::Change, line, |state| {
            state.pages(id).set_len(len as usize);
            Ok(())
        })
    }
}

/// Tells two contents apart in the log (FNV-1a).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
