//! The files of the log in their order, those with a damaged header included if their batches say where they belong.

use std::io;

use super::super::header::BatchHeader;
use super::super::read::{ReadErrors, Reading};
use super::super::scan::{Listed, list};
use super::super::{BATCH_HEADER_LEN, BLOCK, FILE_LEN_MIN, WalFile};
use super::{Damage, Fault, Survey};
use crate::disk::{Disk, File};
use crate::entry::Lsn;

/// Where the length stands in a file's header.
const LEN_AT: u64 = 64;

/// A file that has a name of the log's.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) seq: u64,
    /// Its place in the log; none where nothing tells it.
    pub(super) reading: Option<Reading>,
}

/// Something that is wrong between two files: the place in the list of the file that it comes before or is, and what.
pub(super) type Break = (usize, Damage);

impl Survey {
    /// Finds the files and what is wrong with their order.
    pub(super) fn find_files(&mut self, disk: &dyn Disk) -> io::Result<Vec<Break>> {
        let (listed, strays) = list(disk, &self.options, ReadErrors::AreDamage)?;
        self.strays = strays;
        let from = self.start.from;
        let begins = |listed: &Listed| listed.header.is_ok_and(|info| info.start <= from);
        self.first = listed.iter().rposition(begins).unwrap_or_default();
        let mut due = None;
        let mut breaks = vec![];
        for (place, listed) in listed.into_iter().enumerate() {
            let before_the_log = place < self.first;
            // A file that the log begins in need not follow on the one before it.
            let hint = due.filter(|due| !before_the_log && *due > from);
            let info = listed.header.ok().or_else(|| restore(&listed, hint, from));
            let (seq, file) = (listed.seq, std::sync::Arc::clone(&listed.file));
            if before_the_log {
                let reading = info.map(|info| Reading::new(info, file, ReadErrors::AreDamage));
                if listed.header.is_err() {
                    self.strays.push(format!("{seq:016x}.wal"));
                }
                self.files.push(Surveyed { seq, reading });
                continue;
            }
            let broken = self.join(&listed, info, due);
            let overlaps = matches!(&broken, Some(damage) if damage.fault == Fault::Overlap);
            let info = info.filter(|_| !overlaps);
            breaks.extend(broken.map(|damage| (place, damage)));
            let cut = info.and_then(|info| self.cut(&listed, info));
            breaks.extend(cut.map(|damage| (place + 1, damage)));
            due = info.map(|info| info.end()).or(due);
            let reading = info.map(|info| Reading::new(info, file, ReadErrors::AreDamage));
            self.files.push(Surveyed { seq, reading });
        }
        self.end_ranges(&mut breaks);
        let end = due.unwrap_or_default();
        if from > end || (due.is_none() && self.start.durable > end) {
            breaks.push((self.files.len(), self.missing_end(end)));
        }
        Ok(breaks)
    }

    /// What is wrong with the file that comes next. A header that is wrong and not needed is put down as a flaw.
    fn join(&mut self, listed: &Listed, info: Option<WalFile>, due: Option<Lsn>) -> Option<Damage> {
        let expected = due.unwrap_or_default().max(self.start.from);
        let file = super::super::path_of(&self.options.folder, listed.seq);
        if let (Err(fault), Some(info)) = (listed.header, info)
            && fault != Fault::ShortFile
        {
            self.flaws.push(Damage {
                file: file.clone(),
                fault,
                from: info.start,
                to: Lsn(info.start.0 + BLOCK),
                file_start: Some(info.start),
            });
        }
        let (fault, to) = match (info, listed.header) {
            (None, Err(fault)) => (fault, Lsn(expected.0.saturating_add(listed.len))),
            (Some(info), _) if info.start > expected => (Fault::MissingFile, info.start),
            (Some(info), _) if due.is_some_and(|due| info.start < due) => {
                (Fault::Overlap, info.end())
            }
            _ => return None,
        };
        Some(Damage {
            file,
            fault,
            from: expected,
            to: to.max(expected),
            file_start: match fault {
                Fault::Overlap | Fault::MissingFile => info.map(|info| info.start),
                _ => Some(expected),
            },
        })
    }

    /// What was cut off the end of a file, or may have been: a header that is damaged does not tell for certain how long it was.
    fn cut(&self, listed: &Listed, info: WalFile) -> Option<Damage> {
        listed.header.err()?;
        (claimed_len(&*listed.file) != Some(listed.len)).then(|| Damage {
            file: info.path(&self.options.folder),
            fault: Fault::ShortFile,
            from: info.end(),
            to: Lsn(info.end().0 + BLOCK),
            file_start: Some(info.start),
        })
    }

    /// An unreadable file ends where the next one that can be read begins.
    fn end_ranges(&self, breaks: &mut Vec<Break>) {
        let mut ended: Vec<Break> = vec![];
        for (place, mut damage) in breaks.drain(..) {
            let mut infos = (self.first..self.files.len()).filter_map(|file| self.info(file));
            let next = infos.find(|info| info.start >= damage.from);
            let unreadable = !matches!(damage.fault, Fault::MissingFile | Fault::Overlap);
            if let (true, Some(next)) = (unreadable, next) {
                damage.to = next.start;
            }
            // That files are missing behind an unreadable one is one damage, not two.
            let told = ended.last().is_some_and(|(_, before)| {
                damage.fault == Fault::MissingFile
                    && before.from <= damage.from
                    && before.to >= damage.to
            });
            if !told {
                ended.push((place, damage));
            }
        }
        *breaks = ended;
    }

    fn missing_end(&self, end: Lsn) -> Damage {
        Damage {
            file: self.options.folder.clone(),
            fault: Fault::MissingEnd,
            from: end,
            to: self.start.from.max(self.start.durable),
            file_start: None,
        }
    }
}

/// What the header of a file must have said, by the batches in it. `due` is where the file before it ends; without one, it is taken for the
/// latest that its batches speak of, at or before `from`.
fn restore(listed: &Listed, due: Option<Lsn>, from: Lsn) -> Option<WalFile> {
    let len = listed.len / BLOCK * BLOCK;
    let fault = listed.header.err();
    if !matches!(
        fault,
        Some(Fault::FileHeader | Fault::ShortFile | Fault::Unreadable)
    ) || len < FILE_LEN_MIN
    {
        return None;
    }
    let mut found: Option<WalFile> = None;
    for offset in (BLOCK..len).step_by(BLOCK as usize) {
        let Some(header) = header_at(&*listed.file, offset) else {
            continue;
        };
        let start = Lsn(header.lsn.0.wrapping_sub(offset));
        let fits = match due {
            Some(due) => start == due,
            None => start <= from && found.is_none_or(|found| found.start < start),
        };
        if fits && start.0.is_multiple_of(BLOCK) && header.lsn.0 >= offset {
            found = Some(WalFile {
                seq: listed.seq,
                start,
                len,
                salt: header.mark ^ listed.seq,
            });
        }
        if due.is_some() && found.is_some() {
            break;
        }
    }
    found
}

/// A header, wherever it says it is; none where it cannot be read.
fn header_at(file: &dyn File, offset: u64) -> Option<BatchHeader> {
    let mut bytes = [0; BATCH_HEADER_LEN];
    let read = file.read_at(offset, &mut bytes).ok()?;
    BatchHeader::claimed(bytes.get(..read)?)
}

/// How long a file was made, as its header says, right or not.
fn claimed_len(file: &dyn File) -> Option<u64> {
    let mut bytes = [0; 8];
    let read = file.read_at(LEN_AT, &mut bytes).ok()?;
    (read == bytes.len()).then(|| u64::from_le_bytes(bytes))
}
