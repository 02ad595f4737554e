//! Settling what was handed out: it is gone, goes back to its place, or dies.

use leveret_store::entry::RequeueRun;
use leveret_store::log::{Group, Log, QueueId};

use crate::command::{Outcome, Settle};
use crate::dead_letter::Reason;
use crate::ids::{ConnectionId, Holder};
use crate::queue::{Fate, Held, Home, Queue, Ready, deliveries, in_memory};
use crate::runs::Piece;
use crate::shard::bury::Dead;
use crate::shard::settled::Settled;
use crate::shard::{Shard, touch};

/// What becomes of a queue's messages, as it is told to the log.
pub(super) struct Fates<'a> {
    queue: QueueId,
    settled: &'a mut Settled,
    log: &'a mut dyn Log,
    /// Those that are to be moved.
    died: Vec<(Reason, Piece<Ready>)>,
}

impl<'a> Fates<'a> {
    pub(super) fn new(queue: QueueId, settled: &'a mut Settled, log: &'a mut dyn Log) -> Self {
        Self {
            queue,
            settled,
            log,
            died: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn note(&mut self, fate: Fate, piece: &Piece<Held>) {
        let Held { level, home, .. } = piece.value;
        match fate {
            Fate::Gone if home == Home::Log => {
                let (first, count) = (piece.first, piece.count);
                self.settled.push(self.queue, level.stream(), first, count);
            }
            Fate::Dead(reason) => {
                let piece = in_memory(piece.clone());
                self.died.extend(piece.map(|piece| (reason, piece)));
            }
            Fate::Failed if home == Home::Log => self.note_back(piece, 0),
            Fate::Waits(until_ms) if home == Home::Log => self.note_back(piece, until_ms),
            Fate::Gone | Fate::Failed | Fate::Waits(_) => {}
        }
    }

    /// Writes down how often messages failed, and until when they wait: both count beyond the end of the process.
    fn note_back(&mut self, piece: &Piece<Held>, ready_ms: u64) {
        let run = RequeueRun {
            first_seq: piece.first,
            count: piece.count,
            delivery_count: deliveries(piece.value.failed),
            ready_ms,
        };
        let of = (self.queue, piece.value.level.stream());
        self.log.requeue(Group::of(self.queue), of, &[run]);
    }

    /// What has died waits to be moved.
    pub(super) fn end(self, queue: &Queue, dead: &mut Vec<Dead>) {
        let died = self.died.into_iter();
        dead.extend(died.map(|(reason, piece)| Dead::of(queue, piece, reason)));
    }
}

impl Shard {
    /// Settles, and moves what is not wanted to where dead letters go.
    pub(super) fn settle_now(&mut self, connection: ConnectionId, settles: &[Settle]) {
        self.settle(connection, settles);
        self.bury();
    }

    /// What is rejected is left for [`Shard::bury`].
    pub(super) fn settle(&mut self, connection: ConnectionId, settles: &[Settle]) {
        for settle in settles {
            let holder = Holder {
                connection,
                channel: settle.channel,
            };
            let Some(queue) = self.queues.get_mut(&settle.queue) else {
                let run = (settle.first_seq, settle.count);
                self.settle_stream(settle.queue, (connection, settle.reader), run);
                continue;
            };
            queue.used_ms = self.table.clock.unix_ms();
            let settled = &mut self.table.settled;
            if settle.outcome == Outcome::Ack {
                let run = (settle.first_seq, settle.count);
                let bytes = queue.ack(holder, run, |level, first, count| {
                    settled.push(settle.queue, level.stream(), first, count);
                });
                self.held_bytes -= bytes as i64;
                if !queue.is_drained() || queue.consumers.leaving().is_some() {
                    touch(&mut self.touched, queue);
                }
                continue;
            }
            let before = queue.held_bytes();
            let mut fates = Fates::new(settle.queue, settled, &mut *self.log);
            settle_otherwise(
                queue,
                holder,
                settle,
                self.table.clock.unix_ms(),
                &mut fates,
            );
            fates.end(queue, &mut self.dead);
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            let is_to_be_dealt = queue.ready_count() > 0 || queue.waiting_count() > 0;
            if is_to_be_dealt || queue.consumers.leaving().is_some() {
                touch(&mut self.touched, queue);
            }
        }
    }
}

/// What is not acknowledged.
#[cold]
fn settle_otherwise(
    queue: &mut Queue,
    holder: Holder,
    settle: &Settle,
    now_ms: u64,
    fates: &mut Fates<'_>,
) {
    let run = (settle.first_seq, settle.count);
    queue.settle(holder, run, settle.outcome, now_ms, |fate, piece| {
        fates.note(fate, piece);
    });
}
