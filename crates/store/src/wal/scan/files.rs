//! The files of the log in their order, and what is wrong with that order.
//!
//! Files older than the one the scan begins in do not matter: they may be gone in any order. From that one on each must begin where the one
//! before it ends.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Damage, Fault, Start};
use crate::disk::{Disk, File};
use crate::entry::Lsn;
use crate::wal::blank::is_blank;
use crate::wal::header::read_file_header;
use crate::wal::read::{ReadErrors, Reading};
use crate::wal::{BLOCK, Options, WalFile, path_of, seq_of};

/// What is in the log's folder.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Files before the one the scan begins in.
    pub(super) old: Vec<WalFile>,
    /// That one and the files behind it, up to the first that is damaged.
    pub(super) readings: Vec<Reading>,
    pub(super) damage: Option<Damage>,
    pub(super) strays: Vec<String>,
    pub(super) next_seq: u64,
}

/// A file by its name, and its header.
pub(in crate::wal) struct Listed {
    pub(in crate::wal) seq: u64,
    pub(in crate::wal) len: u64,
    pub(in crate::wal) file: Arc<dyn File>,
    pub(in crate::wal) header: Result<WalFile, Fault>,
}

impl Files {
    pub(super) fn find(disk: &dyn Disk, options: &Options, start: Start) -> io::Result<Self> {
        let (mut listed, strays) = list(disk, options, ReadErrors::AreErrors)?;
        let newest = listed.last().map_or(0, |listed| listed.seq);
        let mut files = Self {
            strays,
            next_seq: newest.saturating_add(1),
            ..Self::default()
        };
        let begins = |listed: &Listed| listed.header.is_ok_and(|info| info.start <= start.from);
        let first = listed.iter().rposition(begins).unwrap_or_default();
        for old in listed.drain(..first) {
            match old.header {
                Ok(info) => files.old.push(info),
                Err(_) => files.strays.push(name_of(options, old.seq)),
            }
        }
        files.chain(listed, options, start);
        Ok(files)
    }

    /// Takes files as long as each begins where the one before it ended.
    fn chain(&mut self, listed: Vec<Listed>, options: &Options, start: Start) {
        let mut expected = None;
        let starts: Vec<Option<Lsn>> = listed
            .iter()
            .map(|listed| listed.header.ok().map(|info| info.start))
            .collect();
        for (place, listed) in listed.into_iter().enumerate() {
            let due = expected.unwrap_or(start.from);
            let fault = match listed.header {
                Err(fault) => fault,
                Ok(info) if info.start > due => Fault::MissingFile,
                Ok(info) if info.start < due && expected.is_some() => Fault::Overlap,
                Ok(info) => {
                    expected = Some(info.end());
                    self.readings
                        .push(Reading::new(info, listed.file, ReadErrors::AreErrors));
                    continue;
                }
            };
            let from = due.max(start.from);
            let later = starts
                .iter()
                .skip(place)
                .flatten()
                .find(|start| **start > from);
            self.damage = Some(Damage {
                file: path_of(&options.folder, listed.seq),
                fault,
                from,
                to: later
                    .copied()
                    .unwrap_or_else(|| Lsn(from.0.saturating_add(listed.len))),
                file_start: listed.header.ok().map(|info| info.start),
            });
            return;
        }
        let end = expected.unwrap_or_default();
        if start.from > end || (expected.is_none() && start.durable > end) {
            self.damage = Some(missing_end(options, start, end));
        }
    }
}

/// Reads names and headers; the files by rising number, and the names that are no files of the log.
pub(in crate::wal) fn list(
    disk: &dyn Disk,
    options: &Options,
    errors: ReadErrors,
) -> io::Result<(Vec<Listed>, Vec<String>)> {
    let names = match disk.list(&options.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let (mut listed, mut strays) = (Vec::new(), Vec::new());
    for (name, len) in names {
        let Some(seq) = seq_of(&name) else {
            if !is_blank(&name) {
                strays.push(name);
            }
            continue;
        };
        let file = disk.open(&path_of(&options.folder, seq))?;
        let mut header = [0; BLOCK as usize];
        let header = match (file.read_at(0, &mut header), errors) {
            (Ok(read), _) => {
                let header = header.get(..read).unwrap_or_default();
                read_file_header(header, seq, options.store, len)
            }
            (Err(_), ReadErrors::AreDamage) => Err(Fault::Unreadable),
            (Err(error), ReadErrors::AreErrors) => return Err(error),
        };
        listed.push(Listed {
            seq,
            len,
            file,
            header,
        });
    }
    listed.sort_unstable_by_key(|listed| listed.seq);
    Ok((listed, strays))
}

fn missing_end(options: &Options, start: Start, end: Lsn) -> Damage {
    Damage {
        file: options.folder.clone(),
        fault: Fault::MissingEnd,
        from: end,
        to: start.from.max(start.durable),
        file_start: None,
    }
}

fn name_of(options: &Options, seq: u64) -> String {
    let path: PathBuf = path_of(&options.folder, seq);
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
