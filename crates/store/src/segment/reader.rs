//! Reads sealed segments: what is in them, messages in sequence, and all of it to see whether it is whole.
//!
//! A reader may be shared by threads; it keeps the footer in memory and nothing else. Whether a message is still wanted is not known here.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::{Cause, Damage, Lost};
use super::layout::{
    Footer, HEAD, HEADER, Head, POINT_EVERY, Point, ROW, Row, TRAILER, Trailer, decode_header,
    salt, trailer_in_header,
};
use super::sealed_path;
use super::walk::{Place, Walk};
use crate::disk::{Disk, File};
use crate::entry::{Extent, SegmentId, Stream};
use crate::log::QueueId;

/// How much of the end of a file is read at once when it is opened: enough for the footers of most.
const TAIL: u64 = 16 * 1024;

/// Where in an extent reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the message with so many before it in the extent.
    Ordinal(u64),
    /// At the first message with this sequence number or a higher one.
    Seq(u64),
    /// Where an earlier reading of the same extent ended. Costs no search.
    Place(Place),
}

impl Start {
    /// Whether a message is not before this.
    fn takes(&self, ordinal: u64, seq: u64) -> bool {
        match *self {
            Start::Ordinal(first) => ordinal >= first,
            Start::Seq(first) => seq >= first,
            Start::Place(_) => true,
        }
    }
}

/// Messages that were read.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// Their records, one behind the other.
    pub records: Vec<u8>,
    /// The messages in sequence.
    pub list: Vec<Stored>,
    /// Where reading goes on; `None` at the end of the extent. What is there may be damaged.
    pub next: Option<Place>,
    /// What they take in the file, about.
    bytes: usize,
}

/// One message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence number.
    pub seq: u64,
    /// How often it was delivered.
    pub delivery_count: u32,
    /// When it came, in ms of unix time.
    pub arrived_ms: u64,
    /// Where its record is in [`Messages::records`].
    pub record: Range<usize>,
    /// The body, if it was stored beside the record.
    pub body: Option<Bytes>,
}

/// What [`SegmentReader::verify`] found to be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Messages whose checksums hold.
    pub messages: u64,
    /// How many damages were reported.
    pub damages: u64,
}

/// An open sealed segment.
#[derive(Debug)]
pub struct SegmentReader {
    file: Arc<dyn File>,
    len: u64,
    trailer: Trailer,
    footer: Footer,
    extents: Vec<Extent>,
    flaws: Vec<Damage>,
}

impl SegmentReader {
    /// Opens a segment; of an undamaged one only trailer and footer are read. **Waits**: for the disk.
    ///
    /// **Errors**: the file is missing or not this segment, or what says where the messages are is damaged twice over.
    pub fn open(disk: &dyn Disk, id: SegmentId) -> Result<Self, Damage> {
        let whole = |cause| damage(id, 0..0, cause);
        let file = disk
            .open(Path::new(&sealed_path(id)))
            .map_err(|error| whole(error.into()))?;
        let len = file.len().map_err(|error| whole(error.into()))?;
        let mut flaws = Vec::new();
        let tail_at = len.saturating_sub(TAIL);
        let tail = read(&*file, tail_at..len).unwrap_or_default();
        let trailer = find_trailer(&*file, id, len, &tail, &mut flaws)?;
        let footer = find_footer(&*file, &trailer, (tail_at, &tail), &mut flaws)?;
        Ok(Self {
            extents: footer.rows.iter().map(Row::extent).collect(),
            file,
            len,
            trailer,
            footer,
            flaws,
        })
    }

    /// The segment's number.
    pub fn id(&self) -> SegmentId {
        self.trailer.id
    }

    /// The store that the segment belongs to.
    pub fn uuid(&self) -> u128 {
        self.trailer.uuid
    }

    /// Length of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Damages that were seen on opening and cost no message, for the second copy of what is damaged is good.
    pub fn flaws(&self) -> &[Damage] {
        &self.flaws
    }

    /// What is in the segment, by rising queue and stream.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The index of the extent of a queue and stream in [`SegmentReader::extents`].
    pub fn find(&self, queue: QueueId, stream: Stream) -> Option<usize> {
        let rows = &self.footer.rows;
        rows.binary_search_by_key(&(queue, stream), |row| (row.queue, row.stream))
            .ok()
    }

    /// Reads messages of an extent in sequence: as many as `max_bytes` hold, but one at least, unless there is none.
    ///
    /// **Waits**: for the disk; reads at most 1 MiB at once, or one message, and at most 64 KiB and a message before the first one
    /// that is wanted. **Errors**: the first message that is wanted is damaged; reading can go on behind it, at [`Lost::resume`]. Damage
    /// further on ends what is given, and is the next reading's error.
    pub fn read(&self, extent: usize, from: Start, max_bytes: usize) -> Result<Messages, Damage> {
        let mut messages = Messages::default();
        let Some((row, place)) = self.locate(extent, from) else {
            return Ok(messages);
        };
        let search = match from {
            Start::Place(_) => 0,
            Start::Ordinal(_) | Start::Seq(_) => POINT_EVERY as usize,
        };
        let mut walk = self
            .walk(row, place)
            .wanting(max_bytes.saturating_add(search));
        loop {
            // Another read for a few more bytes is not worth it: it would be read again next time.
            let enough =
                messages.bytes >= max_bytes || messages.bytes >= max_bytes / 2 && !walk.has_next();
            if enough && !messages.list.is_empty() {
                break;
            }
            let ordinal = walk.place.ordinal;
            match walk.step() {
                Ok(None) => break,
                Ok(Some(checked)) => {
                    let head = checked.head;
                    if from.takes(ordinal, head.seq) {
                        let (record, body) =
                            walk.parts(&checked).map_err(|cause| self.at(row, cause))?;
                        messages.add(&head, record, body);
                    }
                }
                Err(_) if !messages.list.is_empty() => break,
                Err(cause) => {
                    let (bad, next) = (walk.place, walk.behind());
                    let wanted_is_lost = match from {
                        Start::Ordinal(first) => next.ordinal > first,
                        Start::Seq(first) => next.low > first,
                        Start::Place(_) => true,
                    };
                    if wanted_is_lost {
                        return Err(self.lost(row, bad, next, cause));
                    }
                    walk.place = next;
                }
            }
        }
        messages.next = (walk.place.offset < row.end()).then_some(walk.place);
        Ok(messages)
    }

    /// Reads the whole file and reports all that is damaged, in the order of the file, the headers and footers first.
    ///
    /// **Waits**: for the disk, long. Memory: a MiB, or the largest message.
    pub fn verify(&self, report: &mut dyn FnMut(Damage)) -> Verified {
        let mut verified = Verified::default();
        let mut report = |found: Damage, verified: &mut Verified| {
            verified.damages += 1;
            report(found);
        };
        for found in self.frame_damages() {
            report(found, &mut verified);
        }
        for (extent, row) in self.footer.rows.iter().enumerate() {
            let mut walk = self.walk(row, start_of(extent, row));
            loop {
                match walk.step() {
                    Ok(None) => break,
                    Ok(Some(_)) => verified.messages += 1,
                    Err(cause) => {
                        let (bad, next) = (walk.place, walk.behind());
                        report(self.lost(row, bad, next, cause), &mut verified);
                        walk.place = next;
                    }
                }
            }
        }
        verified
    }

    /// What is damaged outside the extents.
    fn frame_damages(&self) -> Vec<Damage> {
        let trailer = &self.trailer;
        let (footer, footer_len) = (self.footer.encode(), trailer.footer_len());
        let first_end = trailer.footer_at + footer_len;
        let zeros = vec![0; (trailer.copy_at() - first_end) as usize];
        let encoded = trailer.encode();
        let pieces: [(u64, &[u8], Cause); 4] = [
            (trailer.footer_at, &footer, Cause::Footer),
            (first_end, &zeros, Cause::Padding),
            (trailer.copy_at(), &footer, Cause::Footer),
            (trailer.trailer_at(), &encoded, Cause::Trailer),
        ];
        let header = read(&*self.file, 0..HEADER as u64);
        let header = header.map(|header| decode_header(&header, trailer).is_some());
        let mut found = Vec::new();
        if let Some(cause) = differs(header, Cause::Header) {
            found.push(damage(self.id(), 0..HEADER as u64, cause));
        }
        for (at, expected, cause) in pieces {
            let range = at..at + expected.len() as u64;
            let same = read(&*self.file, range.clone()).map(|bytes| bytes == expected);
            if let Some(cause) = differs(same, cause) {
                found.push(damage(self.id(), range, cause));
            }
        }
        if self.len > trailer.file_len() {
            let range = trailer.file_len()..self.len;
            found.push(damage(self.id(), range, Cause::Padding));
        }
        found
    }

    fn walk<'a>(&'a self, row: &'a Row, place: Place) -> Walk<'a> {
        let salt = salt(self.trailer.uuid, self.trailer.id, row.queue, row.stream);
        let points = self.footer.points_of(row);
        Walk::new(&*self.file, (row, points), salt, place)
    }

    /// Where to begin to read. `None` if nothing is there.
    fn locate(&self, extent: usize, from: Start) -> Option<(&Row, Place)> {
        let row = self.footer.rows.get(extent)?;
        let points = self.footer.points_of(row);
        let before = match from {
            Start::Place(place) if place.extent == extent => return Some((row, place)),
            Start::Place(place) => points.partition_point(|point| point.ordinal <= place.ordinal),
            Start::Ordinal(first) if first >= row.count => return None,
            Start::Ordinal(first) => points.partition_point(|point| point.ordinal <= first),
            Start::Seq(first) if first > row.last_seq => return None,
            Start::Seq(first) => points.partition_point(|point| point.seq <= first),
        };
        let Point {
            ordinal,
            seq,
            offset,
        } = *points.get(before.saturating_sub(1))?;
        let place = Place {
            extent,
            ordinal,
            offset,
            low: seq,
        };
        Some((row, place))
    }

    fn lost(&self, row: &Row, bad: Place, next: Place, cause: Cause) -> Damage {
        let last = next.low.saturating_sub(1).max(bad.low);
        let lost = Lost {
            queue: row.queue,
            stream: row.stream,
            seqs: bad.low..=last,
            count: next.ordinal.saturating_sub(bad.ordinal).max(1),
            resume: next,
        };
        Damage {
            lost: Some(Box::new(lost)),
            ..damage(self.id(), bad.offset..next.offset, cause)
        }
    }

    /// An extent whose file changed under the reader.
    fn at(&self, row: &Row, cause: Cause) -> Damage {
        damage(self.id(), row.offset..row.end(), cause)
    }

    /// What the reader takes in memory, about.
    pub(super) fn memory(&self) -> usize {
        self.footer.rows.len() * (ROW + size_of::<Extent>())
            + self.footer.points.len() * size_of::<Point>()
            + size_of::<Self>()
    }
}

impl Messages {
    fn add(&mut self, head: &Head, record: &[u8], body: Option<&[u8]>) {
        let start = self.records.len();
        self.records.extend_from_slice(record);
        self.list.push(Stored {
            seq: head.seq,
            delivery_count: head.delivery_count,
            arrived_ms: head.arrived_ms,
            record: start..self.records.len(),
            body: body.map(Bytes::copy_from_slice),
        });
        self.bytes += HEAD + record.len() + body.map_or(0, <[u8]>::len);
    }
}

fn start_of(extent: usize, row: &Row) -> Place {
    Place {
        extent,
        ordinal: 0,
        offset: row.offset,
        low: row.first_seq,
    }
}

fn damage(id: SegmentId, range: Range<u64>, cause: Cause) -> Damage {
    Damage {
        file: sealed_path(id),
        range,
        cause,
        lost: None,
    }
}

/// What is wrong with a piece of the file that was compared with what it must be.
fn differs(same: Result<bool, Cause>, cause: Cause) -> Option<Cause> {
    match same {
        Ok(true) => None,
        Ok(false) => Some(cause),
        Err(unreadable) => Some(unreadable),
    }
}

/// Reads a range that lies in the file, or should.
fn read(file: &dyn File, range: Range<u64>) -> Result<Vec<u8>, Cause> {
    let len = file.len()?;
    if range.end > len {
        return Err(Cause::Short { len });
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let read = file.read_at(range.start, &mut bytes)?;
    match read == bytes.len() {
        true => Ok(bytes),
        false => Err(Cause::Short {
            len: range.start + read as u64,
        }),
    }
}

/// The trailer at the end of the file or, if that is damaged, its copy in the header.
fn find_trailer(
    file: &dyn File,
    id: SegmentId,
    len: u64,
    tail: &[u8],
    flaws: &mut Vec<Damage>,
) -> Result<Trailer, Damage> {
    let at = tail.len().checked_sub(TRAILER);
    let last = at
        .and_then(|at| Trailer::decode(tail.get(at..)?))
        .filter(|trailer| trailer.id == id && trailer.file_len() == len);
    if let Some(trailer) = last {
        return Ok(trailer);
    }
    let end = len.saturating_sub(TRAILER as u64)..len;
    let header = read(file, 0..HEADER as u64).map_err(|cause| damage(id, 0..len, cause))?;
    let trailer = trailer_in_header(&header).filter(|trailer| trailer.id == id);
    let trailer = trailer.ok_or_else(|| damage(id, end.clone(), Cause::Trailer))?;
    let must = trailer.file_len();
    let flaw = match len < must {
        true => damage(id, len..must, Cause::Short { len }),
        false => damage(id, must - TRAILER as u64..len, Cause::Trailer),
    };
    if len < trailer.footer_at {
        return Err(flaw);
    }
    flaws.push(flaw);
    Ok(trailer)
}

/// The second footer, for it lies beside the trailer, or if it is damaged the first.
fn find_footer(
    file: &dyn File,
    trailer: &Trailer,
    (tail_at, tail): (u64, &[u8]),
    flaws: &mut Vec<Damage>,
) -> Result<Footer, Damage> {
    for at in [trailer.copy_at(), trailer.footer_at] {
        let range = at..at + trailer.footer_len();
        let in_tail = at.checked_sub(tail_at).and_then(|from| {
            let from = usize::try_from(from).ok()?;
            tail.get(from..from.checked_add(trailer.footer_len() as usize)?)
        });
        let footer = match in_tail {
            Some(bytes) => Ok(Footer::decode(bytes, trailer)),
            None => read(file, range.clone()).map(|bytes| Footer::decode(&bytes, trailer)),
        };
        let cause = match footer {
            Ok(Some(footer)) => return Ok(footer),
            Ok(None) => Cause::Footer,
            Err(cause) => cause,
        };
        flaws.push(damage(trailer.id, range, cause));
    }
    let both = trailer.footer_at..trailer.trailer_at();
    Err(damage(trailer.id, both, Cause::Footer))
}
