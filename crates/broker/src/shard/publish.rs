//! Publishing into a shard: batches into queues and log, and when the publisher hears of it.
//!
//! Three limits slow publishers down, by giving their allowance back late: a queue whose consumers cannot keep up gives it back as it drains, at the
//! latest after [`WITHHELD_MAX`] (a consumer that takes an hour for a message must not stop its publishers); while all queues together hold
//! more than the broker's limit, nothing is given back; and neither while the disk is behind with what was published.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use leveret_message::batch::{Arrivals, Batch};
use leveret_store::entry::{NewEnqueue, Stream, Target};
use leveret_store::log::{GROUPS, Group, Log, Position, QueueId, Urgency};

use crate::command::{Publish, Run};
use crate::link::ConnectionId;
use crate::queue::{Home, Level, Place, Queue};
use crate::shard::deal::{Table, deal_once, pass};
use crate::shard::{Shard, list_resident, peer, touch};

/// How many bytes of ready messages a queue with consumers may hold before its publishers are slowed to its pace.
pub(super) const QUEUE_SHARE: usize = 2 * 1024 * 1024;

/// How long allowance is withheld at the most for a queue that drains too slowly.
pub(super) const WITHHELD_MAX: Duration = Duration::from_millis(100);

/// Allowance that is given back later.
#[derive(Debug)]
pub(super) struct Withheld {
    connection: ConnectionId,
    bytes: usize,
    queue: QueueId,
    pub(super) until: Instant,
}

/// When a batch is as safe as it was asked to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Safe {
    /// Once the log has come so far.
    position: Position,
    /// Whether it has to be synced so far, or written.
    urgency: Urgency,
}

impl Default for Safe {
    /// At once.
    fn default() -> Self {
        Self {
            position: Position::default(),
            urgency: Urgency::Whenever,
        }
    }
}

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
            records: Vec::new(),
            starts: Vec::new(),
        }
    }
}

impl Targets {
    /// Messages are the next of a queue.
    fn push(&mut self, queue: &Queue, level: Level, run: (u32, u32)) {
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

    /// Appends an entry for each group. Returns when all of them are safe.
    pub(super) fn append(&mut self, batch: &Batch, log: &mut dyn Log) -> Option<Safe> {
        let urgency = match std::mem::take(&mut self.sync) {
            true => Urgency::Synced,
            false => Urgency::Written,
        };
        let covers_all = std::mem::take(&mut self.covered) >= batch.len();
        let whole = self.groups.len() == 1 && covers_all && !batch.has_shared_bodies();
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
                entry(unix_ms, targets, &self.starts, &self.records)
            };
            let position = log.enqueue(group, new, urgency);
            targets.clear();
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

/// Cuts messages where they belong to different places in a queue, which keeps persistent ones or does not, and has priorities up to `max`.
fn places(
    batch: &Batch,
    (first, count): (u32, u32),
    kept: bool,
    max: Level,
) -> impl Iterator<Item = (u32, u32, Place)> {
    let by_kind = batch.by_kind(first, count, max > Level(0));
    by_kind.map(move |(first, count, kind)| {
        let home = match kind.persistent && kept {
            true => Home::Log,
            false => Home::Memory,
        };
        let level = Level(kind.priority).min(max);
        (first, count, Place { home, level })
    })
}

impl Shard {
    pub(super) fn publish(&mut self, publish: Publish, now: Instant) {
        let Publish {
            connection,
            number,
            bytes,
            mut batch,
            runs,
        } = publish;
        self.stamp(&mut batch);
        let (safe, slow) = self.enter(&batch, &runs);
        self.give_back(connection, bytes, slow, now);
        let refused = std::mem::take(&mut self.refused);
        if !refused.is_empty()
            && let Some(peer) = peer(&mut self.peers, &mut self.spoken_to, connection)
        {
            peer.out.refused.push((number, refused));
        }
        let Some(peer) = self.peers.get_mut(&connection) else {
            return;
        };
        if peer.undone.is_empty() {
            self.undone.push(connection);
        }
        // Numbers of one connection are reported in order: what need not be safe waits for what came before it from the same connection only.
        let safe = safe
            .or_else(|| peer.undone.back().map(|(safe, _)| *safe))
            .unwrap_or_default();
        peer.undone.push_back((safe, number));
    }

    /// The messages of a batch have arrived now.
    pub(super) fn stamp(&self, batch: &mut Arc<Batch>) {
        // Nobody else has it: nothing is copied.
        let now = Arrivals::at(self.clock.unix_ms());
        Arc::make_mut(batch).set_arrivals(now);
    }

    /// Puts a batch into its queues and the log: when that is safe, and one of the queues whose consumers cannot keep up.
    pub(super) fn enter(
        &mut self,
        batch: &Arc<Batch>,
        runs: &[Run],
    ) -> (Option<Safe>, Option<QueueId>) {
        let mut slow = None;
        for run in runs {
            for id in run.queues.iter() {
                if self.enqueue(*id, batch, (run.first, run.count)) {
                    slow = Some(*id);
                }
            }
        }
        (self.targets.append(batch, &mut *self.log), slow)
    }

    /// Puts messages of a batch into a queue. Whether its publishers should be slowed to the pace of its consumers.
    fn enqueue(&mut self, id: QueueId, batch: &Arc<Batch>, (first, count): (u32, u32)) -> bool {
        // A queue that was deleted meanwhile: its messages end here, as if they had reached it before.
        let Some(queue) = self.queues.get_mut(&id) else {
            if !self.append(id, batch, (first, count)) {
                self.hold_back(id, batch, (first, count));
            }
            return false;
        };
        match queue.refuses() && !self.forced {
            true => self.enqueue_fitting(id, batch, (first, count)),
            false => self.put(id, batch, (first, count)),
        }
    }

    /// As [`Shard::enqueue`], for messages that the queue takes.
    pub(super) fn put(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else {
            return false;
        };
        queue.used_ms = self.clock.unix_ms();
        let before = queue.held_bytes();
        let is_crowded = self.queued.is_over_budget() && queue.has_away();
        let room = queue.ready_bytes() <= self.resident_max && !is_crowded;
        // Then it is dealt while the queue is at hand, and as the end of the turn would.
        let is_idle = !queue.touched && queue.ready_count() == 0;
        let log = &mut *self.log;
        let mut table = Table {
            shard: self.id,
            peers: &mut self.peers,
            spoken_to: &mut self.spoken_to,
            settled: &mut self.settled,
            looks: &mut self.looks,
            clock: self.clock,
        };
        let mut enter = |queue: &mut Queue, (first, count), place| {
            if is_idle && room && queue.ready_count() == 0 {
                pass(queue, (batch, first, count), place, log, &mut table);
            } else {
                queue.enqueue((batch, first, count), place, room, log);
            }
        };
        let (kept, max) = (queue.is_kept, queue.max_level);
        if max > Level(0) || (kept && batch.has_persistent()) {
            for (first, count, place) in places(batch, (first, count), kept, max) {
                if place.home == Home::Log {
                    self.targets.push(queue, place.level, (first, count));
                }
                enter(queue, (first, count), place);
            }
        } else {
            enter(queue, (first, count), Place::default());
        }
        // Most often all of it has passed through.
        if !is_idle || queue.is_next_away() {
            touch(&mut self.touched, queue);
        } else if queue.ready_count() > 0 {
            while deal_once(queue, &mut table) {}
            if queue.is_too_long() || queue.expires {
                touch(&mut self.touched, queue);
            }
        }
        self.held_bytes += queue.held_bytes() as i64 - before as i64;
        list_resident(&mut self.resident, queue);
        !queue.consumers.is_empty() && queue.ready_bytes() > QUEUE_SHARE
    }

    /// Gives the allowance of a batch back, or notes that it comes later: where the batch went to a slow queue, memory is full, or the disk is
    /// behind.
    pub(super) fn give_back(
        &mut self,
        connection: ConnectionId,
        bytes: usize,
        slow: Option<QueueId>,
        now: Instant,
    ) {
        let is_full = self.queued.is_over() || self.log.is_behind();
        if let Some(queue) = slow.or_else(|| is_full.then_some(QueueId(0))) {
            self.withheld.push_back(Withheld {
                connection,
                bytes,
                queue,
                until: now + WITHHELD_MAX,
            });
        } else if let Some(peer) = peer(&mut self.peers, &mut self.spoken_to, connection) {
            peer.out.returned += bytes;
        }
    }

    /// Tells publishers which of their batches are done, as far as the log is durable.
    pub(super) fn report_done(&mut self) {
        let (durable, written) = (self.log.durable(), self.log.written());
        let (peers, spoken_to) = (&mut self.peers, &mut self.spoken_to);
        self.undone.retain(|connection| {
            let Some(peer) = peer(peers, spoken_to, *connection) else {
                return false;
            };
            while let Some((safe, number)) = peer.undone.front() {
                let reached = match safe.urgency {
                    Urgency::Synced => durable,
                    Urgency::Written | Urgency::Whenever => written,
                };
                if safe.position > reached {
                    return true;
                }
                peer.out.done = *number;
                peer.undone.pop_front();
            }
            false
        });
    }

    pub(super) fn count_held(&mut self) {
        let change = self.held_bytes - self.counted_bytes;
        if change != 0 {
            self.counted_bytes = self.held_bytes;
            self.queued.held.fetch_add(change, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back_withheld(&mut self, now: Instant) {
        if self.withheld.is_empty() {
            return;
        }
        let over = self.queued.is_over() || self.log.is_behind();
        let (queues, peers, spoken_to) = (&self.queues, &mut self.peers, &mut self.spoken_to);
        self.withheld.retain_mut(|withheld| {
            let slow = queues
                .get(&withheld.queue)
                .is_some_and(|q| q.ready_bytes() > QUEUE_SHARE);
            if over {
                withheld.until = now + WITHHELD_MAX;
            }
            let keep = over || (slow && now < withheld.until);
            if !keep && let Some(peer) = peer(peers, spoken_to, withheld.connection) {
                peer.out.returned += withheld.bytes;
            }
            keep
        });
    }
}
