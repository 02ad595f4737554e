//! Random entries: steps are numbers that mean something only with the index they meet, so that every step is near what is possible.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::entry::{self, NewEnqueue, Reason, RequeueRun, Run};

/// What is written next. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Targets: queue, stream, gap before the first number, count.
    Enqueue(Vec<(u64, u32, u64, u32)>),
    /// A used sequence number is given again, in a bundle with something else where the number is odd.
    EnqueueAgain(u64),
    Settle(u64, u32, Vec<(u64, u64)>),
    /// One number of every few, which leaves holes.
    SettleEvery(u64, u32, u64, u64, bool),
    Requeue(u64, u32, u64, u64, u32),
    Purge(u64, u32, u64),
    Delete(u64),
    Define(u8, u8),
    Undefine(u8),
    NextFile,
    /// A file is paged out; before the SegmentAdd, a range is settled.
    PageOut(usize, u64, u64),
    /// Segments are compacted into one; before that, a range is settled.
    Compact(Vec<usize>, u64, u64),
    /// A segment is dropped, live or not, there or not.
    Drop(usize),
    /// A segment is added that cannot be: of a known number, or short of messages.
    AddWrongly(usize),
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let (queue, stream) = (0..4u64, 0..2u32);
    let of = (queue, stream);
    let count = prop_oneof![6 => 1..80u32, 1 => 1500..5000u32];
    let target = (of.clone(), prop_oneof![4 => Just(0), 1 => 1..4u64], count)
        .prop_map(|((queue, stream), gap, count)| (queue, stream, gap, count));
    let step = prop_oneof![
        8 => vec(target, 1..6).prop_map(Step::Enqueue),
        1 => any::<u64>().prop_map(Step::EnqueueAgain),
        5 => (of.clone(), vec((any::<u64>(), 1..60u64), 1..5)).prop_map(|((q, s), runs)| Step::Settle(q, s, runs)),
        4 => (of.clone(), any::<u64>(), 2..7u64, any::<bool>()).prop_map(|((q, s), a, b, c)| Step::SettleEvery(q, s, a, b, c)),
        3 => (of.clone(), any::<u64>(), 1..50u64, 0..4u32).prop_map(|((q, s), a, b, c)| Step::Requeue(q, s, a, b, c)),
        1 => (of, any::<u64>()).prop_map(|((q, s), upto)| Step::Purge(q, s, upto)),
        1 => (0..4u64).prop_map(Step::Delete),
        1 => (0..5u8, any::<u8>()).prop_map(|(key, value)| Step::Define(key, value)),
        1 => (0..5u8).prop_map(Step::Undefine),
        3 => Just(Step::NextFile),
        4 => (any::<usize>(), any::<u64>(), 1..50u64).prop_map(|(file, a, b)| Step::PageOut(file, a, b)),
        3 => (vec(any::<usize>(), 1..4), any::<u64>(), 1..50u64).prop_map(|(ids, a, b)| Step::Compact(ids, a, b)),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => any::<usize>().prop_map(Step::AddWrongly),
    ];
    vec(step, 1..most)
}

/// An entry as encoded, with its place and file, and whether it was refused.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) lsn: Lsn,
    pub(crate) file_seq: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) refused: bool,
}

/// An index and the log that made it.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) index: Index,
    lsn: u64,
    pub(crate) file_seq: u64,
    next_segment: u64,
    /// All entries, those that were refused too.
    pub(crate) entries: Vec<Written>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            index: Index::default(),
            lsn: 4096,
            file_seq: 1,
            next_segment: 1,
            entries: vec![],
        }
    }
}

type Filled = Result<(), entry::TooLong>;

pub(crate) fn group(queue: u64) -> Stamp {
    Stamp {
        group: Group(queue as u16 % 2),
        term: 0,
        index: 0,
    }
}

/// One byte a message.
pub(crate) fn enqueue(out: &mut Vec<u8>, stamp: Stamp, targets: &[Target]) -> Filled {
    let messages = targets
        .iter()
        .map(|target| target.first + target.count)
        .max()
        .unwrap_or(0);
    let starts: Vec<u32> = (0..messages).collect();
    let records = vec![7; messages as usize];
    entry::enqueue(
        out,
        stamp,
        &NewEnqueue {
            unix_ms: 1,
            targets,
            starts: &starts,
            records: &records,
            bodies: &[],
        },
    )
}

pub(crate) fn target(queue: u64, stream: u32, first_seq: u64, count: u32) -> Target {
    Target {
        queue: QueueId(queue),
        stream: Stream(stream),
        first: 0,
        count,
        flags: 0,
        first_seq,
        expires_ms: 0,
    }
}

impl Log {
    /// Writes an entry and applies it.
    pub(crate) fn write(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> Filled,
    ) -> Result<(), Inconsistent> {
        let mut bytes = vec![];
        fill(&mut bytes).unwrap();
        let decoded = entry::decode(Lsn(self.lsn), &bytes).unwrap();
        let applied = self.index.apply(&decoded, self.file_seq);
        let len = bytes.len() as u64;
        self.entries.push(Written {
            lsn: Lsn(self.lsn),
            file_seq: self.file_seq,
            bytes,
            refused: applied.is_err(),
        });
        self.lsn += len;
        applied
    }

    pub(crate) fn settle(&mut self, queue: u64, stream: u32, runs: impl IntoIterator<Item = Run>) {
        let of = (QueueId(queue), Stream(stream));
        let settled = self.write(|out| entry::settle(out, group(queue), of, Reason::Ack, runs));
        settled.unwrap();
    }

    fn requeue(
        &mut self,
        (queue, stream): (u64, u32),
        first_seq: u64,
        count: u64,
        delivery_count: u32,
    ) {
        let run = RequeueRun {
            first_seq,
            count,
            delivery_count,
            ready_ms: u64::from(delivery_count % 3) * 1_900_000_000_000,
        };
        let of = (QueueId(queue), Stream(stream));
        let requeued =
            self.write(|out| entry::requeue(out, group(queue), of, Reason::Reject, [run]));
        requeued.unwrap();
    }

    /// Writes what a step says. Whether it is refused is for the entry to say.
    pub(crate) fn step(&mut self, step: &Step) {
        let next_seq = |log: &Self, queue: u64, stream: u32| {
            log.index.next_seq(QueueId(queue), Stream(stream))
        };
        match step {
            Step::Enqueue(wanted) => self.enqueue(wanted),
            Step::EnqueueAgain(number) => self.enqueue_again(*number),
            Step::Settle(queue, stream, runs) => {
                let most = next_seq(self, *queue, *stream) + 3;
                let runs = runs.iter().map(|(first, count)| Run {
                    first_seq: first % most,
                    count: *count,
                });
                self.settle(*queue, *stream, runs.collect::<Vec<_>>());
            }
            Step::SettleEvery(queue, stream, from, step, rising) => {
                let most = next_seq(self, *queue, *stream);
                let mut seqs: Vec<u64> =
                    (from % (most + 1)..most).step_by(*step as usize).collect();
                if !rising {
                    seqs.reverse();
                }
                self.settle(
                    *queue,
                    *stream,
                    seqs.into_iter().map(|first_seq| Run {
                        first_seq,
                        count: 1,
                    }),
                );
            }
            Step::Requeue(queue, stream, first, count, delivery_count) => {
                let first_seq = first % (next_seq(self, *queue, *stream) + 3);
                self.requeue((*queue, *stream), first_seq, *count, *delivery_count);
            }
            Step::Purge(queue, stream, upto) => {
                let upto = upto % (next_seq(self, *queue, *stream) + 3);
                let purged = self.write(|out| {
                    entry::purge(out, group(*queue), QueueId(*queue), Stream(*stream), upto)
                });
                purged.unwrap();
            }
            Step::Delete(queue) => self
                .write(|out| entry::queue_delete(out, group(*queue), QueueId(*queue)))
                .unwrap(),
            Step::Define(key, value) => self
                .write(|out| entry::define(out, group(0), &[*key], &[*value; 3]))
                .unwrap(),
            Step::Undefine(key) => self
                .write(|out| entry::undefine(out, group(0), &[*key]))
                .unwrap(),
            Step::NextFile => self.file_seq += 1,
            Step::PageOut(file, first, count) => self.page_out(*file, *first, *count),
            Step::Compact(which, first, count) => self.compact(which, *first, *count),
            Step::Drop(which) => {
                let id = self
                    .segments()
                    .get(which % (self.segments().len() + 1))
                    .map_or(SegmentId(99_999), |id| *id);
                let _may_be_refused = self.write(|out| entry::segment_drop(out, group(0), id));
            }
            Step::AddWrongly(which) => self.add_wrongly(*which),
        }
    }

    fn enqueue(&mut self, wanted: &[(u64, u32, u64, u32)]) {
        for parity in 0..2 {
            let mut next = std::collections::BTreeMap::new();
            let (mut targets, mut first) = (vec![], 0);
            for (queue, stream, gap, count) in
                wanted.iter().filter(|(queue, ..)| queue % 2 == parity)
            {
                let next = next
                    .entry((*queue, *stream))
                    .or_insert_with(|| self.index.next_seq(QueueId(*queue), Stream(*stream)));
                targets.push(Target {
                    first,
                    ..target(*queue, *stream, *next + gap, *count)
                });
                *next += gap + u64::from(*count);
                first += count / 2;
            }
            if !targets.is_empty() {
                self.write(|out| enqueue(out, group(parity), &targets))
                    .unwrap();
            }
        }
    }

    fn enqueue_again(&mut self, number: u64) {
        let streams: Vec<_> = self
            .index
            .queues()
            .filter(|state| state.next_seq > 0)
            .collect();
        let Some(state) = streams.get(number as usize % streams.len().max(1)) else {
            return;
        };
        let again = target(state.queue.0, state.stream.0, state.next_seq - 1, 2);
        let stamp = group(state.queue.0);
        let refused = self.write(|out| {
            if number.is_multiple_of(2) {
                return enqueue(out, stamp, &[again]);
            }
            entry::bundle(out, stamp, |out| {
                entry::purge(out, stamp, state.queue, state.stream, u64::MAX - 1)?;
                entry::define(out, stamp, b"half", b"a bundle")?;
                enqueue(out, stamp, &[again])
            })
        });
        assert!(
            matches!(refused, Err(Inconsistent::SequenceUsed { .. })),
            "{refused:?}"
        );
    }

    pub(crate) fn page_out(&mut self, file: usize, first: u64, count: u64) {
        let files: Vec<u64> = self
            .index
            .wal_files()
            .iter()
            .map(|file| file.file_seq)
            .collect();
        let Some(file) = files.get(file % files.len().max(1)) else {
            return;
        };
        let extents = extents(self.index.runs_in_wal_file(*file));
        self.settle_within(&extents, first, count);
        let id = self.new_segment();
        self.write(|out| entry::segment_add(out, group(0), id, 10_000, &extents))
            .unwrap();
    }

    pub(crate) fn compact(&mut self, which: &[usize], first: u64, count: u64) {
        let segments = self.segments();
        let mut ids: Vec<SegmentId> = which
            .iter()
            .filter_map(|i| segments.get(i % segments.len().max(1)))
            .copied()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut runs: Vec<PlacedRun> = ids
            .iter()
            .flat_map(|id| self.index.runs_in_segment(*id))
            .collect();
        runs.sort_by_key(|placed| (placed.queue, placed.stream, placed.run.first_seq));
        let extents = extents(runs.into_iter());
        self.settle_within(&extents, first, count);
        let id = self.new_segment();
        let compacted = self.write(|out| {
            entry::bundle(out, group(0), |out| {
                entry::segment_add(out, group(0), id, 10_000, &extents)?;
                ids.iter()
                    .try_for_each(|id| entry::segment_drop(out, group(0), *id))
            })
        });
        compacted.unwrap();
    }

    fn settle_within(&mut self, extents: &[Extent], first: u64, count: u64) {
        if let Some(extent) = extents.get(first as usize % extents.len().max(1)) {
            let first_seq = extent.first_seq + first % (extent.last_seq - extent.first_seq + 1);
            self.settle(extent.queue.0, extent.stream.0, [Run { first_seq, count }]);
        }
    }

    fn add_wrongly(&mut self, which: usize) {
        let segments = self.segments();
        let id = self.new_segment();
        let known = segments.get(which / 3 % segments.len().max(1));
        let extents = extents(self.index.queues().flat_map(|state| {
            let live = self.index.live(state.queue, state.stream, 0);
            live.map(move |run| PlacedRun {
                queue: state.queue,
                stream: state.stream,
                run,
            })
        }));
        let short: Vec<_> = extents
            .iter()
            .map(|extent| Extent {
                count: 1,
                ..*extent
            })
            .collect();
        let beyond: Vec<_> = extents
            .iter()
            .map(|extent| Extent {
                last_seq: 1 << 40,
                ..*extent
            })
            .collect();
        let drop_then_add = known.is_some() && which.is_multiple_of(2);
        let _may_be_refused = self.write(|out| match (which % 3, known) {
            (0, Some(known)) => entry::segment_add(out, group(0), *known, 10_000, &extents),
            (1, _) => entry::segment_add(out, group(0), id, 10_000, &beyond),
            (_, Some(known)) if drop_then_add => entry::bundle(out, group(0), |out| {
                entry::segment_drop(out, group(0), *known)?;
                entry::segment_add(out, group(0), id, 10_000, &extents)
            }),
            _ => entry::segment_add(out, group(0), id, 10_000, &short),
        });
    }

    fn segments(&self) -> Vec<SegmentId> {
        self.index.segments().map(|(id, _)| id).collect()
    }

    fn new_segment(&mut self) -> SegmentId {
        self.next_segment += 1;
        SegmentId(self.next_segment)
    }
}

/// The extents of runs by rising queue, stream and number.
pub(crate) fn extents(runs: impl Iterator<Item = PlacedRun>) -> Vec<Extent> {
    let mut extents: Vec<Extent> = vec![];
    for PlacedRun { queue, stream, run } in runs {
        let last_seq = run.last_seq();
        match extents
            .last_mut()
            .filter(|extent| (extent.queue, extent.stream) == (queue, stream))
        {
            Some(extent) => {
                extent.last_seq = last_seq;
                extent.count += run.count;
                extent.len += run.count * 10;
            }
            None => extents.push(Extent {
                queue,
                stream,
                first_seq: run.first_seq,
                last_seq,
                count: run.count,
                offset: 4096,
                len: run.count * 10,
            }),
        }
    }
    extents
}
