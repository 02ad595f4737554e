//! Builds a segment. What goes into it, and in which order, is its caller's affair; a wrong order is refused.
//!
//! Invariant: nothing is named `.seg` before all of it is synced.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::layout::{
    BLOCK, Footer, HEAD, Head, MESSAGE_MAX, POINT_EVERY, Point, Row, Trailer, encode_header, salt,
};
use super::{FOLDER, sealed_path, unsealed_path};
use crate::crc::{crc32c, crc32c_of};
use crate::disk::{Disk, File};
use crate::entry::{Extent, SegmentId, Stream};
use crate::log::QueueId;

/// Writes are as large as this.
const BUFFER: usize = 1 << 20;

/// A segment that is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its number.
    pub id: SegmentId,
    /// Length of the file.
    pub bytes: u64,
    /// What is in it, by rising queue and stream.
    pub extents: Vec<Extent>,
}

/// A message that goes into a segment.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// How often it was delivered.
    pub delivery_count: u32,
    /// When it came, in ms of unix time.
    pub arrived_ms: u64,
    /// Its record.
    pub record: &'a [u8],
    /// Its body, where that is not in the record.
    pub body: Option<&'a [u8]>,
}

/// A segment that is being written. Dropped before [`SegmentWriter::finish`], it leaves a file that means nothing and goes at the next start.
#[derive(Debug)]
pub struct SegmentWriter {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    id: SegmentId,
    uuid: u128,
    created_ms: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    flushed: u64,
    footer: Footer,
    /// Size of the last message of the extent that is open; 0 if there is none yet.
    back: u64,
    salt: u32,
}

impl SegmentWriter {
    /// Begins a segment. **Waits**: for the disk. **Errors**: those of [`Disk::create`].
    pub fn new(
        disk: Arc<dyn Disk>,
        id: SegmentId,
        uuid: u128,
        created_ms: u64,
    ) -> io::Result<Self> {
        let file = disk.create(Path::new(&unsealed_path(id)))?;
        Ok(Self {
            disk,
            file,
            id,
            uuid,
            created_ms,
            buffer: Vec::with_capacity(BUFFER),
            flushed: BLOCK,
            footer: Footer::default(),
            back: 0,
            salt: 0,
        })
    }

    /// Begins the extent of a queue and stream; the messages that follow are its. An extent that stays empty is left out.
    ///
    /// **Errors**: `InvalidInput` if queue and stream are not behind those of the last extent.
    pub fn begin_extent(&mut self, queue: QueueId, stream: Stream) -> io::Result<()> {
        self.drop_empty();
        let last = self.footer.rows.last();
        if last.is_some_and(|last| (last.queue, last.stream) >= (queue, stream)) {
            return Err(refused("extents by rising queue and stream"));
        }
        self.back = 0;
        self.salt = salt(self.uuid, self.id, queue, stream);
        self.footer.rows.push(Row {
            queue,
            stream,
            last_size: 0,
            first_seq: 0,
            last_seq: 0,
            count: 0,
            offset: self.end(),
            len: 0,
            first_point: self.footer.points.len() as u32,
            points: 0,
        });
        Ok(())
    }

    /// Adds a message to the extent. **Effect**: in memory, or written; not synced. **Waits**: for the disk, once for each MiB.
    ///
    /// **Errors**: `InvalidInput` if no extent is open, the sequence number is not above the last one, or record and body have 2 GiB;
    /// those of [`File::write_at`], after which this segment must be given up.
    pub fn push(&mut self, message: NewMessage<'_>) -> io::Result<()> {
        let NewMessage { record, body, .. } = message;
        let at = self.end();
        let prefix = body.map(|_| (record.len() as u32).to_le_bytes());
        let len =
            prefix.map_or(0, |prefix| prefix.len()) + record.len() + body.map_or(0, <[u8]>::len);
        if len as u64 > MESSAGE_MAX - 2 * HEAD as u64 {
            return Err(refused("messages below 2 GiB"));
        }
        let mut head = Head {
            len: len as u32,
            crc: 0,
            seq: message.seq,
            has_body: body.is_some(),
            back: self.back,
            delivery_count: message.delivery_count,
            arrived_ms: message.arrived_ms,
        };
        self.note(at, &head)?;
        let padding = head.size() as usize - HEAD - len;
        let (len, covered) = (head.len.to_le_bytes(), head.encode_covered());
        let pieces = [
            covered.as_slice(),
            prefix.as_ref().map_or(&[], |prefix| prefix.as_slice()),
            record,
            body.unwrap_or_default(),
            [0; 8].get(..padding).unwrap_or_default(),
        ];
        let [covered, prefix, record, body, padding] = pieces;
        head.crc = crc32c_of(&[&len, covered, prefix, record, body, padding]) ^ self.salt;
        self.append(&len)?;
        self.append(&head.crc.to_le_bytes())?;
        pieces.iter().try_for_each(|piece| self.append(piece))
    }

    /// Bytes that the messages have taken up to now.
    pub fn bytes(&self) -> u64 {
        self.end() - BLOCK
    }

    /// Ends the segment. **Effect**: on return the whole of it is synced under its name. **Waits**: for the disk.
    ///
    /// **Errors**: whatever the disk says. The file may then be there or not, under either name; it must not be used. Where the disk was full,
    /// it is not there.
    pub fn finish(self) -> io::Result<Sealed> {
        let (disk, id) = (Arc::clone(&self.disk), self.id);
        self.seal().inspect_err(|error| {
            if error.kind() == io::ErrorKind::StorageFull {
                // The first error is the one to tell; what is left means nothing and goes at the next start.
                let _ = disk.remove(Path::new(&unsealed_path(id)));
            }
        })
    }

    fn seal(mut self) -> io::Result<Sealed> {
        self.drop_empty();
        let footer = self.footer.encode();
        let trailer = Trailer {
            footer_at: self.end(),
            extents: self.footer.rows.len() as u32,
            points: self.footer.points.len() as u32,
            id: self.id,
            uuid: self.uuid,
            footer_crc: crc32c(&footer),
        };
        self.append(&footer)?;
        let padding = (trailer.copy_at() - self.end()) as usize;
        self.append(&vec![0; padding])?;
        self.append(&footer)?;
        self.append(&trailer.encode())?;
        self.flush()?;
        self.file
            .write_at(0, &encode_header(&trailer, self.created_ms))?;
        self.file.sync()?;
        let (from, to) = (unsealed_path(self.id), sealed_path(self.id));
        self.disk.rename(Path::new(&from), Path::new(&to))?;
        self.disk.sync_dir(Path::new(FOLDER))?;
        Ok(Sealed {
            id: self.id,
            bytes: self.flushed,
            extents: self.footer.rows.iter().map(Row::extent).collect(),
        })
    }

    /// Gives the segment up and removes its file. **Errors**: those of [`Disk::remove`].
    pub fn abandon(self) -> io::Result<()> {
        self.disk.remove(Path::new(&unsealed_path(self.id)))
    }

    /// Where the next byte goes.
    fn end(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Writes a message into the table, and down as a point if it is time for one.
    fn note(&mut self, offset: u64, head: &Head) -> io::Result<()> {
        let Some(row) = self.footer.rows.last_mut() else {
            return Err(refused("messages in an extent"));
        };
        if row.count > 0 && head.seq <= row.last_seq {
            return Err(refused("messages by rising sequence number"));
        }
        let last = self.footer.points.last().map_or(0, |point| point.offset);
        if row.count == 0 || offset - last >= POINT_EVERY {
            self.footer.points.push(Point {
                ordinal: row.count,
                seq: head.seq,
                offset,
            });
            row.points += 1;
        }
        if row.count == 0 {
            row.first_seq = head.seq;
        }
        row.last_seq = head.seq;
        row.count += 1;
        row.len += head.size();
        row.last_size = head.size() as u32;
        self.back = head.size();
        Ok(())
    }

    fn drop_empty(&mut self) {
        self.footer.rows.pop_if(|row| row.count == 0);
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BUFFER - self.buffer.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.flushed, &self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("a segment takes {what}"),
    )
}
