//! Dead letters on their way from a queue to those that its dead letter exchange leads to, perhaps in other shards.
//!
//! The move is one transaction of the log: the messages leave their queue and enter the others together, or not at all. A dead letter that reaches
//! no queue is gone, as in RabbitMQ's `at-most-once`.

use std::sync::Arc;

use leveret_message::batch::{Body, NewMessage};
use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;
use leveret_store::log::{Position, QueueId, Transaction};

use crate::command::{Command, Part, RunQueues};
use crate::dead_letter::{DeadLetter, Death, Reason};
use crate::publisher::{Filling, NewBody};
use crate::queue::{Home, Queue, Ready, Taken};
use crate::queue_handle::{QueueHandle, ShardId};
use crate::route::route;
use crate::runs::Piece;
use crate::shard::Shard;
use crate::shard::settled::Settled;

/// Messages that have died in a queue with a dead letter exchange.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) queue: Arc<QueueHandle>,
    pub(super) piece: Piece<Ready>,
    pub(super) reason: Reason,
}

impl Shard {
    /// Moves what has died. Returns when that is durable, where anything was.
    pub(super) fn bury(&mut self) -> Option<Position> {
        if self.dead.is_empty() {
            return None;
        }
        let mut lanes: Vec<Filling> = (0..self.shards.count())
            .map(|_| Filling::default())
            .collect();
        let mut left: Vec<(QueueId, u64, u64)> = Vec::new();
        let unix_secs = self.clock.unix_secs();
        for dead in std::mem::take(&mut self.dead) {
            publish_dead(&dead, unix_secs, &mut lanes);
            if dead.piece.value.home == Home::Log {
                left.push((dead.queue.id, dead.piece.first, dead.piece.count));
            }
        }
        self.move_dead(lanes, left)
    }

    fn move_dead(
        &mut self,
        lanes: Vec<Filling>,
        left: Vec<(QueueId, u64, u64)>,
    ) -> Option<Position> {
        let own = usize::from(self.id().0);
        let is_part =
            |(at, lane): (usize, &Filling)| !lane.is_empty() || (at == own && !left.is_empty());
        let parts = lanes.iter().enumerate().filter(|part| is_part(*part));
        let transaction = Transaction::new(parts.count());
        let mut position = None;
        for (at, mut lane) in lanes.into_iter().enumerate() {
            if at == own && (!lane.is_empty() || !left.is_empty()) {
                self.settled.tell(&mut *self.log);
                self.log.begin_part(transaction);
                let (batch, runs) = lane.seal();
                self.enter(&batch, &runs);
                for (queue, first, count) in &left {
                    self.settled.push(*queue, *first, *count);
                }
                self.settled.tell(&mut *self.log);
                position = self.log.end_part(transaction);
            } else if !lane.is_empty() {
                let (batch, runs) = lane.seal();
                let part = Part {
                    connection: None,
                    transaction,
                    bytes: 0,
                    batch,
                    runs,
                    settles: Vec::new(),
                };
                let part = Command::Transact(Box::new(part));
                self.shards.send(ShardId(at as u16), part);
            }
        }
        position
    }
}

/// Takes messages from the front of a queue that has more than it may have, as far as they are in memory.
pub(super) fn drop_head(queue: &mut Queue, dead: &mut Vec<Dead>, settled: &mut Settled) {
    while queue.is_too_long() {
        let Some(Taken { piece, .. }) = queue.take_ready(queue.excess()) else {
            return;
        };
        if queue.handle.settings.dead_letter.exchange.is_some() {
            dead.push(Dead {
                queue: Arc::clone(&queue.handle),
                piece,
                reason: Reason::MaxLength,
            });
        } else if piece.value.home == Home::Log {
            settled.push(queue.id, piece.first, piece.count);
        }
    }
}

/// Publishes each message of a run to the dead letter exchange of its queue.
fn publish_dead(dead: &Dead, unix_secs: u64, lanes: &mut [Filling]) {
    let Dead {
        queue,
        piece,
        reason,
    } = dead;
    let settings = &queue.settings.dead_letter;
    let vhost = queue.vhost.upgrade();
    let Some((vhost, name)) = vhost.zip(settings.exchange.as_ref()) else {
        return;
    };
    let Some(exchange) = vhost.find_exchange(name) else {
        return;
    };
    let death = Death {
        queue: queue.name(),
        reason: *reason,
        unix_secs,
        routing_key: settings.routing_key.as_ref(),
    };
    let Ready { batch, index, .. } = &piece.value;
    let mut went = 0;
    for message in batch.messages(*index, piece.count as u32) {
        let Some(letter) = DeadLetter::new(&message, &death) else {
            continue;
        };
        let keys: Vec<&[u8]> = letter.routing_keys.iter().map(Vec::as_slice).collect();
        let properties = Properties::parse(&letter.properties);
        let headers = properties.ok().and_then(|properties| properties.headers());
        let mut queues = route(&vhost, &exchange, &keys, headers).queues;
        if *reason != Reason::Rejected {
            queues.retain(|queue| !letter.is_cycle_to(queue.name()));
        }
        went += queues.len() as u64;
        let key = keys.first().copied().unwrap_or_default();
        let Some(exchange_and_key) = exchange_and_key::join(name.as_bytes(), key) else {
            continue;
        };
        let new = NewMessage {
            exchange_and_key: &exchange_and_key,
            properties: &letter.properties,
            persistent: message.persistent,
            priority: message.priority,
        };
        let body = match message.body {
            Body::Inline(body) => NewBody::Copied(body),
            Body::Shared(body) => NewBody::Shared(body.clone()),
        };
        queues.sort_by_key(|queue| queue.shard);
        for of_shard in queues.chunk_by(|a, b| a.shard == b.shard) {
            let Some(lane) = of_shard
                .first()
                .and_then(|first| lanes.get_mut(usize::from(first.shard.0)))
            else {
                continue;
            };
            let queues: RunQueues = of_shard.iter().map(|queue| queue.id).collect();
            lane.add_dead(&queues, new, &body);
        }
    }
    exchange.note_published(piece.count, went);
}
