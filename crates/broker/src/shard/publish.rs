//! Publishing into a shard: batches into queues and log, and when the publisher hears of it.
//!
//! Three limits slow publishers down, by giving their allowance back late: a queue whose consumers cannot keep up gives it back as it drains, at the
//! latest after [`WITHHELD_MAX`] (a consumer that takes an hour for a message must not stop its publishers); while all queues together hold
//! more than the broker's limit, nothing is given back; and neither while the disk is behind with what was published.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use leveret_message::batch::{Arrivals, Batch, ToldApart};
use leveret_store::log::{Position, QueueId, Urgency};

use crate::command::{Publish, Run};
use crate::ids::ConnectionId;
use crate::queue::{Home, Place, Ranking};
use crate::shard::deal::{deal_once, pass};
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
    pub(super) position: Position,
    /// Whether it has to be synced so far, or written.
    pub(super) urgency: Urgency,
}

impl Safe {
    /// Once the log is synced so far.
    pub(super) fn synced(position: Position) -> Self {
        Self {
            position,
            urgency: Urgency::Synced,
        }
    }
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

/// Cuts messages where they belong to different places in a queue, which keeps persistent ones or does not, and tells priorities apart or does not.
#[inline]
pub(super) fn places(
    batch: &Batch,
    (first, count): (u32, u32),
    kept: bool,
    ranking: Ranking,
) -> impl Iterator<Item = (u32, u32, Place)> {
    let told_apart = ToldApart {
        persistence: kept,
        priority: ranking.told(),
    };
    let by_kind = batch.by_kind(first, count, told_apart);
    by_kind.map(move |(first, count, kind)| {
        let home = match kind.persistent {
            true => Home::Log,
            false => Home::Memory,
        };
        let level = ranking.level(kind.priority);
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
        if self.lead_to_windows(&runs) {
            return self.publish_through((connection, number, bytes), (batch, runs), now);
        }
        let (safe, slow) = self.enter(&batch, &runs);
        self.give_back(connection, bytes, slow, now);
        self.note_done(connection, number, safe);
    }

    /// A batch of a connection is done once it is safe, and that of which it had duplicates is.
    #[inline]
    pub(super) fn note_done(&mut self, connection: ConnectionId, number: u64, safe: Option<Safe>) {
        let safe = match self.known_at() {
            Some(known) => Some(Safe::synced(
                safe.map_or(known, |safe| safe.position.max(known)),
            )),
            None => safe,
        };
        let refused = std::mem::take(&mut self.refused);
        if !refused.is_empty()
            && let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection)
        {
            peer.out.refused.push((number, refused));
        }
        let Some(peer) = self.table.peers.get_mut(&connection) else {
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
        let now = Arrivals::at(self.table.clock.unix_ms());
        Arc::make_mut(batch).set_arrivals(now);
    }

    /// Puts a batch into its queues and the log: when that is safe, and one of the queues whose consumers cannot keep up.
    #[inline]
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
    #[inline]
    fn enqueue(&mut self, id: QueueId, batch: &Arc<Batch>, run: (u32, u32)) -> bool {
        match self.reserved {
            true => self.put_reserved(id, batch, run),
            false => self.put(id, batch, run, true),
        }
    }

    /// As [`Shard::enqueue`]. A queue that is full takes them all the same, unless it `may_refuse` some.
    pub(super) fn put(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        run: (u32, u32),
        may_refuse: bool,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else {
            self.put_elsewhere(id, batch, run);
            return false;
        };
        if may_refuse && queue.keys.is_some() {
            return self.enqueue_unique(id, batch, run);
        }
        if may_refuse && queue.refuses() {
            return self.enqueue_fitting(id, batch, run);
        }
        queue.used_ms = self.table.clock.unix_ms();
        // Then it is dealt while the queue is at hand, and as the end of the turn would.
        let is_idle = !queue.touched && (queue.is_drained() || queue.look_whether_drained());
        let passes = is_idle && queue.groups.is_none();
        let before = queue.held_bytes_if(!is_idle);
        let is_crowded = !is_idle && self.queued.is_over_budget() && queue.has_away();
        let room = is_idle || (queue.ready_bytes() <= self.resident_max && !is_crowded);
        let log = &mut *self.log;
        let table = &mut self.table;
        for (first, count, place) in places(batch, run, queue.is_kept, queue.ranking) {
            if place.home == Home::Log {
                self.targets.push(queue, place.level, (first, count));
            }
            if passes && queue.is_drained() {
                pass(queue, (batch, first, count), place, log, table);
            } else {
                queue.enqueue((batch, first, count), place, room, log);
            }
        }
        let has_passed = queue.is_drained();
        if !is_idle {
            touch(&mut self.touched, queue);
        } else if !has_passed {
            while deal_once(queue, table) {}
            queue.look_whether_drained();
            if queue.is_next_away() || queue.is_too_long() || queue.expires {
                touch(&mut self.touched, queue);
            }
        }
        self.held_bytes += queue.held_bytes_if(!has_passed) as i64 - before as i64;
        list_resident(&mut self.resident, queue);
        !has_passed && !queue.consumers.is_empty() && queue.ready_bytes() > QUEUE_SHARE
    }

    /// Messages for what is no queue of the ordinary sort: a stream, a place where messages are delayed, or a queue that was deleted meanwhile. Those of
    /// the last end here, as if they had reached it before.
    #[cold]
    fn put_elsewhere(&mut self, id: QueueId, batch: &Arc<Batch>, run: (u32, u32)) {
        if !self.append(id, batch, run) {
            self.hold_back(id, batch, run);
        }
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
        } else if let Some(peer) =
            peer(&mut self.table.peers, &mut self.table.spoken_to, connection)
        {
            peer.out.returned += bytes;
        }
    }

    /// Tells publishers which of their batches are done, as far as the log is durable.
    pub(super) fn report_done(&mut self) {
        let (durable, written) = (self.log.durable(), self.log.written());
        let (peers, spoken_to) = (&mut self.table.peers, &mut self.table.spoken_to);
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
        let (queues, peers, spoken_to) = (
            &self.queues,
            &mut self.table.peers,
            &mut self.table.spoken_to,
        );
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
