//! Whether an entry can follow on those before it, asked before anything of it is applied.
//!
//! What the entries of a bundle change for those behind them is kept beside the index, as far as an answer depends on it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inconsistent, Index, dropped_in, is_source};
use crate::entry::{Decoded, Entry, Extents, QueueRun, SegmentId, Stream, Target, Targets};
use crate::log::{Group, QueueId};

impl Index {
    /// Refuses what [`Index::apply`] cannot apply as a whole.
    pub(super) fn check(
        &mut self,
        decoded: &Decoded<'_>,
        file_seq: u64,
    ) -> Result<(), Inconsistent> {
        let newest = self
            .places
            .files
            .last()
            .map_or(file_seq, |file| file.file_seq);
        if newest > file_seq {
            return Err(Inconsistent::FileOrder { file_seq, newest });
        }
        match decoded.entry {
            Entry::Enqueue(enqueue) => self.check_targets(enqueue.targets, decoded.stamp.group),
            Entry::Bundle(entries) => {
                let mut ahead = Ahead::new(self);
                ahead.sources = dropped_in(&entries);
                for decoded in entries {
                    ahead.check(&decoded?)?;
                }
                Ok(())
            }
            // By itself it can always follow.
            Entry::Settle { .. } | Entry::SettleEach { .. } | Entry::Requeue { .. } => Ok(()),
            _ => Ahead::new(self).check(decoded),
        }
    }

    /// Checks the targets of an entry that stands by itself. What they change for each other is noted in the streams.
    fn check_targets(&mut self, targets: Targets<'_>, group: Group) -> Result<(), Inconsistent> {
        self.checks += 1;
        let mut are_known = true;
        for target in targets {
            let Some(messages) = self.streams.get_mut((target.queue, target.stream)) else {
                are_known = false;
                continue;
            };
            let next_seq = match messages.checked {
                (check, ahead) if check == self.checks => ahead,
                _ => messages.next_seq,
            };
            check_target(&target, group, (next_seq, messages.group))?;
            messages.checked = (self.checks, target.first_seq + u64::from(target.count));
        }
        if are_known {
            return Ok(());
        }
        let mut ahead = Ahead::new(self);
        targets
            .into_iter()
            .try_for_each(|target| ahead.check_enqueue(&target, group))
    }
}

/// Checks a target against the next sequence number and the group of its stream.
fn check_target(
    target: &Target,
    named: Group,
    (next_seq, group): (u64, Group),
) -> Result<(), Inconsistent> {
    let Target {
        queue,
        stream,
        first_seq,
        ..
    } = *target;
    if group != named {
        return Err(Inconsistent::OtherGroup {
            queue,
            group,
            named,
        });
    }
    if first_seq < next_seq {
        return Err(Inconsistent::SequenceUsed {
            queue,
            stream,
            first_seq,
            next_seq,
        });
    }
    Ok(())
}

/// The index as it will be behind the entries that were checked.
struct Ahead<'a> {
    index: &'a Index,
    /// The segments that the bundle drops.
    sources: Vec<SegmentId>,
    /// The next sequence number and the group of streams that got messages, or that were deleted.
    next: BTreeMap<(QueueId, Stream), (u64, Group)>,
    deleted: BTreeSet<QueueId>,
    /// Numbers that were settled, or moved to a segment of this bundle.
    left: BTreeMap<(QueueId, Stream), Ranges>,
    added: BTreeSet<SegmentId>,
    dropped: BTreeSet<SegmentId>,
}

impl<'a> Ahead<'a> {
    fn new(index: &'a Index) -> Self {
        Self {
            index,
            sources: vec![],
            next: BTreeMap::new(),
            deleted: BTreeSet::new(),
            left: BTreeMap::new(),
            added: BTreeSet::new(),
            dropped: BTreeSet::new(),
        }
    }

    fn check(&mut self, decoded: &Decoded<'_>) -> Result<(), Inconsistent> {
        match decoded.entry {
            Entry::Enqueue(enqueue) => {
                for target in enqueue.targets {
                    self.check_enqueue(&target, decoded.stamp.group)?;
                }
            }
            Entry::Settle {
                queue,
                stream,
                runs,
                ..
            } if !self.sources.is_empty() => {
                let left = self.left.entry((queue, stream)).or_default();
                for run in runs {
                    left.add(run.first_seq, run.first_seq + (run.count - 1));
                }
            }
            Entry::SettleEach { runs, .. } if !self.sources.is_empty() => {
                for QueueRun { queue, stream, run } in runs {
                    let left = self.left.entry((queue, stream)).or_default();
                    left.add(run.first_seq, run.first_seq + (run.count - 1));
                }
            }
            Entry::Purge {
                queue,
                stream,
                upto,
            } if !self.sources.is_empty() => {
                self.left.entry((queue, stream)).or_default().add(0, upto);
            }
            Entry::QueueDelete { queue } => {
                self.deleted.insert(queue);
                self.next.retain(|(of, _), _| *of != queue);
            }
            Entry::SegmentAdd {
                segment, extents, ..
            } => self.check_add(segment, extents)?,
            Entry::SegmentDrop { segment } => self.check_drop(segment)?,
            _ => {}
        }
        Ok(())
    }

    fn check_enqueue(&mut self, target: &Target, group: Group) -> Result<(), Inconsistent> {
        let stream = (target.queue, target.stream);
        let next = self.next.get(&stream).copied();
        let now = || {
            let messages = self.index.streams.get(stream);
            let is_there = !self.deleted.contains(&target.queue);
            messages
                .filter(|_| is_there)
                .map(|messages| (messages.next_seq, messages.group))
        };
        if let Some(next) = next.or_else(now) {
            check_target(target, group, next)?;
        }
        let next_seq = target.first_seq + u64::from(target.count);
        self.next.insert(stream, (next_seq, group));
        Ok(())
    }

    fn check_add(&mut self, segment: SegmentId, extents: Extents<'_>) -> Result<(), Inconsistent> {
        if self.index.places.segments.contains_key(&segment) || !self.added.insert(segment) {
            return Err(Inconsistent::SegmentKnown { segment });
        }
        for extent in extents {
            let stream = (extent.queue, extent.stream);
            if let Some(messages) = self.index.streams.get(stream) {
                if extent.last_seq >= messages.next_seq {
                    return Err(Inconsistent::ExtentUnknown {
                        segment,
                        queue: extent.queue,
                    });
                }
                let range = extent.first_seq..=extent.last_seq;
                let count = messages
                    .live
                    .count_in(range, |place| is_source(place, &self.sources));
                if count > extent.count {
                    return Err(Inconsistent::ExtentShort {
                        segment,
                        queue: extent.queue,
                    });
                }
            }
            if self.next.contains_key(&stream) {
                return Err(Inconsistent::ExtentUnknown {
                    segment,
                    queue: extent.queue,
                });
            }
            if !self.sources.is_empty() {
                self.left
                    .entry(stream)
                    .or_default()
                    .add(extent.first_seq, extent.last_seq);
            }
        }
        Ok(())
    }

    fn check_drop(&mut self, segment: SegmentId) -> Result<(), Inconsistent> {
        if !self.index.places.segments.contains_key(&segment) || !self.dropped.insert(segment) {
            return Err(Inconsistent::SegmentUnknown { segment });
        }
        for placed in self.index.runs_in_segment(segment) {
            let gone = self.deleted.contains(&placed.queue)
                || self
                    .left
                    .get(&(placed.queue, placed.stream))
                    .is_some_and(|left| left.covers(placed.run.first_seq, placed.run.last_seq()));
            if !gone {
                return Err(Inconsistent::SegmentLive {
                    segment,
                    queue: placed.queue,
                });
            }
        }
        Ok(())
    }
}

/// Ranges of numbers that neither overlap nor touch, each under its first number.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        while let Some((&from, &to)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.0.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.0.insert(first, last);
    }

    fn covers(&self, first: u64, last: u64) -> bool {
        self.0
            .range(..=first)
            .next_back()
            .is_some_and(|(_, to)| *to >= last)
    }
}
