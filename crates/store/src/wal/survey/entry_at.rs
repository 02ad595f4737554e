//! One entry of the log, read by its place: what the index says of messages that lie in the log is checked with this.

use std::fmt;
use std::path::PathBuf;

use super::Survey;
use crate::entry::{self, HEADER_LEN, Lsn, Malformed};

/// Why an entry cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// No file of the log that can be read has its place.
    NoFile,
    /// It is not what was written.
    Damaged {
        /// The file, in the data folder.
        file: PathBuf,
        /// The first byte of the file that is concerned, and the one behind the last.
        range: (u64, u64),
        /// What is wrong.
        why: Malformed,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("the file of the log is missing or cannot be read"),
            Self::Damaged { why, .. } => write!(f, "messages in the log are damaged: {why}"),
        }
    }
}

impl Survey {
    /// The bytes of the entry at a place, nested ones included, after its own checksum was found right.
    ///
    /// **Waits** for the disk. **Errors**: see [`Unreadable`].
    pub fn entry_at(&mut self, lsn: Lsn) -> Result<Vec<u8>, Unreadable> {
        let readings = self.files.iter_mut().rev();
        let mut readings = readings.filter_map(|file| file.reading.as_mut());
        let found = readings.find_map(|reading| Some((reading.info.offset(lsn)?, reading)));
        let Some((offset, reading)) = found else {
            return Err(Unreadable::NoFile);
        };
        let file = reading.info.path(&self.options.folder);
        let left = reading.info.len - offset;
        let head = reading.bytes(offset, (HEADER_LEN as u64).min(left));
        let len = head.ok().flatten().and_then(|head| head.first_chunk());
        let len = len.map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
        let len = len.clamp((HEADER_LEN as u64).min(left), left);
        // What the disk does not give has no right checksum.
        let bytes = reading
            .bytes(offset, len)
            .ok()
            .flatten()
            .unwrap_or_default();
        match entry::verify(lsn, bytes) {
            Ok(decoded) => Ok(decoded.bytes.to_vec()),
            Err(why) => Err(Unreadable::Damaged {
                file,
                range: (offset, offset + len),
                why,
            }),
        }
    }
}
