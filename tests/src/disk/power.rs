//! A disk that can lose its power: one file of a FUSE filesystem, which keeps what was not flushed in memory alone.
//!
//! It is what a disk with a volatile write cache promises and no more: a sector that was written since the last flush may be on the platters
//! or not, in any of the versions it had, and each by itself. A flush (`fsync` of the file, which is what a flush of a block device on it
//! comes to) makes everything before it lasting. The platters are a sparse file of the machine's own filesystem.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, Request, WriteFlags,
};
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The one file in it.
pub const IMAGE: &str = "image";

const SECTOR: usize = 512;
const IMAGE_INODE: INodeNo = INodeNo(2);
const LASTING: Duration = Duration::from_secs(3600);

/// What a disk answers from some moment on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refuses {
    /// It works.
    #[default]
    Nothing,
    /// Each write fails with EIO.
    Writes,
    /// Each flush fails with EIO, after which nothing can be flushed.
    Flushes,
    /// It loses its power at the next flush that has something to do, of which nothing is done any more: so there is something to lose.
    EverythingFromTheNextFlush,
    /// It has no power: neither works. What it has can be read, so that filesystems on it can be taken down.
    Everything,
}

/// The state of a disk, shared by the test and the filesystem.
#[derive(Clone, Debug)]
pub struct PowerDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    platters: File,
    len: u64,
    /// Each version of a sector since the last flush, the newest one last.
    unflushed: BTreeMap<u64, Vec<[u8; SECTOR]>>,
    refuses: Refuses,
    flushes: u64,
    refused: u64,
}

impl PowerDisk {
    /// A disk that has on its platters what a file has, whose length must be whole sectors.
    pub fn open(platters: &Path) -> io::Result<Self> {
        let platters = File::options().read(true).write(true).open(platters)?;
        let len = platters.metadata()?.len();
        let state = State {
            platters,
            len,
            unflushed: BTreeMap::new(),
            refuses: Refuses::Nothing,
            flushes: 0,
            refused: 0,
        };
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// From now on it refuses this.
    pub fn refuse(&self, refuses: Refuses) {
        self.state().refuses = refuses;
    }

    /// How often it was flushed.
    pub fn flushes(&self) -> u64 {
        self.state().flushes
    }

    /// How many requests it refused.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    /// How many sectors were written since the last flush.
    pub fn unflushed_sectors(&self) -> usize {
        self.state().unflushed.len()
    }

    /// Writes what a power cut at this moment may leave into a new file: all that was flushed, and of each other sector, as the seed will have
    /// it, one of its versions or what was there before.
    pub fn image_after_cut(&self, seed: u64, image: &Path) -> io::Result<()> {
        let state = self.state();
        let file = state.copy_platters(image)?;
        let mut random = StdRng::seed_from_u64(seed);
        for (sector, versions) in &state.unflushed {
            let survivor = random.random_range(0..=versions.len());
            if let Some(bytes) = survivor.checked_sub(1).and_then(|at| versions.get(at)) {
                file.write_all_at(&bytes[..], sector * SECTOR as u64)?;
            }
        }
        Ok(())
    }

    /// Writes what was flushed, and nothing else, into a new file.
    pub fn flushed_image(&self, image: &Path) -> io::Result<()> {
        self.state().copy_platters(image).map(|_| ())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn copy_platters(&self, image: &Path) -> io::Result<File> {
        let platters = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.platters)
        );
        fs::copy(platters, image)?;
        File::options().write(true).open(image)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let len = len.min(self.len.saturating_sub(offset) as usize);
        let mut bytes = vec![0; len];
        self.platters.read_exact_at(&mut bytes, offset)?;
        let sectors = offset / SECTOR as u64..(offset + len as u64).div_ceil(SECTOR as u64);
        for (sector, versions) in self.unflushed.range(sectors) {
            let Some(newest) = versions.last() else {
                continue;
            };
            // A read need not begin or end with a sector.
            let start = sector * SECTOR as u64;
            for (at, byte) in (start..).zip(newest.iter()) {
                let place = at.checked_sub(offset).map(|place| place as usize);
                if let Some(place) = place.and_then(|place| bytes.get_mut(place)) {
                    *place = *byte;
                }
            }
        }
        Ok(bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = offset / SECTOR as u64;
        let start = first * SECTOR as u64;
        let end = (offset + bytes.len() as u64).next_multiple_of(SECTOR as u64);
        let mut whole = self.read(start, (end - start) as usize)?;
        let from = (offset - start) as usize;
        whole[from..from + bytes.len()].copy_from_slice(bytes);
        for (sector, bytes) in (first..).zip(whole.as_chunks::<SECTOR>().0) {
            let versions = self.unflushed.entry(sector).or_default();
            versions.push(*bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        for (sector, versions) in std::mem::take(&mut self.unflushed) {
            if let Some(newest) = versions.last() {
                self.platters
                    .write_all_at(&newest[..], sector * SECTOR as u64)?;
            }
        }
        Ok(())
    }

    /// Whether a request of which `also` refuses some must be answered with an error, which is counted then.
    fn refuses(&mut self, also: Refuses) -> bool {
        let refuses = self.refuses == Refuses::Everything || self.refuses == also;
        self.refused += u64::from(refuses);
        refuses
    }

    fn image(&self) -> FileAttr {
        attributes(IMAGE_INODE, FileType::RegularFile, self.len)
    }
}

fn attributes(ino: INodeNo, kind: FileType, size: u64) -> FileAttr {
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for PowerDisk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == IMAGE {
            reply.entry(&LASTING, &self.state().image(), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match ino {
            INodeNo::ROOT => reply.attr(&LASTING, &attributes(ino, FileType::Directory, 0)),
            _ => reply.attr(&LASTING, &self.state().image()),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().read(offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        if state.refuses(Refuses::Writes) || state.write(offset, data).is_err() {
            reply.error(Errno::EIO);
        } else {
            reply.written(data.len() as u32);
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        // A filesystem flushes twice in a row, too, with nothing written between.
        if state.refuses == Refuses::EverythingFromTheNextFlush && !state.unflushed.is_empty() {
            state.refuses = Refuses::Everything;
        }
        if state.refuses(Refuses::Flushes) || state.flush().is_err() {
            reply.error(Errno::EIO);
        } else {
            reply.ok();
        }
    }

    /// A close: it makes nothing lasting.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
