//! Dealing: from the ready messages of queues to consumers with credit. What enters a queue that was empty is dealt at once, the rest at the end
//! of the turn.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::log::Log;
use rustc_hash::FxHashMap;

use crate::ids::{ConnectionId, ShardId};
use crate::link::DeliveredRun;
use crate::queue::consumers::{Consumer, Turn};
use crate::queue::{Home, Need, Place, Queue, Taken};
use crate::runs::Piece;
use crate::shard::bury::drop_head;
use crate::shard::clock::Clock;
use crate::shard::due::Due;
use crate::shard::grouped::deal_grouped;
use crate::shard::lifetime::expire;
use crate::shard::overdue::look_after;
use crate::shard::peer::Peer;
use crate::shard::settled::Settled;
use crate::shard::{Shard, peer};

impl Shard {
    /// Deals from every queue that was touched. A message that goes to a no-ack consumer is gone when it is in the connection's outbox.
    pub(super) fn deal_touched(&mut self) {
        loop {
            self.deal_each_touched();
            // Dead letters may enter queues of this shard, which is a touch again. Cycles end: see `dead_letter.rs`.
            if self.dead.is_empty() {
                return;
            }
            self.bury();
        }
    }

    fn deal_each_touched(&mut self) {
        while let Some(id) = self.touched.pop() {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.touched = false;
            queue.hand_over_activity();
            let before = queue.held_bytes();
            let table = &mut self.table;
            if queue.expires {
                let dead = &mut self.dead;
                while expire(queue, false, table.clock, dead, &mut table.settled)
                    && deal_once(queue, table)
                {}
            } else {
                while deal_once(queue, table) {}
            }
            if queue.is_too_long() {
                drop_head(queue, &mut self.dead, &mut self.table.settled);
            }
            queue.look_whether_drained();
            if queue.refuses() {
                queue.handle.note_room(queue.room());
            }
            let (expires, waits) = (queue.expires, queue.waiting_count() > 0);
            if waits {
                self.note_retry(id);
            }
            let need = expires.then(|| self.expire_new(id)).flatten();
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            if queue.is_to_be_counted() {
                self.counting.push(id);
            }
            let need = need.or_else(|| queue.is_too_long().then_some(Need::LetGo));
            if queue.has_away() || queue.is_next_away() || !queue.gets.is_empty() {
                self.ask(id, need);
                // Something may have come back that is served before what they wait for.
                self.answer_gets(id);
                self.answer_moves(id);
            }
        }
    }
}

/// What dealing needs besides the queue: to whom, what becomes of what is dealt, and the time.
pub(super) struct Table {
    pub(super) shard: ShardId,
    pub(super) peers: FxHashMap<ConnectionId, Peer>,
    /// Connections to tell something at the end of the turn.
    pub(super) spoken_to: Vec<ConnectionId>,
    /// What the log is to be told at the end of the turn.
    pub(super) settled: Settled,
    /// When queues are due to be looked through for deliveries that are not settled in time.
    pub(super) looks: Due,
    /// When this turn began.
    pub(super) clock: Clock,
}

impl Table {
    pub(super) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            peers: FxHashMap::default(),
            spoken_to: Vec::new(),
            settled: Settled::default(),
            looks: Due::default(),
            clock: Clock::default(),
        }
    }
}

/// Gives the next consumer what is its turn: one message, or a whole run where nobody else waits. `false` if there is nothing to deal or
/// nobody to take it.
pub(super) fn deal_once(queue: &mut Queue, table: &mut Table) -> bool {
    if queue.groups.is_some() {
        return deal_grouped(queue, table);
    }
    let available = queue.first_run_len();
    if available == 0 {
        return false;
    }
    let Some(turn) = next_turn(queue, available, table) else {
        return false;
    };
    let taken = queue
        .take_line(turn.count)
        .expect("the first run has as many as were available");
    hand_out(queue, turn, taken, table);
    true
}

/// Messages enter a queue that has room and none that are ready, and pass through it to whoever has the next turn, as far as that goes.
#[inline]
pub(super) fn pass(
    queue: &mut Queue,
    (batch, first, count): (&Arc<Batch>, u32, u32),
    place: Place,
    log: &mut dyn Log,
    table: &mut Table,
) {
    debug_assert!(
        queue.groups.is_none(),
        "messages in groups do not pass by others"
    );
    let turn = next_turn(queue, u64::from(count), table);
    if let Some(turn) = turn.filter(|turn| turn.count == u64::from(count)) {
        let taken = queue.pass((batch, first, count), place);
        hand_out(queue, turn, taken, table);
        return;
    }
    queue.enqueue((batch, first, count), place, true, log);
    if let Some(turn) = turn {
        let taken = queue.take_line(turn.count).expect("so many have just come");
        hand_out(queue, turn, taken, table);
    }
}

#[inline]
pub(super) fn next_turn(queue: &mut Queue, available: u64, table: &mut Table) -> Option<Turn> {
    let (id, shard, peers) = (queue.id, table.shard, &mut table.peers);
    let consumers = &mut queue.consumers;
    consumers.next(available, |consumer| may_take(consumer, shard, peers, id))
}

#[inline]
pub(super) fn hand_out(queue: &mut Queue, turn: Turn, taken: Taken, table: &mut Table) {
    let run = DeliveredRun {
        consumer: turn.slot,
        queue: queue.id,
        first_seq: taken.piece.first,
        first: taken.piece.value.index,
        count: taken.piece.count as u32,
        redelivered: taken.redelivered,
        failed: taken.piece.value.failed,
        acquired: taken.acquired,
        has_offsets: false,
    };
    if let Some(peer) = peer(
        &mut table.peers,
        &mut table.spoken_to,
        turn.holder.connection,
    ) {
        peer.out.bytes += taken.bytes;
        peer.out.deliveries.push(&taken.piece.value.batch, run);
    }
    queue
        .counts
        .note_delivered(turn.no_ack, taken.redelivered, taken.piece.count);
    if !turn.no_ack {
        queue.hold(turn.holder, taken, Some(turn.key), table.clock.tick);
        if let Some(timeout) = turn.timeout {
            look_after(&mut table.looks, queue, timeout, table.clock);
        }
    } else {
        let Piece {
            first,
            count,
            value,
        } = taken.piece;
        queue.forget_keys(first, count);
        if value.home == Home::Log {
            let stream = value.level.stream();
            table.settled.push(queue.id, stream, first, count);
        }
    }
}

/// Whether the consumer's connection has room and its channel credit. If not, `Command::Resume` brings the consumer back.
#[inline]
pub(super) fn may_take(
    consumer: &Consumer,
    shard: ShardId,
    peers: &mut FxHashMap<ConnectionId, Peer>,
    queue: leveret_store::log::QueueId,
) -> bool {
    let Some(peer) = peers.get_mut(&consumer.holder.connection) else {
        return false;
    };
    if peer.link.has_room(shard, peer.out.bytes) && consumer.channel_credit() > 0 {
        return true;
    }
    peer.parked.insert(queue);
    false
}
