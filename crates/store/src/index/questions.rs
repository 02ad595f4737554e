//! What can be asked of the index. Nothing here changes it.

use super::location::{LiveRun, Location};
use super::places::{FileState, SegmentState};
use super::{Delivered, Index, Messages};
use crate::entry::{Lsn, SegmentId, Stream};
use crate::log::{Group, QueueId};

/// A stream that had messages since its queue was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// The queue's group.
    pub group: Group,
    /// The lowest sequence number that can be given.
    pub next_seq: u64,
    /// How many messages are live.
    pub count: u64,
}

/// Live messages of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedRun {
    /// The queue.
    pub queue: QueueId,
    /// The stream of the queue.
    pub stream: Stream,
    /// The messages and where they are.
    pub run: LiveRun,
}

impl Index {
    /// The definitions, by rising key.
    pub fn definitions(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.definitions
            .iter()
            .map(|(key, value)| (&**key, &**value))
    }

    /// The streams, by rising queue and stream. One that was emptied stays, since its numbers are never given again, until its queue goes; those with
    /// numbers above 256 are told by that one. **Cost**: a sort.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = StreamState> {
        self.streams
            .in_order()
            .map(|((queue, stream), messages)| StreamState {
                queue,
                stream,
                group: messages.group,
                next_seq: messages.next_seq,
                count: messages.live.count(),
            })
    }

    /// The lowest sequence number that a stream can give; 0 where it never gave one.
    pub fn next_seq(&self, queue: QueueId, stream: Stream) -> u64 {
        self.messages(queue, stream)
            .map_or(0, |messages| messages.next_seq)
    }

    /// Term and index of the last entry of a group that was applied.
    pub fn last_of(&self, group: Group) -> Option<(u32, u64)> {
        *self.groups.get(usize::from(group.0))?
    }

    /// How many messages of a stream are live.
    pub fn count(&self, queue: QueueId, stream: Stream) -> u64 {
        self.messages(queue, stream)
            .map_or(0, |messages| messages.live.count())
    }

    /// About how many bytes the live messages of a stream take in entries and extents. **Cost**: by the pieces in which they are kept.
    pub fn live_bytes(&self, queue: QueueId, stream: Stream) -> u64 {
        let live = self.messages(queue, stream).map(|messages| &messages.live);
        let places = live.into_iter().flat_map(|live| live.places());
        places.fold(0, |sum: u64, (place, _, count)| {
            sum.saturating_add(self.places.bytes_of(place, count))
        })
    }

    /// The live messages of a stream in their order, from the first at or behind `from_seq` on.
    ///
    /// **Cost**: a tree search, then by runs.
    pub fn live(
        &self,
        queue: QueueId,
        stream: Stream,
        from_seq: u64,
    ) -> impl Iterator<Item = LiveRun> + '_ {
        self.messages(queue, stream)
            .map(|messages| messages.live.runs_from(from_seq))
            .into_iter()
            .flatten()
    }

    /// No live message of a stream has a higher sequence number than this; none is live where there is none.
    pub fn last_live(&self, queue: QueueId, stream: Stream) -> Option<u64> {
        self.messages(queue, stream)
            .and_then(|messages| messages.live.last())
    }

    /// How often live messages of a stream were delivered, from `from_seq` on: those that were requeued.
    pub fn deliveries(
        &self,
        queue: QueueId,
        stream: Stream,
        from_seq: u64,
    ) -> impl Iterator<Item = Delivered> + '_ {
        self.messages(queue, stream)
            .map(|messages| messages.deliveries.runs_from(from_seq))
            .into_iter()
            .flatten()
    }

    /// The files of the log that live messages are in, by rising number, and the newest one that messages came from. Every other file holds
    /// nothing live.
    pub fn wal_files(&self) -> &[FileState] {
        &self.places.files
    }

    /// The live messages in a file of the log, by rising queue, stream and sequence number.
    ///
    /// **Cost**: a sort of the streams that got messages there; then by runs.
    pub fn runs_in_wal_file(&self, file_seq: u64) -> impl Iterator<Item = PlacedRun> + '_ {
        let files = &self.places.files;
        let at = files.partition_point(|file| file.file_seq < file_seq);
        let file = files.get(at).filter(|file| file.file_seq == file_seq);
        let end = files
            .get(at + 1)
            .map_or(Lsn(u64::MAX), |next| next.first_lsn);
        let first = file.map_or(Lsn(0), |file| file.first_lsn);
        let mut streams = file.map(|file| file.streams.clone()).unwrap_or_default();
        streams.sort_unstable();
        streams.dedup_by_key(|(queue, stream, _)| (*queue, *stream));
        streams
            .into_iter()
            .flat_map(move |(queue, stream, first_seq)| {
                // Places rise with the sequence numbers, but for what has moved to segments.
                let lsn = |run: &LiveRun| match run.location {
                    Location::Wal { lsn, .. } => Some(lsn),
                    Location::Segment { .. } => None,
                };
                self.live(queue, stream, first_seq)
                    .take_while(move |run| lsn(run).is_none_or(|lsn| lsn < end))
                    .filter(move |run| lsn(run).is_some_and(|lsn| lsn >= first))
                    .map(move |run| PlacedRun { queue, stream, run })
            })
    }

    /// The segments, by rising number.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = (SegmentId, &SegmentState)> {
        self.places
            .segments
            .iter()
            .map(|(id, segment)| (*id, segment))
    }

    /// A segment.
    pub fn segment(&self, id: SegmentId) -> Option<&SegmentState> {
        self.places.segments.get(&id)
    }

    /// The live messages in a segment, in the order of its extents, which is that of queue, stream and sequence number.
    pub fn runs_in_segment(&self, id: SegmentId) -> impl Iterator<Item = PlacedRun> + '_ {
        let extents = self
            .places
            .segments
            .get(&id)
            .map(|segment| &*segment.extents);
        let live = extents.unwrap_or_default().iter().enumerate();
        live.filter(|(_, (_, live))| *live > 0)
            .flat_map(move |(number, (extent, _))| {
                let place = Location::Segment {
                    id,
                    extent: number as u32,
                };
                let (queue, stream) = (extent.queue, extent.stream);
                self.live(queue, stream, extent.first_seq)
                    .take_while(|run| run.first_seq <= extent.last_seq)
                    .filter(move |run| run.location == place)
                    .map(move |run| PlacedRun { queue, stream, run })
            })
    }

    /// Memory that the live messages take, about, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let streams = self.streams.values().map(|messages| {
            messages.live.heap_bytes() + messages.deliveries.len() * size_of::<Delivered>() * 2
        });
        streams.sum::<usize>() + self.streams.len() * size_of::<Messages>() * 2
    }

    fn messages(&self, queue: QueueId, stream: Stream) -> Option<&Messages> {
        self.streams.get((queue, stream))
    }
}
