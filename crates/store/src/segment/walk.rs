//! From message to message through an extent, and behind a damaged one.
//!
//! Here every message is checked before it is given out, and here is decided where the next one begins. How much is asked for and what is
//! made of the messages is the reader's affair.
//!
//! Invariants: a place that is stepped to stands behind a checked message, at a point, or at a message that links which checksums cover lead
//! to. Every step moves on. Nothing is read beyond the extent.

use std::io;
use std::ops::Range;

use super::damage::Cause;
use super::layout::{HEAD, Head, Point, Row};
use crate::crc::crc32c_of;
use crate::disk::File;

/// Most that is read at once.
pub(super) const READ_MAX: usize = 1 << 20;
/// Least that is read at once, and what is read around a damaged message.
const READ_MIN: usize = 4096;
const READ_AROUND: usize = 128 * 1024;

/// A message's place in a segment, where reading can go on without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) extent: usize,
    pub(super) ordinal: u64,
    pub(super) offset: u64,
    /// The lowest sequence number that the message can have.
    pub(super) low: u64,
}

impl Place {
    /// How many messages of the extent are before it.
    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }
}

/// A piece of the file in memory.
#[derive(Debug)]
struct Window<'a> {
    file: &'a dyn File,
    /// What may be read.
    span: Range<u64>,
    /// How much is read ahead.
    ahead: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes of a range, read if they are not here. A range behind the span is an error, as is one that the file does not have.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let end = at + len as u64;
        if at < self.span.start || end > self.span.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.holds(at, len as u64) {
            // Who goes backwards will want what is before; who goes forwards, what is behind.
            let backwards = at < self.start && !self.bytes.is_empty();
            let begin = match backwards {
                true => end
                    .saturating_sub(self.ahead as u64)
                    .clamp(self.span.start, at),
                false => at,
            };
            let stop = end.max(begin + self.ahead as u64).min(self.span.end);
            // A block that cannot be read must cost no message beside it.
            if self.load(begin, stop).is_err() {
                self.load(at, end)?;
            }
        }
        let from = (at - self.start) as usize;
        let bytes = self.bytes.get(from..from + len);
        bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether a range can be had without reading.
    fn holds(&self, at: u64, len: u64) -> bool {
        self.start <= at && at + len <= self.start + self.bytes.len() as u64
    }

    /// Allocates what lies between two places of the span, which lies in the file.
    fn load(&mut self, begin: u64, stop: u64) -> io::Result<()> {
        self.start = begin;
        self.bytes.resize((stop - begin) as usize, 0);
        let read = self.file.read_at(begin, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        if begin + read? as u64 == stop {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A message whose checksum holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    pub(super) at: u64,
    pub(super) head: Head,
    record: (usize, usize),
    body: Option<(usize, usize)>,
}

impl Checked {
    fn end(&self) -> u64 {
        self.at + self.head.size()
    }

    /// Takes a message apart. `None` if its checksum is wrong or it is not well formed.
    fn read(at: u64, head: Head, bytes: &[u8], salt: u32) -> Option<Self> {
        if crc32c_of(&[bytes.get(..4)?, bytes.get(8..)?]) ^ salt != head.crc {
            return None;
        }
        let end = HEAD + head.len as usize;
        if !head.has_body {
            let record = (HEAD, end);
            return Some(Self {
                at,
                head,
                record,
                body: None,
            });
        }
        let (record_len, _) = bytes.get(HEAD..end)?.split_first_chunk::<4>()?;
        let begin = HEAD + 4;
        let middle = begin.checked_add(u32::from_le_bytes(*record_len) as usize)?;
        (middle <= end).then_some(Self {
            at,
            head,
            record: (begin, middle),
            body: Some((middle, end)),
        })
    }
}

/// Walks an extent.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    row: &'a Row,
    points: &'a [Point],
    salt: u32,
    window: Window<'a>,
    pub(super) place: Place,
}

impl<'a> Walk<'a> {
    /// Begins at a place in the extent of this row. The extent lies in the file.
    pub(super) fn new(
        file: &'a dyn File,
        (row, points): (&'a Row, &'a [Point]),
        salt: u32,
        place: Place,
    ) -> Self {
        let window = Window {
            file,
            span: row.offset..row.end(),
            ahead: READ_MAX,
            start: 0,
            bytes: Vec::new(),
        };
        Self {
            row,
            points,
            salt,
            window,
            place,
        }
    }

    /// Reads no more ahead than somebody needs who wants this many bytes.
    pub(super) fn wanting(mut self, bytes: usize) -> Self {
        self.window.ahead = bytes.clamp(READ_MIN, READ_MAX);
        self
    }

    /// The next message, or `None` at the end of the extent. After an error the place is the bad message's, see [`Walk::behind`].
    pub(super) fn step(&mut self) -> Result<Option<Checked>, Cause> {
        if self.place.offset >= self.row.end() {
            return Ok(None);
        }
        let checked = self.look(self.place.offset)?.ok_or(Cause::Message)?;
        let seq = checked.head.seq;
        if !(self.place.low..=self.row.last_seq).contains(&seq) {
            return Err(Cause::Message);
        }
        self.place.ordinal += 1;
        self.place.offset = checked.end();
        self.place.low = seq.saturating_add(1);
        Ok(Some(checked))
    }

    /// Whether the next step needs no reading.
    pub(super) fn has_next(&mut self) -> bool {
        let at = self.place.offset;
        self.window.holds(at, HEAD as u64)
            && match self.head(at) {
                Ok(Some(head)) => self.window.holds(at, head.size()),
                _ => true,
            }
    }

    /// The record and the body of the message that [`Walk::step`] gave last.
    pub(super) fn parts(&mut self, of: &Checked) -> Result<(&[u8], Option<&[u8]>), Cause> {
        let bytes = self.window.bytes(of.at, of.head.size() as usize)?;
        let part = |(from, to)| bytes.get(from..to).unwrap_or_default();
        Ok((part(of.record), of.body.map(part)))
    }

    /// The place of the next good message behind the one at the present place, which is bad, or the end of the extent.
    pub(super) fn behind(&mut self) -> Place {
        let mut bad = Walk::new(
            self.window.file,
            (self.row, self.points),
            self.salt,
            self.place,
        );
        bad.window.ahead = READ_AROUND;
        let mut place = bad.next_good();
        place.low = match bad.look(place.offset) {
            Ok(Some(good)) => good.head.seq,
            _ => self.row.last_seq.saturating_add(1),
        };
        place
    }

    fn next_good(&mut self) -> Place {
        let bad = self.place;
        // Its length may be right all the same. The message behind knows.
        if let Ok(Some(head)) = self.head(bad.offset) {
            let offset = bad.offset + head.size();
            let follows = match offset == self.row.end() {
                true => head.size() == u64::from(self.row.last_size),
                false => {
                    matches!(self.look(offset), Ok(Some(next)) if next.head.back == head.size())
                }
            };
            if follows {
                let ordinal = bad.ordinal + 1;
                return Place {
                    ordinal,
                    offset,
                    ..bad
                };
            }
        }
        let later = self
            .points
            .partition_point(|point| point.offset <= bad.offset);
        for point in self.points.get(later..).unwrap_or_default() {
            if let Ok(Some(good)) = self.look(point.offset) {
                return self.first_before(point.ordinal, point.offset, good.head.back);
            }
        }
        let last_size = u64::from(self.row.last_size);
        self.first_before(self.row.count, self.row.end(), last_size)
    }

    /// From a good message backwards: the first one, behind the bad one at the present place, to which the links lead.
    fn first_before(&mut self, mut ordinal: u64, mut offset: u64, mut back: u64) -> Place {
        let bad = self.place;
        while back != 0 && offset.saturating_sub(back) > bad.offset {
            let before = offset - back;
            if let Ok(Some(good)) = self.look(before) {
                (ordinal, offset, back) = (ordinal.saturating_sub(1), before, good.head.back);
                continue;
            }
            // Another bad one. Its link may be right all the same: the message before it knows.
            let link = self.head(before).ok().flatten().map_or(0, |head| head.back);
            let further = before.saturating_sub(link);
            match self.look(further) {
                Ok(Some(good)) if good.end() == before && further > bad.offset => {
                    (ordinal, offset, back) = (ordinal.saturating_sub(2), further, good.head.back);
                }
                _ => break,
            }
        }
        Place {
            ordinal,
            offset,
            ..bad
        }
    }

    /// The head at a place; `None` if the message would reach over the next point or the end of the extent.
    fn head(&mut self, at: u64) -> io::Result<Option<Head>> {
        let bytes = self.window.bytes(at, HEAD)?;
        let later = self.points.partition_point(|point| point.offset <= at);
        let next = self.points.get(later);
        let bound = next.map_or_else(|| self.row.end(), |point| point.offset);
        let head = Head::decode(bytes);
        Ok(head.filter(|head| head.size() <= bound - at))
    }

    /// The message at a place, if there is a good one.
    fn look(&mut self, at: u64) -> io::Result<Option<Checked>> {
        let Some(head) = self.head(at)? else {
            return Ok(None);
        };
        let salt = self.salt;
        let bytes = self.window.bytes(at, head.size() as usize)?;
        Ok(Checked::read(at, head, bytes, salt))
    }
}
