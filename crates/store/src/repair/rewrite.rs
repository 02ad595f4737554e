//! Everything that is live in the log or in a damaged segment, written to new segments, and the index told of it.
//!
//! The index is told as the log would tell it: lost messages are settled, what was in the log is paged out, what was in a damaged segment is
//! compacted. These entries are written nowhere; the checkpoint has what they led to. They stand at the place of an entry that was applied, so
//! that no group's log seems to have gone on.

use std::path::Path;
use std::sync::Arc;

use super::{RepairError, Repaired};
use crate::check::{Look, QUARANTINE, list};
use crate::disk::Disk;
use crate::entry::{self, Entry, Lsn, Reason, Run, SegmentId, Stamp, Stream, decode};
use crate::index::{Index, LiveRun, Location};
use crate::log::{Group, QueueId};
use crate::segment::{self, NewMessage, Sealed, SegmentReader, SegmentWriter, Start};
use crate::wal::Survey;

/// A new segment is ended when its messages take so many bytes.
const SEGMENT_LEN: u64 = 64 << 20;

/// How much is read of a segment at once.
const READ_LEN: usize = 1 << 20;

struct Rewrite<'a> {
    disk: &'a Arc<dyn Disk>,
    store: u128,
    unix_ms: u64,
    next_id: u64,
    /// The newest file of the log, from which the entries seem to come.
    file_seq: u64,
    stamp: Stamp,
    index: &'a mut Index,
    survey: &'a mut Survey,
    /// The segment that is being written, and the stream whose extent is open in it.
    open: Option<(SegmentWriter, (QueueId, Stream))>,
    /// How many messages are in it.
    count: u64,
    repaired: &'a mut Repaired,
}

/// Moves all that is live out of the log and out of damaged segments. **Effect**: the new segments are synced and belong to nobody yet; the
/// index is as the next checkpoint is to say.
pub(super) fn rewrite(
    disk: &Arc<dyn Disk>,
    look: &mut Look,
    unix_ms: u64,
    repaired: &mut Repaired,
) -> Result<(), RepairError> {
    let mut rewrite = Rewrite {
        disk,
        store: look.folder.store,
        unix_ms,
        next_id: next_segment(&**disk, &look.index)?,
        file_seq: look.newest_file(),
        stamp: standing(&look.index),
        index: &mut look.index,
        survey: &mut look.survey,
        open: None,
        count: 0,
        repaired,
    };
    for lost in look.lost.iter().chain(&look.settled) {
        let run = Run {
            first_seq: lost.first_seq,
            count: lost.count,
        };
        rewrite.settle((lost.queue, lost.stream), run)?;
    }
    rewrite.page_out()?;
    for damaged in &look.damaged_segments {
        rewrite.replace(damaged.id, damaged.reader.as_ref())?;
    }
    Ok(())
}

/// A number that no segment has had, as far as any name tells.
fn next_segment(disk: &dyn Disk, index: &Index) -> Result<u64, RepairError> {
    let mut names = list(disk, segment::FOLDER)?;
    names.extend(list(disk, QUARANTINE)?);
    let number = |name: &String| {
        let name = name.strip_prefix("seg-").unwrap_or(name);
        let (digits, end) = name.split_once('.')?;
        let is_segment = end.starts_with("seg") || end.starts_with("tmp");
        u64::from_str_radix(digits, 16).ok().filter(|_| is_segment)
    };
    let named = names.iter().filter_map(|(name, _)| number(name));
    let known = index.segments().map(|(id, _)| id.0);
    Ok(named.chain(known).max().unwrap_or(0) + 1)
}

/// The place of the last entry of some group that has one.
fn standing(index: &Index) -> Stamp {
    let mut groups = (0..=Group::LOCAL.0).map(Group);
    let last = groups.find_map(|group| Some((group, index.last_of(group)?)));
    let (group, (term, index)) = last.unwrap_or((Group::LOCAL, (0, 0)));
    Stamp { group, term, index }
}

impl Rewrite<'_> {
    fn settle(&mut self, (queue, stream): (QueueId, Stream), run: Run) -> Result<(), RepairError> {
        let mut bytes = vec![];
        entry::settle(
            &mut bytes,
            self.stamp,
            (queue, stream),
            Reason::Expire,
            [run],
        )?;
        self.apply(&bytes)
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), RepairError> {
        let decoded = decode(Lsn(0), bytes)?;
        Ok(self.index.apply(&decoded, self.file_seq)?)
    }

    /// Writes what is live in the log to segments.
    fn page_out(&mut self) -> Result<(), RepairError> {
        let streams: Vec<_> = self
            .index
            .queues()
            .map(|state| (state.queue, state.stream))
            .collect();
        let mut read: Option<(Lsn, Vec<u8>)> = None;
        for (queue, stream) in streams {
            let live = self.index.live(queue, stream, 0);
            let in_log = |run: LiveRun| match run.location {
                Location::Wal { lsn, first } => Some((run, lsn, first)),
                Location::Segment { .. } => None,
            };
            let runs: Vec<_> = live.filter_map(in_log).collect();
            for (run, lsn, first) in runs {
                let bytes = match read.take() {
                    Some((at, bytes)) if at == lsn => bytes,
                    _ => self.survey.entry_at(lsn)?,
                };
                self.put_run((queue, stream), run, first, (lsn, &bytes))?;
                read = Some((lsn, bytes));
            }
        }
        self.end_paged_out()
    }

    /// Writes a run of an entry's messages.
    fn put_run(
        &mut self,
        of: (QueueId, Stream),
        run: LiveRun,
        first: u32,
        (lsn, bytes): (Lsn, &[u8]),
    ) -> Result<(), RepairError> {
        let Entry::Enqueue(enqueue) = decode(lsn, bytes)?.entry else {
            return Err(RepairError::Unreadable(
                "messages are where none can be".to_owned(),
            ));
        };
        for (seq, number) in (run.first_seq..=run.last_seq()).zip(first..) {
            let Some(record) = enqueue.messages(number, 1) else {
                return Err(RepairError::Unreadable("an entry is too short".to_owned()));
            };
            self.put(
                of,
                NewMessage {
                    seq,
                    delivery_count: 0,
                    arrived_ms: enqueue.unix_ms,
                    record,
                    body: None,
                },
            )?;
            let is_full = |(writer, _): &(SegmentWriter, _)| writer.bytes() >= SEGMENT_LEN;
            if self.open.as_ref().is_some_and(is_full) {
                self.end_paged_out()?;
            }
        }
        Ok(())
    }

    /// Writes a message to the segment that is open, or to a new one.
    fn put(&mut self, of: (QueueId, Stream), message: NewMessage<'_>) -> Result<(), RepairError> {
        let counts = self.index.deliveries(of.0, of.1, message.seq);
        let counted = counts
            .take(1)
            .find(|counted| counted.first_seq == message.seq);
        let delivery_count = counted.map_or(message.delivery_count, |run| run.delivery_count);
        let open = match self.open.take() {
            Some((writer, extent)) if extent == of => (writer, extent),
            Some((mut writer, _)) => {
                writer.begin_extent(of.0, of.1)?;
                (writer, of)
            }
            None => {
                let id = SegmentId(self.next_id);
                self.next_id += 1;
                let disk = Arc::clone(self.disk);
                let mut writer = SegmentWriter::new(disk, id, self.store, self.unix_ms)?;
                writer.begin_extent(of.0, of.1)?;
                (writer, of)
            }
        };
        let (writer, _) = self.open.insert(open);
        writer.push(NewMessage {
            delivery_count,
            ..message
        })?;
        self.count += 1;
        Ok(())
    }

    /// Ends the open segment, reads it again, and gives what stands in it.
    fn seal(&mut self) -> Result<Option<Sealed>, RepairError> {
        let Some((writer, _)) = self.open.take() else {
            return Ok(None);
        };
        let sealed = writer.finish()?;
        let reader = SegmentReader::open(&**self.disk, sealed.id)?;
        let mut first = None;
        let verified = reader.verify(&mut |damage| _ = first.get_or_insert(damage));
        if let Some(damage) = first {
            return Err(damage.into());
        }
        if verified.messages != self.count {
            let what = "a new segment has not all that was written to it";
            return Err(RepairError::Unreadable(what.to_owned()));
        }
        self.repaired.messages += self.count;
        self.repaired.segments += 1;
        self.count = 0;
        Ok(Some(sealed))
    }

    fn end_paged_out(&mut self) -> Result<(), RepairError> {
        let Some(sealed) = self.seal()? else {
            return Ok(());
        };
        let mut bytes = vec![];
        entry::segment_add(
            &mut bytes,
            self.stamp,
            sealed.id,
            sealed.bytes,
            &sealed.extents,
        )?;
        self.apply(&bytes)
    }

    /// Writes what is live in a damaged segment to a new one, and drops it.
    fn replace(
        &mut self,
        id: SegmentId,
        reader: Option<&SegmentReader>,
    ) -> Result<(), RepairError> {
        let runs: Vec<_> = self.index.runs_in_segment(id).collect();
        for placed in runs {
            let of = (placed.queue, placed.stream);
            let found = reader.and_then(|reader| Some((reader, reader.find(of.0, of.1)?)));
            let Some((reader, extent)) = found else {
                let what = format!("{} has not what it had", segment::sealed_path(id));
                return Err(RepairError::Unreadable(what));
            };
            self.copy_run(of, placed.run, reader, extent)?;
        }
        let (stamp, sealed) = (self.stamp, self.seal()?);
        let mut bytes = vec![];
        match sealed {
            None => entry::segment_drop(&mut bytes, stamp, id)?,
            Some(new) => entry::bundle(&mut bytes, stamp, |out| {
                entry::segment_add(out, stamp, new.id, new.bytes, &new.extents)?;
                entry::segment_drop(out, stamp, id)
            })?,
        }
        self.apply(&bytes)
    }

    /// Copies a run of live messages, none of which is damaged.
    fn copy_run(
        &mut self,
        of: (QueueId, Stream),
        run: LiveRun,
        reader: &SegmentReader,
        extent: usize,
    ) -> Result<(), RepairError> {
        let mut next = run.first_seq;
        while next <= run.last_seq() {
            let messages = reader.read(extent, Start::Seq(next), READ_LEN)?;
            let wanted = messages
                .list
                .iter()
                .take_while(|stored| stored.seq <= run.last_seq());
            let before = next;
            for stored in wanted {
                let record = messages
                    .records
                    .get(stored.record.clone())
                    .unwrap_or_default();
                let message = NewMessage {
                    seq: stored.seq,
                    delivery_count: stored.delivery_count,
                    arrived_ms: stored.arrived_ms,
                    record,
                    body: stored.body.as_deref(),
                };
                self.put(of, message)?;
                next = stored.seq + 1;
            }
            if next == before {
                let what = format!(
                    "{} has not all it had",
                    Path::new(&segment::sealed_path(reader.id())).display()
                );
                return Err(RepairError::Unreadable(what));
            }
        }
        Ok(())
    }
}
