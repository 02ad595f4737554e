//! Reading the whole log for an operator: what [`scan`](super::scan) reads, and what lies behind each damage.
//!
//! A scan stops at the first damage, since nothing may be skipped in silence. A survey goes on to the end of the newest file and says of each
//! damage where it is, and what in it can still be proven to be what was written: a header with one wrong bit by its own checksum, a batch
//! whose header alone is damaged by the checksum of its payload, an entry of a damaged payload by its own, a file without its header by its
//! batches. It writes nothing and skips nothing that a scan would read: the two agree on whether a log is damaged, and on the first damage's
//! place or one before it.
//!
//! Nothing is searched for byte by byte: what looks like an entry in the middle of a damaged payload may be in the body of a message.

use std::io;

use self::files::Surveyed;
use super::header::BatchHeader;
use super::read::{Found, Reading};
use super::scan::{Damage, Fault, Start};
use super::{BLOCK, Batch, Options, WalFile, padded};
use crate::disk::Disk;
use crate::entry::Lsn;

mod entry_at;
mod files;
mod gaps;
mod replay;

pub use entry_at::Unreadable;
pub use replay::{Part, Seen};

/// What was found in the log.
#[derive(Debug)]
pub struct Survey {
    options: Options,
    start: Start,
    files: Vec<Surveyed>,
    /// The first of the files that is read.
    first: usize,
    steps: Vec<Step>,
    gaps: Vec<Gap>,
    /// Damages that lose nothing by themselves: headers of files whose batches are there, blocks that cannot be read.
    flaws: Vec<Damage>,
    /// Where what was never durable begins, if there is any of it.
    torn: Option<Lsn>,
    durable: Lsn,
    strays: Vec<String>,
}

/// A place where confirmed data is damaged.
#[derive(Clone, Debug)]
pub struct Gap {
    /// What is damaged: a range of each file that the gap reaches into.
    pub damages: Vec<Damage>,
    /// Whether what is left in it reaches from the batch before to the one behind, so that nothing is lost if it can all be read.
    pub lines_up: bool,
    parts: Vec<Piece>,
}

/// What comes next in the log.
#[derive(Clone, Copy, Debug)]
enum Step {
    Batch(Piece),
    Gap(usize),
}

/// Something that begins at a block.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its file, as a place in the list.
    file: usize,
    lsn: Lsn,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A whole batch and its header's checksum.
    Whole(BatchHeader, u32),
    /// A payload whose header is damaged, and whether all that the header said is known nevertheless. If not, what it says of the payload is.
    Payload(BatchHeader, bool),
    /// A header, right or corrected, whose payload is damaged.
    Header(BatchHeader),
    Remains,
}

impl Piece {
    fn header(&self) -> Option<&BatchHeader> {
        match &self.what {
            What::Whole(header, _) | What::Payload(header, _) | What::Header(header) => {
                Some(header)
            }
            What::Remains => None,
        }
    }

    /// Where it ends; behind its first block where its length is not known.
    fn end(&self) -> Lsn {
        let len = self
            .header()
            .map_or(BLOCK, |header| padded(header.payload_len as usize));
        Lsn(self.lsn.0 + len)
    }
}

impl Survey {
    /// Reads the log from a place on to its very end.
    ///
    /// **Effect**: nothing is changed. **Waits** for the disk; reads all blocks of all files. **Errors**: the disk's; damage is none.
    pub fn new(disk: &dyn Disk, options: Options, start: Start) -> io::Result<Self> {
        let mut survey = Self {
            options,
            start,
            files: vec![],
            first: 0,
            steps: vec![],
            gaps: vec![],
            flaws: vec![],
            torn: None,
            durable: start.durable,
            strays: vec![],
        };
        let breaks = survey.find_files(disk)?;
        let pieces = survey.pieces()?;
        survey.chain(&pieces, breaks);
        Ok(survey)
    }

    /// The damages to confirmed data, in their order.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Damages that lose nothing by themselves: headers of files whose batches were found all the same, and blocks that cannot be read, which
    /// may be where nothing was. Where something was, a gap says so.
    pub fn flaws(&self) -> &[Damage] {
        &self.flaws
    }

    /// Where what never became durable begins, if there is any.
    pub fn torn(&self) -> Option<Lsn> {
        self.torn
    }

    /// Names in the log's folder that are no files of the log.
    pub fn strays(&self) -> &[String] {
        &self.strays
    }

    /// The files that could be read as such, older ones included.
    pub fn files(&self) -> impl Iterator<Item = &WalFile> {
        self.files
            .iter()
            .filter_map(|file| Some(&file.reading.as_ref()?.info))
    }

    /// The numbers of all files that have a name of the log's, readable or not.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.files.iter().map(|file| file.seq)
    }

    /// Where a log can begin whose first file comes behind all of these: at the end of the last one if the log reaches to it, so that the
    /// new file follows on it; else behind everything that is spoken of anywhere, so that it never seems to.
    pub fn behind(&self) -> Lsn {
        let ends = self.files().map(|info| info.end());
        let gaps = self.gaps.iter().flat_map(|gap| &gap.damages);
        let known = ends.chain(gaps.map(|damage| damage.to));
        let highest = known.fold(self.start.from.max(self.durable), Lsn::max);
        let last = self.files.last().and_then(|file| file.reading.as_ref());
        match last.map(|reading| reading.info.end()) {
            Some(end) if end == highest => end,
            _ => Lsn(highest.0.next_multiple_of(BLOCK) + BLOCK),
        }
    }

    /// What begins at the blocks of the files, garbage of earlier lives left out.
    fn pieces(&mut self) -> io::Result<Vec<Piece>> {
        let mut pieces = vec![];
        let from = self.start.from;
        for (number, file) in self.files.iter_mut().enumerate().skip(self.first) {
            let Some(reading) = file.reading.as_mut() else {
                continue;
            };
            let mut lsn = from.max(reading.info.first());
            while lsn < reading.info.end() {
                let what = what_is_at(reading, lsn)?;
                if reading.take_unreadable() {
                    self.flaws
                        .push(unreadable(&self.options, &reading.info, lsn));
                }
                let Some(what) = what else {
                    lsn.0 += BLOCK;
                    continue;
                };
                let piece = Piece {
                    file: number,
                    lsn,
                    what,
                };
                // A header that is right, but whose payload is not, may be what is wrong: only what is whole is passed over.
                lsn = match what {
                    What::Whole(..) | What::Payload(..) => piece.end(),
                    What::Header(_) | What::Remains => Lsn(lsn.0 + BLOCK),
                };
                pieces.push(piece);
            }
        }
        let headers = pieces.iter().filter_map(|piece| match &piece.what {
            What::Whole(header, _) | What::Header(header) | What::Payload(header, true) => {
                Some(header.durable)
            }
            What::Payload(_, false) | What::Remains => None,
        });
        self.durable = headers.fold(self.durable, Lsn::max);
        Ok(pieces)
    }

    fn info(&self, file: usize) -> Option<WalFile> {
        Some(self.files.get(file)?.reading.as_ref()?.info)
    }
}

/// What begins at a place; something that cannot be read where nothing is known.
fn what_is_at(reading: &mut Reading, lsn: Lsn) -> io::Result<Option<What>> {
    Ok(match reading.find(lsn)? {
        Found::Batch(header, crc, _) => Some(What::Whole(header, crc)),
        Found::Header(header) => Some(What::Header(header)),
        Found::Corrected(header) => match reading.has_payload(&header, lsn)? {
            true => Some(What::Payload(header, true)),
            false => Some(What::Header(header)),
        },
        Found::Remains => match reading.payload_alone(lsn)? {
            Some(header) => Some(What::Payload(header, false)),
            None => Some(What::Remains),
        },
        Found::Nothing => None,
    })
}

fn unreadable(options: &Options, info: &WalFile, lsn: Lsn) -> Damage {
    Damage {
        file: info.path(&options.folder),
        fault: Fault::Unreadable,
        from: lsn,
        to: Lsn(lsn.0 + BLOCK),
        file_start: Some(info.start),
    }
}
