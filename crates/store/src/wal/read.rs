//! Reading files of the log: large reads, small views, and a batch as the scan hands it on.
//!
//! Nothing is allocated by a length that was not checked against the file's.

use std::io;
use std::sync::Arc;

use super::header::BatchHeader;
use super::{BATCH_HEADER_LEN, BLOCK, WalFile, padded};
use crate::crc::crc32c;
use crate::disk::File;
use crate::entry::{Entries, Lsn};

/// How much is read at once.
const READ_LEN: u64 = 1 << 20;

/// A batch whose checksums are right.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The number of the file it is in.
    pub file_seq: u64,
    /// Where it begins.
    pub lsn: Lsn,
    /// Where it ends, its padding included.
    pub end: Lsn,
    /// Everything below this was synced when it was built.
    pub durable: Lsn,
    /// When it was built, in ms of unix time.
    pub unix_ms: u64,
    /// Its entries, one behind the other.
    pub payload: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Its entries with their lsns; one that is malformed ends them.
    pub fn entries(&self) -> Entries<'a> {
        Entries::new(Lsn(self.lsn.0 + BATCH_HEADER_LEN as u64), self.payload)
    }
}

/// What stands in the log at a place.
pub(super) enum Found<'a> {
    /// A whole batch with its header and the header's checksum.
    Batch(BatchHeader, u32, Batch<'a>),
    /// A header that is right, and a payload that is not.
    Header(BatchHeader),
    /// A header of which one bit was wrong, as it was written.
    Corrected(BatchHeader),
    /// The remains of a header of this life of the file.
    Remains,
    /// Nothing of this life of the file.
    Nothing,
}

/// What becomes of an error of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadErrors {
    /// It is told.
    AreErrors,
    /// What cannot be read is not there, and [`Reading::take_unreadable`] says that it was so.
    AreDamage,
}

/// A file of the log that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) info: WalFile,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// Where the buffer's first byte lies in the file.
    at: u64,
    errors: ReadErrors,
    /// Whether something could not be read.
    unreadable: bool,
}

impl Reading {
    pub(super) fn new(info: WalFile, file: Arc<dyn File>, errors: ReadErrors) -> Self {
        Self {
            info,
            file,
            errors,
            unreadable: false,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// What stands at an lsn.
    pub(super) fn find(&mut self, lsn: Lsn) -> io::Result<Found<'_>> {
        let (info, header_len) = (self.info, BATCH_HEADER_LEN as u64);
        let Some(offset) = info.offset(lsn) else {
            return Ok(Found::Nothing);
        };
        let Some(bytes) = self.bytes(offset, header_len)? else {
            return Ok(Found::Nothing);
        };
        let Some((header, crc)) = BatchHeader::read(bytes, lsn, info.mark()) else {
            if !BatchHeader::was_here(bytes, lsn, info.mark()) {
                return Ok(Found::Nothing);
            }
            let corrected = BatchHeader::corrected(bytes, lsn, info.mark());
            return Ok(corrected.map_or(Found::Remains, Found::Corrected));
        };
        let end = Lsn(lsn.0 + padded(header.payload_len as usize));
        let payload = match end <= info.end() {
            true => self.bytes(offset + header_len, u64::from(header.payload_len))?,
            false => None,
        };
        let Some(payload) = payload.filter(|payload| crc32c(payload) == header.payload_crc) else {
            return Ok(Found::Header(header));
        };
        let batch = Batch {
            file_seq: info.seq,
            lsn,
            end,
            durable: header.durable,
            unix_ms: header.unix_ms,
            payload,
        };
        Ok(Found::Batch(header, crc, batch))
    }

    /// The payload that a header at this lsn names, right or not; none where the file does not have so much.
    pub(super) fn payload(&mut self, header: &BatchHeader, lsn: Lsn) -> io::Result<Option<&[u8]>> {
        match self.info.offset(lsn) {
            Some(offset) => self.bytes(
                offset + BATCH_HEADER_LEN as u64,
                u64::from(header.payload_len),
            ),
            None => Ok(None),
        }
    }

    /// The payload that a header at this lsn names, with zeros for the blocks that cannot be read; cut off where the file ends.
    pub(super) fn payload_in_blocks(&mut self, header: &BatchHeader, lsn: Lsn) -> Vec<u8> {
        let first = self.info.offset(lsn).unwrap_or(self.info.len) + BATCH_HEADER_LEN as u64;
        let end = (first + u64::from(header.payload_len)).min(self.info.len);
        let (mut payload, mut at) = (vec![], first);
        while at < end {
            let len = (BLOCK - at % BLOCK).min(end - at);
            let block = self.bytes(at, len).ok().flatten().unwrap_or_default();
            payload.extend_from_slice(block);
            at += len;
            payload.resize((at - first) as usize, 0);
        }
        payload
    }

    /// What a damaged header at this lsn says, if the payload has the checksum that stands in it: the damage is elsewhere in the header then.
    pub(super) fn payload_alone(&mut self, lsn: Lsn) -> io::Result<Option<BatchHeader>> {
        let Some(offset) = self.info.offset(lsn) else {
            return Ok(None);
        };
        let bytes = self.bytes(offset, BATCH_HEADER_LEN as u64)?;
        let Some(header) = bytes.and_then(BatchHeader::fields) else {
            return Ok(None);
        };
        let is_whole = header.payload_len > 0 && self.has_payload(&header, lsn)?;
        Ok(is_whole.then_some(header))
    }

    /// Whether the payload at this lsn has the checksum that its header names.
    pub(super) fn has_payload(&mut self, header: &BatchHeader, lsn: Lsn) -> io::Result<bool> {
        let payload = self.payload(header, lsn)?;
        Ok(payload.is_some_and(|payload| crc32c(payload) == header.payload_crc))
    }

    /// Bytes of the file; none where it does not have them.
    pub(super) fn bytes(&mut self, offset: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let left = self.info.len.saturating_sub(offset);
        if len > left {
            return Ok(None);
        }
        let buffered = self.at..self.at + self.buffer.len() as u64;
        if offset < buffered.start || offset + len > buffered.end {
            match (self.load(offset, READ_LEN.max(len).min(left)), self.errors) {
                (Err(error), ReadErrors::AreErrors) => return Err(error),
                // A block that cannot be read must cost nothing beside it.
                (Err(_), ReadErrors::AreDamage) if self.load(offset, len).is_err() => {
                    self.unreadable = true;
                }
                _ => {}
            }
        }
        let from = (offset - self.at) as usize;
        Ok(self.buffer.get(from..from + len as usize))
    }

    fn load(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.buffer.resize(len as usize, 0);
        let read = self.file.read_at(offset, &mut self.buffer);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        self.at = offset;
        read.map(|_| ())
    }

    /// Whether something could not be read since this was last asked.
    pub(super) fn take_unreadable(&mut self) -> bool {
        std::mem::take(&mut self.unreadable)
    }
}
