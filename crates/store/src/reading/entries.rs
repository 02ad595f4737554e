//! Messages out of entries of the log: large reads, kept for the entries behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::Taken;
use crate::disk::{Disk, File};
use crate::entry::{self, Decoded, Enqueue, Entry, HEADER_LEN, Lsn, Stream, Target};
use crate::index::{LiveRun, Location};
use crate::log::{QueueId, Read, Wanted};
use crate::wal::WalFile;

/// How much is read at once, at least.
const READ_LEN: u64 = 1 << 20;

/// How many files are kept open.
const FILES_MAX: usize = 16;

/// The files of the log, as whoever writes it says.
#[derive(Debug)]
pub struct WalFiles {
    folder: PathBuf,
    files: RwLock<Vec<WalFile>>,
}

impl WalFiles {
    /// None yet, of a log in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            files: RwLock::new(Vec::new()),
        }
    }

    /// These are the files, in order.
    pub(crate) fn set<'a>(&self, files: impl Iterator<Item = &'a WalFile>) {
        let mut now = self.files.write();
        now.clear();
        now.extend(files.copied());
    }

    /// The files, in order; the last one is written to.
    pub(crate) fn list(&self) -> Vec<WalFile> {
        self.files.read().clone()
    }

    /// The file that a place is in.
    fn find(&self, lsn: Lsn) -> Option<WalFile> {
        let files = self.files.read();
        let behind = files.partition_point(|file| file.start <= lsn);
        let file = files.get(behind.checked_sub(1)?)?;
        file.offset(lsn).map(|_| *file)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LogReader {
    disk: Arc<dyn Disk>,
    files: Arc<WalFiles>,
    /// Those used last, the last one at the end.
    open: Vec<(u64, Arc<dyn File>)>,
    buffer: Vec<u8>,
    /// Where the buffer's first byte is in the log, and the number of the file.
    at: (Lsn, u64),
}

impl LogReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, files: Arc<WalFiles>) -> Self {
        Self {
            disk,
            files,
            open: Vec::new(),
            buffer: Vec::new(),
            at: (Lsn(0), u64::MAX),
        }
    }

    /// Takes runs that are in one entry.
    pub(super) fn take(
        &mut self,
        wanted: &Wanted,
        lsn: Lsn,
        runs: &[LiveRun],
        read: &mut Read,
    ) -> io::Result<Taken> {
        let first_seq = runs.first().map_or(0, |run| run.first_seq);
        let enqueue = match self.enqueue(lsn)? {
            Ok(enqueue) => enqueue,
            Err(what) => {
                self.forget_buffer();
                return Ok(Taken::Moved(first_seq, what));
            }
        };
        for run in runs {
            let Some(first) = index_of(&enqueue, (wanted.queue, wanted.stream), run) else {
                self.forget_buffer();
                let what = format!("byte {} of the log has other messages", lsn.0);
                return Ok(Taken::Moved(run.first_seq, what));
            };
            let room = wanted.bytes_max.saturating_sub(read.records.len());
            let fits = |count: u32| {
                let len = enqueue.messages(first, count).map_or(0, <[u8]>::len);
                len <= room
            };
            let mut count = run.count as u32;
            if !fits(count) {
                count = largest(count, fits);
                if count == 0 && read.records.is_empty() {
                    count = 1;
                }
            }
            if let Some(records) = enqueue.messages(first, count).filter(|_| count > 0) {
                read.records.extend_from_slice(records);
                read.note(run.first_seq, count, enqueue.unix_ms);
            }
            if u64::from(count) < run.count {
                return Ok(Taken::Full(run.first_seq + u64::from(count)));
            }
        }
        Ok(Taken::All)
    }

    /// Reads a file from a place to its end, so that all entries in that part can be had in any order.
    pub(crate) fn hold(&mut self, file: &WalFile, from: Lsn) -> io::Result<()> {
        self.load(file, from, u64::MAX)
    }

    /// Gives the memory of what was held back.
    pub(crate) fn let_go(&mut self) {
        self.forget_buffer();
        self.buffer = Vec::new();
    }

    /// The messages of the entry at a place; in words why there are none.
    pub(crate) fn enqueue(&mut self, lsn: Lsn) -> io::Result<Result<Enqueue<'_>, String>> {
        let Some(file) = self.files.find(lsn) else {
            return Ok(Err(format!("no file of the log has byte {}", lsn.0)));
        };
        let path = file.path(&self.files.folder);
        let offset = lsn.0 - file.start.0;
        let why = |why: &str| format!("{}, byte {offset}: {why}", path.display());
        let (from, len) = match self.find(&file, lsn) {
            Ok(place) => place,
            Err(error) if is_gone(&error) => {
                self.forget_buffer();
                return Ok(Err(why(&error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let bytes = self.buffer.get(from..from + len).unwrap_or_default();
        let what = match entry::verify(lsn, bytes) {
            Ok(Decoded {
                entry: Entry::Enqueue(enqueue),
                ..
            }) => return Ok(Ok(enqueue)),
            Ok(_) => why("there are no messages"),
            Err(malformed) => why(&malformed.to_string()),
        };
        Ok(Err(what))
    }

    /// Where in the buffer the entry at a place is, and how long it says it is.
    fn find(&mut self, file: &WalFile, lsn: Lsn) -> io::Result<(usize, usize)> {
        if !self.holds(file, lsn, HEADER_LEN as u64) {
            self.load(file, lsn, READ_LEN)?;
        }
        let len = self.len_at(lsn)?;
        if !self.holds(file, lsn, len) {
            self.load(file, lsn, len.max(READ_LEN))?;
        }
        if !self.holds(file, lsn, len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(((lsn.0 - self.at.0.0) as usize, len as usize))
    }

    fn holds(&self, file: &WalFile, lsn: Lsn, len: u64) -> bool {
        let (start, seq) = self.at;
        let end = start.0 + self.buffer.len() as u64;
        seq == file.seq && start <= lsn && lsn.0.saturating_add(len) <= end
    }

    /// How long the entry at a place in the buffer says it is.
    fn len_at(&self, lsn: Lsn) -> io::Result<u64> {
        let from = (lsn.0 - self.at.0.0) as usize;
        let len = self.buffer.get(from..).and_then(|rest| rest.first_chunk());
        let len = len.map(|len| u64::from(u32::from_le_bytes(*len)));
        len.filter(|len| *len >= HEADER_LEN as u64)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn load(&mut self, file: &WalFile, lsn: Lsn, len: u64) -> io::Result<()> {
        let left = file.end().0.saturating_sub(lsn.0);
        let handle = self.handle(file)?;
        self.forget_buffer();
        self.buffer.resize(len.min(left) as usize, 0);
        let read = handle.read_at(lsn.0 - file.start.0, &mut self.buffer)?;
        self.buffer.truncate(read);
        self.at = (lsn, file.seq);
        Ok(())
    }

    fn handle(&mut self, file: &WalFile) -> io::Result<Arc<dyn File>> {
        if let Some(place) = self.open.iter().position(|(seq, _)| *seq == file.seq) {
            let open = self.open.remove(place);
            let handle = Arc::clone(&open.1);
            self.open.push(open);
            return Ok(handle);
        }
        let handle = self.disk.open(&file.path(&self.files.folder))?;
        if self.open.len() >= FILES_MAX {
            self.open.remove(0);
        }
        self.open.push((file.seq, Arc::clone(&handle)));
        Ok(handle)
    }

    /// A file has gone: it is closed.
    pub(crate) fn close(&mut self, file_seq: u64) {
        self.open.retain(|(seq, _)| *seq != file_seq);
    }

    fn forget_buffer(&mut self) {
        self.buffer.clear();
        self.at = (Lsn(0), u64::MAX);
    }
}

/// The index in an entry of the first message of a run, if the entry has all of the run where the index of live messages says.
pub(crate) fn index_of(enqueue: &Enqueue<'_>, of: (QueueId, Stream), run: &LiveRun) -> Option<u32> {
    let Location::Wal { first, .. } = run.location else {
        return None;
    };
    let has_all = |target: &Target| {
        let skipped = run.first_seq.wrapping_sub(target.first_seq);
        (target.queue, target.stream) == of
            && skipped.saturating_add(run.count) <= u64::from(target.count)
            && u64::from(target.first) + skipped == u64::from(first)
    };
    let mut targets = enqueue.targets;
    targets.any(|target| has_all(&target)).then_some(first)
}

/// Whether a file is gone, or shorter than was thought: it may be another one by now.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// The largest number up to `most` that fits, where every smaller one does; 0 if none.
fn largest(most: u32, fits: impl Fn(u32) -> bool) -> u32 {
    let (mut fit, mut unfit) = (0, most.saturating_add(1));
    while unfit - fit > 1 {
        let middle = fit + (unfit - fit) / 2;
        if fits(middle) {
            fit = middle;
        } else {
            unfit = middle;
        }
    }
    fit
}
