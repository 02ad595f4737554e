//! Checkpoints: the index written down, so that recovery reads only the log behind it.
//!
//! Here is the file's frame; what the sections hold belongs to `index/record.rs`, files and generations to `files.rs`. A checkpoint covers
//! only what was durable. It is believed whole or not at all: every byte lies under two checksums.
//!
//! Integers are little-endian, checksums CRC-32C:
//!
//! ```text
//! 0    header, 64 bytes
//!        0   "LVRTCKP1"
//!        8   u32  version 1
//!        12  u32  sections, 5
//!        16  u64  generation, as in the file's name
//!        24  u128 store
//!        40  u64  applied: the first place in the log that is not in the index
//!        48  u64  durable: what was known to be synced of the log
//!        56  u32  0
//!        60  u32  checksum of the 60 bytes before
//! 64   sections, each behind the one before, in the order of their kinds
//!        0   u32  kind: 1 definitions, 2 groups, 3 files of the log, 4 segments, 5 streams
//!        4   u32  checksum of kind, length and content
//!        8   u64  length of the content
//!        16  content
//! end  trailer, 24 bytes
//!        0   "LVRTCKPE"
//!        8   u64  length of the whole file
//!        16  u32  0
//!        20  u32  checksum of everything before
//! ```

use crate::crc::{crc32c, crc32c_of};
use crate::entry::Lsn;
use crate::index::Index;
use crate::index::record::{Reader, Wrong};

mod files;
mod salvage;
#[cfg(test)]
mod tests;

pub use files::{
    FOLDER, KEPT, KEPT_AT_FIRST, Kept, LoadError, Loaded, load_each, load_newest, write,
    write_encoded,
};
pub use salvage::{Salvaged, salvage};

const MAGIC: &[u8; 8] = b"LVRTCKP1";
const END_MAGIC: &[u8; 8] = b"LVRTCKPE";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const SECTION_HEADER_LEN: usize = 16;
const TRAILER_LEN: usize = 24;

/// What a checkpoint says besides the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The checkpoint's number, one more than that of the one before.
    pub generation: u64,
    /// The data folder's own number.
    pub store: u128,
    /// The first place in the log that the index does not cover: where replay begins.
    pub applied: Lsn,
    /// Everything of the log below it was synced; never below `applied`.
    pub durable: Lsn,
}

/// Why bytes are no checkpoint that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is shorter than it says, or longer.
    #[error("its length is wrong")]
    Length,
    /// It does not begin as a checkpoint does.
    #[error("it does not begin as a checkpoint")]
    Magic,
    /// It is of a format that this program does not know.
    #[error("it is of version {0}, which this program does not read")]
    Version(u32),
    /// It belongs to another data folder.
    #[error("it belongs to another data folder, {0:032x}")]
    OtherStore(u128),
    /// It is not the generation that its name says.
    #[error("it is generation {0:x}, not what its name says")]
    OtherGeneration(u64),
    /// A checksum does not fit.
    #[error("the checksum of its {0} is wrong")]
    Checksum(&'static str),
    /// The checksums are right, and what is under them cannot be.
    #[error("its {section} cannot be: {wrong}")]
    Content {
        /// The part of the checkpoint.
        section: &'static str,
        /// What cannot be.
        wrong: &'static str,
    },
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// A part of the index: its name, how it is written and how it is read.
struct Section {
    name: &'static str,
    write: fn(&Index, &mut Vec<u8>),
    read: fn(&mut Index, &mut Reader<'_>) -> Result<(), Wrong>,
}

/// The sections by kind, from 1 on.
const SECTIONS: [Section; 5] = [
    Section {
        name: "definitions",
        write: Index::write_definitions,
        read: Index::read_definitions,
    },
    Section {
        name: "groups",
        write: Index::write_groups,
        read: Index::read_groups,
    },
    Section {
        name: "log files",
        write: Index::write_files,
        read: Index::read_files,
    },
    Section {
        name: "segments",
        write: Index::write_segments,
        read: Index::read_segments,
    },
    Section {
        name: "streams",
        write: Index::write_streams,
        read: Index::read_streams,
    },
];

/// Writes an index down. The same index and header give the same bytes.
///
/// **Cost**: a pass over all pieces; 4 to 12 bytes for each run of messages, some 10 for each stream.
pub fn encode(index: &Index, header: &Header) -> Vec<u8> {
    debug_assert!(
        header.applied <= header.durable,
        "a checkpoint covers what is durable"
    );
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(SECTIONS.len() as u32).to_le_bytes());
    out.extend_from_slice(&header.generation.to_le_bytes());
    out.extend_from_slice(&header.store.to_le_bytes());
    out.extend_from_slice(&header.applied.0.to_le_bytes());
    out.extend_from_slice(&header.durable.0.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    for (kind, section) in (1..).zip(&SECTIONS) {
        write_section(index, kind, section, &mut out);
    }
    out.extend_from_slice(END_MAGIC);
    out.extend_from_slice(&((out.len() + 16) as u64).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn write_section(index: &Index, kind: u32, section: &Section, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; SECTION_HEADER_LEN]);
    (section.write)(index, out);
    let Some((head, content)) = out
        .get_mut(start..)
        .and_then(|new| new.split_first_chunk_mut::<SECTION_HEADER_LEN>())
    else {
        return;
    };
    *head = section_header(kind, content);
}

fn section_header(kind: u32, content: &[u8]) -> [u8; SECTION_HEADER_LEN] {
    let len = content.len() as u64;
    let crc = crc32c_of(&[&kind.to_le_bytes(), &len.to_le_bytes(), content]);
    let words = u128::from(kind) | u128::from(crc) << 32 | u128::from(len) << 64;
    words.to_le_bytes()
}

/// Reads what [`encode`] wrote.
///
/// **Errors**: whatever the bytes are, a damage and never a panic. **Cost**: allocates by what was read, never by what a length says.
pub fn decode(bytes: &[u8]) -> Result<(Header, Index), Damage> {
    let (head, rest) = bytes
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Damage::Length)?;
    let header = read_header(head)?;
    let (mut rest, trailer) = rest
        .split_last_chunk::<TRAILER_LEN>()
        .ok_or(Damage::Length)?;
    check_trailer(bytes, trailer)?;
    let mut index = Index::default();
    for (kind, section) in (1..).zip(&SECTIONS) {
        let content = take_section(&mut rest, kind, section.name)?;
        let mut reader = Reader(content);
        let content = |wrong| Damage::Content {
            section: section.name,
            wrong,
        };
        (section.read)(&mut index, &mut reader).map_err(content)?;
        if !reader.0.is_empty() {
            return Err(content("bytes are left over"));
        }
    }
    match rest.is_empty() {
        true => Ok((header, index)),
        false => Err(Damage::Length),
    }
}

fn read_header(head: &[u8; HEADER_LEN]) -> Result<Header, Damage> {
    let mut fields = Fields(head);
    if fields.take() != *MAGIC {
        return Err(Damage::Magic);
    }
    let (covered, _) = head.split_at(HEADER_LEN - 4);
    let mut end = Fields(head.get(HEADER_LEN - 4..).unwrap_or_default());
    if end.u32() != crc32c(covered) {
        return Err(Damage::Checksum("header"));
    }
    let version = fields.u32();
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let sections = fields.u32();
    let header = Header {
        generation: fields.u64(),
        store: u128::from_le_bytes(fields.take()),
        applied: Lsn(fields.u64()),
        durable: Lsn(fields.u64()),
    };
    if sections as usize != SECTIONS.len() || fields.u32() != 0 || header.applied > header.durable {
        return Err(Damage::Content {
            section: "header",
            wrong: "a field is what it never is",
        });
    }
    Ok(header)
}

fn check_trailer(bytes: &[u8], trailer: &[u8; TRAILER_LEN]) -> Result<(), Damage> {
    let mut fields = Fields(trailer);
    if fields.take() != *END_MAGIC || fields.u64() != bytes.len() as u64 || fields.u32() != 0 {
        return Err(Damage::Length);
    }
    let (covered, _) = bytes.split_at(bytes.len() - 4);
    match fields.u32() == crc32c(covered) {
        true => Ok(()),
        false => Err(Damage::Checksum("whole")),
    }
}

fn take_section<'a>(
    rest: &mut &'a [u8],
    kind: u32,
    name: &'static str,
) -> Result<&'a [u8], Damage> {
    let (head, behind) = rest
        .split_first_chunk::<SECTION_HEADER_LEN>()
        .ok_or(Damage::Length)?;
    let len = (u128::from_le_bytes(*head) >> 64) as u64;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let (content, behind) = behind.split_at_checked(len).ok_or(Damage::Length)?;
    if *head != section_header(kind, content) {
        return Err(Damage::Checksum(name));
    }
    *rest = behind;
    Ok(content)
}

/// Takes integers off the front of bytes that are long enough.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
