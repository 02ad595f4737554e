//! The write-ahead log: one endless stream of batches, cut into files of a fixed length each.
//!
//! [`WalWriter`] writes it and says how far it is safe; [`scan`] reads it after a start and tells a torn tail, which nobody was promised,
//! from damage to what was confirmed; [`repair_tail`] clears the former, and a [`Survey`] says all there is to say of the latter. What is in the entries is nobody's business here, and which files
//! are still needed is the caller's: it gives them back with [`WalWriter::recycle`].
//!
//! A place in the log is an [`Lsn`]: the file's first one plus the offset in the file. Files follow each other without gap or overlap:
//! each begins where the one before it, used to its end or not, ends. Integers are little-endian.
//!
//! `<folder>/<file_seq:016x>.wal` begins with a header of 4,096 bytes. A file gets this name only with its header and zeros or old bytes
//! of an earlier life behind it synced; before, it is called `<number>.new` and means nothing. So an unreadable header is always damage.
//!
//! ```text
//! 0    "LVRTWAL1"            40   u128 store uuid
//! 8    u32 version, 1        56   u64  created, unix ms
//! 12   u32 block, 4096       64   u64  length of the file
//! 16   u64 file_seq          72   zeros
//! 24   u64 salt              4092 u32  CRC-32C of bytes 0..4092
//! 32   u64 first lsn
//! ```
//!
//! A batch begins on a block of 4,096 bytes and is padded with zeros to the next: a header of 64 bytes, then entries (see `entry`):
//!
//! ```text
//! 0    "BTCH"                32   u64 lsn of the batch before; its own for the first after an opening
//! 4    u32 payload length    40   u64 unix ms
//! 8    u64 lsn               48   u32 entries
//! 16   u64 salt XOR file_seq 52   u32 header checksum of the batch before; 0 for the first after an opening
//! 24   u64 durable lsn       56   u32 CRC-32C of the payload
//!                            60   u32 CRC-32C of bytes 0..60
//! ```
//!
//! The *durable lsn* says that everything below it was synced when the batch was built; it is what tells damage from a torn tail. The salt is
//! new with each life of a file, so that what an earlier one left cannot be taken for a batch. A batch that does not fit into the rest of a
//! file goes to the next one, and that file is synced first: at most one file has something unsynced in it.

use std::path::{Path, PathBuf};

use crate::entry::Lsn;

mod begin;
mod blank;
mod header;
mod open;
mod read;
mod repair;
mod scan;
mod survey;
#[cfg(test)]
mod tests;
mod writer;

pub use begin::begin_file;
pub use blank::{Blank, BlankOrder};
pub use read::Batch;
pub use repair::repair_tail;
pub use scan::{Damage, End, Fault, Scan, Start, scan};
pub use survey::{Gap, Part, Seen, Survey, Unreadable};
#[cfg(any(test, feature = "sim"))]
pub(crate) use writer::SPARES_MAX;
pub use writer::WalWriter;

/// Batches and file headers begin on multiples of this.
pub const BLOCK: u64 = 4096;

/// Length of a batch's header: the first entry of a batch lies this far behind the batch's lsn.
pub const BATCH_HEADER_LEN: usize = 64;

/// The shortest file: its header and three blocks.
const FILE_LEN_MIN: u64 = 4 * BLOCK;

/// What a log is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's folder in the data folder.
    pub folder: PathBuf,
    /// The data folder's own number: files of another one are refused.
    pub store: u128,
    /// Length of the first files; they double while more are used than given back. At least 16 KiB, a multiple of 4 KiB.
    pub file_len_first: u64,
    /// Length that files grow to. One that must hold a longer batch is longer.
    pub file_len_full: u64,
    /// What salts are made from; a new random number for each opening.
    pub salt_seed: u64,
    /// Whether the disk is asked to sync.
    pub syncing: Syncing,
}

/// Whether [`WalWriter::sync`] and its like sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// Yes: what is durable survives a power cut.
    On,
    /// No: for a log that is thrown away at the next start.
    Off,
}

impl Options {
    /// The usual options: files of 4 MiB growing to 64 MiB, synced.
    pub fn new(folder: impl Into<PathBuf>, store: u128, salt_seed: u64) -> Self {
        Self {
            folder: folder.into(),
            store,
            file_len_first: 4 << 20,
            file_len_full: 64 << 20,
            salt_seed,
            syncing: Syncing::On,
        }
    }
}

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalFile {
    /// Its number; later files have higher ones.
    pub seq: u64,
    /// The lsn of its first byte.
    pub start: Lsn,
    /// Its length in bytes.
    pub len: u64,
    salt: u64,
}

impl WalFile {
    /// The lsn behind its last byte.
    pub fn end(&self) -> Lsn {
        Lsn(self.start.0 + self.len)
    }

    /// The offset in the file of an lsn in it.
    pub fn offset(&self, lsn: Lsn) -> Option<u64> {
        let offset = lsn.0.checked_sub(self.start.0)?;
        (offset < self.len).then_some(offset)
    }

    /// Where it lies.
    pub fn path(&self, folder: &Path) -> PathBuf {
        path_of(folder, self.seq)
    }

    /// Where its first batch begins.
    fn first(&self) -> Lsn {
        Lsn(self.start.0 + BLOCK)
    }

    /// What stands in the header of each of its batches.
    fn mark(&self) -> u64 {
        self.salt ^ self.seq
    }
}

fn path_of(folder: &Path, seq: u64) -> PathBuf {
    folder.join(format!("{seq:016x}.wal"))
}

/// The number in a name that a file of the log has.
fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let lower = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() == 16 && lower).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Bytes that a batch takes in a file.
fn padded(payload_len: usize) -> u64 {
    ((BATCH_HEADER_LEN + payload_len) as u64).next_multiple_of(BLOCK)
}
