//! Publishing into a shard: batches into queues and log, and when the publisher hears of it.
//!
//! Two limits slow publishers down, by giving their allowance back late: a queue whose consumers cannot keep up gives it back as it drains, at the
//! latest after [`WITHHELD_MAX`] (a consumer that takes an hour for a message must not stop its publishers); and while all queues together hold
//! more than the broker's limit, nothing is given back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use leveret_message::batch::Batch;
use leveret_store::log::{Entry, Group, Position, QueueId, Target};

use crate::command::Publish;
use crate::link::ConnectionId;
use crate::shard::away::put_away;
use crate::shard::{Shard, peer, touch};

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

impl Shard {
    pub(super) fn publish(&mut self, publish: Publish, now: Instant) {
        let Publish {
            connection,
            number,
            bytes,
            batch,
            runs,
        } = publish;
        let mut slow = None;
        let mut at = None;
        self.targets.clear();
        for run in &runs {
            for id in run.queues.iter() {
                // A queue that was deleted meanwhile: its messages end here, as if they had reached it before.
                let Some(queue) = self.queues.get_mut(id) else {
                    continue;
                };
                let (first, count, first_seq) = (run.first, run.count, queue.next_seq());
                let before = queue.held_bytes();
                if queue.is_full(self.resident_max) {
                    let at = put_away(&mut *self.log, &batch, (first, count));
                    queue.enqueue_away(at, count);
                } else {
                    queue.enqueue(&batch, first, count);
                }
                self.held_bytes += (queue.held_bytes() - before) as i64;
                if queue.handle.declaration.durable {
                    self.targets.push(Target {
                        queue: *id,
                        first,
                        count,
                        first_seq,
                    });
                }
                if !queue.consumers.is_empty() && queue.ready_bytes() > QUEUE_SHARE {
                    slow = Some(*id);
                }
                touch(&mut self.touched, queue);
            }
        }
        if batch.has_persistent() && !self.targets.is_empty() {
            at = Some(self.append(&batch));
        }
        if let Some(queue) = slow.or_else(|| self.queued.is_over().then_some(QueueId(0))) {
            let until = now + WITHHELD_MAX;
            self.withheld.push_back(Withheld {
                connection,
                bytes,
                queue,
                until,
            });
        } else if let Some(peer) = peer(&mut self.peers, &mut self.spoken_to, connection) {
            peer.out.returned += bytes;
        }
        let Some(peer) = self.peers.get_mut(&connection) else {
            return;
        };
        if peer.undone.is_empty() {
            self.undone.push(connection);
        }
        // Numbers of one connection are reported in order: what need not be safe waits for what came before it from the same connection only.
        let at = at
            .or_else(|| peer.undone.back().map(|(at, _)| *at))
            .unwrap_or_default();
        peer.undone.push_back((at, number));
    }

    fn append(&mut self, batch: &Batch) -> Position {
        let group = self
            .targets
            .first()
            .and_then(|target| self.queues.get(&target.queue));
        let group = group.map_or(Group(0), |queue| queue.handle.group);
        let entry = Entry::Enqueue {
            group,
            records: batch.bytes(),
            bodies: batch.shared_bodies(),
            targets: &self.targets,
        };
        self.log
            .append(entry)
            .expect("the memory log takes everything")
    }

    /// Tells publishers which of their batches are done, as far as the log is durable.
    pub(super) fn report_done(&mut self) {
        let durable = self.log.durable();
        let (peers, spoken_to) = (&mut self.peers, &mut self.spoken_to);
        self.undone.retain(|connection| {
            let Some(peer) = peer(peers, spoken_to, *connection) else {
                return false;
            };
            while let Some((at, number)) = peer.undone.front() {
                if *at > durable {
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
        let over = self.queued.is_over();
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
