//! The segments that the index names: whether they are there and whole, and which live messages are not.

use std::io;

use super::Look;
use super::range::DamagedRange;
use super::report::{Finding, Loses};
use super::resident::concerned;
use crate::disk::Disk;
use crate::entry::{SegmentId, Stream};
use crate::index::{LiveRun, Location};
use crate::log::QueueId;
use crate::segment::{Cause, Damage, SegmentReader, sealed_path};

/// Live messages that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostRun {
    pub(crate) queue: QueueId,
    pub(crate) stream: Stream,
    pub(crate) first_seq: u64,
    pub(crate) count: u64,
}

/// A segment that is damaged.
#[derive(Debug)]
pub(crate) struct DamagedSegment {
    pub(crate) id: SegmentId,
    /// None where it cannot be opened: nothing in it can be read then.
    pub(crate) reader: Option<SegmentReader>,
}

impl Look {
    /// Reads every segment of the index.
    pub(super) fn check_segments(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let ids: Vec<SegmentId> = self.index.segments().map(|(id, _)| id).collect();
        for id in ids {
            let mut damages = vec![];
            let reader = match SegmentReader::open(disk, id) {
                Ok(reader) if self.is_the_one(&reader) => {
                    _ = reader.verify(&mut |damage| damages.push(damage));
                    Some(reader)
                }
                Ok(_) => {
                    self.segment_lost(id, "another segment is in its place".to_owned());
                    None
                }
                Err(damage) => {
                    self.segment_lost(id, text(&damage.cause));
                    None
                }
            };
            for damage in &damages {
                self.segment_damage(id, damage);
            }
            if let Some(reader) = reader.as_ref().filter(|_| self.log_is_lossy) {
                self.find_absent(reader);
            }
            if reader.is_some() && damages.is_empty() {
                continue;
            }
            self.damaged_segments.push(DamagedSegment { id, reader });
        }
        Ok(())
    }

    /// Whether a file has what the index says of the segment.
    fn is_the_one(&self, reader: &SegmentReader) -> bool {
        let known = self.index.segment(reader.id());
        let same = known.is_some_and(|known| {
            let extents = known.extents.iter().map(|(extent, _)| extent);
            extents.eq(reader.extents())
        });
        same && reader.uuid() == self.folder.store
    }

    /// Nothing of a segment can be read.
    fn segment_lost(&mut self, id: SegmentId, what: String) {
        let runs = self.index.runs_in_segment(id).map(|placed| LostRun {
            queue: placed.queue,
            stream: placed.stream,
            first_seq: placed.run.first_seq,
            count: placed.run.count,
        });
        let runs: Vec<_> = runs.collect();
        self.lose(DamagedRange::whole(sealed_path(id)), what, runs);
    }

    fn segment_damage(&mut self, id: SegmentId, damage: &Damage) {
        let at = DamagedRange::of(damage.file.clone(), damage.range.clone());
        let mut runs = vec![];
        if let Some(lost) = &damage.lost {
            let (first, last) = lost.seqs.clone().into_inner();
            let live = self.index.live(lost.queue, lost.stream, first);
            let here = |run: &LiveRun| matches!(run.location, Location::Segment { id: there, .. } if there == id);
            for run in live.take_while(|run| run.first_seq <= last).filter(here) {
                runs.push(LostRun {
                    queue: lost.queue,
                    stream: lost.stream,
                    first_seq: run.first_seq,
                    count: run.last_seq().min(last) - run.first_seq + 1,
                });
            }
        }
        self.lose(at, text(&damage.cause), runs);
    }

    fn lose(&mut self, at: DamagedRange, what: String, runs: Vec<LostRun>) {
        let loses = match runs.is_empty() {
            true => Loses::Nothing,
            false => Loses::Something,
        };
        let mut finding = Finding::new(at, what, loses);
        finding.queues = concerned(&runs);
        self.report.findings.push(finding);
        self.lost.extend(runs);
    }
}

fn text(cause: &Cause) -> String {
    match cause {
        Cause::Io(io::ErrorKind::NotFound, _) => "the segment is missing".to_owned(),
        cause => format!("segment: {cause}"),
    }
}
