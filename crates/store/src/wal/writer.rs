//! The writing end of the log: appends batches, syncs them, moves on from file to file.
//!
//! One thread owns it. It keeps the files in use, those behind it until they are given back, and spares ahead of it, each with its header
//! synced before anything can go into it. After the first error of the disk every call fails with that error and does nothing: what the disk
//! has of the last writes is unknown until the log is read again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::blank::{Blank, BlankOrder, blank_path};
use super::header::{BatchHeader, file_header};
use super::{BATCH_HEADER_LEN, BLOCK, Options, Syncing, WalFile, padded};
use crate::crc::crc32c;
use crate::disk::{Disk, File};
use crate::entry::{self, ENTRY_LEN_MAX, Lsn, Stamp};
use crate::log::Group;

/// Spares that are kept once files have their full length: what acks are written to while the disk is full.
const RESERVE: usize = 2;

/// Spares beyond this are removed when they are given back. As many as come back at once are worth keeping: a new file is written twice.
pub(crate) const SPARES_MAX: usize = 6;

const NO_ROOM: &str = "a batch of the log has no room for its header";

/// See the module.
#[derive(Debug)]
pub struct WalWriter {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    /// Files that are written to their end, in order.
    pub(super) finished: VecDeque<WalFile>,
    pub(super) current: Open,
    /// Where the next batch goes in the current file.
    pub(super) at: u64,
    /// Files that come next, in order.
    pub(super) spares: VecDeque<Open>,
    pub(super) ordered: usize,
    pub(super) durable: Lsn,
    /// Whether the current file has something that was not synced.
    pub(super) unsynced: bool,
    /// Whether the last batch says that all before it is durable, and is durable itself.
    pub(super) sealed: bool,
    /// The last batch and its checksum; none before the first after an opening.
    pub(super) last: Option<(Lsn, u32)>,
    pub(super) names: Names,
    pub(super) unix_ms: u64,
    pub(super) poison: Option<Poison>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) info: WalFile,
    pub(super) file: Arc<dyn File>,
}

/// What new files are called.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) next_seq: u64,
    pub(super) next_blank: u64,
}

/// The first error, to be given again.
#[derive(Clone, Debug)]
pub(super) struct Poison {
    kind: io::ErrorKind,
    os: Option<i32>,
    text: String,
}

impl Poison {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            os: error.raw_os_error(),
            text: error.to_string(),
        }
    }

    fn error(&self) -> io::Error {
        match self.os {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.text.clone()),
        }
    }
}

impl WalWriter {
    /// Appends a batch and gives its lsn; its first entry lies [`BATCH_HEADER_LEN`] behind it, and it is durable once
    /// [`WalWriter::durable`] is past its lsn.
    ///
    /// `batch` is room for the header, [`BATCH_HEADER_LEN`] bytes of anything, and the entries behind it. What it has in that room afterwards
    /// is nothing to rely on; the entries are as they were.
    ///
    /// **Effect**: written, not synced, with one write. **Waits** for the disk: as a rule for the page cache alone; where it needs another
    /// file, for the sync of this one, and for the making of that one if there is no spare. **Errors**: the disk's, for good, but for
    /// `StorageFull` where there is no spare and none can be made: nothing was written then, and the same batch may come again. `InvalidInput`
    /// for more than 1 GiB, and without the room. **Cost**: a checksum of the entries, and no copy if the buffer has capacity up to the next
    /// block.
    pub fn append_batch(
        &mut self,
        batch: &mut Vec<u8>,
        entries: u32,
        unix_ms: u64,
    ) -> io::Result<Lsn> {
        let Some(payload_len) = batch.len().checked_sub(BATCH_HEADER_LEN) else {
            return Err(invalid(NO_ROOM));
        };
        if payload_len > ENTRY_LEN_MAX {
            return Err(invalid("a batch of the log is longer than 1 GiB"));
        }
        self.make_room(padded(payload_len))?;
        self.guarded(|log| log.append(batch, entries, unix_ms))
    }

    /// Makes everything that was appended durable. **Waits** for the disk. **Errors**: the disk's, for good.
    pub fn sync(&mut self) -> io::Result<()> {
        self.guarded(Self::sync_current)
    }

    /// Appends and syncs a batch that says that all before it is durable, unless the last one was that. Then damage to any of them, the last
    /// one included, cannot be taken for a torn tail. **Waits** and **Errors** as [`WalWriter::append_batch`] and [`WalWriter::sync`].
    pub fn seal(&mut self, unix_ms: u64) -> io::Result<()> {
        self.live()?;
        if self.sealed {
            return Ok(());
        }
        self.make_room(padded(entry::HEADER_LEN))?;
        self.guarded(|log| {
            log.sync_current()?;
            let mut batch = Vec::with_capacity(BLOCK as usize);
            batch.resize(BATCH_HEADER_LEN, 0);
            let stamp = Stamp {
                group: Group(0),
                term: 0,
                index: 0,
            };
            entry::seal(&mut batch, stamp).map_err(|error| invalid(&error.to_string()))?;
            log.append(&mut batch, 1, unix_ms)?;
            log.sync_current()?;
            log.sealed = true;
            Ok(())
        })
    }

    /// Everything below this lsn survives a power cut. It never goes back.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// The lsn behind the last batch: the next one has it or, in another file, a higher one.
    pub fn next_lsn(&self) -> Lsn {
        Lsn(self.current.info.start.0 + self.at)
    }

    /// The files in use, in order; the last one is written to. Spares are not among them.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = &WalFile> {
        self.finished.iter().chain([&self.current.info])
    }

    /// How many spares there are, each with room for what the current file has room for or more.
    pub fn spares(&self) -> usize {
        self.spares.len()
    }

    /// Takes back a file that nothing is needed from any more, neither by what is live nor by a checkpoint: it becomes a spare, with another
    /// name and a new salt, or is removed. Nobody may read it from now on. **Waits** for several syncs. **Errors**: the disk's, for good;
    /// `InvalidInput` for a file that is not behind the current one.
    pub fn recycle(&mut self, file_seq: u64) -> io::Result<()> {
        self.live()?;
        let place = self.finished.iter().position(|file| file.seq == file_seq);
        let Some(info) = place.and_then(|place| self.finished.remove(place)) else {
            return Err(invalid("the log has no finished file of this number"));
        };
        self.guarded(|log| {
            let path = info.path(&log.options.folder);
            let fits = (log.current.info.len..=log.options.file_len_full).contains(&info.len);
            if !fits || log.spares.len() >= SPARES_MAX {
                log.disk.remove(&path)?;
                return log.sync_names();
            }
            let blank = Blank {
                path: log.names.order(&log.options, info.len).path,
                len: info.len,
                file: log.disk.open(&path)?,
            };
            log.disk.rename(&path, &blank.path)?;
            // Its name first: otherwise its old name might come back with the new header in it.
            log.sync_names()?;
            log.push_spare(blank)
        })
    }

    /// A file that should be made now, before it is needed: the next one when the current one is more than half full, and two of full length
    /// as a reserve once files have it. What becomes of it is told to [`WalWriter::take_blank`].
    pub fn order_blank(&mut self) -> Option<BlankOrder> {
        let full = self.current.info.len >= self.options.file_len_full;
        let wanted = match full {
            true => RESERVE,
            false => usize::from(self.at > self.current.info.len / 2),
        };
        if self.poison.is_some() || self.spares.len() + self.ordered >= wanted {
            return None;
        }
        self.ordered += 1;
        Some(self.names.order(&self.options, self.next_len()))
    }

    /// Whether the disk and the spares together have less room than three files take. **Waits** for the disk. **Errors**: the disk's.
    pub fn is_short_of_room(&self) -> io::Result<bool> {
        let spares: u64 = self.spares.iter().map(|spare| spare.info.len).sum();
        Ok(self.disk.free_bytes()? + spares < 3 * self.current.info.len)
    }

    /// Whether a file was ordered, and nothing was told of it yet.
    pub fn is_waiting_for_blank(&self) -> bool {
        self.ordered > 0
    }

    /// Takes a file that was ordered as a spare, or that it could not be made. **Waits** for several syncs. **Errors**: the disk's, for good,
    /// but for `StorageFull` from the making: the log goes on as long as it has room.
    pub fn take_blank(&mut self, made: io::Result<Blank>) -> io::Result<()> {
        self.ordered = self.ordered.saturating_sub(1);
        self.take_made(made)
    }

    fn append(&mut self, batch: &mut Vec<u8>, entries: u32, unix_ms: u64) -> io::Result<Lsn> {
        self.unix_ms = unix_ms;
        let Some((room, payload)) = batch.split_first_chunk_mut::<BATCH_HEADER_LEN>() else {
            return Err(invalid(NO_ROOM));
        };
        let len = padded(payload.len());
        if self.at + len > self.current.info.len {
            self.rotate(len)?;
        }
        let lsn = self.next_lsn();
        let (previous, previous_crc) = self.last.unwrap_or((lsn, 0));
        let crc;
        (*room, crc) = BatchHeader {
            payload_len: payload.len() as u32,
            lsn,
            mark: self.current.info.mark(),
            durable: self.durable,
            previous,
            unix_ms,
            entries,
            previous_crc,
            payload_crc: crc32c(payload),
        }
        .encode();
        let unpadded = batch.len();
        batch.resize(len as usize, 0);
        let written = self.current.file.write_at(self.at, batch);
        batch.truncate(unpadded);
        written?;
        self.at += len;
        self.last = Some((lsn, crc));
        self.unsynced = true;
        self.sealed = false;
        Ok(lsn)
    }

    fn sync_current(&mut self) -> io::Result<()> {
        if self.unsynced {
            if self.options.syncing == Syncing::On {
                self.current.file.sync()?;
            }
            self.unsynced = false;
            self.durable = self.next_lsn();
        }
        Ok(())
    }

    /// Makes a file with room for a batch of a length, unless the current one or a spare has it.
    fn make_room(&mut self, need: u64) -> io::Result<()> {
        let spare = |spare: &Open| BLOCK + need <= spare.info.len;
        if self.poison.is_some()
            || self.at + need <= self.current.info.len
            || self.spares.iter().any(spare)
        {
            return Ok(());
        }
        let len = self.next_len().max(BLOCK + need);
        let made = self
            .names
            .order(&self.options, len)
            .make(self.disk.as_ref());
        self.take_made(made)
    }

    /// Of a disk that is full no harm is done: nothing was written to the log.
    fn take_made(&mut self, made: io::Result<Blank>) -> io::Result<()> {
        self.live()?;
        match made {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
            made => self.guarded(|log| log.push_spare(made?)),
        }
    }

    /// Goes to the next file that has room for a batch of a length.
    fn rotate(&mut self, need: u64) -> io::Result<()> {
        self.sync_current()?;
        while self.at + need > self.current.info.len {
            // One that has no room is left behind empty: the files after it already begin behind it.
            let next = self.spares.pop_front();
            let next = next.ok_or_else(|| io::Error::other("no file of the log has room"))?;
            let before = std::mem::replace(&mut self.current, next);
            self.finished.push_back(before.info);
            self.at = BLOCK;
        }
        Ok(())
    }

    pub(super) fn push_spare(&mut self, blank: Blank) -> io::Result<()> {
        let last = self.spares.back().unwrap_or(&self.current);
        let info = self
            .names
            .next_file(&self.options, last.info.end(), blank.len);
        let spare = adopt(self.disk.as_ref(), &self.options, blank, info, self.unix_ms)?;
        self.spares.push_back(spare);
        Ok(())
    }

    /// Twice the length of the last file, up to the full one: one is made only where none was given back in time.
    fn next_len(&self) -> u64 {
        let last = self.spares.back().unwrap_or(&self.current).info.len;
        (last * 2).min(self.options.file_len_full)
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_names(self.disk.as_ref(), &self.options)
    }

    /// Does what the disk may refuse, once: after the first error never again.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        self.live()?;
        let done = work(self);
        self.poison = done.as_ref().err().map(Poison::of);
        done
    }

    fn live(&self) -> io::Result<()> {
        self.poison
            .as_ref()
            .map_or(Ok(()), |poison| Err(poison.error()))
    }
}

impl Names {
    pub(super) fn order(&mut self, options: &Options, len: u64) -> BlankOrder {
        let number = self.next_blank;
        self.next_blank += 1;
        BlankOrder {
            path: blank_path(&options.folder, number),
            len,
            syncing: options.syncing,
        }
    }

    pub(super) fn next_file(&mut self, options: &Options, start: Lsn, len: u64) -> WalFile {
        let seq = self.next_seq;
        self.next_seq += 1;
        WalFile {
            seq,
            start,
            len,
            salt: scatter(options.salt_seed ^ scatter(seq)),
        }
    }
}

/// Makes a blank file one of the log's. **Effect**: synced, header and name.
pub(super) fn adopt(
    disk: &dyn Disk,
    options: &Options,
    blank: Blank,
    info: WalFile,
    unix_ms: u64,
) -> io::Result<Open> {
    blank
        .file
        .write_at(0, &file_header(&info, options.store, unix_ms))?;
    if options.syncing == Syncing::On {
        blank.file.sync()?;
    }
    disk.rename(&blank.path, &info.path(&options.folder))?;
    sync_names(disk, options)?;
    Ok(Open {
        info,
        file: blank.file,
    })
}

pub(super) fn sync_names(disk: &dyn Disk, options: &Options) -> io::Result<()> {
    match options.syncing {
        Syncing::On => disk.sync_dir(&options.folder),
        Syncing::Off => Ok(()),
    }
}

/// Spreads the bits of a number (the finalizer of splitmix64): different numbers give different ones.
fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

pub(super) fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
