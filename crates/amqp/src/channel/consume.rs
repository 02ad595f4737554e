//! `basic.qos`, `consume`, `cancel`, `get`.

use std::sync::Arc;

use leveret_broker::arguments::ConsumerSettings;
use leveret_broker::command::{Command, NewConsumer};
use leveret_broker::error::{Error, Kind};
use leveret_broker::figures::DeliveryCounts;
use leveret_broker::ids::{ConsumerSlot, Holder};
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::users::Access;
use leveret_broker::vhost::door::generated_name;
use leveret_broker::vhost::reply::REPLY_TO;
use leveret_message::name::Name;
use leveret_wire::ReplyCode;
use leveret_wire::encode::{self, DeliverPrefix};
use leveret_wire::method::basic::{Cancel, Consume, Get, Qos};
use leveret_wire::protocol::{AMQPClass, basic};

use crate::channel::{Channel, Credit, Next, Question, short};
use crate::core::{ConsumerEntry, Core};
use crate::exception::Exception;
use crate::settings::LivePrefetch;

/// `basic.qos`: without `global` for consumers that start later (and, for some clients, for running ones), with it for the channel at once (RabbitMQ's reading,
/// <https://www.rabbitmq.com/docs/consumer-prefetch>).
///
/// **Errors**: 540 for a prefetch size.
pub(super) fn qos(core: &mut Core, channel: &mut Channel, qos: Qos) -> Result<(), Exception> {
    if qos.prefetch_size != 0 {
        let explanation = format!("prefetch_size!=0 ({})", qos.prefetch_size);
        return Err(Exception::connection(
            ReplyCode::NotImplemented,
            explanation,
        ));
    }
    if qos.global {
        let max = core.settings.unacked_per_channel_max;
        let limit = match u32::from(qos.prefetch_count) {
            0 => max,
            limit => limit.min(max),
        };
        core.credit_returned |= credit(core, channel).set_limit(limit);
    } else {
        channel.prefetch = qos.prefetch_count;
        if is_live(core) {
            set_running(core, channel);
        }
    }
    core.send(
        channel.number,
        AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})),
    );
    Ok(())
}

/// Whether `basic.qos` changes consumers that already run. Celery changes the prefetch of its running consumers so wherever the product is not
/// called RabbitMQ.
fn is_live(core: &Core) -> bool {
    match core.settings.live_prefetch {
        LivePrefetch::Auto => core.client.is_py_amqp,
        LivePrefetch::Always => true,
        LivePrefetch::Never => false,
    }
}

fn set_running(core: &mut Core, channel: &Channel) {
    let connection = core.connection();
    for slot in channel.consumers.values() {
        if let Some(consumer) = core.consumers.get_mut(*slot) {
            consumer.prefetch = channel.prefetch;
            let (shard, queue) = (consumer.shard, consumer.queue.id);
            let command = Command::SetPrefetch {
                connection,
                queue,
                slot: *slot,
                prefetch: channel.prefetch,
            };
            core.command(shard, command);
        }
    }
}

/// The channel's credit, made when it is first needed.
fn credit<'c>(core: &Core, channel: &'c mut Channel) -> &'c mut Credit {
    let max = core.settings.unacked_per_channel_max;
    channel.credit.get_or_insert_with(|| Credit::new(max))
}

/// A queue that this connection may read.
fn readable(core: &Core, channel: &Channel, name: &str) -> Result<Arc<QueueHandle>, Exception> {
    let name = channel.queue_name(name)?;
    core.check(Access::Read, Kind::Queue, &name)?;
    let queue = core.vhost.queue(&name)?;
    queue.check_owner(core.connection())?;
    Ok(queue)
}

/// What a stream does not know.
///
/// **Errors**: 540 for a stream.
pub(super) fn not_for_streams(queue: &QueueHandle, method: &str) -> Result<(), Exception> {
    if !queue.is_stream() {
        return Ok(());
    }
    let explanation = format!(
        "{method} not supported by stream queues {}",
        queue.resource()
    );
    Err(Exception::connection(
        ReplyCode::NotImplemented,
        explanation,
    ))
}

/// Whoever reads a stream has to acknowledge, and says how much it takes at a time.
///
/// **Errors**: 540 for a consumer that would not, 406 for one without a limit.
fn check_reader(channel: &Channel, queue: &QueueHandle, no_ack: bool) -> Result<(), Exception> {
    if no_ack {
        return not_for_streams(queue, "automatic acknowledgement");
    }
    if channel.prefetch == 0 {
        let what = "consumer prefetch count is not set for stream";
        let explanation = format!("{what} {}", queue.resource());
        return Err(Exception::channel(
            ReplyCode::PreconditionFailed,
            explanation,
        ));
    }
    Ok(())
}

/// Whether a channel has room for a consumer of that tag.
///
/// **Errors**: 530 where it has not.
fn check_room(core: &Core, channel: &Channel, tag: &Name) -> Result<(), Exception> {
    let max = core.settings.consumers_per_channel_max;
    let explanation = if channel.consumers.contains_key(tag) {
        format!("attempt to reuse consumer tag '{tag}'")
    } else if channel.consumers.len() >= max {
        format!("reached maximum ({max}) of consumers per channel")
    } else {
        return Ok(());
    };
    Err(Exception::connection(ReplyCode::NotAllowed, explanation))
}

/// `basic.consume`.
///
/// From `amq.rabbitmq.reply-to` it takes the answers to what this channel asks.
///
/// **Errors**: 530 for a tag in use or one consumer too many, 403, 404, 405, 406.
pub(super) fn consume(
    core: &mut Core,
    channel: &mut Channel,
    consume: Consume<'_>,
) -> Result<Next, Exception> {
    let for_replies = consume.queue == REPLY_TO;
    let queue = match for_replies {
        true => None,
        false => Some(readable(core, channel, consume.queue)?),
    };
    let tag = match consume.consumer_tag {
        "" => generated_name("amq.ctag-"),
        tag => Name::new(tag)?,
    };
    check_room(core, channel, &tag)?;
    let settings = ConsumerSettings::parse(consume.arguments).map_err(|error| {
        let resource = core.vhost.named(Kind::Queue, consume.queue);
        let resource = queue.as_ref().map_or(resource, |queue| queue.resource());
        Error::Unacceptable(error.explanation(resource))
    })?;
    let queue = match queue {
        Some(queue) => queue,
        None => open_replies(core, channel, consume.no_ack)?,
    };
    if queue.is_stream() {
        check_reader(channel, &queue, consume.no_ack)?;
    }
    let channel_credit = Some(Arc::clone(&credit(core, channel).shared));
    let reader = match queue.is_stream() {
        true => core.consumers.next_reader(),
        false => 0,
    };
    let slot = core.consumers.add(ConsumerEntry {
        channel: channel.number,
        prefix: DeliverPrefix::new(channel.number, tag.as_bytes()),
        tag: tag.clone(),
        no_ack: consume.no_ack,
        keeps_out: queue.deduplicates(),
        exclusive: consume.exclusive,
        prefetch: channel.prefetch,
        arguments: consume.arguments.to_owned(),
        shard: queue.shard,
        queue: Arc::clone(&queue),
        reader,
        counts: DeliveryCounts::default(),
    });
    let new = NewConsumer {
        slot,
        tag,
        no_ack: consume.no_ack,
        exclusive: consume.exclusive,
        prefetch: channel.prefetch,
        channel_credit,
        priority: settings.priority,
        timeout: settings.timeout,
        offset: settings.offset,
        filter: settings.filter,
        offset_name: settings.offset_name,
        reader,
    };
    let holder = Holder {
        connection: core.connection(),
        channel: channel.number,
    };
    core.command(queue.shard, Command::Consume(holder, queue, new));
    Ok(Next::Wait(Question::Consume {
        slot,
        nowait: consume.nowait,
    }))
}

/// A place for the answers to what this channel asks: one for each channel.
///
/// **Errors**: 406 for a consumer that would ack, and for a second one.
fn open_replies(
    core: &mut Core,
    channel: &mut Channel,
    no_ack: bool,
) -> Result<Arc<QueueHandle>, Exception> {
    let refused = match (no_ack, &channel.replies) {
        (true, None) => None,
        (false, _) => Some("reply consumer cannot acknowledge"),
        (true, Some(_)) => Some("reply consumer already set"),
    };
    if let Some(explanation) = refused {
        return Err(Exception::channel(
            ReplyCode::PreconditionFailed,
            explanation,
        ));
    }
    // It goes with its connection, which its shard has to know for that.
    core.know_all_shards();
    let replies = core.vhost.open_replies(core.connection());
    channel.replies = Some(Arc::clone(&replies));
    Ok(replies)
}

/// Notes that a consumer is gone, which may have been the one of the answers.
pub(super) fn forget_replies(channel: &mut Channel, consumer: &ConsumerEntry) {
    let is_it = |replies: &mut Arc<QueueHandle>| replies.id == consumer.queue.id;
    channel.replies.take_if(is_it);
}

pub(super) fn consuming(core: &mut Core, channel: &mut Channel, slot: ConsumerSlot, nowait: bool) {
    let Some(consumer) = core.consumers.get(slot) else {
        return;
    };
    let tag = consumer.tag.clone();
    if !nowait {
        let consume_ok = basic::ConsumeOk {
            consumer_tag: short(&tag),
        };
        core.send(
            channel.number,
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok)),
        );
    }
    core.consumer_created(slot);
    channel.consumers.insert(tag, slot);
}

/// `basic.cancel`; an unknown tag is fine. What the consumer holds stays unacked.
pub(super) fn cancel(core: &mut Core, channel: &mut Channel, cancel: Cancel<'_>) -> Next {
    let Some(&slot) = channel.consumers.get(cancel.consumer_tag) else {
        if !cancel.nowait {
            let consumer_tag = encode::short_string(cancel.consumer_tag);
            cancel_ok(core, channel, basic::CancelOk { consumer_tag });
        }
        return Next::Done;
    };
    let Some(consumer) = core.consumers.get(slot) else {
        return Next::Done;
    };
    let (shard, queue, tag) = (
        consumer.queue.shard,
        consumer.queue.id,
        consumer.tag.clone(),
    );
    core.command(shard, Command::Cancel(core.connection(), queue, slot));
    Next::Wait(Question::Cancel {
        slot,
        tag,
        nowait: cancel.nowait,
    })
}

/// The consumer is gone: by this, or with its queue just before. The client gets its answer either way.
pub(super) fn cancelled(
    core: &mut Core,
    channel: &mut Channel,
    slot: ConsumerSlot,
    tag: &Name,
    nowait: bool,
) {
    if channel.consumers.remove(tag).is_some()
        && let Some(consumer) = core.consumers.remove(slot)
    {
        channel.take_counts(&consumer);
        forget_replies(channel, &consumer);
        core.consumer_deleted(tag, &consumer);
    }
    if !nowait {
        let consumer_tag = short(tag);
        cancel_ok(core, channel, basic::CancelOk { consumer_tag });
    }
}

fn cancel_ok(core: &mut Core, channel: &Channel, cancel_ok: basic::CancelOk) {
    core.send(
        channel.number,
        AMQPClass::Basic(basic::AMQPMethod::CancelOk(cancel_ok)),
    );
}

/// The queue of a consumer is gone. The client hears of it if it said that it can.
pub(crate) fn lost(core: &mut Core, channel: &mut Channel, slot: ConsumerSlot) {
    let Some(consumer) = core.consumers.remove(slot) else {
        return;
    };
    channel.consumers.remove(&consumer.tag);
    channel.take_counts(&consumer);
    forget_replies(channel, &consumer);
    core.consumer_deleted(&consumer.tag, &consumer);
    if core.client.consumer_cancel_notify && !channel.closing {
        let cancel = basic::Cancel {
            consumer_tag: short(&consumer.tag),
            nowait: true,
        };
        core.send(
            channel.number,
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)),
        );
    }
}

/// `basic.get`.
pub(super) fn get(core: &mut Core, channel: &mut Channel, get: Get<'_>) -> Result<Next, Exception> {
    let queue = readable(core, channel, get.queue)?;
    not_for_streams(&queue, "basic.get")?;
    let holder = Holder {
        connection: core.connection(),
        channel: channel.number,
    };
    let command = Command::Get {
        holder,
        queue: Arc::clone(&queue),
        no_ack: get.no_ack,
    };
    core.command(queue.shard, command);
    Ok(Next::Wait(Question::Get {
        queue,
        no_ack: get.no_ack,
    }))
}
