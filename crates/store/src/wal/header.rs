//! The headers of files and of batches, as bytes and back. Both are drawn in the parent module.
//!
//! What is read is only taken for a header if its checksum is right; whether it stands where it says is asked here too.

use super::{BATCH_HEADER_LEN, BLOCK, FILE_LEN_MIN, Fault, WalFile};
use crate::crc::crc32c;
use crate::entry::{ENTRY_LEN_MAX, Lsn};

const MAGIC: [u8; 8] = *b"LVRTWAL1";
const VERSION: u32 = 1;
const CRC_AT: usize = BLOCK as usize - 4;
const BATCH_MAGIC: [u8; 4] = *b"BTCH";

/// The bytes of a file's header.
pub(super) fn file_header(file: &WalFile, store: u128, created_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK as usize);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(BLOCK as u32).to_le_bytes());
    for value in [file.seq, file.salt, file.start.0] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&store.to_le_bytes());
    bytes.extend_from_slice(&created_ms.to_le_bytes());
    bytes.extend_from_slice(&file.len.to_le_bytes());
    bytes.resize(CRC_AT, 0);
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the header of the file that is called `seq` and has `len` bytes.
pub(super) fn read_file_header(
    bytes: &[u8],
    seq: u64,
    store: u128,
    len: u64,
) -> Result<WalFile, Fault> {
    let covered = bytes.get(..CRC_AT).ok_or(Fault::FileHeader)?;
    let crc = u32_at(bytes, CRC_AT).ok_or(Fault::FileHeader)?;
    if !covered.starts_with(&MAGIC) || crc32c(covered) != crc {
        return Err(Fault::FileHeader);
    }
    let version = u32_at(bytes, 8).ok_or(Fault::FileHeader)?;
    if version != VERSION {
        return Err(Fault::FileVersion(version));
    }
    let number = |at| u64_at(bytes, at).ok_or(Fault::FileHeader);
    let file = WalFile {
        seq: number(16)?,
        start: Lsn(number(32)?),
        len: number(64)?,
        salt: number(24)?,
    };
    let owner = u128::from(number(40)?) | u128::from(number(48)?) << 64;
    if owner != store {
        return Err(Fault::ForeignFile);
    }
    let fits = file.start.0.checked_add(file.len).is_some() && file.len >= FILE_LEN_MIN;
    if file.seq != seq
        || !fits
        || !file.len.is_multiple_of(BLOCK)
        || !file.start.0.is_multiple_of(BLOCK)
    {
        return Err(Fault::FileHeader);
    }
    if len < file.len {
        return Err(Fault::ShortFile);
    }
    Ok(file)
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) payload_len: u32,
    pub(super) lsn: Lsn,
    pub(super) mark: u64,
    pub(super) durable: Lsn,
    pub(super) previous: Lsn,
    pub(super) unix_ms: u64,
    pub(super) entries: u32,
    pub(super) previous_crc: u32,
    pub(super) payload_crc: u32,
}

impl BatchHeader {
    /// The bytes, and the checksum that is part of them.
    pub(super) fn encode(&self) -> ([u8; BATCH_HEADER_LEN], u32) {
        let mut bytes = [0; BATCH_HEADER_LEN];
        bytes[0..4].copy_from_slice(&BATCH_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.mark.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.unix_ms.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.entries.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.previous_crc.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// What bytes say as a header, whether they are one or not.
    pub(super) fn fields(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            payload_len: u32_at(bytes, 4)?,
            lsn: Lsn(u64_at(bytes, 8)?),
            mark: u64_at(bytes, 16)?,
            durable: Lsn(u64_at(bytes, 24)?),
            previous: Lsn(u64_at(bytes, 32)?),
            unix_ms: u64_at(bytes, 40)?,
            entries: u32_at(bytes, 48)?,
            previous_crc: u32_at(bytes, 52)?,
            payload_crc: u32_at(bytes, 56)?,
        })
    }

    /// Reads a header without knowing where or in which life of its file it was written: what it says of that is to be compared.
    pub(super) fn claimed(bytes: &[u8]) -> Option<Self> {
        let said = Self::fields(bytes)?;
        Self::read(bytes, said.lsn, said.mark).map(|(header, _)| header)
    }

    /// Reads a header that was written at `lsn` in a life of the file with this mark, and its checksum.
    pub(super) fn read(bytes: &[u8], lsn: Lsn, mark: u64) -> Option<(Self, u32)> {
        let (covered, crc) = (bytes.get(..60)?, u32_at(bytes, 60)?);
        let header = Self::fields(bytes)?;
        // The mark first: it decides for nearly all blocks that are no header.
        let here = header.mark == mark && header.lsn == lsn && covered.starts_with(&BATCH_MAGIC);
        let can_be = header.payload_len as usize <= ENTRY_LEN_MAX
            && header.durable <= lsn
            && header.previous <= lsn;
        (here && can_be && crc32c(covered) == crc).then_some((header, crc))
    }

    /// Reads a header of which one bit is wrong: the checksum says which.
    pub(super) fn corrected(bytes: &[u8], lsn: Lsn, mark: u64) -> Option<Self> {
        let damaged: &[u8; BATCH_HEADER_LEN] = bytes.first_chunk()?;
        let bits = (0..BATCH_HEADER_LEN).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)));
        let mut headers = bits.filter_map(|(at, bit): (usize, u8)| {
            let mut bytes = *damaged;
            *bytes.get_mut(at)? ^= bit;
            Self::read(&bytes, lsn, mark)
        });
        headers.next().map(|(header, _)| header)
    }

    /// Whether bytes were the beginning of a batch at this place in this life of the file, as far as two of three marks can tell.
    pub(super) fn was_here(bytes: &[u8], lsn: Lsn, mark: u64) -> bool {
        let marks = [
            bytes.starts_with(&BATCH_MAGIC),
            u64_at(bytes, 8) == Some(lsn.0),
            u64_at(bytes, 16) == Some(mark),
        ];
        marks.into_iter().filter(|found| *found).count() >= 2
    }

    /// Whether it says that it is the first after an opening of the log.
    pub(super) fn begins(&self) -> bool {
        self.previous == self.lsn && self.previous_crc == 0
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
