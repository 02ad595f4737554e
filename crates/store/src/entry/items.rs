//! The repeated parts of entries: targets, runs, extents, bodies; and the reader under everything that is decoded.
//!
//! Each sort is checked once, when its entry is decoded, and read again by its iterator, which then cannot fail.

use super::decode::Malformed;
use super::{
    EXTENT_LEN, Extent, LATER_RUN_LEN, QUEUE_RUN_LEN, QueueRun, REQUEUE_RUN_LEN, RUN_LEN,
    RequeueRun, Run, Stream, TARGET_LEN, Target,
};
use crate::log::QueueId;

/// Defines an iterator over fixed-size items that were checked when the entry was decoded.
macro_rules! items {
    ($(#[$doc:meta])* $name:ident, $len:expr, $item:ty, $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a>(&'a [[u8; $len]]);

        impl Iterator for $name<'_> {
            type Item = $item;

            #[inline]
            fn next(&mut self) -> Option<$item> {
                let (first, rest) = self.0.split_first()?;
                self.0 = rest;
                $read(&mut Reader(first)).ok()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.0.len(), Some(self.0.len()))
            }
        }

        impl ExactSizeIterator for $name<'_> {}

        impl<'a> $name<'a> {
            pub(super) fn read(reader: &mut Reader<'a>, count: u32) -> Result<Self, Malformed> {
                let items = Self(reader.arrays(count)?);
                for bytes in items.0 {
                    $read(&mut Reader(bytes))?;
                }
                Ok(items)
            }
        }
    };
}

items!(
    /// The targets of an enqueue.
    Targets, TARGET_LEN, Target, read_target
);
items!(
    /// The runs of a settle.
    Runs, RUN_LEN, Run, read_run
);
items!(
    /// The runs of a settle of several queues.
    QueueRuns, QUEUE_RUN_LEN, QueueRun, read_queue_run
);
items!(
    /// The runs of a requeue whose messages are ready at once.
    ReadyRuns, REQUEUE_RUN_LEN, RequeueRun, read_requeue_run
);
items!(
    /// The runs of a requeue whose messages wait.
    LaterRuns, LATER_RUN_LEN, RequeueRun, read_later_run
);
items!(
    /// The extents of a segment.
    Extents, EXTENT_LEN, Extent, read_extent
);

/// The runs of a requeue.
#[derive(Clone, Copy, Debug)]
pub enum RequeueRuns<'a> {
    /// They are ready at once.
    Ready(ReadyRuns<'a>),
    /// Each says when it is ready.
    Later(LaterRuns<'a>),
}

impl Iterator for RequeueRuns<'_> {
    type Item = RequeueRun;

    fn next(&mut self) -> Option<RequeueRun> {
        match self {
            Self::Ready(runs) => runs.next(),
            Self::Later(runs) => runs.next(),
        }
    }
}

/// The bodies of an enqueue, in the order in which records name them.
#[derive(Clone, Copy, Debug)]
pub struct Bodies<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Bodies<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, count: u32) -> Result<Self, Malformed> {
        let bytes = reader.0;
        for _ in 0..count {
            let len = reader.u64()?;
            reader.take(len)?;
        }
        Ok(Self { count, bytes })
    }
}

impl<'a> Iterator for Bodies<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.count = self.count.checked_sub(1)?;
        let mut reader = Reader(self.bytes);
        let len = reader.u64().ok()?;
        let body = reader.take(len).ok()?;
        self.bytes = reader.0;
        Some(body)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Bodies<'_> {}

#[inline]
fn read_target(reader: &mut Reader<'_>) -> Result<Target, Malformed> {
    let target = Target {
        queue: QueueId(reader.u64()?),
        stream: Stream(reader.u32()?),
        first: reader.u32()?,
        count: reader.u32()?,
        flags: reader.u32()?,
        first_seq: reader.u64()?,
        expires_ms: reader.u64()?,
    };
    check_run(target.first_seq, u64::from(target.count))?;
    Ok(target)
}

#[inline]
fn read_run(reader: &mut Reader<'_>) -> Result<Run, Malformed> {
    let (first_seq, count) = (reader.u64()?, reader.u64()?);
    check_run(first_seq, count)?;
    Ok(Run { first_seq, count })
}

#[inline]
fn read_queue_run(reader: &mut Reader<'_>) -> Result<QueueRun, Malformed> {
    let (queue, stream) = (QueueId(reader.u64()?), Stream(reader.u32()?));
    reader.zeros(4)?;
    let run = read_run(reader)?;
    Ok(QueueRun { queue, stream, run })
}

#[inline]
fn read_requeue_run(reader: &mut Reader<'_>) -> Result<RequeueRun, Malformed> {
    let (first_seq, count, delivery_count) = (reader.u64()?, reader.u64()?, reader.u32()?);
    reader.zeros(4)?;
    check_run(first_seq, count)?;
    Ok(RequeueRun {
        first_seq,
        count,
        delivery_count,
        ready_ms: 0,
    })
}

#[inline]
fn read_later_run(reader: &mut Reader<'_>) -> Result<RequeueRun, Malformed> {
    let (first_seq, count) = (reader.u64()?, reader.u64()?);
    let (ready_ms, delivery_count) = (reader.u64()?, reader.u32()?);
    reader.zeros(4)?;
    check_run(first_seq, count)?;
    Ok(RequeueRun {
        first_seq,
        count,
        delivery_count,
        ready_ms,
    })
}

fn read_extent(reader: &mut Reader<'_>) -> Result<Extent, Malformed> {
    let (queue, stream) = (QueueId(reader.u64()?), Stream(reader.u32()?));
    reader.zeros(4)?;
    let extent = Extent {
        queue,
        stream,
        first_seq: reader.u64()?,
        last_seq: reader.u64()?,
        count: reader.u64()?,
        offset: reader.u64()?,
        len: reader.u64()?,
    };
    let span = extent.last_seq.checked_sub(extent.first_seq);
    let fits = extent.count > 0 && span.is_some_and(|span| extent.count - 1 <= span);
    if !fits || extent.offset.checked_add(extent.len).is_none() {
        return Err(Malformed("an extent cannot be"));
    }
    Ok(extent)
}

/// A run has something in it, and the number behind its last one is a number.
fn check_run(first_seq: u64, count: u64) -> Result<(), Malformed> {
    match count > 0 && first_seq.checked_add(count).is_some() {
        true => Ok(()),
        false => Err(Malformed("a run cannot be")),
    }
}

/// Bytes that are not read yet.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn arrays<const N: usize>(
        &mut self,
        count: u32,
    ) -> Result<&'a [[u8; N]], Malformed> {
        let taken = self.take(u64::from(count) * N as u64)?;
        Ok(taken.as_chunks::<N>().0)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn zeros(&mut self, count: u64) -> Result<(), Malformed> {
        match self.take(count)?.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Malformed("a byte that is always 0 is not")),
        }
    }
}
