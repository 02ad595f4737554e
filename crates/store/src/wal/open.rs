//! Opening the log for writing where a scan ended.
//!
//! The scan may have read from memory what never reached the disk: the last process was killed before a sync, or a sync failed, after which
//! the system takes what it lost for clean. So what is not known to be durable is written once more before it is synced and built upon, and
//! files that nothing was written to yet get new names.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::blank::{Blank, is_blank};
use super::writer::{Names, Open, adopt, invalid, sync_names};
use super::{BLOCK, End, FILE_LEN_MIN, Options, Scan, Syncing, WalFile, WalWriter};
use crate::disk::{Disk, File};
use crate::entry::Lsn;

/// How much is copied at once.
const COPY_LEN: u64 = 1 << 20;

impl WalWriter {
    /// Goes on where a scan ended, or begins a log where there is none.
    ///
    /// **Effect**: everything up to the end of the scan is durable, and so are the names of the files. A power cut in between changes nothing
    /// that the next scan finds. **Waits** for the disk. **Errors**: the disk's; `InvalidInput` where the scan did not end clean, or the
    /// options cannot be.
    pub fn open_at(disk: Arc<dyn Disk>, options: Options, scan: &Scan) -> io::Result<Self> {
        let End::Clean { next_lsn } = scan.end else {
            return Err(invalid("a log that is torn or damaged cannot be written"));
        };
        let lens = [options.file_len_first, options.file_len_full];
        let can_be = |len: &u64| *len >= FILE_LEN_MIN && len.is_multiple_of(BLOCK);
        if !lens.iter().all(can_be) || !lens.is_sorted() {
            return Err(invalid("the lengths of the log's files cannot be"));
        }
        clear_folder(disk.as_ref(), &options, scan)?;
        if options.syncing == Syncing::On {
            write_again(disk.as_ref(), &options, scan, next_lsn)?;
        }
        let mut names = Names {
            next_seq: scan.next_seq,
            next_blank: 0,
        };
        let (used, unused) = split(scan, next_lsn);
        let mut blanks = take_names(disk.as_ref(), &options, &mut names, unused)?;
        let current = match used.last() {
            Some(info) => Open {
                info: *info,
                file: disk.open(&info.path(&options.folder))?,
            },
            None => {
                let blank = match blanks.pop_front() {
                    Some(blank) => blank,
                    None => names
                        .order(&options, options.file_len_first)
                        .make(disk.as_ref())?,
                };
                let start = unused.first().map_or(next_lsn, |info| info.start);
                let info = names.next_file(&options, start, blank.len);
                adopt(disk.as_ref(), &options, blank, info, 0)?
            }
        };
        let finished = used.len().saturating_sub(1);
        let first = current.info.first();
        let next_lsn = next_lsn.max(first);
        let mut writer = Self {
            at: next_lsn.0 - current.info.start.0,
            // Of a file without batches only what was before it: a scan that comes from there has not seen its header.
            durable: match next_lsn == first {
                true => current.info.start,
                false => next_lsn,
            },
            disk,
            options,
            finished: used.iter().take(finished).copied().collect(),
            current,
            spares: VecDeque::new(),
            ordered: 0,
            unsynced: false,
            // What was read may end with a batch that nothing says is durable.
            sealed: scan.batches == 0,
            last: None,
            names,
            unix_ms: 0,
            poison: None,
        };
        for blank in blanks {
            writer.push_spare(blank)?;
        }
        Ok(writer)
    }
}

/// The files that have batches, and those behind them that have none. A log without any batch has only the latter.
fn split(scan: &Scan, next_lsn: Lsn) -> (&[WalFile], &[WalFile]) {
    let empty =
        |info: &WalFile| scan.current == 0 && info.start == Lsn(0) && next_lsn <= info.first();
    let used = match scan.files.get(scan.current) {
        Some(info) if empty(info) => 0,
        _ => scan.current + 1,
    };
    scan.files.split_at(used.min(scan.files.len()))
}

/// Makes the folder anew if no file of the log is in it, else removes what was to become one when the last process ended.
fn clear_folder(disk: &dyn Disk, options: &Options, scan: &Scan) -> io::Result<()> {
    let folder = &options.folder;
    let found = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    let fresh = scan.files.is_empty() && scan.strays.is_empty();
    if let (Some(found), false) = (&found, fresh) {
        for (name, _) in found.iter().filter(|(name, _)| is_blank(name)) {
            disk.remove(&folder.join(name))?;
        }
        return Ok(());
    }
    if found.is_some() {
        disk.remove_dir_all(folder)?;
    }
    disk.create_dir(folder)?;
    match (options.syncing, folder.parent()) {
        (Syncing::On, Some(parent)) => disk.sync_dir(parent),
        _ => Ok(()),
    }
}

/// Writes what was read, but is not known to be durable, once more where it is, and syncs it. The bytes do not change, so that a power cut
/// in between finds what the last one would have.
fn write_again(disk: &dyn Disk, options: &Options, scan: &Scan, next_lsn: Lsn) -> io::Result<()> {
    for info in scan.files.iter().take(scan.current + 1) {
        let from = scan.durable.max(info.first());
        let to = next_lsn.min(info.end());
        if from >= to {
            continue;
        }
        let file = disk.open(&info.path(&options.folder))?;
        copy_over(file.as_ref(), from.0 - info.start.0, to.0 - info.start.0)?;
        file.sync()?;
    }
    Ok(())
}

fn copy_over(file: &dyn File, mut from: u64, to: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    while from < to {
        buffer.resize(COPY_LEN.min(to - from) as usize, 0);
        let read = file.read_at(from, &mut buffer)?;
        if read < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(from, &buffer)?;
        from += read as u64;
    }
    Ok(())
}

/// Takes the names of files that nothing was written to. They will get others, and those are synced for certain; whether the old ones are is
/// not known.
fn take_names(
    disk: &dyn Disk,
    options: &Options,
    names: &mut Names,
    unused: &[WalFile],
) -> io::Result<VecDeque<Blank>> {
    let mut blanks = VecDeque::new();
    // The last one first, each by itself: a power cut must not leave one whose predecessor is gone.
    for info in unused.iter().rev() {
        let path = names.order(options, info.len).path;
        let old = info.path(&options.folder);
        let file = disk.open(&old)?;
        disk.rename(&old, &path)?;
        sync_names(disk, options)?;
        blanks.push_front(Blank {
            path,
            len: info.len,
            file,
        });
    }
    Ok(blanks)
}
