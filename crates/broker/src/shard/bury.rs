//! Dead letters on their way from a queue to those that its dead letter exchange leads to, perhaps in other shards.
//!
//! The move is one transaction of the log: the messages leave their queue and enter the others together, or not at all. A dead letter that reaches
//! no queue is gone, as in RabbitMQ's `at-most-once`.

use std::sync::Arc;

use leveret_message::batch::{Body, NewMessage};
use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;
use leveret_store::entry::Stream;
use leveret_store::log::{Position, QueueId, Transaction};

use crate::arguments::QueueSettings;
use crate::command::{Command, Part};
use crate::dead_letter::{DeadLetter, Death, Reason};
use crate::publisher::{Filling, NewBody, by_shard};
use crate::queue::{Home, Queue, Ready, Taken};
use crate::queue_handle::{QueueHandle, ShardId};
use crate::route::pick::Chances;
use crate::route::{Routed, route};
use crate::runs::Piece;
use crate::shard::Shard;
use crate::shard::settled::Settled;

/// Messages that have died in a queue with a dead letter exchange.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) queue: Arc<QueueHandle>,
    /// What holds for the queue.
    pub(super) settings: QueueSettings,
    pub(super) piece: Piece<Ready>,
    pub(super) reason: Reason,
}

/// Messages in the log that leave their queue: which stream, the first one and how many.
pub(super) type Left = (QueueId, Stream, u64, u64);

impl Shard {
    /// Moves what has died. Returns when that is durable, where anything was.
    pub(super) fn bury(&mut self) -> Option<Position> {
        if self.dead.is_empty() {
            return None;
        }
        let mut lanes: Vec<Filling> = (0..self.shards.count())
            .map(|_| Filling::default())
            .collect();
        let mut left = Vec::new();
        let unix_secs = self.clock.unix_secs();
        for dead in std::mem::take(&mut self.dead) {
            publish_dead(&dead, unix_secs, &mut lanes);
            if dead.piece.value.home == Home::Log {
                let Piece { first, count, .. } = dead.piece;
                let stream = dead.piece.value.level.stream();
                left.push((dead.queue.id, stream, first, count));
            }
        }
        self.move_messages(lanes, left)
    }

    /// Messages enter other queues, and those that are in the log leave theirs: both or neither. Returns when that is durable, where it concerns this
    /// shard.
    pub(super) fn move_messages(
        &mut self,
        lanes: Vec<Filling>,
        left: Vec<Left>,
    ) -> Option<Position> {
        let own = self.id;
        let is_concerned = |(shard, lane): &(ShardId, Filling)| {
            !lane.is_empty() || (*shard == own && !left.is_empty())
        };
        let lanes = (0..).map(ShardId).zip(lanes);
        let concerned: Vec<_> = lanes.filter(is_concerned).collect();
        let transaction = Transaction::new(concerned.len());
        let mut position = None;
        for (shard, mut lane) in concerned {
            let (mut batch, runs) = lane.seal();
            if shard == own {
                self.stamp(&mut batch);
                ((), position) = self.in_part(transaction, |this| {
                    this.enter(&batch, &runs);
                    this.refused.clear();
                    this.leave(&left);
                });
            } else {
                let part = Part {
                    connection: None,
                    transaction,
                    bytes: 0,
                    batch,
                    runs,
                    settles: Vec::new(),
                };
                let part = Command::Transact(Box::new(part));
                self.shards.send(shard, part);
            }
        }
        position
    }

    /// Messages that are in the log leave their queues.
    fn leave(&mut self, runs: &[Left]) {
        for (queue, stream, first, count) in runs {
            self.settled.push(*queue, *stream, *first, *count);
        }
    }
}

/// Messages have left the front of their queue: they are gone, or dead.
pub(super) fn let_go(
    queue: &Queue,
    piece: Piece<Ready>,
    reason: Reason,
    dead: &mut Vec<Dead>,
    settled: &mut Settled,
) {
    if queue.has_dead_letters() {
        dead.push(Dead {
            queue: Arc::clone(&queue.handle),
            settings: queue.settings.clone(),
            piece,
            reason,
        });
    } else if piece.value.home == Home::Log {
        let stream = piece.value.level.stream();
        settled.push(queue.id, stream, piece.first, piece.count);
    }
}

/// Takes messages from the front of a queue that has more than it may have, as far as they are in memory.
pub(super) fn drop_head(queue: &mut Queue, dead: &mut Vec<Dead>, settled: &mut Settled) {
    while queue.is_too_long() {
        let Some(Taken { piece, .. }) = queue.take_ready(queue.excess()) else {
            return;
        };
        let_go(queue, piece, Reason::MaxLength, dead, settled);
    }
}

/// Publishes each message of a run to the dead letter exchange of its queue.
fn publish_dead(dead: &Dead, unix_secs: u64, lanes: &mut [Filling]) {
    let Dead {
        queue,
        settings,
        piece,
        reason,
    } = dead;
    let settings = &settings.dead_letter;
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
    let (mut went, mut chances) = (0, Chances::new(piece.first));
    for message in batch.messages(*index, piece.count as u32) {
        let Some(letter) = DeadLetter::new(&message, &death) else {
            continue;
        };
        let keys = &letter.routing_keys;
        let routed = Routed {
            routing_keys: keys,
            properties: Properties::parse(&letter.properties).unwrap_or_default(),
            chance: chances.draw(),
        };
        let reached = route(&vhost, &exchange, &routed);
        let mut queues = reached.queues;
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
        vhost.keep_recent(&reached.visited, new, &body);
        for (shard, queues) in by_shard(&mut queues) {
            if let Some(lane) = lanes.get_mut(usize::from(shard.0)) {
                lane.add_moved(&queues, new, &body, true);
            }
        }
    }
    exchange.note_published(piece.count, went);
}
