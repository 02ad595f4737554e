//! The last messages of `x-recent-history` exchanges: kept as they are published, and published again to whatever is bound to the exchange.
//!
//! Whoever routes a message over such an exchange calls [`Vhost::keep_recent`]. Messages of a durable exchange are written down as definitions,
//! each in a slot of its own, and outlive the broker.
//!
//! Bounds: a history has as many messages as its exchange says, and at most [`HISTORY_BYTES_MAX`]; all of the process together have at
//! most [`ALL_BYTES_MAX`]. The oldest ones go; a message for which there is no room is not kept.
//!
//! Order of locks: a history is locked behind the door or without it, and behind it only what stages definitions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_message::batch::{Batch, BatchBuilder, Message, NewMessage};
use leveret_message::blind_keys;
use leveret_message::properties::Properties;
use leveret_message::table::Value;
use leveret_store::log::Transaction;

use crate::command::{Command, Part};
use crate::dead_letter::published_to;
use crate::definitions;
use crate::exchange::{Destination, Exchange};
use crate::filling::{Filling, Kept, NewBody, add_moved, lanes};
use crate::ids::ShardId;
use crate::route::pick::Chances;
use crate::route::{Routed, route};
use crate::vhost::Vhost;

/// How many bytes the messages of one history have at most.
const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many bytes the messages of all histories have at most.
const ALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a message takes beside its own bytes.
const MESSAGE_BYTES: usize = 256;

/// The header of a message that is not to be kept.
const NO_STORE: &str = "x-recent-history-no-store";

/// How many bytes all histories have.
static ALL_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The messages of one exchange, the oldest first.
#[derive(Debug)]
pub(crate) struct History {
    length: u64,
    messages: VecDeque<Recent>,
    bytes: usize,
    /// The number of the next message.
    next: u64,
}

/// A message that is kept.
#[derive(Clone, Debug)]
struct Recent {
    number: u64,
    /// It alone.
    batch: Arc<Batch>,
}

impl Recent {
    fn bytes(&self) -> usize {
        self.batch.size(0, 1) + MESSAGE_BYTES
    }
}

impl History {
    /// Nothing yet, of at most so many messages.
    pub(crate) fn new(length: u64) -> Self {
        Self {
            length,
            messages: VecDeque::new(),
            bytes: 0,
            next: 0,
        }
    }

    /// Adds a message. Calls `gone` with the slot of each one that has to go for it. Returns the slot and the number of the new one, where there is room.
    fn push(&mut self, batch: Arc<Batch>, mut gone: impl FnMut(u64)) -> Option<(u64, u64)> {
        let number = self.next;
        let new = Recent { number, batch };
        let bytes = new.bytes();
        let slot = self.slot(number);
        self.next += 1;
        while !self.messages.is_empty() && !self.has_room(bytes) {
            let oldest = self.pop();
            oldest
                .filter(|oldest| *oldest != slot)
                .into_iter()
                .for_each(&mut gone);
        }
        if !self.has_room(bytes) {
            // What stood in its slot is gone, and nothing takes its place.
            gone(slot);
            return None;
        }
        self.bytes += bytes;
        ALL_BYTES.fetch_add(bytes, Ordering::Relaxed);
        self.messages.push_back(new);
        Some((slot, number))
    }

    fn has_room(&self, bytes: usize) -> bool {
        (self.messages.len() as u64) < self.length
            && self.bytes + bytes <= HISTORY_BYTES_MAX
            && ALL_BYTES.load(Ordering::Relaxed) + bytes <= ALL_BYTES_MAX
    }

    /// Lets the oldest message go; its slot.
    fn pop(&mut self) -> Option<u64> {
        let oldest = self.messages.pop_front()?;
        self.bytes -= oldest.bytes();
        ALL_BYTES.fetch_sub(oldest.bytes(), Ordering::Relaxed);
        Some(self.slot(oldest.number))
    }

    /// Where a message is written down. No two that are kept at a time have the same.
    fn slot(&self, number: u64) -> u64 {
        number.checked_rem(self.length).unwrap_or_default()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        ALL_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Vhost {
    /// Lets the exchanges that a message was routed over keep it, where they do such a thing.
    ///
    /// **Waits**: for who else does it for the same exchange. **Cost**: a copy of the message for each such exchange.
    pub(crate) fn keep_recent(
        &self,
        visited: &[(Arc<Exchange>, u64)],
        message: NewMessage<'_>,
        body: &NewBody<'_>,
        kept: Kept<'_>,
    ) {
        let keeping = visited.iter();
        let keeping =
            keeping.filter_map(|(exchange, _)| Some((exchange, exchange.history.as_ref()?)));
        for (exchange, history) in keeping {
            if is_not_to_be_kept(message.properties) {
                return;
            }
            let mut history = history.lock();
            if exchange.is_deleted() {
                continue;
            }
            let batch = alone(message, body, kept);
            let undefine = |slot| {
                if exchange.durable {
                    let key = definitions::recent_key(exchange, slot);
                    self.definitions.undefine(&key);
                }
            };
            let place = history.push(Arc::clone(&batch), undefine);
            if let Some((slot, number)) = place.filter(|_| exchange.durable) {
                let key = definitions::recent_key(exchange, slot);
                let value = definitions::recent_value(number, &batch);
                self.definitions.define(&key, &value);
            }
        }
    }

    /// Sends what an exchange has kept to what was bound to it. Under the door.
    pub(super) fn send_recent(&self, exchange: &Exchange, to: &Destination) {
        let Some(history) = &exchange.history else {
            return;
        };
        let messages: Vec<Recent> = history.lock().messages.iter().cloned().collect();
        let mut lanes = lanes(&self.shards);
        let mut chances = Chances::new(rand::random());
        for recent in &messages {
            self.add_recent(&recent.batch, to, chances.draw(), &mut lanes);
        }
        let lanes = (0..).map(ShardId).zip(lanes);
        let concerned: Vec<_> = lanes.filter(|(_, lane)| !lane.is_empty()).collect();
        let transaction = Transaction::new(concerned.len());
        for (shard, mut lane) in concerned {
            let part = Part::moved(transaction, lane.seal(), (false, 0));
            self.shards.send(shard, Command::Transact(Box::new(part)));
        }
    }

    fn add_recent(&self, batch: &Batch, to: &Destination, chance: u64, lanes: &mut [Filling]) {
        let Some(message) = batch.message(0) else {
            return;
        };
        let kept = Kept {
            died: message.died,
            blind: batch.blind_keys(0),
        };
        let new = NewMessage {
            exchange_and_key: message.exchange_and_key,
            properties: message.properties,
            persistent: message.persistent,
            priority: message.priority,
        };
        let body = NewBody::from(message.body);
        let mut queues = match to {
            Destination::Queue(queue) => vec![Arc::clone(queue)],
            Destination::Exchange(exchange) => {
                let Some((mut routing_keys, properties)) = keys_of(&message) else {
                    return;
                };
                routing_keys.extend(blind_keys::split(kept.blind));
                let routed = Routed {
                    routing_keys: &routing_keys,
                    properties,
                    chance,
                };
                let reached = route(self, exchange, &routed);
                self.keep_recent(&reached.visited, new, &body, kept);
                reached.queues
            }
        };
        add_moved(lanes, &mut queues, new, &body, kept);
    }

    /// Forgets what an exchange that has ended had kept.
    pub(super) fn forget_recent(&self, exchange: &Exchange) {
        let Some(history) = &exchange.history else {
            return;
        };
        let mut history = history.lock();
        while let Some(slot) = history.pop() {
            if exchange.durable {
                let key = definitions::recent_key(exchange, slot);
                self.definitions.undefine(&key);
            }
        }
    }

    /// Puts back a message that was kept before the broker was started; the oldest first.
    pub(crate) fn recover_recent(&self, exchange: &str, number: u64, batch: Arc<Batch>) {
        let exchange = self.find_exchange(exchange);
        if let Some(history) = exchange.as_ref().and_then(|found| found.history.as_ref()) {
            let mut history = history.lock();
            history.next = number;
            history.push(batch, |_| {});
        }
    }
}

fn is_not_to_be_kept(properties: &[u8]) -> bool {
    let headers = Properties::parse(properties).ok();
    let headers = headers.and_then(|properties| properties.headers());
    headers.and_then(|headers| headers.find(NO_STORE)) == Some(Value::Bool(true))
}

/// A batch of one message.
fn alone(message: NewMessage<'_>, body: &NewBody<'_>, kept: Kept<'_>) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    match body {
        NewBody::Copied(body) => builder.push(message, body),
        NewBody::Shared(body) => builder.push_shared(message, body.clone()),
    }
    kept.mark(&mut builder);
    builder.seal()
}

/// The routing keys of a message, those of its `CC` header included, and its properties.
fn keys_of<'a>(message: &Message<'a>) -> Option<(Vec<&'a [u8]>, Properties<'a>)> {
    let properties = Properties::parse(message.properties).ok()?;
    let (_, keys) = published_to(message.exchange_and_key, properties.headers())?;
    Some((keys, properties))
}

#[cfg(test)]
mod tests;
