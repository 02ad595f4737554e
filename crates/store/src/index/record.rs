//! The index as bytes and back: what the sections of a checkpoint hold. Framing and checksums belong to `checkpoint`.
//!
//! Numbers are LEB128 (seven bits a byte, low ones first), written `v`. What can be counted again is not written: live counts of files and
//! segments, and in which streams to look. Pieces of streams are written as they are kept, so that an index that was read goes on exactly as
//! the one that was written would have. Reading allocates no more than some 100 times the bytes that it has read, whatever they are.
//!
//! ```text
//! definitions  v number | each: v length, key, v length, value                                    by rising key
//! groups       v number | each: v group, v term, v index of the last entry                        by rising group
//! files        v number | each: v file_seq, v first lsn, v messages, v bytes                      by rising file_seq
//! segments     v number | each: v id, v file length, v extents                                    by rising id
//!              extent:    v queue, v stream, v first seq, v last seq, v count, v offset, v length
//! streams      v number | each: v queue, v stream, v group, v next seq, v pieces, pieces, v runs, runs
//!              piece:     v kind, v last number less the one of the piece before (0 for the first), then by kind
//!                0 run in the log         v count, v lsn less the last one in this stream (modulo 2^64), v first
//!                1 run in a segment       v count, v segment, v extent
//!                2 bits in the log        v lsn as above, v first, 256 bytes
//!                3 bits in a segment      v segment, v extent, 256 bytes
//!              run:       v first seq less the number behind the run before, v count, v delivery count
//!                         plus 2^32 where these wait; then v ready_ms
//! ```
//!
//! Bits begin at the multiple of 2,048 at or below the piece's last number; `first` is where the message of bit 0 would be, modulo 2^32.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::block::{BLOCK, Block};
use super::live::{Live, Piece};
use super::location::{LiveRun, Location};
use super::places::{FileState, SegmentState};
use super::{Delivered, Index, Messages};
use crate::entry::{Extent, Lsn, SegmentId, Stream};
use crate::log::{Group, QueueId};

/// What of the bytes cannot be.
pub(crate) type Wrong = &'static str;

const SHORT: Wrong = "it ends too early";
const BIG: Wrong = "a number is too big";
const ORDER: Wrong = "numbers that rise do not";

/// In the delivery count of a run whose messages wait.
const WAITS: u64 = 1 << 32;

impl Index {
    /// Appends the definitions.
    pub(crate) fn write_definitions(&self, out: &mut Vec<u8>) {
        put(out, self.definitions.len() as u64);
        for bytes in self
            .definitions
            .iter()
            .flat_map(|(key, value)| [key, value])
        {
            put(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }

    /// Reads what [`Index::write_definitions`] wrote.
    pub(crate) fn read_definitions(&mut self, bytes: &mut Reader<'_>) -> Result<(), Wrong> {
        for _ in 0..bytes.v()? {
            let (key, value) = (bytes.bytes()?, bytes.bytes()?);
            if self
                .definitions
                .last_key_value()
                .is_some_and(|(last, _)| **last >= *key)
            {
                return Err(ORDER);
            }
            self.definitions.insert(key.into(), value.into());
        }
        Ok(())
    }

    /// Appends the groups.
    pub(crate) fn write_groups(&self, out: &mut Vec<u8>) {
        put(out, self.groups.iter().flatten().count() as u64);
        for (group, last) in self.groups.iter().enumerate() {
            if let Some((term, index)) = *last {
                put_all(out, [group as u64, u64::from(term), index]);
            }
        }
    }

    /// Reads what [`Index::write_groups`] wrote.
    pub(crate) fn read_groups(&mut self, bytes: &mut Reader<'_>) -> Result<(), Wrong> {
        for _ in 0..bytes.v()? {
            let group = Group(bytes.v()?.try_into().map_err(|_| BIG)?);
            if usize::from(group.0) < self.groups.len() {
                return Err(ORDER);
            }
            self.set_last(group, (bytes.v32()?, bytes.v()?));
        }
        Ok(())
    }

    /// Appends the files of the log.
    pub(crate) fn write_files(&self, out: &mut Vec<u8>) {
        put(out, self.places.files.len() as u64);
        for file in &self.places.files {
            put_all(
                out,
                [file.file_seq, file.first_lsn.0, file.messages, file.bytes],
            );
        }
    }

    /// Reads what [`Index::write_files`] wrote.
    pub(crate) fn read_files(&mut self, bytes: &mut Reader<'_>) -> Result<(), Wrong> {
        for _ in 0..bytes.v()? {
            let file = FileState {
                file_seq: bytes.v()?,
                first_lsn: Lsn(bytes.v()?),
                messages: bytes.v()?,
                bytes: bytes.v()?,
                live: 0,
                streams: vec![],
            };
            let rises =
                |last: &FileState| last.file_seq < file.file_seq && last.first_lsn < file.first_lsn;
            if !self.places.files.last().is_none_or(rises) {
                return Err(ORDER);
            }
            self.places.files.push(file);
        }
        Ok(())
    }

    /// Appends the segments.
    pub(crate) fn write_segments(&self, out: &mut Vec<u8>) {
        put(out, self.places.segments.len() as u64);
        for (id, segment) in &self.places.segments {
            put_all(out, [id.0, segment.file_len, segment.extents.len() as u64]);
            for (extent, _) in &segment.extents {
                let Extent {
                    queue,
                    stream,
                    first_seq,
                    last_seq,
                    count,
                    offset,
                    len,
                } = *extent;
                let stream = u64::from(stream.0);
                put_all(
                    out,
                    [queue.0, stream, first_seq, last_seq, count, offset, len],
                );
            }
        }
    }

    /// Reads what [`Index::write_segments`] wrote.
    pub(crate) fn read_segments(&mut self, bytes: &mut Reader<'_>) -> Result<(), Wrong> {
        for _ in 0..bytes.v()? {
            let (id, file_len) = (SegmentId(bytes.v()?), bytes.v()?);
            let mut extents = vec![];
            for _ in 0..bytes.v()? {
                extents.push(read_extent(bytes)?);
            }
            let segment = SegmentState::new(file_len, extents.into_iter());
            insert_last(&mut self.places.segments, id, segment)?;
        }
        Ok(())
    }

    /// Appends the streams.
    pub(crate) fn write_streams(&self, out: &mut Vec<u8>) {
        put(out, self.streams.len() as u64);
        for ((queue, stream), messages) in self.streams.in_order() {
            let group = u64::from(messages.group.0);
            put_all(
                out,
                [queue.0, u64::from(stream.0), group, messages.next_seq],
            );
            write_live(&messages.live, out);
            put(out, messages.deliveries.len() as u64);
            let mut behind = 0;
            for run in messages.deliveries.runs_from(0) {
                let waits = if run.ready_ms > 0 { WAITS } else { 0 };
                let counted = u64::from(run.delivery_count) | waits;
                put_all(out, [run.first_seq - behind, run.count, counted]);
                if waits > 0 {
                    put(out, run.ready_ms);
                }
                behind = run.first_seq + run.count;
            }
        }
    }

    /// Reads what [`Index::write_streams`] wrote; files and segments must have been read.
    pub(crate) fn read_streams(&mut self, bytes: &mut Reader<'_>) -> Result<(), Wrong> {
        let mut before = None;
        for _ in 0..bytes.v()? {
            let of = (QueueId(bytes.v()?), Stream(bytes.v32()?));
            if before.replace(of).is_some_and(|before| before >= of) {
                return Err(ORDER);
            }
            let mut messages = Messages::new(Group(bytes.v()?.try_into().map_err(|_| BIG)?));
            messages.next_seq = bytes.v()?;
            messages.live = read_live(bytes, messages.next_seq)?;
            read_deliveries(bytes, &mut messages)?;
            self.count_again(of, &mut messages)?;
            self.streams.get_or_make(of, || messages);
        }
        let is_live = |file: &FileState| file.live > 0;
        let older = self
            .places
            .files
            .split_last()
            .map_or(&[][..], |(_, older)| older);
        if !older.iter().all(is_live) {
            return Err("a file of the log is named for nothing");
        }
        Ok(())
    }

    /// Counts a stream's messages where they are.
    fn count_again(
        &mut self,
        (queue, stream): (QueueId, Stream),
        messages: &mut Messages,
    ) -> Result<(), Wrong> {
        for (place, first_seq, count) in messages.live.places() {
            if !self.places.enter(place, count) {
                return Err("messages are where none can be");
            }
            let lsn = match place {
                Location::Wal { lsn, .. } => lsn,
                Location::Segment { id, extent } => {
                    let segment = self.places.segments.get(&id);
                    let held = segment.and_then(|segment| segment.extents.get(extent as usize));
                    if held.is_none_or(|(held, _)| (held.queue, held.stream) != (queue, stream)) {
                        return Err("messages are in the extent of another queue");
                    }
                    continue;
                }
            };
            let file = self
                .places
                .file_of(lsn)
                .and_then(|index| self.places.files.get_mut(index));
            if let Some(file) = file.filter(|file| file.file_seq != messages.listed_in) {
                messages.listed_in = file.file_seq;
                file.streams.push((queue, stream, first_seq));
            }
        }
        Ok(())
    }
}

fn read_extent(bytes: &mut Reader<'_>) -> Result<Extent, Wrong> {
    let extent = Extent {
        queue: QueueId(bytes.v()?),
        stream: Stream(bytes.v32()?),
        first_seq: bytes.v()?,
        last_seq: bytes.v()?,
        count: bytes.v()?,
        offset: bytes.v()?,
        len: bytes.v()?,
    };
    let span = extent.last_seq.checked_sub(extent.first_seq);
    match extent.count > 0 && span.is_some_and(|span| extent.count - 1 <= span) {
        true => Ok(extent),
        false => Err("an extent cannot be"),
    }
}

fn write_live(live: &Live, out: &mut Vec<u8>) {
    put(out, live.pieces_count() as u64);
    let (mut before, mut lsn_before) = (0, 0);
    for (last, piece) in live.pieces() {
        let (location, bits) = match piece {
            Piece::Block(block) => (block.origin(), Some(block.bits())),
            run => (run.origin(), None),
        };
        let kind = match location {
            Location::Wal { .. } => 0,
            Location::Segment { .. } => 1,
        };
        put_all(
            out,
            [kind + if bits.is_some() { 2 } else { 0 }, last - before],
        );
        before = last;
        if bits.is_none() {
            put(out, piece.count());
        }
        match location {
            Location::Wal { lsn, first } => {
                put_all(out, [lsn.0.wrapping_sub(lsn_before), u64::from(first)]);
                lsn_before = lsn.0;
            }
            Location::Segment { id, extent } => put_all(out, [id.0, u64::from(extent)]),
        }
        out.extend(bits.into_iter().flat_map(Bits::to_bytes));
    }
}

fn read_live(bytes: &mut Reader<'_>, next_seq: u64) -> Result<Live, Wrong> {
    let mut live = Live::default();
    let mut lsn_before = 0;
    for _ in 0..bytes.v()? {
        let (kind, step) = (bytes.v()?, bytes.v()?);
        let before = live.last();
        let last = before.unwrap_or(0).checked_add(step).ok_or(BIG)?;
        let count = if kind < 2 { bytes.v()? } else { 0 };
        let location = match kind {
            0 | 2 => {
                let lsn = bytes.v()?.wrapping_add(lsn_before);
                lsn_before = lsn;
                Location::Wal {
                    lsn: Lsn(lsn),
                    first: bytes.v32()?,
                }
            }
            1 | 3 => Location::Segment {
                id: SegmentId(bytes.v()?),
                extent: bytes.v32()?,
            },
            _ => return Err("a piece is of no kind"),
        };
        let is_behind = |first: u64| before.is_none_or(|before| before < first) && last < next_seq;
        if kind < 2 {
            let first_seq = count
                .checked_sub(1)
                .and_then(|steps| last.checked_sub(steps));
            let first_seq = first_seq.filter(|first| is_behind(*first)).ok_or(ORDER)?;
            if kind == 0 && u32::try_from(count).is_err() {
                return Err(BIG);
            }
            live.push(&LiveRun {
                first_seq,
                count,
                location,
            });
        } else {
            let bits = Bits::from_bytes(bytes.array()?);
            let block = Block::new(last / BLOCK * BLOCK, location, bits);
            let is_within = block.last().is_some_and(|live| live <= last);
            let first = block.next_run(0).filter(|run| is_behind(run.first_seq));
            if !is_within || first.is_none() {
                return Err(ORDER);
            }
            live.push_block(last, block);
        }
    }
    Ok(live)
}

fn read_deliveries(bytes: &mut Reader<'_>, messages: &mut Messages) -> Result<(), Wrong> {
    let mut behind: u64 = 0;
    for _ in 0..bytes.v()? {
        let first_seq = behind.checked_add(bytes.v()?).ok_or(BIG)?;
        let (count, counted) = (bytes.v()?, bytes.v()?);
        let delivery_count = u32::try_from(counted & !WAITS).map_err(|_| BIG)?;
        let ready_ms = match counted & WAITS {
            0 => 0,
            _ => bytes.v()?,
        };
        behind = first_seq.checked_add(count).ok_or(BIG)?;
        if count == 0 || (delivery_count, ready_ms) == (0, 0) || behind > messages.next_seq {
            return Err("a delivery count cannot be");
        }
        messages.deliveries.set(Delivered {
            first_seq,
            count,
            delivery_count,
            ready_ms,
        });
    }
    Ok(())
}

/// Adds to a map what must come behind everything in it.
fn insert_last<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), Wrong> {
    if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(ORDER);
    }
    map.insert(key, value);
    Ok(())
}

fn put(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_all<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        put(out, number);
    }
}

/// Bytes that are not read yet.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn v(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(SHORT)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(BIG);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BIG)
    }

    fn v32(&mut self) -> Result<u32, Wrong> {
        self.v()?.try_into().map_err(|_| BIG)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Wrong> {
        let len = usize::try_from(self.v()?).map_err(|_| BIG)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Wrong> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }
}
