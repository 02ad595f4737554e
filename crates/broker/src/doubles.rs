//! Doubles of the store that a test can look into and hold back. A clone is a second handle on the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leveret_message::name::Name;
use leveret_store::entry::{NewEnqueue, QueueRun, Reason, RequeueRun, Run, Stream, Target};
use leveret_store::log::{
    Arrived, ChunkId, Definitions, Group, Log, Position, QueueId, Transaction, Urgency, Wanted,
};
use leveret_store::memory::{MemoryDefinitions, MemoryLog};
use parking_lot::{Mutex, MutexGuard};

use crate::command::Shards;
use crate::found::{FoundMessages, FoundQueue};
use crate::placement::Placement;
use crate::queue::Level;
use crate::vhost::Vhost;

/// A vhost that writes nothing down.
pub(crate) fn vhost(name: &str, shards: &Shards) -> Arc<Vhost> {
    vhost_with(name, shards, Arc::new(MemoryDefinitions))
}

/// A vhost that writes down here what is to outlive the broker.
pub(crate) fn vhost_with(
    name: &str,
    shards: &Shards,
    definitions: Arc<dyn Definitions>,
) -> Arc<Vhost> {
    let name = Name::new(name).expect("names of tests are short");
    let placement = Placement::new(shards.count() as u16, 1, Arc::clone(&definitions));
    let (placement, events) = (Arc::new(placement), Arc::default());
    Vhost::new(name, shards.clone(), placement, definitions, events, true)
}

/// An entry with messages, as a log was given it.
#[derive(Clone, Debug)]
pub(crate) struct Enqueued {
    pub(crate) group: Group,
    pub(crate) targets: Vec<Target>,
    pub(crate) starts: Vec<u32>,
    pub(crate) records: Vec<u8>,
}

/// What a watched log knows and was told.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) log: MemoryLog,
    /// How far it is durable; everything where there is nothing.
    pub(crate) durable: Option<Position>,
    /// How far it is written; everything where there is nothing.
    pub(crate) written: Option<Position>,
    pub(crate) is_behind: bool,
    /// Whether answers are kept back.
    pub(crate) is_silent: bool,
    pub(crate) hurried: usize,
    pub(crate) reads: Vec<Wanted>,
    pub(crate) enqueued: Vec<Enqueued>,
    pub(crate) requeued: Vec<(QueueId, Vec<RequeueRun>)>,
    pub(crate) deleted: Vec<QueueId>,
    /// Parts of transactions: the last entry before each, and its own last one.
    pub(crate) parts: Vec<(u64, u64)>,
    positions: BTreeMap<(QueueId, u64), Position>,
    /// Messages that cannot be read, until that was told.
    damaged: BTreeSet<(QueueId, u64)>,
}

/// A log that keeps messages, and records what it is told.
#[derive(Clone, Debug)]
pub(crate) struct WatchedLog(Arc<Mutex<Watched>>);

impl WatchedLog {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Watched {
            log: MemoryLog::keeping(),
            durable: None,
            written: None,
            is_behind: false,
            is_silent: false,
            hurried: 0,
            reads: Vec::new(),
            enqueued: Vec::new(),
            requeued: Vec::new(),
            deleted: Vec::new(),
            parts: Vec::new(),
            positions: BTreeMap::new(),
            damaged: BTreeSet::new(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock()
    }

    /// How many messages and chunks it keeps.
    pub(crate) fn kept_count(&self) -> (usize, usize) {
        self.lock().log.kept_count()
    }

    /// What the next start finds.
    pub(crate) fn found(&self) -> Vec<FoundQueue> {
        let watched = self.lock();
        let mut found: BTreeMap<QueueId, FoundQueue> = BTreeMap::new();
        for (queue, seq) in watched.positions.keys() {
            let of = found.entry(*queue).or_default();
            of.id = queue.0;
            of.next_seq = seq + 1;
        }
        for (queue, runs) in &watched.requeued {
            let of = found.entry(*queue).or_default();
            let ends = runs.iter().map(|run| run.first_seq + run.count);
            of.returned_below = ends.max().unwrap_or_default();
        }
        found.retain(|queue, _| !watched.deleted.contains(queue));
        drop(watched);
        for (queue, of) in &mut found {
            let streams = [Stream(0), Level::default().keys()].into_iter();
            let live = streams.filter_map(|stream| self.live(*queue, stream));
            of.messages.extend(live);
        }
        found.into_values().collect()
    }

    /// What is live in a stream of a queue.
    fn live(&self, queue: QueueId, stream: Stream) -> Option<FoundMessages> {
        let mut watched = self.lock();
        let mut arrived = Vec::new();
        watched.log.read(Wanted {
            queue,
            stream,
            token: 0,
            first_seq: 0,
            skip: 0,
            last_seq: u64::MAX - 1,
            bytes_max: usize::MAX,
        });
        watched.log.take_arrived(&mut arrived);
        match arrived.pop() {
            Some(Arrived::Read(_, read)) => {
                let (first, last) = (read.runs.first()?, read.runs.last()?);
                let count = read.runs.iter().map(|run| run.count).sum();
                Some(FoundMessages {
                    stream: stream.0,
                    first_seq: first.first_seq,
                    last_seq: last.first_seq + (last.count - 1),
                    count,
                    bytes: read.records.len() as u64,
                })
            }
            other => panic!("{other:?}"),
        }
    }

    /// From now on a message cannot be read.
    pub(crate) fn damage(&self, queue: QueueId, first_seq: u64) {
        let run = QueueRun {
            queue,
            stream: Stream(0),
            run: Run {
                first_seq,
                count: 1,
            },
        };
        let mut watched = self.lock();
        watched.log.settle(Group::of(queue), Reason::Ack, &[run]);
        watched.damaged.insert((queue, first_seq));
    }

    /// Says that everything up to a position is durable, and nothing beyond.
    pub(crate) fn set_durable(&self, position: u64) {
        self.lock().durable = Some(Position(position));
    }
}

impl Log for WatchedLog {
    fn enqueue(&mut self, group: Group, new: NewEnqueue<'_>, urgency: Urgency) -> Position {
        let mut watched = self.lock();
        let position = watched.log.enqueue(group, new, urgency);
        for target in new.targets {
            assert_eq!(Group::of(target.queue), group, "an entry is of one group");
            for i in 0..u64::from(target.count) {
                let message = (target.queue, target.first_seq + i);
                watched.positions.insert(message, position);
            }
        }
        watched.enqueued.push(Enqueued {
            group,
            targets: new.targets.to_vec(),
            starts: new.starts.to_vec(),
            records: new.records.to_vec(),
        });
        position
    }

    fn settle(&mut self, group: Group, reason: Reason, runs: &[QueueRun]) -> Position {
        let mut watched = self.lock();
        for QueueRun { queue, .. } in runs {
            assert_eq!(Group::of(*queue), group);
            assert!(!watched.deleted.contains(queue), "its end is the last word");
        }
        watched.log.settle(group, reason, runs)
    }

    fn requeue(&mut self, group: Group, of: (QueueId, Stream), runs: &[RequeueRun]) -> Position {
        let mut watched = self.lock();
        assert!(!watched.deleted.contains(&of.0), "its end is the last word");
        watched.requeued.push((of.0, runs.to_vec()));
        watched.log.requeue(group, of, runs)
    }

    fn delete_queue(&mut self, group: Group, queue: QueueId) -> Position {
        let mut watched = self.lock();
        watched.deleted.push(queue);
        watched.log.delete_queue(group, queue)
    }

    fn begin_part(&mut self, transaction: Transaction) {
        let mut watched = self.lock();
        let last = watched.log.last().0;
        watched.parts.push((last, last));
        watched.log.begin_part(transaction);
    }

    fn end_part(&mut self, transaction: Transaction) -> Option<Position> {
        let mut watched = self.lock();
        let last = watched.log.last().0;
        if let Some(part) = watched.parts.last_mut() {
            part.1 = last;
        }
        watched.log.end_part(transaction)
    }

    fn last(&self) -> Position {
        self.lock().log.last()
    }

    fn durable(&self) -> Position {
        let watched = self.lock();
        watched.durable.unwrap_or_else(|| watched.log.durable())
    }

    fn written(&self) -> Position {
        let watched = self.lock();
        watched.written.unwrap_or_else(|| watched.log.written())
    }

    fn is_behind(&self) -> bool {
        self.lock().is_behind
    }

    fn hurry(&mut self) {
        self.lock().hurried += 1;
    }

    /// **Panics** where something of what is wanted is not durable.
    fn read(&mut self, wanted: Wanted) {
        let durable = self.durable();
        let mut watched = self.lock();
        let range = (wanted.queue, wanted.first_seq)..=(wanted.queue, wanted.last_seq);
        let mut positions = watched.positions.range(range);
        assert!(positions.all(|(_, position)| *position <= durable));
        watched.reads.push(wanted);
        watched.log.read(wanted);
    }

    fn put_away(&mut self, records: Vec<u8>) -> ChunkId {
        self.lock().log.put_away(records)
    }

    fn fetch(&mut self, chunk: ChunkId) {
        self.lock().log.fetch(chunk);
    }

    fn forget(&mut self, chunk: ChunkId) {
        self.lock().log.forget(chunk);
    }

    fn take_arrived(&mut self, into: &mut Vec<Arrived>) {
        let mut watched = self.lock();
        if watched.is_silent {
            return;
        }
        watched.log.take_arrived(into);
        for arrived in into {
            if let Arrived::Read(wanted, read) = arrived {
                let range = (wanted.queue, wanted.first_seq)..(wanted.queue, read.next_seq);
                let told = watched.damaged.extract_if(range, |_| true);
                read.lost = told.count() as u64;
            }
        }
    }
}

/// What watched definitions have, and what was done to them.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    pub(crate) values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Each change: its key, and whether there is a value since.
    pub(crate) changes: Vec<(Box<[u8]>, bool)>,
}

/// Definitions that are kept for a test to look at, durable at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchedDefinitions(Arc<Mutex<Defined>>);

impl WatchedDefinitions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Defined> {
        self.0.lock()
    }

    /// What a start would find.
    pub(crate) fn found(&self) -> Vec<crate::backing::KeyAndValue> {
        self.lock().values.clone().into_iter().collect()
    }
}

impl Definitions for WatchedDefinitions {
    fn define(&self, key: &[u8], value: &[u8]) {
        let mut defined = self.lock();
        defined.values.insert(key.into(), value.into());
        defined.changes.push((key.into(), true));
    }

    fn undefine(&self, key: &[u8]) {
        let mut defined = self.lock();
        defined.values.remove(key);
        defined.changes.push((key.into(), false));
    }

    fn last(&self) -> Position {
        Position(self.lock().changes.len() as u64)
    }

    fn durable(&self) -> Position {
        self.last()
    }

    fn when_durable(&self, _at: Position, then: Box<dyn FnOnce() + Send>) {
        then();
    }
}
