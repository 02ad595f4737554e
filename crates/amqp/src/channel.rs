//! A channel: its state, and which file handles which method.
//!
//! ```text
//!  open ──exception──> closing ──close-ok──> gone
//!   └────────close (from the client)──────────^
//! ```
//!
//! A closing channel ignores everything but `close-ok` and `close`. Handlers get the [`Core`] and the channel; they answer at once, or say which
//! shard's answer the method waits for ([`Next::Wait`]), and finish in [`answer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use leveret_broker::command::ChannelCredit;
use leveret_broker::error::Error;
use leveret_broker::figures::{DeliveryCounts, MessageCounts};
use leveret_broker::ids::{ConsumerSlot, ShardId};
use leveret_broker::link::Reply;
use leveret_broker::queue_handle::{QueueHandle, QueueId};
use leveret_broker::runs::{RunValue, Runs};
use leveret_broker::vhost::door::IsKept;
use leveret_message::name::Name;
use leveret_wire::protocol::{AMQPClass, channel as channel_class};
use leveret_wire::types::ShortString;
use leveret_wire::{Method, ReplyCode, method};
use rustc_hash::FxHashMap;

use crate::channel::breakdown::Breakdown;
use crate::channel::confirm::Confirms;
use crate::channel::content::Content;
use crate::channel::tx::Transaction;
use crate::core::{ConsumerEntry, Core};
use crate::exception::Exception;

pub(crate) mod breakdown;
pub(crate) mod confirm;
pub(crate) mod consume;
pub(crate) mod content;
pub(crate) mod deliver;
mod exchange;
pub(crate) mod publish;
mod queue;
mod settle;
pub(crate) mod trace;
pub(crate) mod tx;

/// See the module.
pub(crate) struct Channel {
    pub(crate) number: u16,
    /// An exception was raised; the client has not answered yet.
    pub(crate) closing: bool,
    /// A publish whose content has not come whole.
    pub(crate) content: Option<Box<Content>>,
    /// The delivery tag that was given last.
    pub(crate) last_tag: u64,
    pub(crate) unacked: Runs<Unacked>,
    /// Prefetch of consumers that are started from now on.
    pub(crate) prefetch: u16,
    /// What all consumers of the channel may take together; made when the first one comes.
    pub(crate) credit: Option<Credit>,
    pub(crate) consumers: FxHashMap<Name, ConsumerSlot>,
    /// The queue that an empty name stands for.
    pub(crate) last_queue: Option<Name>,
    /// Where answers to this channel go, while it consumes them by direct reply-to.
    pub(crate) replies: Option<Arc<QueueHandle>>,
    /// Present in confirm mode.
    pub(crate) confirms: Option<Confirms>,
    /// Present on a transactional channel.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// What its client sent and was sent. What was confirmed, `confirms` knows; what its consumers were sent, they know.
    pub(crate) counts: MessageCounts,
    /// The same by exchange and queue.
    pub(crate) breakdown: Breakdown,
    /// When something last happened on it.
    pub(crate) used_at: Instant,
}

/// How many deliveries the channel may hold unacked: what `basic.qos` with `global` says, or else the broker's limit.
pub(crate) struct Credit {
    limit: i64,
    /// How many more messages may be delivered, shared with the shards.
    pub(crate) shared: ChannelCredit,
}

impl Credit {
    pub(crate) fn new(limit: u32) -> Self {
        let limit = i64::from(limit);
        Self {
            limit,
            shared: Arc::new(AtomicI64::new(limit)),
        }
    }

    /// The limit.
    pub(crate) fn limit(&self) -> i64 {
        self.limit
    }

    /// Sets another limit; returns whether there is more credit than before.
    pub(crate) fn set_limit(&mut self, limit: u32) -> bool {
        let change = i64::from(limit) - self.limit;
        self.limit = i64::from(limit);
        self.shared.fetch_add(change, Ordering::AcqRel);
        change > 0
    }

    /// Gives credit back; returns whether there was none left.
    pub(crate) fn give_back(&self, count: u64) -> bool {
        self.shared.fetch_add(count as i64, Ordering::AcqRel) <= 0
    }
}

/// Delivery tags that the client has not settled: where their messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unacked {
    pub(crate) queue: QueueId,
    pub(crate) shard: ShardId,
    /// The sequence number that belongs to the first tag.
    pub(crate) seq: u64,
    /// Their consumer, which may be gone; none where they were the answer to `basic.get`.
    pub(crate) consumer: Option<ConsumerSlot>,
    /// Which reader of a stream they were delivered to: these can only be acknowledged. 0 where they are of no stream.
    pub(crate) reader: u32,
    /// Whether their queue takes others like them only once they are settled.
    pub(crate) keeps_out: bool,
}

impl Unacked {
    /// Whether they take the channel's credit; those of `basic.get` do not.
    pub(crate) fn is_counted(&self) -> bool {
        self.consumer.is_some()
    }
}

impl RunValue for Unacked {
    fn skip(&mut self, count: u64) {
        self.seq += count;
    }
}

/// How a handler ended.
pub(crate) enum Next {
    /// Answered, as far as the method asks for it.
    Done,
    /// A shard was asked; the connection reads on when it has answered.
    Wait(Question),
}

/// What was asked of a shard, and what the answer is for.
pub(crate) enum Question {
    /// That a change outlives the broker, so that it can be answered.
    Kept { ok: AMQPClass },
    /// The counts of a declared queue.
    Declare {
        queue: Name,
        nowait: bool,
        is_kept: IsKept,
        again: Option<Box<queue::Again>>,
    },
    /// A purge.
    Purge { nowait: bool },
    /// A deletion.
    Delete { nowait: bool, is_kept: IsKept },
    /// A new consumer.
    Consume { slot: ConsumerSlot, nowait: bool },
    /// The end of a consumer.
    Cancel {
        slot: ConsumerSlot,
        tag: Name,
        nowait: bool,
    },
    /// A message.
    Get {
        queue: Arc<QueueHandle>,
        no_ack: bool,
    },
    /// A commit.
    Commit(tx::Committing),
    /// The requeueing of what the channel holds, by so many shards; `released` has a bit for each that has answered.
    Recover {
        shards: usize,
        reply: bool,
        released: u64,
    },
}

impl Channel {
    pub(crate) fn new(number: u16, prefetch: u16, now: Instant) -> Self {
        Self {
            number,
            closing: false,
            content: None,
            last_tag: 0,
            unacked: Runs::default(),
            prefetch,
            credit: None,
            consumers: FxHashMap::default(),
            last_queue: None,
            replies: None,
            confirms: None,
            transaction: None,
            counts: MessageCounts::default(),
            breakdown: Breakdown::default(),
            used_at: now,
        }
    }

    /// A consumer is gone: what it has counted stays.
    pub(crate) fn take_counts(&mut self, consumer: &ConsumerEntry) {
        if consumer.counts == DeliveryCounts::default() {
            return;
        }
        self.counts += consumer.counts.into();
        *self.breakdown.of(&consumer.queue) += consumer.counts;
    }

    /// The queue that a method names; the empty name is the last one declared on this channel.
    ///
    /// **Errors**: 404 if there is no last one.
    fn queue_name(&self, name: &str) -> Result<Name, Exception> {
        if name.is_empty() {
            let last = self.last_queue.clone();
            return last.ok_or_else(|| {
                Exception::channel(ReplyCode::NotFound, "no previously declared queue")
            });
        }
        Ok(Name::new(&without_line_ends(name))?)
    }
}

/// Names come without carriage returns and line feeds, as in RabbitMQ.
fn without_line_ends(name: &str) -> std::borrow::Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        name.replace(['\r', '\n'], "").into()
    } else {
        name.into()
    }
}

/// A name that goes back to the client.
fn short(name: &Name) -> ShortString {
    ShortString::from(name.as_str())
}

/// Carries out a method of an open channel. `channel.open`, `close` and `close-ok` are the connection's, `basic.publish` comes by another way.
pub(crate) fn carry_out(
    core: &mut Core,
    channel: &mut Channel,
    method: Method<'_>,
) -> Result<Next, Exception> {
    match method {
        Method::Channel(method::channel::Method::Flow(flow)) => {
            if !flow.active {
                return Err(Exception::connection(
                    ReplyCode::NotImplemented,
                    "active=false",
                ));
            }
            let flow_ok = channel_class::FlowOk { active: true };
            let flow_ok = AMQPClass::Channel(channel_class::AMQPMethod::FlowOk(flow_ok));
            core.send(channel.number, flow_ok);
            Ok(Next::Done)
        }
        Method::Channel(method::channel::Method::FlowOk(_)) => Ok(Next::Done),
        Method::Access(method::access::Method::Request(_)) => {
            leveret_wire::encode::access_request_ok(core.out.buffer(), channel.number);
            Ok(Next::Done)
        }
        Method::Exchange(method) => exchange::carry_out(core, channel, method),
        Method::Queue(method) => queue::carry_out(core, channel, method),
        Method::Basic(method) => basic(core, channel, method),
        Method::Confirm(method::confirm::Method::Select(select)) => {
            confirm::select(core, channel, select.nowait).map(|()| Next::Done)
        }
        Method::Tx(method) => tx::carry_out(core, channel, method),
        Method::Connection(_) | Method::Channel(_) => Err(Exception::connection(
            ReplyCode::CommandInvalid,
            "unimplemented method",
        )),
    }
}

fn basic(
    core: &mut Core,
    channel: &mut Channel,
    method: method::basic::Method<'_>,
) -> Result<Next, Exception> {
    use method::basic::Method as Basic;
    match method {
        Basic::Qos(qos) => consume::qos(core, channel, qos).map(|()| Next::Done),
        Basic::Consume(consume) => consume::consume(core, channel, consume),
        Basic::Cancel(cancel) => Ok(consume::cancel(core, channel, cancel)),
        Basic::CancelOk(_) => Ok(Next::Done),
        Basic::Get(get) => consume::get(core, channel, get),
        Basic::Ack(ack) => settle::ack(core, channel, ack).map(|()| Next::Done),
        Basic::Nack(nack) => settle::nack(core, channel, nack).map(|()| Next::Done),
        Basic::Reject(reject) => settle::reject(core, channel, reject).map(|()| Next::Done),
        Basic::Recover(recover) => settle::recover(core, channel, recover.requeue, true),
        Basic::RecoverAsync(recover) => settle::recover(core, channel, recover.requeue, false),
        // Comes with its content, by another way.
        Basic::Publish(_) => Ok(Next::Done),
    }
}

/// Whether a method is gathered, so that those gathered before need not be handed over first.
pub(crate) fn is_gathered(method: &Method<'_>) -> bool {
    use method::basic::Method as Basic;
    matches!(
        method,
        Method::Basic(Basic::Ack(_) | Basic::Nack(_) | Basic::Reject(_) | Basic::Publish(_))
    )
}

/// Finishes a method with the shard's answer, or waits for more.
///
/// **Errors**: what the shard refused, such as [`leveret_broker::error::Error::InUse`].
pub(crate) fn answer(
    core: &mut Core,
    channel: &mut Channel,
    question: Question,
    reply: Result<Reply, Error>,
) -> Result<Next, Exception> {
    match (question, reply) {
        (recover @ Question::Recover { .. }, Ok(Reply::Released(shard))) => {
            return Ok(released(core, channel, recover, shard));
        }
        (
            Question::Declare {
                queue,
                nowait,
                is_kept,
                ..
            },
            Ok(Reply::Counts { ready, consumers }),
        ) => {
            let declare_ok = queue::declare_ok(&queue, (ready, consumers));
            let ok = (!nowait).then_some(declare_ok);
            return Ok(core.answer_change(channel.number, is_kept, ok));
        }
        (Question::Commit(waiting), Ok(Reply::Committed { is_whole })) => {
            return tx::part_committed(core, channel, waiting, is_whole);
        }
        (Question::Kept { ok }, Ok(Reply::Kept)) => core.send(channel.number, ok),
        (Question::Purge { nowait }, Ok(Reply::Purged(count))) => {
            queue::purged(core, channel, count, nowait);
        }
        (Question::Delete { nowait, is_kept }, Ok(Reply::Deleted(count))) => {
            let ok = (!nowait).then(|| queue::delete_ok(count));
            return Ok(core.answer_change(channel.number, is_kept, ok));
        }
        (Question::Consume { slot, nowait }, Ok(Reply::Consuming)) => {
            consume::consuming(core, channel, slot, nowait);
        }
        (Question::Consume { slot, .. }, Err(error)) => {
            if let Some(consumer) = core.consumers.remove(slot) {
                consume::forget_replies(channel, &consumer);
            }
            return Err(error.into());
        }
        (Question::Cancel { slot, tag, nowait }, Ok(Reply::Cancelled)) => {
            consume::cancelled(core, channel, slot, &tag, nowait);
        }
        (Question::Get { queue, no_ack }, Ok(Reply::Got(got))) => {
            deliver::got(core, channel, &queue, no_ack, got);
        }
        (
            Question::Declare {
                nowait,
                again: Some(again),
                ..
            },
            Err(Error::NotFound(_)),
        ) => {
            return queue::make(core, channel, *again, nowait);
        }
        (_, Err(error)) => return Err(error.into()),
        (_, Ok(reply)) => debug_assert!(false, "a shard answers what it was asked, not {reply:?}"),
    }
    Ok(Next::Done)
}

/// A shard has taken back what the channel held of it, for `basic.recover`.
fn released(core: &mut Core, channel: &mut Channel, mut recover: Question, by: ShardId) -> Next {
    settle::released(core, channel, by);
    if let Question::Recover {
        shards,
        reply,
        released,
    } = &mut recover
    {
        *released |= 1 << by.0;
        if released.count_ones() as usize != *shards {
            return Next::Wait(recover);
        }
        settle::recovered(core, channel, *reply);
    }
    Next::Done
}

/// The channels of a connection, by number.
#[derive(Default)]
pub(crate) struct Channels {
    by_number: FxHashMap<u16, Box<Channel>>,
}

impl Channels {
    #[inline]
    pub(crate) fn get(&mut self, number: u16) -> Option<&mut Channel> {
        self.by_number
            .get_mut(&number)
            .map(|channel| &mut **channel)
    }

    pub(crate) fn add(&mut self, channel: Channel) {
        self.by_number.insert(channel.number, Box::new(channel));
    }

    pub(crate) fn remove(&mut self, number: u16) -> Option<Box<Channel>> {
        self.by_number.remove(&number)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.by_number.values_mut().map(|channel| &mut **channel)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.by_number.values().map(|channel| &**channel)
    }

    pub(crate) fn count(&self) -> usize {
        self.by_number.len()
    }
}
