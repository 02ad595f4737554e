//! Dead letters on their way from a queue to those that its dead letter exchange leads to, perhaps in other shards.
//!
//! The move is one transaction of the log: the messages leave their queue and enter the others together, or not at all. A dead letter that reaches
//! no queue is gone, as in RabbitMQ's `at-most-once`.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_message::batch::NewMessage;
use leveret_message::blind_keys;
use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;
use leveret_store::entry::Stream;
use leveret_store::log::{Position, QueueId};

use crate::arguments::{Overflow, QueueSettings};
use crate::command::IfFull;
use crate::dead_letter::{DeadLetter, Death, Reason, is_cycle_to};
use crate::filling::{Filling, Kept, NewBody, add_moved, lanes};
use crate::queue::{Home, Level, Queue, Ready, Taken};
use crate::queue_handle::QueueHandle;
use crate::room::Room;
use crate::route::pick::Chances;
use crate::route::{Routed, route};
use crate::runs::{Piece, split_front};
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

impl Dead {
    /// Messages that have died in this queue.
    pub(super) fn of(queue: &Queue, piece: Piece<Ready>, reason: Reason) -> Self {
        Self {
            queue: Arc::clone(&queue.handle),
            settings: queue.settings.clone(),
            piece,
            reason,
        }
    }

    /// A message of a batch that a queue, perhaps of another shard, has refused; `None` where that leaves no letter.
    pub(super) fn of_refused(
        queue: &Arc<QueueHandle>,
        settings: QueueSettings,
        (batch, index): (&Arc<Batch>, u32),
    ) -> Option<Self> {
        let makes_letters = settings.length.overflow == Some(Overflow::RejectPublishDlx)
            && settings.dead_letter.exchange.is_some();
        let value = Ready {
            batch: Arc::clone(batch),
            index,
            home: Home::Memory,
            level: Level::default(),
            failed: 0,
        };
        makes_letters.then(|| Self {
            queue: Arc::clone(queue),
            settings,
            // It was never in the queue, and so has no number there.
            piece: Piece {
                first: 0,
                count: 1,
                value,
            },
            reason: Reason::MaxLength,
        })
    }

    /// Each message for itself, if that is wanted.
    fn cut(self, each: bool) -> impl Iterator<Item = Self> {
        let Self {
            queue,
            settings,
            mut piece,
            reason,
        } = self;
        let most = if each { 1 } else { u64::MAX };
        std::iter::from_fn(move || {
            (piece.count > 0).then(|| Self {
                queue: Arc::clone(&queue),
                settings: settings.clone(),
                piece: split_front(&mut piece, most),
                reason,
            })
        })
    }
}

/// Messages in the log that leave their queue: which stream, the first one and how many.
pub(super) type Left = (QueueId, Stream, u64, u64);

impl Shard {
    /// Moves what has died. Returns when that is durable, where anything was.
    pub(super) fn bury(&mut self) -> Option<Position> {
        if self.dead.is_empty() {
            return None;
        }
        let queues = &self.queues;
        let is_kept = |dead: &Dead| queues.get(&dead.queue.id).is_some_and(Queue::keeps_dead);
        let (kept, others) = std::mem::take(&mut self.dead)
            .into_iter()
            .partition(is_kept);
        self.bury_all(others, false).max(self.bury_all(kept, true))
    }

    /// Where they must be `kept`, each stays where it is until there are queues for it that have room.
    fn bury_all(&mut self, dead: Vec<Dead>, kept: bool) -> Option<Position> {
        if dead.is_empty() {
            return None;
        }
        let mut lanes = lanes(&self.shards);
        let (mut left, mut room) = (Vec::new(), Room::default());
        let unix_secs = self.table.clock.unix_secs();
        for dead in dead {
            let id = dead.queue.id;
            for dead in dead.cut(kept) {
                let room = kept.then_some(&mut room);
                let went = publish_dead(&dead, unix_secs, &mut lanes, room);
                if went == 0 && kept {
                    self.keep_dead(dead);
                    continue;
                }
                let Piece { first, count, .. } = dead.piece;
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.forget_keys(first, count);
                }
                if dead.piece.value.home == Home::Log {
                    left.push((id, dead.piece.value.level.stream(), first, count));
                }
            }
        }
        self.move_messages(lanes, left, kept, room)
    }

    fn keep_dead(&mut self, dead: Dead) {
        let now_ms = self.table.clock.unix_ms();
        if let Some(queue) = self.queues.get_mut(&dead.queue.id) {
            let before = queue.held_bytes();
            queue.keep_dead(dead.piece, dead.reason, now_ms);
            self.held_bytes += queue.held_bytes() as i64 - before as i64;
        }
        self.note_retry(dead.queue.id);
    }

    /// Messages enter other queues, and those that are in the log leave theirs: both or neither. Returns when that is durable, where it concerns this
    /// shard. Where room is `reserved` for them, behind windows what is in `room`, no queue refuses any.
    pub(super) fn move_messages(
        &mut self,
        mut lanes: Vec<Filling>,
        left: Vec<Left>,
        reserved: bool,
        room: Room,
    ) -> Option<Position> {
        let own = self.take_own(&mut lanes);
        let if_full = match reserved {
            true => IfFull::Entered,
            false => IfFull::LeftOut,
        };
        let passed = self.pass_windows(own, lanes, (0, if_full), room);
        let left = (!left.is_empty()).then_some(left);
        let entered = self.enter_passed(passed, None, reserved, left.is_some(), |this| {
            left.iter().for_each(|left| this.leave(left));
        });
        // Nobody waits for these.
        self.refused.clear();
        entered.last
    }

    /// Messages that are in the log leave their queues.
    fn leave(&mut self, runs: &[Left]) {
        for (queue, stream, first, count) in runs {
            self.table.settled.push(*queue, *stream, *first, *count);
        }
    }
}

/// Messages have left the front of their queue: they are gone, or dead.
pub(super) fn let_go(
    queue: &mut Queue,
    piece: Piece<Ready>,
    reason: Reason,
    dead: &mut Vec<Dead>,
    settled: &mut Settled,
) {
    if queue.has_dead_letters() {
        if !queue.keeps_dead() {
            queue.forget_keys(piece.first, piece.count);
        }
        return dead.push(Dead::of(queue, piece, reason));
    }
    queue.forget_keys(piece.first, piece.count);
    if piece.value.home == Home::Log {
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

/// Publishes each message of a run to the dead letter exchange of its queue. Returns how often a queue takes one. Where they must
/// be kept, `room` is taken for each, and it is not published where one of its queues has none.
fn publish_dead(
    dead: &Dead,
    unix_secs: u64,
    lanes: &mut [Filling],
    mut room: Option<&mut Room>,
) -> u64 {
    let Dead {
        queue,
        settings,
        piece,
        reason,
    } = dead;
    let settings = &settings.dead_letter;
    let vhost = queue.vhost.upgrade();
    let Some((vhost, name)) = vhost.zip(settings.exchange.as_ref()) else {
        return 0;
    };
    let Some(exchange) = vhost.find_exchange(name) else {
        return 0;
    };
    let death = Death {
        queue: queue.name(),
        reason: *reason,
        unix_secs,
        routing_key: settings.routing_key.as_ref(),
    };
    let Ready { batch, index, .. } = &piece.value;
    let (mut went, mut chances) = (0, Chances::new(piece.first));
    for (at, message) in (*index..).zip(batch.messages(*index, piece.count as u32)) {
        let Some(mut letter) = DeadLetter::new(&message, &death) else {
            continue;
        };
        let blind = blind_copies(batch, at, &death);
        letter.routing_keys.extend(blind_keys::split(blind));
        let keys = &letter.routing_keys;
        let routed = Routed {
            routing_keys: keys,
            properties: Properties::parse(&letter.properties).unwrap_or_default(),
            chance: chances.draw(),
        };
        let reached = route(&vhost, &exchange, &routed);
        let mut queues = reached.queues;
        if *reason != Reason::Rejected {
            let headers = Some(letter.headers.view());
            queues.retain(|queue| !is_cycle_to(queue.name(), headers));
        }
        if let Some(room) = &mut room
            && room.take(&queues, &routed).is_err()
        {
            continue;
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
        let body = NewBody::from(message.body);
        let kept = Kept { died: true, blind };
        vhost.keep_recent(&reached.visited, new, &body, kept);
        add_moved(lanes, &mut queues, new, &body, kept);
    }
    exchange.note_published(piece.count, went);
    went
}

/// The keys of a message's blind copies, where its letter goes to the keys that it had.
fn blind_copies<'b>(batch: &'b Batch, at: u32, death: &Death<'_>) -> &'b [u8] {
    match death.routing_key {
        None => batch.blind_keys(at),
        Some(_) => &[],
    }
}
