//! Bytes into entries: borrowed views, checked as a whole before any part is handed out.
//!
//! Nothing is allocated and nothing panics, whatever the bytes are. The checksum of an entry is looked at by [`verify`] alone: what
//! comes in a batch was covered by the batch's. The formats are drawn in the parent module.

use super::items::{
    Bodies, Extents, LaterRuns, QueueRuns, Reader, ReadyRuns, RequeueRuns, Runs, Targets,
};
use super::{
    CRC_AT, ENTRY_LEN_MAX, HEADER_LEN, Kind, Lsn, Reason, SegmentId, Stamp, Stream, Target,
    entry_crc,
};
use crate::log::{Group, QueueId};

/// Bytes that are no entry of format 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of the log: {0}")]
pub struct Malformed(pub(super) &'static str);

impl Malformed {
    pub(super) const SHORT: Self = Self("it ends too early");
}

/// An entry that was read.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// Where it begins.
    pub lsn: Lsn,
    /// Where it stands in its group's log.
    pub stamp: Stamp,
    /// What it says.
    pub entry: Entry<'a>,
    /// Its bytes, header included.
    pub bytes: &'a [u8],
}

/// What an entry says happened.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// Messages entered queues.
    Enqueue(Enqueue<'a>),
    /// Messages are settled for good.
    Settle {
        /// The queue.
        queue: QueueId,
        /// The stream of the queue.
        stream: Stream,
        /// Why.
        reason: Reason,
        /// Which.
        runs: Runs<'a>,
    },
    /// Messages of several queues are settled for good.
    SettleEach {
        /// Why.
        reason: Reason,
        /// Which.
        runs: QueueRuns<'a>,
    },
    /// Delivered messages went back into their queue.
    Requeue {
        /// The queue.
        queue: QueueId,
        /// The stream of the queue.
        stream: Stream,
        /// Why.
        reason: Reason,
        /// Which.
        runs: RequeueRuns<'a>,
    },
    /// Entries that count all or not at all; every one of them was checked, and none is a bundle.
    Bundle(Entries<'a>),
    /// All messages of a stream up to a sequence number are gone.
    Purge {
        /// The queue.
        queue: QueueId,
        /// The stream of the queue.
        stream: Stream,
        /// The last sequence number that is gone.
        upto: u64,
    },
    /// A queue is gone with all its messages.
    QueueDelete {
        /// The queue.
        queue: QueueId,
    },
    /// A definition got a value.
    Define {
        /// Its key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// A definition was taken back.
    Undefine {
        /// Its key.
        key: &'a [u8],
    },
    /// A segment counts from here on.
    SegmentAdd {
        /// The segment.
        segment: SegmentId,
        /// How long its file is, in bytes.
        file_len: u64,
        /// What is in it.
        extents: Extents<'a>,
    },
    /// A segment counts no more.
    SegmentDrop {
        /// The segment.
        segment: SegmentId,
    },
    /// Nothing happened; the batch around it says what is durable.
    Seal,
}

/// An enqueue that was read.
#[derive(Clone, Copy, Debug)]
pub struct Enqueue<'a> {
    /// When the messages came, in ms of unix time.
    pub unix_ms: u64,
    /// Which stream takes which of them.
    pub targets: Targets<'a>,
    /// The records, one behind the other.
    pub records: &'a [u8],
    /// Bodies that the records name by index.
    pub bodies: Bodies<'a>,
    starts: &'a [[u8; 4]],
}

impl<'a> Enqueue<'a> {
    /// How many messages there are.
    pub fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Where the record of a message begins in the records; their end for the number after the last.
    pub fn start(&self, index: u32) -> Option<usize> {
        match self.starts.get(index as usize) {
            Some(start) => Some(u32::from_le_bytes(*start) as usize),
            None if index as usize == self.starts.len() => Some(self.records.len()),
            None => None,
        }
    }

    /// The records of `count` messages from `first` on; none where there are not so many. **Cost**: the same for any number.
    pub fn messages(&self, first: u32, count: u32) -> Option<&'a [u8]> {
        let (from, to) = (self.start(first)?, self.start(first.checked_add(count)?)?);
        self.records.get(from..to)
    }
}

/// Entries one behind the other. It ends behind the last one, or with the first that is malformed.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    lsn: Lsn,
    bytes: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Reads entries from bytes of which the first lies at `lsn`.
    pub fn new(lsn: Lsn, bytes: &'a [u8]) -> Self {
        Self { lsn, bytes }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Decoded<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let decoded = decode(self.lsn, self.bytes);
        let len = decoded
            .as_ref()
            .map_or(self.bytes.len(), |decoded| decoded.bytes.len());
        self.bytes = self.bytes.get(len..).unwrap_or_default();
        self.lsn.0 = self.lsn.0.saturating_add(len as u64);
        Some(decoded)
    }
}

/// Reads the entry that bytes begin with, and that lies at `lsn`. The checksum is not looked at.
pub fn decode(lsn: Lsn, bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
    decode_in(lsn, bytes, Place::Batch)
}

/// Reads the entry that bytes begin with, after its checksum was found right: for what is read from a place by itself.
pub fn verify(lsn: Lsn, bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
    let whole = whole(bytes)?;
    let crc = whole.get(CRC_AT..).and_then(|rest| rest.first_chunk::<4>());
    if crc.map(|crc| u32::from_le_bytes(*crc)) != Some(entry_crc(whole)) {
        return Err(Malformed("the checksum is wrong"));
    }
    decode(lsn, whole)
}

/// Where an entry stands: bundles do not stand in bundles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Batch,
    Bundle,
}

/// The bytes of the first entry.
fn whole(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let len = Reader(bytes).u32()? as usize;
    if !(HEADER_LEN..=ENTRY_LEN_MAX).contains(&len) {
        return Err(Malformed("its length cannot be"));
    }
    bytes
        .get(..len)
        .ok_or(Malformed("it is longer than what holds it"))
}

fn decode_in(lsn: Lsn, bytes: &[u8], place: Place) -> Result<Decoded<'_>, Malformed> {
    let bytes = whole(bytes)?;
    let mut reader = Reader(bytes);
    reader.u32()?;
    let kind = Kind::read(reader.u8()?).ok_or(Malformed("its kind is not known"))?;
    reader.zeros(3)?;
    let group = u16::try_from(reader.u32()?).map_err(|_| Malformed("its group cannot be"))?;
    let (term, index) = (reader.u32()?, reader.u64()?);
    let _crc = reader.u32()?;
    let aux = reader.u32()?;
    if kind == Kind::Bundle && place == Place::Bundle {
        return Err(Malformed("a bundle is in a bundle"));
    }
    if kind != Kind::Bundle && aux != 0 {
        return Err(Malformed("aux is not 0"));
    }
    let body_lsn = Lsn(lsn.0.saturating_add(HEADER_LEN as u64));
    let entry = match kind {
        Kind::Bundle => Entry::Bundle(read_bundle(&mut reader, body_lsn, aux)?),
        _ => read_body(kind, &mut reader)?,
    };
    if !reader.0.is_empty() {
        return Err(Malformed("bytes are left over"));
    }
    let stamp = Stamp {
        group: Group(group),
        term,
        index,
    };
    Ok(Decoded {
        lsn,
        stamp,
        entry,
        bytes,
    })
}

fn read_bundle<'a>(
    reader: &mut Reader<'a>,
    lsn: Lsn,
    count: u32,
) -> Result<Entries<'a>, Malformed> {
    let entries = Entries::new(lsn, reader.0);
    for _ in 0..count {
        let decoded = decode_in(lsn, reader.0, Place::Bundle)?;
        reader.take(decoded.bytes.len() as u64)?;
    }
    Ok(entries)
}

fn read_body<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Entry<'a>, Malformed> {
    Ok(match kind {
        Kind::Enqueue => Entry::Enqueue(read_enqueue(reader)?),
        Kind::Settle => read_settle(reader)?,
        Kind::SettleEach => {
            let reason = read_reason(reader)?;
            let count = reader.u32()?;
            Entry::SettleEach {
                reason,
                runs: QueueRuns::read(reader, count)?,
            }
        }
        Kind::Requeue | Kind::RequeueLater => {
            let (queue, stream, reason) = read_queue(reader)?;
            let count = reader.u32()?;
            let runs = match kind {
                Kind::RequeueLater => RequeueRuns::Later(LaterRuns::read(reader, count)?),
                _ => RequeueRuns::Ready(ReadyRuns::read(reader, count)?),
            };
            Entry::Requeue {
                queue,
                stream,
                reason,
                runs,
            }
        }
        Kind::Purge => {
            let (queue, stream) = (QueueId(reader.u64()?), Stream(reader.u32()?));
            reader.zeros(4)?;
            Entry::Purge {
                queue,
                stream,
                upto: reader.u64()?,
            }
        }
        Kind::QueueDelete => Entry::QueueDelete {
            queue: QueueId(reader.u64()?),
        },
        Kind::Define => {
            let (key_len, value_len) = (reader.u32()?, reader.u32()?);
            let key = reader.take(u64::from(key_len))?;
            Entry::Define {
                key,
                value: reader.take(u64::from(value_len))?,
            }
        }
        Kind::Undefine => {
            let key_len = reader.u32()?;
            Entry::Undefine {
                key: reader.take(u64::from(key_len))?,
            }
        }
        Kind::SegmentAdd => {
            let (segment, file_len) = (SegmentId(reader.u64()?), reader.u64()?);
            let count = reader.u32()?;
            reader.zeros(4)?;
            Entry::SegmentAdd {
                segment,
                file_len,
                extents: Extents::read(reader, count)?,
            }
        }
        Kind::SegmentDrop => Entry::SegmentDrop {
            segment: SegmentId(reader.u64()?),
        },
        Kind::Seal => Entry::Seal,
        Kind::Bundle => return Err(Malformed("a bundle is in a bundle")),
    })
}

fn read_enqueue<'a>(reader: &mut Reader<'a>) -> Result<Enqueue<'a>, Malformed> {
    let unix_ms = reader.u64()?;
    let (records_len, count) = (reader.u32()?, reader.u32()?);
    let (body_count, target_count) = (reader.u32()?, reader.u32()?);
    let targets = Targets::read(reader, target_count)?;
    let beyond =
        |target: Target| u64::from(target.first) + u64::from(target.count) > u64::from(count);
    if targets.into_iter().any(beyond) {
        return Err(Malformed("a target names messages that are not there"));
    }
    let starts: &[[u8; 4]] = reader.arrays(count)?;
    let start = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    if !starts.is_sorted_by_key(start)
        || starts.last().is_some_and(|last| start(last) > records_len)
    {
        return Err(Malformed("a message begins where it cannot"));
    }
    let records = reader.take(u64::from(records_len))?;
    let bodies = Bodies::read(reader, body_count)?;
    Ok(Enqueue {
        unix_ms,
        targets,
        records,
        bodies,
        starts,
    })
}

fn read_settle<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>, Malformed> {
    let (queue, stream, reason) = read_queue(reader)?;
    let count = reader.u32()?;
    Ok(Entry::Settle {
        queue,
        stream,
        reason,
        runs: Runs::read(reader, count)?,
    })
}

fn read_queue(reader: &mut Reader<'_>) -> Result<(QueueId, Stream, Reason), Malformed> {
    let (queue, stream) = (QueueId(reader.u64()?), Stream(reader.u32()?));
    Ok((queue, stream, read_reason(reader)?))
}

fn read_reason(reader: &mut Reader<'_>) -> Result<Reason, Malformed> {
    let reason = Reason::read(reader.u8()?).ok_or(Malformed("its reason is not known"))?;
    reader.zeros(3)?;
    Ok(reason)
}
