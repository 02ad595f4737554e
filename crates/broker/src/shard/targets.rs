//! What of a batch is to be in the log: gathered while its messages enter their queues, then appended, an entry for each group of queues.

use leveret_message::batch::{Batch, BatchBuilder, NewMessage};
use leveret_store::entry::{NewEnqueue, Stream, Target};
use leveret_store::log::{GROUPS, Group, Log, Position, QueueId, Urgency};

use crate::queue::{Level, Queue};
use crate::shard::publish::Safe;

/// The property list of a record that is no client's message.
const NO_PROPERTIES: &[u8] = &[0, 0];

/// Messages of a batch that are to be in the log, for the queues of one group after the other.
#[derive(Debug)]
pub(super) struct Targets {
    /// For each group of queues, in the order of the batch.
    by_group: Vec<Vec<Target>>,
    /// The groups that have some.
    groups: Vec<Group>,
    /// How many messages these are, each counted for every queue.
    covered: u32,
    /// Whether one of the queues wants them synced before their publisher hears that they are safe.
    sync: bool,
    /// Keys that go into the entries of their groups, and their records.
    keys: Vec<Target>,
    key_records: BatchBuilder,
    /// Where the last keys are in the log.
    pub(super) keys_at: Position,
    /// What goes into one entry where a batch does not go as a whole.
    records: Vec<u8>,
    starts: Vec<u32>,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            by_group: (0..=GROUPS).map(|_| Vec::new()).collect(),
            groups: Vec::new(),
            covered: 0,
            sync: false,
            keys: Vec::new(),
            key_records: BatchBuilder::default(),
            keys_at: Position::default(),
            records: Vec::new(),
            starts: Vec::new(),
        }
    }
}

impl Targets {
    /// Messages are the next of a queue.
    pub(super) fn push(&mut self, queue: &Queue, level: Level, run: (u32, u32)) {
        let of = (queue.id, queue.syncs);
        self.push_at(of, level.stream(), queue.next_seq(), run);
    }

    /// Messages enter a stream of a queue, which wants them synced or not, with sequence numbers from `first_seq` on.
    #[inline]
    pub(super) fn push_at(
        &mut self,
        (queue, syncs): (QueueId, bool),
        stream: Stream,
        first_seq: u64,
        (first, count): (u32, u32),
    ) {
        self.sync |= syncs;
        self.covered += count;
        let group = Group::of(queue);
        let Some(targets) = self.by_group.get_mut(usize::from(group.0)) else {
            return;
        };
        if targets.is_empty() {
            self.groups.push(group);
        }
        targets.push(Target {
            queue,
            stream,
            first,
            count,
            flags: 0,
            first_seq,
            expires_ms: 0,
        });
    }

    /// A key is known from then on: `record` goes into a stream of a queue, in the entry that its group has of this batch.
    pub(super) fn push_key(
        &mut self,
        (queue, syncs): (QueueId, bool),
        stream: Stream,
        seq: u64,
        record: &[u8],
    ) {
        self.sync |= syncs;
        let group = Group::of(queue);
        if !self.groups.contains(&group) {
            self.groups.push(group);
        }
        let new = NewMessage {
            exchange_and_key: &[],
            properties: NO_PROPERTIES,
            persistent: true,
            priority: 0,
        };
        self.key_records.push(new, record);
        let first = self.key_records.len() - 1;
        match self.keys.last_mut() {
            Some(last)
                if (last.queue, last.stream) == (queue, stream)
                    && last.first_seq + u64::from(last.count) == seq =>
            {
                last.count += 1;
            }
            _ => self.keys.push(Target {
                queue,
                stream,
                first,
                count: 1,
                flags: 0,
                first_seq: seq,
                expires_ms: 0,
            }),
        }
    }

    /// Appends an entry for each group. Returns when all of them are safe.
    pub(super) fn append(&mut self, batch: &Batch, log: &mut dyn Log) -> Option<Safe> {
        let urgency = match std::mem::take(&mut self.sync) {
            true => Urgency::Synced,
            false => Urgency::Written,
        };
        let covers_all = std::mem::take(&mut self.covered) >= batch.len();
        let has_keys = !self.keys.is_empty();
        let whole = self.groups.len() == 1 && covers_all && !batch.has_shared_bodies() && !has_keys;
        let key_records = has_keys.then(|| self.key_records.seal());
        let unix_ms = batch.arrivals().of(0);
        let mut safe = None;
        for group in self.groups.drain(..) {
            let Some(targets) = self.by_group.get_mut(usize::from(group.0)) else {
                continue;
            };
            let new = if whole {
                entry(unix_ms, targets, batch.starts(), batch.bytes())
            } else {
                self.records.clear();
                self.starts.clear();
                copy_targets(targets, batch, &mut self.records, &mut self.starts);
                if let Some(key_records) = &key_records {
                    let of_group = |key: &mut Target| Group::of(key.queue) == group;
                    let mut keys: Vec<Target> = self.keys.extract_if(.., of_group).collect();
                    copy_targets(&mut keys, key_records, &mut self.records, &mut self.starts);
                    targets.append(&mut keys);
                }
                entry(unix_ms, targets, &self.starts, &self.records)
            };
            let position = log.enqueue(group, new, urgency);
            targets.clear();
            if has_keys {
                self.keys_at = position;
            }
            safe = Some(Safe { position, urgency });
        }
        safe
    }
}

/// Copies the messages that targets take, and lets the targets name them there.
fn copy_targets(
    targets: &mut [Target],
    batch: &Batch,
    records: &mut Vec<u8>,
    starts: &mut Vec<u32>,
) {
    let mut copied = None;
    for target in targets {
        let run = (target.first, target.count);
        target.first = match copied {
            Some((same, at)) if same == run => at,
            _ => {
                let at = starts.len() as u32;
                batch.copy_records(run.0, run.1, records, starts);
                at
            }
        };
        copied = Some((run, target.first));
    }
}

fn entry<'a>(
    unix_ms: u64,
    targets: &'a [Target],
    starts: &'a [u32],
    records: &'a [u8],
) -> NewEnqueue<'a> {
    NewEnqueue {
        unix_ms,
        targets,
        starts,
        records,
        bodies: &[],
    }
}
