//! Entries into bytes: each function appends one entry to a buffer, or nothing and an error.
//!
//! No function allocates but by growing the buffer. The formats are drawn in the parent module.

use bytes::Bytes;

use super::{
    CRC_AT, ENTRY_LEN_MAX, EXTENT_LEN, Extent, HEADER_LEN, Kind, LATER_RUN_LEN, NewEnqueue,
    QUEUE_RUN_LEN, QueueRun, REQUEUE_RUN_LEN, RUN_LEN, Reason, RequeueRun, Run, SegmentId, Stamp,
    Stream, TARGET_LEN, Target, entry_crc,
};
use crate::log::QueueId;

/// An entry would be longer than [`ENTRY_LEN_MAX`]; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the log would be longer than 1 GiB")]
pub struct TooLong;

type Encoded = Result<(), TooLong>;

/// Messages enter queues. **Cost**: a copy of the records and bodies, and the checksum of them.
pub fn enqueue(out: &mut Vec<u8>, stamp: Stamp, new: &NewEnqueue<'_>) -> Encoded {
    debug_assert!(
        new.starts.is_sorted()
            && new
                .starts
                .last()
                .is_none_or(|last| *last as usize <= new.records.len())
    );
    let bodies_len: usize = new.bodies.iter().map(|body| 8 + body.len()).sum();
    let counts_len = 24 + new.targets.len() * TARGET_LEN + new.starts.len() * 4;
    let body_len = counts_len + new.records.len() + bodies_len;
    if body_len > ENTRY_LEN_MAX - HEADER_LEN {
        return Err(TooLong);
    }
    let open = Open::reserve(out, Kind::Enqueue, stamp, body_len);
    put_u64(out, new.unix_ms);
    for count in [
        new.records.len(),
        new.starts.len(),
        new.bodies.len(),
        new.targets.len(),
    ] {
        put_u32(out, count as u32);
    }
    for target in new.targets {
        out.extend_from_slice(&target_bytes(target));
    }
    for start in new.starts {
        put_u32(out, *start);
    }
    out.extend_from_slice(new.records);
    for body in new.bodies {
        put_body(out, body);
    }
    open.close(out)
}

/// Messages are settled for good.
pub fn settle(
    out: &mut Vec<u8>,
    stamp: Stamp,
    (queue, stream): (QueueId, Stream),
    reason: Reason,
    runs: impl IntoIterator<Item = Run>,
) -> Encoded {
    let runs = runs.into_iter();
    let open = Open::reserve(out, Kind::Settle, stamp, 20 + runs.size_hint().0 * RUN_LEN);
    let runs_at = put_queue(out, queue, stream, reason);
    let mut count = 0u32;
    for run in runs {
        debug_assert!(run.count > 0);
        out.extend_from_slice(&pair(run.first_seq, run.count));
        count += 1;
        open.check(out)?;
    }
    patch(out, runs_at, count);
    open.close(out)
}

/// Messages of several queues of a group are settled for good.
pub fn settle_each(out: &mut Vec<u8>, stamp: Stamp, reason: Reason, runs: &[QueueRun]) -> Encoded {
    let runs_len = runs.len().saturating_mul(QUEUE_RUN_LEN);
    if runs_len > ENTRY_LEN_MAX - HEADER_LEN - 8 {
        return Err(TooLong);
    }
    let open = Open::reserve(out, Kind::SettleEach, stamp, 8 + runs_len);
    put_u32(out, u32::from(reason as u8));
    put_u32(out, runs.len() as u32);
    for QueueRun { queue, stream, run } in runs {
        debug_assert!(run.count > 0);
        out.extend_from_slice(&pair(queue.0, u64::from(stream.0)));
        out.extend_from_slice(&pair(run.first_seq, run.count));
    }
    open.close(out)
}

/// Delivered messages go back into their queue, where some may wait before they are ready again.
pub fn requeue<I>(
    out: &mut Vec<u8>,
    stamp: Stamp,
    (queue, stream): (QueueId, Stream),
    reason: Reason,
    runs: I,
) -> Encoded
where
    I: IntoIterator<Item = RequeueRun, IntoIter: Clone>,
{
    let runs = runs.into_iter();
    let waits = runs.clone().any(|run| run.ready_ms > 0);
    let (kind, run_len) = match waits {
        true => (Kind::RequeueLater, LATER_RUN_LEN),
        false => (Kind::Requeue, REQUEUE_RUN_LEN),
    };
    let open = Open::reserve(out, kind, stamp, 20 + runs.size_hint().0 * run_len);
    let runs_at = put_queue(out, queue, stream, reason);
    let mut count = 0u32;
    for run in runs {
        debug_assert!(run.count > 0);
        out.extend_from_slice(&pair(run.first_seq, run.count));
        if waits {
            put_u64(out, run.ready_ms);
        }
        put_u64(out, u64::from(run.delivery_count));
        count += 1;
        open.check(out)?;
    }
    patch(out, runs_at, count);
    open.close(out)
}

/// Entries that count all or not at all: `fill` appends them, none of them a bundle, to the buffer it gets.
pub fn bundle(
    out: &mut Vec<u8>,
    stamp: Stamp,
    fill: impl FnOnce(&mut Vec<u8>) -> Encoded,
) -> Encoded {
    let open = Open::reserve(out, Kind::Bundle, stamp, 0);
    let first = out.len();
    if let Err(error) = fill(out) {
        out.truncate(open.at);
        return Err(error);
    }
    let mut count = 0u32;
    let mut rest = out.get(first..).unwrap_or_default();
    while let Some(len) = rest.first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        rest = rest.get(len..).unwrap_or_default();
        count += 1;
    }
    patch(out, open.at + 28, count);
    open.close(out)
}

/// All messages of a stream up to a sequence number, and with it, are gone.
pub fn purge(
    out: &mut Vec<u8>,
    stamp: Stamp,
    queue: QueueId,
    stream: Stream,
    upto: u64,
) -> Encoded {
    let open = Open::reserve(out, Kind::Purge, stamp, 24);
    put_u64(out, queue.0);
    put_u32(out, stream.0);
    put_u32(out, 0);
    put_u64(out, upto);
    open.close(out)
}

/// A queue is gone with all its messages.
pub fn queue_delete(out: &mut Vec<u8>, stamp: Stamp, queue: QueueId) -> Encoded {
    let open = Open::reserve(out, Kind::QueueDelete, stamp, 8);
    put_u64(out, queue.0);
    open.close(out)
}

/// A definition gets a value.
pub fn define(out: &mut Vec<u8>, stamp: Stamp, key: &[u8], value: &[u8]) -> Encoded {
    if key.len() + value.len() > ENTRY_LEN_MAX - HEADER_LEN - 8 {
        return Err(TooLong);
    }
    let open = Open::reserve(out, Kind::Define, stamp, 8 + key.len() + value.len());
    put_u32(out, key.len() as u32);
    put_u32(out, value.len() as u32);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    open.close(out)
}

/// A definition is taken back.
pub fn undefine(out: &mut Vec<u8>, stamp: Stamp, key: &[u8]) -> Encoded {
    if key.len() > ENTRY_LEN_MAX - HEADER_LEN - 4 {
        return Err(TooLong);
    }
    let open = Open::reserve(out, Kind::Undefine, stamp, 4 + key.len());
    put_u32(out, key.len() as u32);
    out.extend_from_slice(key);
    open.close(out)
}

/// A segment counts from here on: the live messages among those of its extents are there.
pub fn segment_add(
    out: &mut Vec<u8>,
    stamp: Stamp,
    segment: SegmentId,
    file_len: u64,
    extents: &[Extent],
) -> Encoded {
    let extents_len = extents.len().saturating_mul(EXTENT_LEN);
    if extents_len > ENTRY_LEN_MAX - HEADER_LEN - 24 {
        return Err(TooLong);
    }
    let open = Open::reserve(out, Kind::SegmentAdd, stamp, 24 + extents_len);
    out.extend_from_slice(&pair(segment.0, file_len));
    put_u32(out, extents.len() as u32);
    put_u32(out, 0);
    for extent in extents {
        put_u64(out, extent.queue.0);
        put_u32(out, extent.stream.0);
        put_u32(out, 0);
        out.extend_from_slice(&pair(extent.first_seq, extent.last_seq));
        put_u64(out, extent.count);
        out.extend_from_slice(&pair(extent.offset, extent.len));
    }
    open.close(out)
}

/// A segment counts no more: nothing live is in it.
pub fn segment_drop(out: &mut Vec<u8>, stamp: Stamp, segment: SegmentId) -> Encoded {
    let open = Open::reserve(out, Kind::SegmentDrop, stamp, 8);
    put_u64(out, segment.0);
    open.close(out)
}

/// Nothing happened; the entry is there for the batch around it, which says what is durable.
pub fn seal(out: &mut Vec<u8>, stamp: Stamp) -> Encoded {
    Open::reserve(out, Kind::Seal, stamp, 0).close(out)
}

/// An entry whose body is being written.
struct Open {
    at: usize,
}

impl Open {
    /// Writes a header without length and checksum, with room for a body behind it.
    fn reserve(out: &mut Vec<u8>, kind: Kind, stamp: Stamp, body_len: usize) -> Self {
        let at = out.len();
        // By doubling, as pushing would: an exact reservation for each entry would move the buffer each time.
        out.reserve(HEADER_LEN + body_len.min(ENTRY_LEN_MAX));
        let mut header = [0; HEADER_LEN];
        header[4] = kind as u8;
        header[8..12].copy_from_slice(&u32::from(stamp.group.0).to_le_bytes());
        header[12..16].copy_from_slice(&stamp.term.to_le_bytes());
        header[16..24].copy_from_slice(&stamp.index.to_le_bytes());
        out.extend_from_slice(&header);
        Self { at }
    }

    /// Takes everything back once it is too long, so that an endless list of runs does not fill the memory.
    fn check(&self, out: &mut Vec<u8>) -> Encoded {
        if out.len() - self.at <= ENTRY_LEN_MAX {
            return Ok(());
        }
        out.truncate(self.at);
        Err(TooLong)
    }

    /// Writes length and checksum.
    fn close(self, out: &mut Vec<u8>) -> Encoded {
        self.check(out)?;
        let len = out.len() - self.at;
        patch(out, self.at, len as u32);
        let crc = entry_crc(out.get(self.at..).unwrap_or_default());
        patch(out, self.at + CRC_AT, crc);
        Ok(())
    }
}

fn target_bytes(target: &Target) -> [u8; TARGET_LEN] {
    debug_assert!(target.count > 0);
    let mut bytes = [0; TARGET_LEN];
    bytes[0..8].copy_from_slice(&target.queue.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&target.stream.0.to_le_bytes());
    bytes[12..16].copy_from_slice(&target.first.to_le_bytes());
    bytes[16..20].copy_from_slice(&target.count.to_le_bytes());
    bytes[20..24].copy_from_slice(&target.flags.to_le_bytes());
    bytes[24..32].copy_from_slice(&target.first_seq.to_le_bytes());
    bytes[32..40].copy_from_slice(&target.expires_ms.to_le_bytes());
    bytes
}

/// Writes what settles and requeues begin with; gives where the number of runs is to be written.
fn put_queue(out: &mut Vec<u8>, queue: QueueId, stream: Stream, reason: Reason) -> usize {
    put_u64(out, queue.0);
    put_u32(out, stream.0);
    put_u32(out, u32::from(reason as u8));
    let runs_at = out.len();
    put_u32(out, 0);
    runs_at
}

fn put_body(out: &mut Vec<u8>, body: &Bytes) {
    put_u64(out, body.len() as u64);
    out.extend_from_slice(body);
}

fn pair(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) | u128::from(second) << 64).to_le_bytes()
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Overwrites four bytes that were written before.
fn patch(out: &mut [u8], at: usize, value: u32) {
    if let Some(bytes) = out.get_mut(at..at + 4) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}
