//! The stage of the shard's tests: one shard, a vhost that declares into it, and connections whose events are read message by message.
//!
//! Time is passed in: `now` moves only when a test moves it. Every message has a number of its own, which is its body.

use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::{Batch, BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::table::Table;
use leveret_store::log::{Log, QueueId};
use proptest::prelude::*;

use crate::command::{ChannelCredit, Command, NewConsumer, Outcome, Publish, Run, Settle, Shards};
use crate::delay::search::Place;
use crate::doubles::{self, WatchedLog};
use crate::error::Error;
use crate::found::RecoveredQueue;
use crate::ids::{ConnectionId, ConsumerSlot, Holder, ShardId};
use crate::link::{Event, Link, Reply};
use crate::queue_handle::{QueueDeclaration, QueueHandle};
use crate::shard::{QueuedBytes, Shard};
use crate::vhost::Vhost;

/// What a connection is told, one message at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Delivery(Delivery),
    Consuming,
    CancelOk,
    Cancelled(u32),
    Counts(u64, u64),
    Got(Option<Delivery>, u64),
    Purged(u64),
    /// The messages that a search found, how many it cancelled, and where it goes on.
    Searched(Vec<u64>, u64, Option<Place>),
    Deleted(u64),
    Released,
    Disconnected,
    Committed {
        is_whole: bool,
    },
    Refused(Error),
    Full(Vec<(u32, u32)>),
    Progress(u64, usize),
}

/// A message on its way out; `consumer` is 0 for one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) consumer: u32,
    pub(super) queue: QueueId,
    pub(super) seq: u64,
    pub(super) message: u64,
    pub(super) redelivered: bool,
}

/// Of what sort a message is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    pub(super) persistent: bool,
    /// Whether its body lies outside the batch's buffer.
    pub(super) shared: bool,
}

pub(super) struct Fixture {
    pub(super) shard: Shard,
    pub(super) vhost: Arc<Vhost>,
    pub(super) log: WatchedLog,
    pub(super) queued: Arc<QueuedBytes>,
    pub(super) now: Instant,
    shards: Shards,
    next_message: u64,
    next_connection: u64,
}

/// A connection and how it numbers its batches.
pub(super) struct Client {
    pub(super) link: Arc<Link>,
    pub(super) batches: u64,
}

impl Client {
    pub(super) fn id(&self) -> ConnectionId {
        self.link.connection
    }

    pub(super) fn holder(&self, channel: u16) -> Holder {
        Holder {
            connection: self.id(),
            channel,
        }
    }

    /// Everything it was told since the last time.
    pub(super) fn all(&self) -> Vec<Seen> {
        let mut events = Vec::new();
        self.link.events.take(&mut events);
        events.into_iter().flat_map(seen).collect()
    }

    /// As [`Client::all`], without progress.
    pub(super) fn told(&self) -> Vec<Seen> {
        let mut told = self.all();
        told.retain(|seen| !matches!(seen, Seen::Progress(..)));
        told
    }

    /// The consumers and messages of the deliveries since the last time; nothing else may have come.
    pub(super) fn deliveries(&self) -> Vec<(u32, u64)> {
        let told = self.told().into_iter();
        told.map(|seen| match seen {
            Seen::Delivery(delivery) => (delivery.consumer, delivery.message),
            other => panic!("{other:?} among the deliveries"),
        })
        .collect()
    }

    /// The sum of the allowance that came back since the last time; drops everything else.
    pub(super) fn returned(&self) -> usize {
        let all = self.all().into_iter();
        all.map(|seen| match seen {
            Seen::Progress(_, returned) => returned,
            _ => 0,
        })
        .sum()
    }
}

fn seen(event: Event) -> Vec<Seen> {
    let one = match event {
        Event::Deliveries(runs) => return runs.iter().flat_map(delivered).collect(),
        Event::Progress {
            shard,
            done,
            returned,
        } => {
            assert_eq!(shard, ShardId(0));
            Seen::Progress(done, returned)
        }
        Event::Refused { refused, .. } => Seen::Full(refused),
        Event::ConsumerCancelled(slot) => Seen::Cancelled(slot.0),
        Event::Close(reason) => panic!("a shard asked for a close: {reason}"),
        Event::Alarms(alarms) => panic!("a shard raised an alarm: {alarms}"),
        Event::Describe(_) | Event::AccessChanged => panic!("a shard said {event:?}"),
        Event::Reply(Err(error)) => Seen::Refused(error),
        Event::Reply(Ok(reply)) => replied(reply),
    };
    vec![one]
}

fn delivered((batch, run): (&Arc<Batch>, &crate::link::DeliveredRun)) -> Vec<Seen> {
    (0..run.count)
        .map(|i| {
            Seen::Delivery(Delivery {
                consumer: run.consumer.0,
                queue: run.queue,
                seq: run.first_seq + u64::from(i),
                message: number(batch, run.first + i),
                redelivered: run.redelivered,
            })
        })
        .collect()
}

fn replied(reply: Reply) -> Seen {
    match reply {
        Reply::Counts { ready, consumers } => Seen::Counts(ready, consumers),
        Reply::Consuming => Seen::Consuming,
        Reply::Cancelled => Seen::CancelOk,
        Reply::Got(None) => Seen::Got(None, 0),
        Reply::Got(Some(got)) => {
            let delivery = Delivery {
                consumer: 0,
                queue: got.queue,
                seq: got.seq,
                message: number(&got.batch, got.index),
                redelivered: got.redelivered,
            };
            Seen::Got(Some(delivery), got.remaining)
        }
        Reply::Purged(count) => Seen::Purged(count),
        Reply::Deleted(count) => Seen::Deleted(count),
        Reply::Released(ShardId(0)) => Seen::Released,
        Reply::Released(other) => panic!("shard {other:?} speaks for another"),
        Reply::Disconnected => Seen::Disconnected,
        Reply::Committed { is_whole } => Seen::Committed { is_whole },
        Reply::Searched(stretch) => {
            let found = stretch.found.iter();
            let found = found.map(|near| number(&near.batch, near.index));
            Seen::Searched(found.collect(), stretch.cancelled, stretch.next)
        }
        Reply::Moved { .. } | Reply::Peeked(_) | Reply::Offsets(_) | Reply::OffsetForgotten(_) => {
            panic!("no operator asked")
        }
        Reply::Kept => panic!("that comes from no shard"),
    }
}

pub(super) fn number(batch: &Batch, index: u32) -> u64 {
    let message = batch.message(index).expect("runs lie within their batch");
    let body = message.body.as_bytes();
    u64::from_le_bytes(*body.first_chunk().expect("bodies begin with a number"))
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with_memory(usize::MAX)
    }

    /// With a limit to what all queues may hold before their publishers wait.
    pub(super) fn with_memory(max: usize) -> Self {
        Self::with_budget(usize::MAX, max)
    }

    /// With limits to what all queues may hold before messages leave memory, and before their publishers wait.
    pub(super) fn with_budget(budget: usize, max: usize) -> Self {
        let shards = Shards::new(1);
        let queued = Arc::new(QueuedBytes::new(budget, max));
        let log = WatchedLog::new();
        Self {
            shard: Shard::new(
                ShardId(0),
                shards.clone(),
                Box::new(log.clone()),
                Arc::clone(&queued),
            ),
            vhost: doubles::vhost("/", &shards),
            log,
            queued,
            now: Instant::now(),
            shards,
            next_message: 1,
            next_connection: 1,
        }
    }

    /// A shard as after a start, on the same log.
    pub(super) fn new_shard(&self) -> Shard {
        let (log, queued) = (Box::new(self.log.clone()), Arc::clone(&self.queued));
        Shard::new(ShardId(0), self.shards.clone(), log, queued)
    }

    /// The broker was killed, and starts again with a queue: what is persistent is there.
    pub(super) fn restart(&mut self, queue: &Arc<QueueHandle>) {
        let found = self.log.found();
        self.log.take_arrived(&mut Vec::new());
        self.shard = self.new_shard();
        let found = found.into_iter().find(|found| found.id == queue.id.0);
        let found = found.unwrap_or_default();
        let recovered = RecoveredQueue {
            messages: found.messages,
            returned: found.returned,
            offsets: Vec::new(),
            next_seq: found.next_seq,
            redelivered_below: found.next_seq,
        };
        self.shard.recover(Arc::clone(queue), recovered);
    }

    /// A connection that the shard knows, with an outbox of this many bytes.
    pub(super) fn connect(&mut self, outbox_max: usize) -> Client {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let link = Arc::new(Link::new(connection, outbox_max));
        self.turn([Command::Connect(Arc::clone(&link))]);
        Client { link, batches: 0 }
    }

    /// A connection whose outbox is never full.
    pub(super) fn client(&mut self) -> Client {
        self.connect(usize::MAX)
    }

    /// One turn of the shard, with what the door has sent before the commands.
    pub(super) fn turn(&mut self, commands: impl IntoIterator<Item = Command>) {
        let mut all = self.take_from_door();
        all.extend(commands);
        self.shard.turn(all.into_iter(), self.now);
    }

    /// Turns until the log has nothing to bring any more.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..1000 {
            self.turn([]);
            if self.shard.reading == 0 && self.shard.not_durable.is_empty() {
                return;
            }
        }
        panic!("the log goes on bringing messages");
    }

    /// What the door has sent.
    pub(super) fn take_from_door(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        self.shards.mailbox(ShardId(0)).take(&mut commands);
        commands
    }

    /// A new plain queue.
    pub(super) fn queue(&mut self, name: &str) -> Arc<QueueHandle> {
        self.declare(name, |_| {})
    }

    /// A new queue that differs from a plain one.
    pub(super) fn declare(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut QueueDeclaration),
    ) -> Arc<QueueHandle> {
        let handle = self.declare_by(ConnectionId(0), name, change);
        self.turn([]);
        handle
    }

    /// As [`Fixture::declare`], by a connection and without a turn.
    pub(super) fn declare_by(
        &self,
        connection: ConnectionId,
        name: &str,
        change: impl FnOnce(&mut QueueDeclaration),
    ) -> Arc<QueueHandle> {
        let mut declaration = QueueDeclaration {
            name: Name::new(name).unwrap(),
            durable: false,
            owner: None,
            auto_delete: false,
            arguments: Table::default(),
        };
        change(&mut declaration);
        let declared = self.vhost.declare_queue(connection, declaration, false);
        Arc::clone(declared.expect("it may be declared").queue())
    }

    /// A batch of messages whose bodies have `body_len` bytes; returns the number of the first as well.
    pub(super) fn batch(&mut self, count: u32, body_len: usize, persistent: bool) -> Arc<Batch> {
        let sort = Sort {
            persistent,
            shared: false,
        };
        self.mixed_batch(count, body_len, |_| sort)
    }

    /// As [`Fixture::batch`]; of what sort a message is, its number says.
    pub(super) fn mixed_batch(
        &mut self,
        count: u32,
        body_len: usize,
        sort: impl Fn(u64) -> Sort,
    ) -> Arc<Batch> {
        let mut builder = BatchBuilder::default();
        for _ in 0..count {
            let Sort { persistent, shared } = sort(self.next_message);
            let mut body = vec![0; body_len.max(8)];
            body[..8].copy_from_slice(&self.next_message.to_le_bytes());
            self.next_message += 1;
            let message = NewMessage {
                exchange_and_key: b"\0\0",
                properties: &[0, 0],
                persistent,
                priority: 0,
            };
            match shared {
                true => builder.push_shared(message, body.into()),
                false => builder.push(message, &body),
            }
        }
        builder.seal()
    }

    /// One run of small messages to these queues.
    pub(super) fn publish(
        &mut self,
        client: &mut Client,
        queues: &[&Arc<QueueHandle>],
        count: u32,
    ) -> Command {
        let batch = self.batch(count, 8, true);
        Self::publish_batch(client, queues, batch)
    }

    pub(super) fn publish_batch(
        client: &mut Client,
        queues: &[&Arc<QueueHandle>],
        batch: Arc<Batch>,
    ) -> Command {
        client.batches += 1;
        Command::Publish(Publish {
            connection: client.id(),
            number: client.batches,
            bytes: batch.size(0, batch.len()),
            runs: vec![Run {
                queues: queues.iter().map(|queue| queue.id).collect(),
                first: 0,
                count: batch.len(),
            }],
            batch,
        })
    }
}

/// A consumer that takes as much as it can, to be changed.
pub(super) fn consumer(slot: u32) -> NewConsumer {
    NewConsumer {
        slot: ConsumerSlot(slot),
        tag: Name::new(&format!("tag {slot}")).expect("short"),
        no_ack: false,
        exclusive: false,
        prefetch: 0,
        channel_credit: None::<ChannelCredit>,
        priority: 0,
        timeout: None,
        offset: Default::default(),
        filter: None,
        offset_name: None,
        reader: 0,
    }
}

/// A consumer on channel 1.
pub(super) fn consume(client: &Client, queue: &Arc<QueueHandle>, new: NewConsumer) -> Command {
    Command::Consume(client.holder(1), Arc::clone(queue), new)
}

pub(super) fn cancel(client: &Client, queue: &Arc<QueueHandle>, slot: u32) -> Command {
    Command::Cancel(client.id(), queue.id, ConsumerSlot(slot))
}

/// Asks for a message on channel 1.
pub(super) fn get(client: &Client, queue: &Arc<QueueHandle>, no_ack: bool) -> Command {
    Command::Get {
        holder: client.holder(1),
        queue: Arc::clone(queue),
        no_ack,
    }
}

pub(super) fn count(client: &Client, queue: &Arc<QueueHandle>) -> Command {
    Command::Count(client.id(), Arc::clone(queue))
}

pub(super) fn purge(client: &Client, queue: &Arc<QueueHandle>) -> Command {
    Command::Purge(client.id(), Arc::clone(queue))
}

pub(super) fn delete(client: &Client, queue: &Arc<QueueHandle>) -> Command {
    Command::Delete {
        connection: client.id(),
        queue: queue.id,
        if_unused: false,
        if_empty: false,
    }
}

/// Requeues what channel 1 holds; with `close`, its consumers go.
pub(super) fn release(client: &Client, close: bool) -> Command {
    Command::Release {
        holder: client.holder(1),
        close,
    }
}

/// Settles messages that channel 1 holds.
pub(super) fn settle(
    client: &Client,
    queue: &Arc<QueueHandle>,
    (first_seq, count): (u64, u64),
    outcome: Outcome,
) -> Command {
    let settle = Settle {
        queue: queue.id,
        channel: 1,
        first_seq,
        count,
        outcome,
        reader: 0,
    };
    Command::Settle(client.id(), vec![settle])
}

/// Whatever may become of messages that were handed out.
pub(super) fn outcomes() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Ack,
        Outcome::Discard,
        Outcome::Return,
        Outcome::Fail,
    ])
}
