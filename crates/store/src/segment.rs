//! Sealed segments: immutable files that hold what outlived its log file, sorted by queue and stream.
//!
//! Here is the file format, its writer, its reader and the set of readers that are open. Which messages live where is the index's affair, and
//! so is when a segment may go; nothing here knows which of its messages are still wanted. A record and its body are opaque bytes.
//!
//! Invariants: `seg/<id>.seg` exists only whole and synced. A message is given out only if its checksum holds, and the checksum binds it to
//! this store, segment, queue and stream. Every bit of the file lies under a checksum or is checked to be zero. What a reader allocates is
//! bounded by the length of the file. No byte in a file makes the reader panic or run without end.
//!
//! Built as `seg/<id>.tmp`, front to back but for the header, which is written last; synced; renamed; the directory synced. Integers are
//! little-endian, checksums CRC-32C, all structures begin on 8 bytes:
//!
//! ```text
//!      0  header   4096 B   0 "LVRTSEG1" | 8 u32 version 1 | 12 u32 0 | 16 u64 segment | 24 u128 store | 40 u64 created, unix ms
//!                           48 zeros | 64 the trailer, a copy | 128 zeros | 4092 u32 crc of 0..4092
//!   4096  extents, one behind the other, by rising (queue, stream); messages of an extent by rising seq, gaps allowed
//!         message  32 B     0 u32 length behind these 32 B, without padding
//!                           4 u32 crc of all of the message but these four bytes, padding included, XOR salt
//!                           8 u64 seq | 16 u32 flags: bit 0 a body, 1-3 zero, 4-31 stored size / 8 of the message before, 0 for the first
//!                           20 u32 delivery count | 24 u64 when it came, unix ms
//!                           32 without body: record, zeros to 8 B;  with body: u32 record length, record, body, zeros to 8 B
//!         salt = crc of (u128 store, u64 segment, u64 queue, u32 stream)
//! footer  table    64 B     0 u64 queue | 8 u32 stream | 12 u32 stored size of the last message | 16 u64 first seq | 24 u64 last seq
//!         per extent        32 u64 count | 40 u64 offset | 48 u64 length | 56 u32 first point | 60 u32 count of points
//!         points   24 B     0 u64 ordinal in its extent | 8 u64 seq | 16 u64 offset
//!                           the first message of each extent, then each that begins 64 KiB or more behind the last point
//!         zeros to 4096 B
//!         the footer, a copy
//! end-64  trailer  64 B     0 "LVRTSEGE" | 8 u64 footer offset | 16 u64 footer length | 24 u32 extents | 28 u32 points
//!                           32 u64 segment | 40 u128 store | 56 u32 crc of the footer | 60 u32 crc of 0..60
//! ```
//!
//! Footer and trailer stand twice, in different blocks, so that one damaged block costs no more than the messages in it. For the same reason a
//! message says how long the one before it is: what lies behind a message whose length is damaged is found backwards from the next point, by
//! links that checksums cover, never by searching for something that looks like a message.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use crate::entry::SegmentId;

mod damage;
mod layout;
mod open;
mod reader;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use damage::{Cause, Damage, Lost};
pub use open::OpenSegments;
pub use reader::{Messages, SegmentReader, Start, Stored, Verified};
pub use walk::Place;
pub use writer::{NewMessage, Sealed, SegmentWriter};

/// The folder of the segments, below the data folder.
pub const FOLDER: &str = "seg";

/// Where a sealed segment is.
pub fn sealed_path(id: SegmentId) -> String {
    format!("{FOLDER}/{:016x}.seg", id.0)
}

/// The number of the segment that is at a path, if one may be.
pub fn id_of(path: &str) -> Option<SegmentId> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let digits = name
        .strip_suffix(".seg")
        .filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(SegmentId)
}

/// Where a segment is built; found at start, it is what a crash left and goes.
pub fn unsealed_path(id: SegmentId) -> String {
    format!("{FOLDER}/{:016x}.tmp", id.0)
}
