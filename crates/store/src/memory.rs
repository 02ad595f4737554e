//! A log that keeps nothing across the end of the process: every entry is durable at once.
//!
//! For tests and measurements of what is above the store. It gives messages back only where it was made to keep them.

use std::collections::{BTreeMap, HashMap};

use crate::entry::{NewEnqueue, QueueRun, Reason, RequeueRun, Stream};
use crate::log::{
    Arrived, ChunkId, Definitions, Group, Log, Position, QueueId, Read, Transaction, Urgency,
    Wanted,
};

#[cfg(test)]
mod tests;

/// Definitions that are gone with the process.
#[derive(Debug, Default)]
pub struct MemoryDefinitions;

impl Definitions for MemoryDefinitions {
    fn define(&self, _key: &[u8], _value: &[u8]) {}

    fn undefine(&self, _key: &[u8]) {}

    fn last(&self) -> Position {
        Position::default()
    }

    fn durable(&self) -> Position {
        Position::default()
    }

    fn when_durable(&self, _at: Position, then: Box<dyn FnOnce() + Send>) {
        then();
    }
}

/// Where a message is: queue, stream and sequence number.
type Place = (QueueId, Stream, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryLog {
    last: Position,
    /// When live messages came, and their records, where they are kept.
    kept: Option<BTreeMap<Place, (u64, Vec<u8>)>>,
    /// The last entry before the part of a transaction that was begun.
    before_part: Position,
    chunks: HashMap<ChunkId, Vec<u8>>,
    last_chunk: u64,
    arrived: Vec<Arrived>,
}

impl MemoryLog {
    /// One that keeps live messages, and gives them back.
    pub fn keeping() -> Self {
        Self {
            kept: Some(BTreeMap::new()),
            ..Self::default()
        }
    }

    /// How many messages and chunks it keeps.
    pub fn kept_count(&self) -> (usize, usize) {
        let messages = self.kept.as_ref().map_or(0, BTreeMap::len);
        (messages, self.chunks.len())
    }

    fn next(&mut self) -> Position {
        self.last.0 += 1;
        self.last
    }

    fn keep(&mut self, new: &NewEnqueue<'_>) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        for target in new.targets {
            for i in 0..target.count {
                let index = (target.first + i) as usize;
                let start = new.starts.get(index).map_or(0, |start| *start as usize);
                let end = new.starts.get(index + 1).map(|end| *end as usize);
                let record = new.records.get(start..end.unwrap_or(new.records.len()));
                let seq = target.first_seq + u64::from(i);
                let record = record.unwrap_or_default().to_vec();
                let message = (target.queue, target.stream, seq);
                kept.insert(message, (new.unix_ms, record));
            }
        }
    }

    fn remove(&mut self, first: Place, last: Place) {
        if let Some(kept) = &mut self.kept {
            kept.extract_if(first..=last, |_, _| true).for_each(drop);
        }
    }
}

impl Log for MemoryLog {
    fn enqueue(&mut self, _group: Group, new: NewEnqueue<'_>, _urgency: Urgency) -> Position {
        self.keep(&new);
        self.next()
    }

    fn settle(&mut self, _: Group, _: Reason, runs: &[QueueRun]) -> Position {
        for QueueRun { queue, stream, run } in runs {
            let last = run.first_seq + (run.count - 1);
            self.remove((*queue, *stream, run.first_seq), (*queue, *stream, last));
        }
        self.next()
    }

    fn requeue(&mut self, _: Group, _: (QueueId, Stream), _: &[RequeueRun]) -> Position {
        self.next()
    }

    fn delete_queue(&mut self, _group: Group, queue: QueueId) -> Position {
        self.remove((queue, Stream(0), 0), (queue, Stream(u32::MAX), u64::MAX));
        self.next()
    }

    fn begin_part(&mut self, _: Transaction) {
        self.before_part = self.last;
    }

    fn end_part(&mut self, _: Transaction) -> Option<Position> {
        (self.last > self.before_part).then_some(self.last)
    }

    fn last(&self) -> Position {
        self.last
    }

    fn durable(&self) -> Position {
        self.last
    }

    fn written(&self) -> Position {
        self.last
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn hurry(&mut self) {}

    fn read(&mut self, wanted: Wanted) {
        let mut read = Read {
            next_seq: wanted.last_seq + 1,
            ..Read::default()
        };
        let of = |seq| (wanted.queue, wanted.stream, seq);
        let range = of(wanted.first_seq)..=of(wanted.last_seq);
        let live = self.kept.iter().flat_map(|kept| kept.range(range.clone()));
        for ((.., seq), (unix_ms, record)) in live.skip(wanted.skip as usize) {
            if !read.records.is_empty() && read.records.len() + record.len() > wanted.bytes_max {
                read.next_seq = *seq;
                break;
            }
            read.records.extend_from_slice(record);
            read.note(*seq, 1, *unix_ms);
        }
        self.arrived.push(Arrived::Read(wanted, read));
    }

    fn put_away(&mut self, records: Vec<u8>) -> ChunkId {
        self.last_chunk += 1;
        let id = ChunkId(self.last_chunk);
        self.chunks.insert(id, records);
        id
    }

    fn fetch(&mut self, chunk: ChunkId) {
        let records = self.chunks.remove(&chunk);
        self.arrived
            .extend(records.map(|records| Arrived::Chunk(chunk, records)));
    }

    fn forget(&mut self, chunk: ChunkId) {
        self.chunks.remove(&chunk);
    }

    fn take_arrived(&mut self, into: &mut Vec<Arrived>) {
        into.append(&mut self.arrived);
    }
}
