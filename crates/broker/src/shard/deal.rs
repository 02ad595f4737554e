//! Dealing: from the ready messages of queues to consumers with credit. What enters a queue that was empty is dealt at once, the rest at the end
//! of the turn.

use rustc_hash::FxHashMap;

use crate::link::{ConnectionId, DeliveredRun};
use crate::queue::consumers::{Consumer, Turn};
use crate::queue::{Home, Queue};
use crate::queue_handle::ShardId;
use crate::runs::Piece;
use crate::shard::peer::Peer;
use crate::shard::settled::Settled;
use crate::shard::{Shard, peer};

impl Shard {
    /// Deals from every queue that was touched. A message that goes to a no-ack consumer is gone when it is in the connection's outbox.
    pub(super) fn deal_touched(&mut self) {
        while let Some(id) = self.touched.pop() {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.touched = false;
            let before = queue.held_bytes();
            let mut table = Table {
                shard: self.id,
                peers: &mut self.peers,
                spoken_to: &mut self.spoken_to,
                settled: &mut self.settled,
            };
            while deal_once(queue, &mut table) {}
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            if queue.has_away() || queue.is_next_away() || !queue.gets.is_empty() {
                self.ask(id);
                // Something may have come back that is served before what they wait for.
                self.answer_gets(id);
            }
        }
    }
}

/// What dealing needs besides the queue.
pub(super) struct Table<'a> {
    pub(super) shard: ShardId,
    pub(super) peers: &'a mut FxHashMap<ConnectionId, Peer>,
    pub(super) spoken_to: &'a mut Vec<ConnectionId>,
    pub(super) settled: &'a mut Settled,
}

/// Gives the next consumer what is its turn: one message, or a whole run where nobody else waits. `false` if there is nothing to deal or
/// nobody to take it.
pub(super) fn deal_once(queue: &mut Queue, table: &mut Table<'_>) -> bool {
    let available = queue.first_run_len();
    if available == 0 {
        return false;
    }
    let id = queue.id;
    let (shard, peers) = (table.shard, &mut *table.peers);
    let next = queue
        .consumers
        .next(available, |consumer| may_take(consumer, shard, peers, id));
    let Some(Turn {
        key,
        holder,
        slot,
        no_ack,
        count,
    }) = next
    else {
        return false;
    };
    let taken = queue
        .take_ready(count)
        .expect("the first run has as many as were available");
    let run = DeliveredRun {
        consumer: slot,
        queue: id,
        first_seq: taken.piece.first,
        first: taken.piece.value.index,
        count: taken.piece.count as u32,
        redelivered: taken.redelivered,
    };
    if let Some(peer) = peer(table.peers, table.spoken_to, holder.connection) {
        peer.out.bytes += taken.bytes;
        peer.out.deliveries.push(&taken.piece.value.batch, run);
    }
    if !no_ack {
        queue.hold(holder, taken, Some(key));
    } else if taken.piece.value.home == Home::Log {
        let Piece { first, count, .. } = taken.piece;
        table.settled.push(id, first, count);
    }
    true
}

/// Whether the consumer's connection has room and its channel credit. If not, `Command::Resume` brings the consumer back.
fn may_take(
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
