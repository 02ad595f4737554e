//! Page-out: the live messages of the oldest file of the log into a segment, sorted by queue.

use std::io;
use std::sync::Arc;

use super::{Keeper, KeeperError};
use crate::entry::{self, Lsn};
use crate::index::{Delivered, PlacedRun};
use crate::log::QueueId;
use crate::reading::{Lost, index_of};
use crate::segment::{NewMessage, Sealed, SegmentWriter};
use crate::wal::WalFile;

/// With the messages of so many queues, a file is read once for each; with more, it is held in memory meanwhile.
const QUEUES_UNHELD: usize = 8;

/// What is to be paged out.
struct Source {
    runs: Vec<PlacedRun>,
    queues: usize,
    /// Of the queues that have requeued messages.
    deliveries: Vec<(QueueId, Delivered)>,
}

impl Keeper {
    /// Pages the oldest file out where the log takes more than it should. Whether it did.
    pub(super) fn page_out(&mut self, now_ms: u64) -> Result<bool, KeeperError> {
        let finished = self.finished();
        let bytes: u64 = finished.iter().map(|file| file.len).sum();
        if bytes <= self.aims.log_bytes {
            return Ok(false);
        }
        let live = self.live_files();
        let oldest = finished
            .into_iter()
            .find(|file| live.contains(&file.seq) && !self.damaged_files.contains(&file.seq));
        let Some(oldest) = oldest else {
            return Ok(false);
        };
        if self.disk.free_bytes()? < self.aims.reserve_bytes + oldest.len {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        let source = self.source(&oldest);
        let Some(first) = first_lsn(&source) else {
            return Ok(false);
        };
        let id = self.next_segment();
        if source.queues > QUEUES_UNHELD {
            self.log.hold(&oldest, first)?;
        }
        let writer = SegmentWriter::new(Arc::clone(&self.disk), id, self.store, now_ms)?;
        let sealed = self.write_source(writer, &oldest, &source);
        self.log.let_go();
        let Some(Sealed { bytes, extents, .. }) = sealed? else {
            return Ok(true);
        };
        self.stage(|out, stamp| entry::segment_add(out, stamp, id, bytes, &extents))?;
        Ok(true)
    }

    fn source(&self, file: &WalFile) -> Source {
        let applied = self.applied.read();
        let index = &applied.index;
        let runs: Vec<PlacedRun> = index.runs_in_wal_file(file.seq).collect();
        let (mut deliveries, mut queues) = (Vec::new(), 0);
        for of_queue in
            runs.chunk_by(|one, other| (one.queue, one.stream) == (other.queue, other.stream))
        {
            let Some((first, last)) = of_queue.first().zip(of_queue.last()) else {
                continue;
            };
            queues += 1;
            let counts = index.deliveries(first.queue, first.stream, first.run.first_seq);
            let counts = counts.take_while(|counted| counted.first_seq <= last.run.last_seq());
            deliveries.extend(counts.map(|counted| (first.queue, counted)));
        }
        Source {
            runs,
            queues,
            deliveries,
        }
    }

    /// Writes the messages; none where some are damaged, after which the file is left alone: a segment must have all that are live in the
    /// range of an extent.
    fn write_source(
        &mut self,
        mut writer: SegmentWriter,
        file: &WalFile,
        source: &Source,
    ) -> io::Result<Option<Sealed>> {
        let mut of = None;
        for placed in &source.runs {
            if of != Some((placed.queue, placed.stream)) {
                of = Some((placed.queue, placed.stream));
                writer.begin_extent(placed.queue, placed.stream)?;
            }
            let done = write_run(&mut self.log, &mut writer, placed, &source.deliveries);
            match done {
                Ok(Ok(())) => {}
                Ok(Err(what)) => {
                    self.damaged_files.insert(file.seq);
                    self.lost.push(Lost {
                        what,
                        queue: placed.queue.0,
                        first_seq: placed.run.first_seq,
                        last_seq: placed.run.last_seq(),
                    });
                    writer.abandon()?;
                    return Ok(None);
                }
                Err(error) => {
                    // A full disk: the file means nothing to anybody.
                    writer.abandon()?;
                    return Err(error);
                }
            }
        }
        if writer.bytes() == 0 {
            writer.abandon()?;
            return Ok(None);
        }
        writer.finish().map(Some)
    }
}

/// Where the first of the messages is.
fn first_lsn(source: &Source) -> Option<Lsn> {
    let lsn = |placed: &PlacedRun| match placed.run.location {
        crate::index::Location::Wal { lsn, .. } => Some(lsn),
        crate::index::Location::Segment { .. } => None,
    };
    source.runs.iter().filter_map(lsn).min()
}

/// Writes the messages of a run; in words why they cannot be had.
fn write_run(
    log: &mut crate::reading::LogReader,
    writer: &mut SegmentWriter,
    placed: &PlacedRun,
    deliveries: &[(QueueId, Delivered)],
) -> io::Result<Result<(), String>> {
    let crate::index::Location::Wal { lsn, .. } = placed.run.location else {
        return Ok(Ok(()));
    };
    let enqueue = match log.enqueue(lsn)? {
        Ok(enqueue) => enqueue,
        Err(what) => return Ok(Err(what)),
    };
    let Some(first) = index_of(&enqueue, (placed.queue, placed.stream), &placed.run) else {
        return Ok(Err(format!("byte {} of the log has other messages", lsn.0)));
    };
    for i in 0..placed.run.count {
        let seq = placed.run.first_seq + i;
        let record = enqueue.messages(first + i as u32, 1).unwrap_or_default();
        writer.push(NewMessage {
            seq,
            delivery_count: delivery_count(deliveries, placed.queue, seq),
            arrived_ms: enqueue.unix_ms,
            record,
            body: None,
        })?;
    }
    Ok(Ok(()))
}

fn delivery_count(deliveries: &[(QueueId, Delivered)], queue: QueueId, seq: u64) -> u32 {
    if deliveries.is_empty() {
        return 0;
    }
    let behind =
        deliveries.partition_point(|(of, counted)| (*of, counted.first_seq) <= (queue, seq));
    let before = behind.checked_sub(1).and_then(|at| deliveries.get(at));
    let counts =
        before.filter(|(of, counted)| *of == queue && seq < counted.first_seq + counted.count);
    counts.map_or(0, |(_, counted)| counted.delivery_count)
}
