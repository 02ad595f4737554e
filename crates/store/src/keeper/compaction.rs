//! Compaction: what is left of segments that are mostly dead goes into a new one, and they are dropped, all in one entry of the log.

use std::io;
use std::iter::Peekable;
use std::sync::Arc;

use super::{Keeper, KeeperError};
use crate::entry::{self, Extent, SegmentId, Stamp, Stream};
use crate::index::{LiveRun, PlacedRun};
use crate::log::QueueId;
use crate::reading::Lost;
use crate::segment::{Damage, Messages, NewMessage, SegmentWriter, Start};

/// With more segments than this that are shorter than an eighth of what they could be, some of them are joined.
const SMALL_MAX: usize = 32;

/// How many segments are compacted or dropped at once.
const SOURCES_MAX: usize = 64;

impl Keeper {
    /// Drops dead segments, or compacts some that are mostly dead. Whether it did.
    pub(super) fn compact(&mut self, now_ms: u64) -> Result<bool, KeeperError> {
        let (dead, sources) = self.choose();
        if !dead.is_empty() {
            self.drop_segments(None, dead)?;
            return Ok(true);
        }
        if sources.is_empty() {
            return Ok(false);
        }
        let mut runs: Vec<(SegmentId, PlacedRun)> = Vec::new();
        {
            let applied = self.applied.read();
            for id in &sources {
                runs.extend(applied.index.runs_in_segment(*id).map(|run| (*id, run)));
            }
        }
        runs.sort_unstable_by_key(|(_, run)| (run.queue, run.stream, run.run.first_seq));
        let id = self.next_segment();
        let mut writer = SegmentWriter::new(Arc::clone(&self.disk), id, self.store, now_ms)?;
        if !self.copy(&mut writer, &runs)? {
            writer.abandon()?;
            return Ok(true);
        }
        if writer.bytes() == 0 {
            writer.abandon()?;
            return Ok(false);
        }
        let sealed = writer.finish()?;
        self.drop_segments(Some((id, sealed.bytes, sealed.extents)), sources)?;
        Ok(true)
    }

    /// Segments without live messages, and those that are worth to be compacted together.
    fn choose(&self) -> (Vec<SegmentId>, Vec<SegmentId>) {
        let applied = self.applied.read();
        let small_len = self.aims.segment_bytes / 8;
        let (mut dead, mut sparse, mut small) = (Vec::new(), Vec::new(), Vec::new());
        for (id, segment) in applied.index.segments() {
            if self.damaged_segments.contains(&id) {
                continue;
            }
            if segment.live == 0 {
                dead.push(id);
                continue;
            }
            let (bytes, live) = (segment.bytes(), segment.live_bytes());
            if live < bytes / 2 {
                sparse.push((live, id));
            } else if segment.file_len < small_len {
                small.push((live, id));
            }
        }
        dead.truncate(SOURCES_MAX);
        let mut chosen = sparse;
        if small.len() > SMALL_MAX {
            chosen.append(&mut small);
        }
        chosen.sort_unstable();
        let mut bytes = 0;
        let fitting = chosen.into_iter().take_while(|(live, _)| {
            let fits = bytes == 0 || bytes + live <= self.aims.segment_bytes;
            bytes += live;
            fits
        });
        let sources = fitting.map(|(_, id)| id).take(SOURCES_MAX).collect();
        (dead, sources)
    }

    /// Copies messages; `false` where some are damaged, after which their segment is left alone.
    fn copy(
        &mut self,
        writer: &mut SegmentWriter,
        runs: &[(SegmentId, PlacedRun)],
    ) -> io::Result<bool> {
        let mut of: Option<(QueueId, Stream)> = None;
        let together = |one: &(SegmentId, PlacedRun), other: &(SegmentId, PlacedRun)| {
            one.0 == other.0 && (one.1.queue, one.1.stream) == (other.1.queue, other.1.stream)
        };
        for runs in runs.chunk_by(together) {
            let Some((id, first)) = runs.first() else {
                continue;
            };
            if of != Some((first.queue, first.stream)) {
                of = Some((first.queue, first.stream));
                writer.begin_extent(first.queue, first.stream)?;
            }
            if let Err(lost) = self.copy_from(writer, *id, runs)? {
                self.damaged_segments.insert(*id);
                self.lost.push(lost);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies runs of one queue from one segment.
    fn copy_from(
        &mut self,
        writer: &mut SegmentWriter,
        id: SegmentId,
        runs: &[(SegmentId, PlacedRun)],
    ) -> io::Result<Result<(), Lost>> {
        let Some(first) = runs.first().map(|(_, run)| *run) else {
            return Ok(Ok(()));
        };
        let end = runs.last().map_or(0, |(_, run)| run.run.last_seq());
        let lost = |what: String, seq: u64| Lost {
            what,
            queue: first.queue.0,
            first_seq: seq,
            last_seq: end.max(seq),
        };
        let reader = match self.segments.reader(id) {
            Ok(reader) => reader,
            Err(damage) => return Ok(Err(lost(damage.to_string(), first.run.first_seq))),
        };
        let Some(extent) = reader.find(first.queue, first.stream) else {
            let what = "a segment has not the queue that it should have".to_owned();
            return Ok(Err(lost(what, first.run.first_seq)));
        };
        let mut runs = runs.iter().map(|(_, run)| run.run).peekable();
        let mut expected = first.run.first_seq;
        while let Some(run) = runs.peek() {
            // By number, never by place: where there is damage, it counts only if it hit what is live.
            expected = expected.max(run.first_seq);
            let messages = match reader.read(extent, Start::Seq(expected), 1 << 20) {
                Ok(messages) => messages,
                Err(damage) => return Ok(Err(within(lost(damage.to_string(), expected), &damage))),
            };
            copy_live(writer, &messages, &mut runs, &mut expected)?;
            let Some(run) = runs.peek() else {
                break;
            };
            let has_more = messages
                .list
                .last()
                .is_some_and(|last| last.seq < run.first_seq.max(expected));
            if !has_more || messages.next.is_none() {
                let what = "a segment has not the messages that it should have".to_owned();
                return Ok(Err(lost(what, expected)));
            }
        }
        Ok(Ok(()))
    }

    /// Stages the drop of segments, with the segment that their live messages are in now.
    fn drop_segments(
        &mut self,
        added: Option<(SegmentId, u64, Vec<Extent>)>,
        dropped: Vec<SegmentId>,
    ) -> Result<(), KeeperError> {
        let one = dropped.len() == 1 && added.is_none();
        let entries = |out: &mut Vec<u8>, stamp: Stamp| {
            if let Some((id, bytes, extents)) = &added {
                entry::segment_add(out, stamp, *id, *bytes, extents)?;
            }
            dropped
                .iter()
                .try_for_each(|id| entry::segment_drop(out, stamp, *id))
        };
        let bundle = |out: &mut Vec<u8>, stamp| match one {
            true => entries(out, stamp),
            false => entry::bundle(out, stamp, |out| entries(out, stamp)),
        };
        self.stage(bundle)?;
        self.dropping = dropped;
        Ok(())
    }
}

/// What is lost by a damage, where it says that it is less than all.
fn within(lost: Lost, damage: &Damage) -> Lost {
    let upto = damage.lost.as_ref().map(|lost| *lost.seqs.end());
    let upto = upto.unwrap_or(lost.last_seq);
    Lost {
        last_seq: upto.clamp(lost.first_seq, lost.last_seq),
        ..lost
    }
}

/// Copies those messages that are in the runs, up to one that is missing. `expected` is the next one.
fn copy_live(
    writer: &mut SegmentWriter,
    messages: &Messages,
    runs: &mut Peekable<impl Iterator<Item = LiveRun>>,
    expected: &mut u64,
) -> io::Result<()> {
    for stored in &messages.list {
        let Some(run) = runs.peek() else {
            break;
        };
        *expected = run.first_seq.max(*expected);
        if stored.seq < *expected {
            continue;
        }
        if stored.seq > *expected {
            break;
        }
        let record = messages.records.get(stored.record.clone());
        writer.push(NewMessage {
            seq: stored.seq,
            delivery_count: stored.delivery_count,
            arrived_ms: stored.arrived_ms,
            record: record.unwrap_or_default(),
            body: stored.body.as_deref(),
        })?;
        *expected += 1;
        if stored.seq == run.last_seq() {
            runs.next();
        }
    }
    Ok(())
}
