//! Entries: what the log says happened, and their bytes in format 1.
//!
//! `encode` appends an entry to a buffer, `decode` reads one as borrowed views. Batches of entries and the files they lie in belong to
//! `wal`; what an entry means for what is live belongs to whoever applies it. An entry never depends on a clock or on chance.
//!
//! Integers are little-endian. An entry is a header of 32 bytes and a body; the next one follows without a gap:
//!
//! ```text
//! 0   u32  length of the whole entry, at most 1 GiB
//! 4   u8   kind
//! 5   u8   flags, 0
//! 6   u16  0
//! 8   u32  group           whose log this belongs to (16 bits are used)
//! 12  u32  term            0 without replication
//! 16  u64  index           of the entry in its group's log
//! 24  u32  CRC-32C of the entry without these four bytes
//! 28  u32  aux: of a bundle the number of entries in it, else 0
//! ```
//!
//! Bodies, by kind:
//!
//! ```text
//! 1  Enqueue       u64 unix_ms | u32 records length | u32 messages | u32 bodies | u32 targets
//!                  targets, 40 bytes each: u64 queue | u32 stream | u32 first | u32 count | u32 flags | u64 first_seq | u64 expires_ms (0: never)
//!                  messages x u32 start in the records | records | bodies, each: u64 length, bytes
//! 2  Settle        u64 queue | u32 stream | u8 reason, 3 x 0 | u32 runs | runs x { u64 first_seq, u64 count }
//! 3  Requeue       u64 queue | u32 stream | u8 reason, 3 x 0 | u32 runs | runs x { u64 first_seq, u64 count, u32 delivery_count, u32 0 }
//! 4  Bundle        entries, none of them a bundle: they count all or not at all
//! 5  Purge         u64 queue | u32 stream | u32 0 | u64 upto: the last sequence number that goes
//! 6  QueueDelete   u64 queue
//! 7  Define        u32 key length | u32 value length | key | value
//! 8  Undefine      u32 key length | key
//! 9  SegmentAdd    u64 segment | u64 file length | u32 extents | u32 0
//!                  extents, 56 bytes each: u64 queue | u32 stream | u32 0 | u64 first_seq | u64 last_seq | u64 count | u64 offset | u64 length
//! 10 SegmentDrop   u64 segment
//! 11 Seal          nothing: it makes a batch, and the batch says what is durable
//! 12..=15          kept for a replicated log
//! 16 SettleEach    u8 reason, 3 x 0 | u32 runs | runs, 32 bytes each: u64 queue | u32 stream | u32 0 | u64 first_seq | u64 count
//! 17 RequeueLater  as Requeue, but runs x { u64 first_seq, u64 count, u64 ready_ms, u32 delivery_count, u32 0 }
//! ```

use bytes::Bytes;

use crate::log::{Group, QueueId};

mod decode;
mod encode;
mod items;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Enqueue, Entries, Entry, Malformed, decode, verify};
pub use encode::{
    TooLong, bundle, define, enqueue, purge, queue_delete, requeue, seal, segment_add,
    segment_drop, settle, settle_each, undefine,
};
pub use items::{Bodies, Extents, QueueRuns, RequeueRuns, Runs, Targets};

/// Length of an entry's header.
pub const HEADER_LEN: usize = 32;

/// The longest entry: 1 GiB, header included.
pub const ENTRY_LEN_MAX: usize = 1 << 30;

const TARGET_LEN: usize = 40;
const RUN_LEN: usize = 16;
const REQUEUE_RUN_LEN: usize = 24;
const LATER_RUN_LEN: usize = 32;
const QUEUE_RUN_LEN: usize = 32;
const EXTENT_LEN: usize = 56;
/// Where the checksum lies in the header.
const CRC_AT: usize = 24;

/// A place in the endless stream of log bytes: a file's first one plus the offset in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A part of a queue with sequence numbers of its own (a priority, for one); 0 where a queue has no parts. There may be ever new ones above 256: the
/// numbers of such a stream count for the whole queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream(pub u32);

/// A segment's number, never used twice in a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

/// Where an entry stands in its group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The group.
    pub group: Group,
    /// The term in which it was appended; 0 without replication.
    pub term: u32,
    /// Its number in the group's log.
    pub index: u64,
}

/// An entry's kind, as the number that stands in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Enqueue = 1,
    Settle = 2,
    Requeue = 3,
    Bundle = 4,
    Purge = 5,
    QueueDelete = 6,
    Define = 7,
    Undefine = 8,
    SegmentAdd = 9,
    SegmentDrop = 10,
    Seal = 11,
    SettleEach = 16,
    RequeueLater = 17,
}

impl Kind {
    fn read(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Enqueue,
            2 => Self::Settle,
            3 => Self::Requeue,
            4 => Self::Bundle,
            5 => Self::Purge,
            6 => Self::QueueDelete,
            7 => Self::Define,
            8 => Self::Undefine,
            9 => Self::SegmentAdd,
            10 => Self::SegmentDrop,
            11 => Self::Seal,
            16 => Self::SettleEach,
            17 => Self::RequeueLater,
            _ => return None,
        })
    }
}

/// Why messages left a queue, or went back into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A consumer acked them, or took them without acks.
    Ack = 0,
    /// A consumer rejected them, or gave them back.
    Reject = 1,
    /// Their time was over.
    Expire = 2,
    /// The queue was full.
    Overflow = 3,
    /// They were delivered too often.
    DeliveryLimit = 4,
    /// Their consumer or its connection went away.
    ConsumerGone = 5,
}

impl Reason {
    fn read(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Ack,
            1 => Self::Reject,
            2 => Self::Expire,
            3 => Self::Overflow,
            4 => Self::DeliveryLimit,
            5 => Self::ConsumerGone,
            _ => return None,
        })
    }
}

/// Consecutive messages of an enqueue that one stream of a queue takes: `count` from `first` on get the sequence numbers from `first_seq` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// Index of the first message in the enqueue.
    pub first: u32,
    /// How many; never 0.
    pub count: u32,
    /// For the queue's own use; the log hands them back.
    pub flags: u32,
    /// The sequence number of the first message.
    pub first_seq: u64,
    /// When they expire, in ms of unix time; 0 is never.
    pub expires_ms: u64,
}

/// An enqueue that is to be encoded: what a publisher's batch and the queues that take it are to the log.
#[derive(Clone, Copy, Debug)]
pub struct NewEnqueue<'a> {
    /// When the messages came, in ms of unix time.
    pub unix_ms: u64,
    /// Which stream takes which of them.
    pub targets: &'a [Target],
    /// Where each message's record begins in `records`, rising.
    pub starts: &'a [u32],
    /// The records, one behind the other.
    pub records: &'a [u8],
    /// Bodies that the records name by index.
    pub bodies: &'a [Bytes],
}

/// Consecutive sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first one.
    pub first_seq: u64,
    /// How many; never 0.
    pub count: u64,
}

impl Run {
    /// The last one.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + (self.count - 1)
    }
}

/// Consecutive sequence numbers of a stream of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRun {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// The numbers.
    pub run: Run,
}

/// Consecutive sequence numbers that go back into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequeueRun {
    /// The first one.
    pub first_seq: u64,
    /// How many; never 0.
    pub count: u64,
    /// How often each was delivered so far.
    pub delivery_count: u32,
    /// When they are ready again, in ms of unix time; 0 is at once.
    pub ready_ms: u64,
}

/// Messages of one stream that lie together in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// The lowest sequence number in it.
    pub first_seq: u64,
    /// The highest one.
    pub last_seq: u64,
    /// How many messages; fewer than the numbers span where some were gone already. Never 0.
    pub count: u64,
    /// Where it begins in the segment's file, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// The checksum of an entry, which must be at least a header long; the bytes of the checksum itself do not count.
fn entry_crc(bytes: &[u8]) -> u32 {
    let (head, rest) = bytes.split_at(CRC_AT.min(bytes.len()));
    crate::crc::crc32c_of(&[head, rest.get(4..).unwrap_or_default()])
}
