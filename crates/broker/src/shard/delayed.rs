//! Messages that `x-delayed-message` exchanges hold back: taken in, read back as their time comes near, and released. See `delay.rs`.
//!
//! A release is a transaction of the log, as the move of a dead letter is: the message leaves the delay and enters the queues that its exchange leads
//! to, or neither.

use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::{Batch, BatchBuilder, Body, Message, NewMessage};
use leveret_message::blind_keys;
use leveret_message::properties::Properties;
use leveret_store::log::{QueueId, Read, Transaction, Wanted};

use crate::dead_letter::published_to;
use crate::delay::search::{Answer, Search};
use crate::delay::{Asking, Delay, Near, moved, released};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::filling::{Filling, Kept, NewBody, add_moved, lanes};
use crate::found::FoundMessages;
use crate::ids::ConnectionId;
use crate::link::Reply;
use crate::queue_handle::QueueHandle;
use crate::room::Room;
use crate::route::pick::Chances;
use crate::route::{Routed, route};
use crate::shard::Shard;
use crate::vhost::Vhost;

/// How many messages of an exchange are released in one turn at the most.
const RELEASED_MAX: usize = 1024;

impl Shard {
    /// An exchange that delays messages, with those that it had when the broker was started.
    pub(super) fn declare_delay(
        &mut self,
        handle: Arc<QueueHandle>,
        found: &[FoundMessages],
        next_seq: u64,
    ) {
        let id = handle.id;
        let mut delay = Delay::new(handle);
        delay.recover(found, next_seq, self.table.clock.unix_ms());
        self.delays.insert(id, delay);
        self.note_delay(id);
    }

    /// Messages are held back. Nothing where there is no such delay.
    pub(super) fn hold_back(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) {
        let Some(delay) = self.delays.get_mut(&id) else {
            return;
        };
        let now_ms = self.table.clock.unix_ms();
        let before = delay.bytes();
        for index in first..first + count {
            if let Some((bucket, seq)) = delay.add(batch, index, now_ms) {
                let of = (id, delay.handle.syncs);
                self.targets.push_at(of, bucket.stream(), seq, (index, 1));
            }
        }
        self.held_bytes += delay.bytes() as i64 - before as i64;
        self.note_delay(id);
    }

    /// Notes when there will be something to do.
    fn note_delay(&mut self, id: QueueId) {
        if let Some(delay) = self.delays.get_mut(&id)
            && let Some(due) = delay.next_ms().and_then(|ms| self.table.clock.instant(ms))
        {
            self.delay_dues.add(id, &mut delay.noted, due);
        }
    }

    /// Reads and releases what it is time for.
    pub(super) fn run_delays(&mut self, now: Instant) {
        while let Some(id) = self.delay_dues.pop(now) {
            if let Some(delay) = self.delays.get_mut(&id) {
                delay.noted = None;
                self.run_delay(id);
            }
        }
    }

    /// As [`Shard::run_delays`] for one exchange, which may have nothing to do.
    pub(super) fn run_delay(&mut self, id: QueueId) {
        let now_ms = self.table.clock.unix_ms();
        let Some(delay) = self.delays.get_mut(&id) else {
            return;
        };
        let before = delay.bytes();
        let asking = delay.ask(&mut *self.log, now_ms);
        let due = delay.take_due(now_ms, RELEASED_MAX);
        self.held_bytes -= before as i64 - delay.bytes() as i64;
        let handle = Arc::clone(&delay.handle);
        self.note_asking(id, asking);
        if !due.is_empty() {
            self.release_delayed(&handle, &due);
        }
        self.run_searches(id);
        if asking != Asking::NotDurable {
            self.note_delay(id);
        }
    }

    fn note_asking(&mut self, id: QueueId, asking: Asking) {
        match asking {
            Asking::Idle => {}
            Asking::Asked => self.reading += 1,
            Asking::NotDurable => {
                self.not_durable.insert(id);
            }
        }
    }

    /// An operator looks for messages that an exchange holds back.
    pub(super) fn search_delayed(
        &mut self,
        connection: ConnectionId,
        handle: &QueueHandle,
        search: Search,
    ) {
        let Some(delay) = self.delays.get_mut(&handle.id) else {
            return self.reply(connection, Err(Error::NotFound(handle.resource())));
        };
        delay.search(connection, search);
        self.run_searches(handle.id);
    }

    fn run_searches(&mut self, id: QueueId) {
        let Some(delay) = self.delays.get_mut(&id) else {
            return;
        };
        let mut answers = Vec::new();
        let asking = delay.ask_search(&mut *self.log, |answer| answers.push(answer));
        self.note_asking(id, asking);
        for answer in answers {
            self.answer_search(id, answer);
        }
    }

    /// Answers with what was found, at once; with what was cancelled, when that is durable.
    fn answer_search(&mut self, id: QueueId, answer: Answer) {
        let Answer {
            connection,
            stretch,
            settled,
        } = answer;
        if settled.is_empty() {
            return self.reply(connection, Ok(Reply::Searched(stretch)));
        }
        for (stream, seq) in settled {
            self.table.settled.push(id, stream, seq, 1);
        }
        self.table.settled.tell(&mut *self.log);
        self.log.hurry();
        let position = self.log.last();
        if let Some(delay) = self.delays.get_mut(&id) {
            delay.read_only_behind(position);
        }
        let reply = Reply::Searched(stretch);
        self.committing.push_back((position, connection, reply));
    }

    fn release_delayed(&mut self, handle: &QueueHandle, due: &[Near]) {
        let mut lanes = lanes(&self.shards);
        let vhost = handle.vhost.upgrade();
        let exchange = vhost
            .as_ref()
            .zip(handle.delays())
            .and_then(|(vhost, name)| vhost.find_exchange(name));
        if let Some((vhost, exchange)) = vhost.zip(exchange) {
            let mut chances = Chances::new(due.first().map_or(0, |near| near.seq));
            for near in due {
                if let Some(message) = near.batch.message(near.index) {
                    let message = (&message, near.batch.blind_keys(near.index));
                    publish_released(&vhost, &exchange, message, chances.draw(), &mut lanes);
                }
            }
        }
        let left = due
            .iter()
            .map(|near| (handle.id, near.bucket.stream(), near.seq, 1));
        self.move_messages(lanes, left.collect(), false, Room::default());
    }

    /// Takes in what was read for an exchange.
    pub(super) fn arrived_delayed(&mut self, wanted: Wanted, read: Read) {
        let id = wanted.queue;
        let Some(delay) = self.delays.get_mut(&id) else {
            return;
        };
        let before = delay.bytes();
        let answer = delay.searched(&wanted, &read);
        let moving = match &answer {
            Some(_) => Vec::new(),
            None => delay.arrived(wanted, read),
        };
        self.held_bytes += delay.bytes() as i64 - before as i64;
        if let Some(answer) = answer {
            self.answer_search(id, answer);
        }
        if !moving.is_empty() {
            self.in_part(Transaction::new(1), |this| this.narrow(id, &moving));
        }
        self.run_delay(id);
    }

    /// Messages move to narrower buckets.
    fn narrow(&mut self, id: QueueId, moving: &[Near]) {
        let now_ms = self.table.clock.unix_ms();
        let mut batch = moved_batch(moving);
        self.stamp(&mut batch);
        let Some(delay) = self.delays.get_mut(&id) else {
            return;
        };
        let before = delay.bytes();
        for (index, near) in (0..).zip(moving) {
            let (bucket, seq) = delay.narrow(near, &batch, index, now_ms);
            let of = (id, delay.handle.syncs);
            self.targets.push_at(of, bucket.stream(), seq, (index, 1));
            self.table
                .settled
                .push(id, near.bucket.stream(), near.seq, 1);
        }
        self.held_bytes += delay.bytes() as i64 - before as i64;
        self.targets.append(&batch, &mut *self.log);
    }

    /// Removes all messages that wait in an exchange. Returns how many there were; none where there is no such exchange.
    pub(super) fn purge_delay(&mut self, id: QueueId) -> Option<u64> {
        let delay = self.delays.get_mut(&id)?;
        self.held_bytes -= delay.bytes() as i64;
        let settled = &mut self.table.settled;
        Some(delay.purge(|stream, first, count| settled.push(id, stream, first, count)))
    }

    /// Ends a delay with what is in it: its exchange has gone.
    pub(super) fn drop_delay(&mut self, id: QueueId) {
        let Some(delay) = self.delays.remove(&id) else {
            return;
        };
        self.held_bytes -= delay.bytes() as i64;
        self.delay_dues.forget(id, delay.noted);
        for connection in delay.searchers() {
            self.reply(connection, Err(Error::NotFound(delay.handle.resource())));
        }
        self.end_handle(&delay.handle);
        if !delay.handle.is_kept() {
            // What it holds back is in the log all the same.
            self.table.settled.tell(&mut *self.log);
            self.log.delete_queue(delay.handle.group, id);
        }
    }
}

/// Messages as they are once they have moved to narrower buckets.
fn moved_batch(moving: &[Near]) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for near in moving {
        let Some(message) = near.batch.message(near.index) else {
            continue;
        };
        let properties = moved(&message, near.due_ms, near.number);
        let new = NewMessage {
            exchange_and_key: message.exchange_and_key,
            properties: properties.as_deref().unwrap_or(message.properties),
            persistent: message.persistent,
            priority: message.priority,
        };
        match message.body {
            Body::Inline(body) => builder.push(new, body),
            Body::Shared(body) => builder.push_shared(new, body.clone()),
        }
        let kept = Kept {
            died: message.died,
            blind: near.batch.blind_keys(near.index),
        };
        kept.mark(&mut builder);
    }
    builder.seal()
}

/// Publishes a message to the queues that its exchange leads to, now that its time has come.
fn publish_released(
    vhost: &Vhost,
    exchange: &Arc<Exchange>,
    (message, blind): (&Message<'_>, &[u8]),
    chance: u64,
    lanes: &mut [Filling],
) {
    let properties = released(message);
    let properties = properties.as_deref().unwrap_or(message.properties);
    let parsed = Properties::checked(properties);
    let Some((_, mut keys)) = published_to(message.exchange_and_key, parsed.headers()) else {
        return;
    };
    keys.extend(blind_keys::split(blind));
    let routed = Routed {
        routing_keys: &keys,
        properties: parsed,
        chance,
    };
    let reached = route(vhost, exchange, &routed);
    let mut queues = reached.queues;
    let new = NewMessage {
        exchange_and_key: message.exchange_and_key,
        properties,
        persistent: message.persistent,
        priority: message.priority,
    };
    let body = NewBody::from(message.body);
    exchange.note_published(0, queues.len() as u64);
    let kept = Kept {
        died: message.died,
        blind,
    };
    vhost.keep_recent(&reached.visited, new, &body, kept);
    add_moved(lanes, &mut queues, new, &body, kept);
}
