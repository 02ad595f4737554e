//! The index message by message: what it should answer, without any cleverness.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

type Of = (QueueId, Stream);

/// A live message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) location: Location,
    file_seq: u64,
    deliveries: (u32, u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    definitions: BTreeMap<Vec<u8>, Vec<u8>>,
    streams: BTreeMap<Of, (Group, u64)>,
    live: BTreeMap<Of, BTreeMap<u64, Message>>,
    /// Messages and bytes of each file.
    files: BTreeMap<u64, (u64, u64)>,
    segments: BTreeMap<SegmentId, Vec<Extent>>,
}

/// An entry was refused.
#[derive(Debug)]
pub(super) struct Refused;

impl Model {
    pub(super) fn apply(&mut self, decoded: &Decoded<'_>, file_seq: u64) -> Result<(), Refused> {
        let mut next = self.clone();
        if let Entry::Bundle(entries) = decoded.entry {
            let given: BTreeMap<Of, u64> = self
                .streams
                .iter()
                .map(|(of, (_, next))| (*of, *next))
                .collect();
            let sources: Vec<SegmentId> = entries
                .filter_map(|entry| match entry.unwrap().entry {
                    Entry::SegmentDrop { segment } => Some(segment),
                    _ => None,
                })
                .collect();
            for decoded in entries {
                next.apply_one(&decoded.unwrap(), file_seq, &sources, &given)?;
            }
        } else {
            let given = self
                .streams
                .iter()
                .map(|(of, (_, next))| (*of, *next))
                .collect();
            next.apply_one(decoded, file_seq, &[], &given)?;
        }
        *self = next;
        Ok(())
    }

    fn apply_one(
        &mut self,
        decoded: &Decoded<'_>,
        file_seq: u64,
        sources: &[SegmentId],
        given: &BTreeMap<Of, u64>,
    ) -> Result<(), Refused> {
        match decoded.entry {
            Entry::Enqueue(enqueue) => return self.enqueue(decoded, &enqueue, file_seq),
            Entry::Settle {
                queue,
                stream,
                runs,
                ..
            } => {
                for run in runs {
                    self.remove((queue, stream), run.first_seq..run.first_seq + run.count);
                }
            }
            Entry::SettleEach { runs, .. } => {
                for QueueRun { queue, stream, run } in runs {
                    self.remove((queue, stream), run.first_seq..run.first_seq + run.count);
                }
            }
            Entry::Requeue {
                queue,
                stream,
                runs,
                ..
            } => {
                for run in runs {
                    let live = self.live.entry((queue, stream)).or_default();
                    for (_, message) in live.range_mut(run.first_seq..run.first_seq + run.count) {
                        let count = run.delivery_count.max(message.deliveries.0);
                        message.deliveries = (count, run.ready_ms);
                    }
                }
            }
            Entry::Purge {
                queue,
                stream,
                upto,
            } => self.remove((queue, stream), 0..upto + 1),
            Entry::QueueDelete { queue } => {
                self.streams.retain(|(of, _), _| *of != queue);
                self.live.retain(|(of, _), _| *of != queue);
            }
            Entry::Define { key, value } => {
                self.definitions.insert(key.to_vec(), value.to_vec());
            }
            Entry::Undefine { key } => {
                self.definitions.remove(key);
            }
            Entry::SegmentAdd {
                segment, extents, ..
            } => {
                return self.add(segment, &extents.collect::<Vec<_>>(), sources, given);
            }
            Entry::SegmentDrop { segment } => {
                let is_live = self
                    .messages()
                    .any(|(_, _, message)| message.is_in(segment));
                if is_live || self.segments.remove(&segment).is_none() {
                    return Err(Refused);
                }
            }
            Entry::Bundle(_) | Entry::Seal => {}
        }
        Ok(())
    }

    fn enqueue(
        &mut self,
        decoded: &Decoded<'_>,
        enqueue: &Enqueue<'_>,
        file_seq: u64,
    ) -> Result<(), Refused> {
        if self.files.keys().any(|file| *file > file_seq) {
            return Err(Refused);
        }
        let file = self.files.entry(file_seq).or_default();
        file.1 += decoded.bytes.len() as u64;
        for target in enqueue.targets {
            file.0 += u64::from(target.count);
            let of = (target.queue, target.stream);
            let stream = self.streams.entry(of).or_insert((decoded.stamp.group, 0));
            if stream.0 != decoded.stamp.group || target.first_seq < stream.1 {
                return Err(Refused);
            }
            stream.1 = target.first_seq + u64::from(target.count);
            let live = self.live.entry(of).or_default();
            for i in 0..target.count {
                let location = Location::Wal {
                    lsn: decoded.lsn,
                    first: target.first + i,
                };
                let message = Message {
                    location,
                    file_seq,
                    deliveries: (0, 0),
                };
                live.insert(target.first_seq + u64::from(i), message);
            }
        }
        Ok(())
    }

    fn remove(&mut self, of: Of, range: std::ops::Range<u64>) {
        self.live
            .entry(of)
            .or_default()
            .retain(|seq, _| !range.contains(seq));
    }

    fn add(
        &mut self,
        id: SegmentId,
        extents: &[Extent],
        sources: &[SegmentId],
        given: &BTreeMap<Of, u64>,
    ) -> Result<(), Refused> {
        if self.segments.insert(id, extents.to_vec()).is_some() {
            return Err(Refused);
        }
        for (extent, number) in extents.iter().zip(0..) {
            let of = (extent.queue, extent.stream);
            if self.streams.contains_key(&of)
                && given.get(&of).is_none_or(|next| extent.last_seq >= *next)
            {
                return Err(Refused);
            }
            let live = self.live.entry(of).or_default();
            let mut moved = 0;
            for (_, message) in live.range_mut(extent.first_seq..=extent.last_seq) {
                let moves = match message.location {
                    Location::Wal { .. } => sources.is_empty(),
                    Location::Segment { id, .. } => sources.contains(&id),
                };
                if moves {
                    message.location = Location::Segment { id, extent: number };
                    moved += 1;
                }
            }
            if moved > extent.count {
                return Err(Refused);
            }
        }
        Ok(())
    }

    fn messages(&self) -> impl Iterator<Item = (Of, u64, Message)> {
        self.live
            .iter()
            .flat_map(|(of, live)| live.iter().map(|(seq, message)| (*of, *seq, *message)))
    }

    fn next_of(&self, of: Of) -> u64 {
        self.streams.get(&of).map_or(0, |(_, next)| *next)
    }

    /// Asks the index everything, and itself.
    pub(super) fn compare(&self, index: &Index, from_seq: u64) {
        let definitions: Vec<_> = index
            .definitions()
            .map(|(k, v)| (k.to_vec(), v.to_vec()))
            .collect();
        assert_eq!(
            definitions,
            self.definitions.clone().into_iter().collect::<Vec<_>>()
        );

        let states: Vec<_> = index
            .queues()
            .map(|state| ((state.queue, state.stream), (state.group, state.next_seq)))
            .collect();
        assert_eq!(states, self.streams.clone().into_iter().collect::<Vec<_>>());
        for state in index.queues() {
            let of = (state.queue, state.stream);
            let empty = BTreeMap::new();
            let live = self.live.get(&of).unwrap_or(&empty);
            assert_eq!(state.count, live.len() as u64);
            assert_eq!(index.count(of.0, of.1), state.count);
            assert_eq!(index.next_seq(of.0, of.1), self.next_of(of));
            for from in [0, from_seq] {
                let found: Vec<_> = index.live(of.0, of.1, from).flat_map(expand).collect();
                let expected: Vec<_> = live
                    .range(from..)
                    .map(|(seq, m)| (*seq, m.location))
                    .collect();
                same(
                    found,
                    expected,
                    &format!("live messages of {of:?} from {from}"),
                );
                let counts = index.deliveries(of.0, of.1, from);
                let counts: Vec<_> = counts
                    .flat_map(|run| {
                        (0..run.count)
                            .map(move |i| (run.first_seq + i, (run.delivery_count, run.ready_ms)))
                    })
                    .collect();
                let expected: Vec<_> = live
                    .range(from..)
                    .filter(|(_, m)| m.deliveries > (0, 0))
                    .map(|(seq, m)| (*seq, m.deliveries))
                    .collect();
                same(
                    counts,
                    expected,
                    &format!("delivery counts of {of:?} from {from}"),
                );
            }
        }
        self.compare_files(index);
        self.compare_segments(index);
    }

    fn compare_files(&self, index: &Index) {
        let newest = self.files.keys().last();
        let live: BTreeSet<u64> = self
            .messages()
            .filter(|(_, _, m)| m.in_log())
            .map(|(_, _, m)| m.file_seq)
            .collect();
        let expected: BTreeSet<u64> = live.iter().chain(newest).copied().collect();
        let named: Vec<u64> = index.wal_files().iter().map(|file| file.file_seq).collect();
        assert_eq!(named, expected.into_iter().collect::<Vec<_>>());
        for file in index.wal_files() {
            let in_file = |m: &Message| m.in_log() && m.file_seq == file.file_seq;
            let expected: Vec<_> = self
                .messages()
                .filter(|(_, _, m)| in_file(m))
                .map(|(of, seq, m)| (of, seq, m.location))
                .collect();
            let found: Vec<_> = index
                .runs_in_wal_file(file.file_seq)
                .flat_map(expand_placed)
                .collect();
            assert_eq!(file.live, expected.len() as u64);
            assert_eq!((file.messages, file.bytes), self.files[&file.file_seq]);
            same(
                found,
                expected,
                &format!("messages in file {}", file.file_seq),
            );
        }
        assert_eq!(index.runs_in_wal_file(u64::MAX).count(), 0);
    }

    fn compare_segments(&self, index: &Index) {
        let named: Vec<_> = index.segments().map(|(id, _)| id).collect();
        assert_eq!(named, self.segments.keys().copied().collect::<Vec<_>>());
        for (id, segment) in index.segments() {
            let extents: Vec<_> = segment.extents.iter().map(|(extent, _)| *extent).collect();
            assert_eq!(extents, self.segments[&id]);
            let expected: Vec<_> = self
                .messages()
                .filter(|(_, _, m)| m.is_in(id))
                .map(|(of, seq, m)| (of, seq, m.location))
                .collect();
            let mut bytes = 0;
            for (number, (extent, live)) in segment.extents.iter().enumerate() {
                let place = Location::Segment {
                    id,
                    extent: number as u32,
                };
                let count = expected
                    .iter()
                    .filter(|(_, _, location)| *location == place)
                    .count() as u64;
                assert_eq!(*live, count);
                bytes += extent.len * count / extent.count;
            }
            assert_eq!(segment.live, expected.len() as u64);
            assert_eq!(segment.live_bytes(), bytes);
            let mut found: Vec<_> = index.runs_in_segment(id).flat_map(expand_placed).collect();
            found.sort_unstable();
            same(found, expected, &format!("messages in segment {id:?}"));
        }
    }
}

impl Message {
    fn in_log(&self) -> bool {
        matches!(self.location, Location::Wal { .. })
    }

    fn is_in(&self, segment: SegmentId) -> bool {
        matches!(self.location, Location::Segment { id, .. } if id == segment)
    }
}

fn expand(run: LiveRun) -> Vec<(u64, Location)> {
    (0..run.count)
        .map(|i| (run.first_seq + i, run.location.skip(i)))
        .collect()
}

fn expand_placed(placed: PlacedRun) -> Vec<(Of, u64, Location)> {
    let of = (placed.queue, placed.stream);
    expand(placed.run)
        .into_iter()
        .map(|(seq, location)| (of, seq, location))
        .collect()
}

/// Shows the first difference alone: lists of thousands say nothing.
fn same<T: PartialEq + Copy + std::fmt::Debug>(found: Vec<T>, expected: Vec<T>, what: &str) {
    let at = found
        .iter()
        .zip(&expected)
        .position(|(found, expected)| found != expected);
    let at = at.unwrap_or_else(|| found.len().min(expected.len()));
    assert_eq!(
        found.get(at),
        expected.get(at),
        "{what}: item {at} of {} and {}",
        found.len(),
        expected.len()
    );
}
