//! What can be proven of a damaged checkpoint: its sections, each by its own checksum.
//!
//! Nobody but a repair uses this, where no checkpoint is whole.

use super::files::read_whole;
use super::{
    Damage, HEADER_LEN, Header, SECTION_HEADER_LEN, SECTIONS, TRAILER_LEN, read_header,
    section_header,
};
use crate::disk::Disk;
use crate::index::Index;
use crate::index::record::Reader;

/// What is left of a checkpoint.
#[derive(Debug)]
pub struct Salvaged {
    /// Its header, if the log behind it and `index` together make a whole; else the log must be replayed from its beginning.
    pub header: Option<Header>,
    /// The sections that could be read, files, segments and streams only together.
    pub index: Index,
    /// The names of those that could not.
    pub lost: Vec<&'static str>,
}

/// Which sections mean nothing without each other: files, segments, streams.
const TOGETHER: std::ops::Range<usize> = 2..5;

/// Reads what it can of a checkpoint of this store.
///
/// **Waits**: for the disk. **Errors**: the file cannot be read at all.
pub fn salvage(disk: &dyn Disk, path: &str, store: u128) -> Result<Salvaged, Damage> {
    let bytes = read_whole(disk, path)?;
    let sections = find_sections(&bytes);
    let header = bytes
        .first_chunk::<HEADER_LEN>()
        .and_then(|head| read_header(head).ok())
        .filter(|header| header.store == store);
    let mut lost: Vec<_> = (0..SECTIONS.len())
        .filter(|kind| read(&sections, &[*kind]).is_none() && !TOGETHER.contains(kind))
        .collect();
    let apart: Vec<_> = (0..TOGETHER.start)
        .filter(|kind| !lost.contains(kind))
        .collect();
    let all: Vec<_> = apart.iter().copied().chain(TOGETHER).collect();
    let whole = header.and_then(|header| Some((header, read(&sections, &all)?)));
    let (header, index) = match whole {
        Some((header, index)) => (Some(header), index),
        None => {
            lost.extend(TOGETHER);
            (None, read(&sections, &apart).unwrap_or_default())
        }
    };
    let name = |kind: &usize| SECTIONS.get(*kind).map(|section| section.name);
    Ok(Salvaged {
        header,
        index,
        lost: lost.iter().filter_map(name).collect(),
    })
}

/// The contents of the sections whose checksums hold, by kind less one. A length that is damaged leads to nothing whose checksum holds.
fn find_sections(bytes: &[u8]) -> Vec<Option<&[u8]>> {
    let end = bytes.len().saturating_sub(TRAILER_LEN);
    let mut rest = bytes.get(HEADER_LEN..end).unwrap_or_default();
    let mut sections = vec![];
    for kind in 1..=SECTIONS.len() as u32 {
        let Some((head, behind)) = rest.split_first_chunk::<SECTION_HEADER_LEN>() else {
            break;
        };
        let len = (u128::from_le_bytes(*head) >> 64) as u64;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((content, behind)) = behind.split_at_checked(len) else {
            break;
        };
        sections.push((*head == section_header(kind, content)).then_some(content));
        rest = behind;
    }
    sections
}

/// An index of some sections; none if one of them is missing or cannot be.
fn read(sections: &[Option<&[u8]>], kinds: &[usize]) -> Option<Index> {
    let mut index = Index::default();
    for kind in kinds {
        let content = sections.get(*kind).copied().flatten()?;
        let mut reader = Reader(content);
        (SECTIONS.get(*kind)?.read)(&mut index, &mut reader).ok()?;
        if !reader.0.is_empty() {
            return None;
        }
    }
    Some(index)
}
