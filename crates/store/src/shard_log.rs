//! The log on disk as one shard has it: entries go to its staging, messages come back into its inbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::entry::{self, NewEnqueue, QueueRun, Reason, RequeueRun, Stamp, Stream, TooLong};
use crate::log::{
    Arrived, ChunkId, GROUPS, Group, Log, Position, QueueId, Transaction, Urgency, Wanted,
};
use crate::staging::Staging;
use crate::store::Order;
use crate::transactions::Transactions;
use crate::work::Work;

#[cfg(test)]
mod tests;

/// With so many bytes that are staged and not written, publishers are to be slowed down.
const BEHIND_BYTES: usize = 8 << 20;

/// Where a shard's answers arrive.
pub(crate) struct Inbox {
    arrived: Mutex<Vec<Arrived>>,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    pub(crate) fn new(ring: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            arrived: Mutex::default(),
            ring,
        }
    }

    pub(crate) fn push(&self, arrived: Arrived) {
        self.arrived.lock().push(arrived);
        (self.ring)();
    }

    pub(crate) fn ring(&self) {
        (self.ring)();
    }
}

/// Bytes that wait to be written as chunks, of all shards.
#[derive(Debug, Default)]
pub(crate) struct WaitingChunks(AtomicUsize);

impl WaitingChunks {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub struct ShardLog {
    /// Its number among the stagings, and itself.
    pub(crate) number: usize,
    pub(crate) staging: Arc<Staging>,
    pub(crate) transactions: Arc<Transactions>,
    /// The last entry before the part of a transaction that was begun.
    pub(crate) before_part: Position,
    pub(crate) inbox: Arc<Inbox>,
    /// Who reads for this shard, and who keeps chunks.
    pub(crate) readers: Arc<Work<Order>>,
    pub(crate) chunks: Arc<Work<Order>>,
    pub(crate) waiting_chunks: Arc<WaitingChunks>,
    /// The last entry of each group, by its number.
    pub(crate) indexes: Vec<u64>,
    /// Chunks of all shards have different numbers.
    pub(crate) next_chunk: u64,
    pub(crate) chunk_step: u64,
}

impl ShardLog {
    fn push(
        &mut self,
        group: Group,
        urgency: Urgency,
        encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), TooLong>,
    ) -> Position {
        debug_assert!((1..=GROUPS).contains(&group.0));
        let index = match self.indexes.get_mut(usize::from(group.0)) {
            Some(index) => {
                *index += 1;
                *index
            }
            None => 0,
        };
        let stamp = Stamp {
            group,
            term: 0,
            index,
        };
        let pushed = self.staging.push(urgency, |out| encode(out, stamp));
        pushed.expect("what a connection may hand over at once is far below the length of an entry")
    }
}

impl Log for ShardLog {
    fn enqueue(&mut self, group: Group, new: NewEnqueue<'_>, urgency: Urgency) -> Position {
        self.push(group, urgency, |out, stamp| {
            entry::enqueue(out, stamp, &new)
        })
    }

    fn settle(&mut self, group: Group, reason: Reason, runs: &[QueueRun]) -> Position {
        let first = runs.first().map(|first| (first.queue, first.stream));
        let is_of = |of| runs.iter().all(|run| (run.queue, run.stream) == of);
        let only = first.filter(|first| is_of(*first));
        self.push(group, Urgency::Whenever, |out, stamp| match only {
            Some(of) => entry::settle(out, stamp, of, reason, runs.iter().map(|of| of.run)),
            None => entry::settle_each(out, stamp, reason, runs),
        })
    }

    fn requeue(&mut self, group: Group, of: (QueueId, Stream), runs: &[RequeueRun]) -> Position {
        let reason = Reason::ConsumerGone;
        // Nobody waits to hear that messages wait, but whoever gave them back counts on it.
        let urgency = match runs.iter().any(|run| run.ready_ms > 0) {
            true => Urgency::Written,
            false => Urgency::Whenever,
        };
        let runs = runs.iter().copied();
        self.push(group, urgency, |out, stamp| {
            entry::requeue(out, stamp, of, reason, runs)
        })
    }

    fn delete_queue(&mut self, group: Group, queue: QueueId) -> Position {
        self.push(group, Urgency::Whenever, |out, stamp| {
            entry::queue_delete(out, stamp, queue)
        })
    }

    fn begin_part(&mut self, transaction: Transaction) {
        self.before_part = self.staging.last();
        self.transactions
            .begin(transaction, (self.number, &self.staging));
    }

    fn end_part(&mut self, transaction: Transaction) -> Option<Position> {
        let last = self.staging.last();
        let has_entries = last > self.before_part;
        if has_entries {
            self.staging.hurry();
        }
        self.transactions.end(transaction, &self.staging);
        has_entries.then_some(last)
    }

    fn last(&self) -> Position {
        self.staging.last()
    }

    fn durable(&self) -> Position {
        self.staging.durable()
    }

    fn written(&self) -> Position {
        self.staging.written()
    }

    fn is_behind(&self) -> bool {
        self.staging
            .waiting_bytes()
            .max(self.waiting_chunks.bytes())
            > BEHIND_BYTES
    }

    fn hurry(&mut self) {
        self.staging.hurry();
    }

    fn read(&mut self, wanted: Wanted) {
        self.readers
            .push(Order::Read(wanted, Arc::clone(&self.inbox)));
    }

    fn put_away(&mut self, records: Vec<u8>) -> ChunkId {
        let id = ChunkId(self.next_chunk);
        self.next_chunk += self.chunk_step;
        self.waiting_chunks.add(records.len());
        self.chunks
            .push(Order::PutAway(id, records, Arc::clone(&self.inbox)));
        id
    }

    fn fetch(&mut self, chunk: ChunkId) {
        self.chunks
            .push(Order::Fetch(chunk, Arc::clone(&self.inbox)));
    }

    fn forget(&mut self, chunk: ChunkId) {
        self.chunks.push(Order::Forget(chunk));
    }

    fn take_arrived(&mut self, into: &mut Vec<Arrived>) {
        into.append(&mut self.inbox.arrived.lock());
    }
}
