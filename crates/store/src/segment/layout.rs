//! The structures of a segment file as bytes, and back. The drawing is in the module above.
//!
//! No I/O. Everything that is decoded has been checked: a value of these types is consistent in itself, though not yet with the file.

use crate::crc::crc32c;
use crate::entry::{Extent, SegmentId, Stream};
use crate::log::QueueId;

pub(super) const MAGIC: [u8; 8] = *b"LVRTSEG1";
pub(super) const END_MAGIC: [u8; 8] = *b"LVRTSEGE";
pub(super) const VERSION: u32 = 1;

/// Size of the header, and what copies of the footer are kept apart by.
pub(super) const BLOCK: u64 = 4096;
pub(super) const HEADER: usize = 4096;
/// Where the copy of the trailer stands in the header.
const TRAILER_COPY: usize = 64;
pub(super) const TRAILER: usize = 64;
pub(super) const ROW: usize = 64;
pub(super) const POINT: usize = 24;
pub(super) const HEAD: usize = 32;
/// A point in an extent follows the one before at this distance in bytes, or at the next message behind it.
pub(super) const POINT_EVERY: u64 = 64 * 1024;
/// The size of a message with head and padding must stay below it: the link back has 28 bits.
pub(super) const MESSAGE_MAX: u64 = 1 << 31;

const BODY: u32 = 1;
const RESERVED: u32 = 0b1110;
const BACK_SHIFT: u32 = 4;

/// What the checksums of an extent's messages are mixed with: a message that belongs elsewhere does not pass, nor does one that a client made
/// up inside a body, for the store's number is not known outside.
pub(super) fn salt(uuid: u128, id: SegmentId, queue: QueueId, stream: Stream) -> u32 {
    let mut bytes = Vec::with_capacity(36);
    bytes.extend_from_slice(&uuid.to_le_bytes());
    bytes.extend_from_slice(&id.0.to_le_bytes());
    bytes.extend_from_slice(&queue.0.to_le_bytes());
    bytes.extend_from_slice(&stream.0.to_le_bytes());
    crc32c(&bytes)
}

/// Takes integers from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }
}

/// The trailer: where the footer is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) footer_at: u64,
    pub(super) extents: u32,
    pub(super) points: u32,
    pub(super) id: SegmentId,
    pub(super) uuid: u128,
    pub(super) footer_crc: u32,
}

impl Trailer {
    pub(super) fn footer_len(&self) -> u64 {
        u64::from(self.extents) * ROW as u64 + u64::from(self.points) * POINT as u64
    }

    /// Where the second footer begins: on a block that holds nothing of the first.
    pub(super) fn copy_at(&self) -> u64 {
        (self.footer_at + self.footer_len()).next_multiple_of(BLOCK)
    }

    /// Where the trailer itself begins.
    pub(super) fn trailer_at(&self) -> u64 {
        self.copy_at() + self.footer_len()
    }

    pub(super) fn file_len(&self) -> u64 {
        self.trailer_at() + TRAILER as u64
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRAILER);
        out.extend_from_slice(&END_MAGIC);
        out.extend_from_slice(&self.footer_at.to_le_bytes());
        out.extend_from_slice(&self.footer_len().to_le_bytes());
        out.extend_from_slice(&self.extents.to_le_bytes());
        out.extend_from_slice(&self.points.to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.uuid.to_le_bytes());
        out.extend_from_slice(&self.footer_crc.to_le_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, _) = bytes.split_at_checked(TRAILER - 4)?;
        let mut fields = Fields(bytes);
        let magic = fields.take::<8>()?;
        let footer_at = fields.u64()?;
        let footer_len = fields.u64()?;
        let trailer = Self {
            footer_at,
            extents: fields.u32()?,
            points: fields.u32()?,
            id: SegmentId(fields.u64()?),
            uuid: fields.u128()?,
            footer_crc: fields.u32()?,
        };
        // Far above any file, far below what additions could carry over.
        let sane = (BLOCK..1 << 60).contains(&footer_at) && footer_at % 8 == 0;
        let whole = magic == END_MAGIC && fields.u32()? == crc32c(covered);
        (whole && sane && footer_len == trailer.footer_len()).then_some(trailer)
    }
}

pub(super) fn encode_header(trailer: &Trailer, created_ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&trailer.id.0.to_le_bytes());
    out.extend_from_slice(&trailer.uuid.to_le_bytes());
    out.extend_from_slice(&created_ms.to_le_bytes());
    out.resize(TRAILER_COPY, 0);
    out.extend_from_slice(&trailer.encode());
    out.resize(HEADER - 4, 0);
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The copy of the trailer in a header, which has a checksum of its own.
pub(super) fn trailer_in_header(header: &[u8]) -> Option<Trailer> {
    Trailer::decode(header.get(TRAILER_COPY..)?)
}

/// When the segment was made, if this is its header and undamaged.
pub(super) fn decode_header(header: &[u8], trailer: &Trailer) -> Option<u64> {
    let created_ms = Fields(header.get(40..)?).u64()?;
    (header == encode_header(trailer, created_ms)).then_some(created_ms)
}

/// A row of the table of extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) queue: QueueId,
    pub(super) stream: Stream,
    pub(super) last_size: u32,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) count: u64,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) first_point: u32,
    pub(super) points: u32,
}

impl Row {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }

    pub(super) fn extent(&self) -> Extent {
        Extent {
            queue: self.queue,
            stream: self.stream,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            count: self.count,
            offset: self.offset,
            len: self.len,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.queue.0.to_le_bytes());
        out.extend_from_slice(&self.stream.0.to_le_bytes());
        out.extend_from_slice(&self.last_size.to_le_bytes());
        let longs = [
            self.first_seq,
            self.last_seq,
            self.count,
            self.offset,
            self.len,
        ];
        longs
            .iter()
            .for_each(|long| out.extend_from_slice(&long.to_le_bytes()));
        out.extend_from_slice(&self.first_point.to_le_bytes());
        out.extend_from_slice(&self.points.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self {
            queue: QueueId(fields.u64()?),
            stream: Stream(fields.u32()?),
            last_size: fields.u32()?,
            first_seq: fields.u64()?,
            last_seq: fields.u64()?,
            count: fields.u64()?,
            offset: fields.u64()?,
            len: fields.u64()?,
            first_point: fields.u32()?,
            points: fields.u32()?,
        })
    }
}

/// A message that can be found without reading those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) ordinal: u64,
    pub(super) seq: u64,
    pub(super) offset: u64,
}

impl Point {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self {
            ordinal: fields.u64()?,
            seq: fields.u64()?,
            offset: fields.u64()?,
        })
    }
}

/// The footer: the table of extents and the points of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) rows: Vec<Row>,
    pub(super) points: Vec<Point>,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rows.len() * ROW + self.points.len() * POINT);
        self.rows.iter().for_each(|row| row.encode(&mut out));
        for point in &self.points {
            out.extend_from_slice(&point.ordinal.to_le_bytes());
            out.extend_from_slice(&point.seq.to_le_bytes());
            out.extend_from_slice(&point.offset.to_le_bytes());
        }
        out
    }

    /// Reads a footer whose length is that of the trailer. `None` if it is damaged or does not fit the trailer.
    pub(super) fn decode(bytes: &[u8], trailer: &Trailer) -> Option<Self> {
        let (rows, points) = bytes.split_at_checked(trailer.extents as usize * ROW)?;
        if crc32c(bytes) != trailer.footer_crc {
            return None;
        }
        let rows = rows.chunks_exact(ROW).map(Row::decode);
        let points = points.chunks_exact(POINT).map(Point::decode);
        let footer = Self {
            rows: rows.collect::<Option<_>>()?,
            points: points.collect::<Option<_>>()?,
        };
        footer.fits(trailer).then_some(footer)
    }

    /// The points of an extent.
    pub(super) fn points_of(&self, row: &Row) -> &[Point] {
        let first = row.first_point as usize;
        let range = first..first.saturating_add(row.points as usize);
        self.points.get(range).unwrap_or_default()
    }

    /// Whether the extents fill the file from header to footer in order, and the points lie in them.
    fn fits(&self, trailer: &Trailer) -> bool {
        let mut end = BLOCK;
        let mut points = 0;
        let mut before = None;
        for row in &self.rows {
            let key = (row.queue, row.stream);
            let in_place = row.offset == end
                && row.len % 8 == 0
                && row.len <= trailer.footer_at - end
                && row.first_point == points
                && before.is_none_or(|before| before < key);
            if !in_place || !self.row_fits(row) {
                return false;
            }
            end += row.len;
            points += row.points;
            before = Some(key);
        }
        end == trailer.footer_at && points == trailer.points
    }

    fn row_fits(&self, row: &Row) -> bool {
        let points = self.points_of(row);
        let head = HEAD as u64;
        let start = Point {
            ordinal: 0,
            seq: row.first_seq,
            offset: row.offset,
        };
        let last_size = u64::from(row.last_size);
        let begins = points.first() == Some(&start) && points.len() == row.points as usize;
        let rises = points.is_sorted_by(|a, b| {
            a.ordinal < b.ordinal && a.seq < b.seq && a.offset < b.offset && b.offset % 8 == 0
        });
        let within = points.last().is_some_and(|last| {
            last.ordinal < row.count
                && last.seq <= row.last_seq
                && last.offset <= row.end().saturating_sub(head)
        });
        let size_fits = (head..=row.len).contains(&last_size) && last_size % 8 == 0;
        begins && rises && within && size_fits && row.count <= row.len / head
    }
}

/// The head of a message as it stands in the file, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Length behind the head, without padding.
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) seq: u64,
    pub(super) has_body: bool,
    /// Size of the message before in bytes; 0 for the first of an extent.
    pub(super) back: u64,
    pub(super) delivery_count: u32,
    pub(super) arrived_ms: u64,
}

impl Head {
    /// Size of the whole message in the file.
    pub(super) fn size(&self) -> u64 {
        (HEAD as u64 + u64::from(self.len)).next_multiple_of(8)
    }

    /// The bytes of the head behind the checksum, which covers them, as it does the length.
    pub(super) fn encode_covered(&self) -> [u8; HEAD - 8] {
        let flags = (u32::from(self.has_body) * BODY) | (((self.back / 8) as u32) << BACK_SHIFT);
        let bits =
            u128::from(self.seq) | u128::from(flags) << 64 | u128::from(self.delivery_count) << 96;
        let mut covered = [0; HEAD - 8];
        let (front, arrived) = covered.split_at_mut(16);
        front.copy_from_slice(&bits.to_le_bytes());
        arrived.copy_from_slice(&self.arrived_ms.to_le_bytes());
        covered
    }

    /// `None` if there are not enough bytes, or bits are set that must not be.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let len = fields.u32()?;
        let crc = fields.u32()?;
        let seq = fields.u64()?;
        let flags = fields.u32()?;
        let delivery_count = fields.u32()?;
        let arrived_ms = fields.u64()?;
        let head = Self {
            len,
            crc,
            seq,
            has_body: flags & BODY != 0,
            back: u64::from(flags >> BACK_SHIFT) * 8,
            delivery_count,
            arrived_ms,
        };
        (flags & RESERVED == 0).then_some(head)
    }
}
