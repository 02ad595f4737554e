//! Messages on their way out: `basic.deliver` and `basic.get-ok`, delivery tags, what the client has to settle.

use std::borrow::Cow;
use std::sync::Arc;

use leveret_broker::command::{Outcome, Settle};
use leveret_broker::figures::DeliveryCounts;
use leveret_broker::link::{DeliveredRun, Got};
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::runs::Piece;
use leveret_message::batch::{Batch, Body, Message};
use leveret_message::properties::AddedHeader;
use leveret_wire::encode::{self, DeliverPrefix, FRAME_END};
use leveret_wire::frame::FRAME_OVERHEAD;
use leveret_wire::protocol::{AMQPClass, basic};

use crate::channel::{Channel, Channels, Unacked, trace};
use crate::core::Core;
use crate::output::Output;

/// The header that says how often consumers have failed with a message.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The header that says how often a message was handed out and came back, in quorum queues.
const ACQUIRED_COUNT: &str = "x-acquired-count";

/// The header that says at which offset of its stream a message is.
const STREAM_OFFSET: &str = "x-stream-offset";

/// Writes a run of messages for a consumer. What has no channel any more is dropped: the shard requeues it when the channel is released.
pub(crate) fn deliver(core: &mut Core, channels: &mut Channels, batch: &Batch, run: &DeliveredRun) {
    core.unwritten_deliveries += batch.size(run.first, run.count);
    let Some(consumer) = core.consumers.get_mut(run.consumer) else {
        return;
    };
    let Some(channel) = channels.get(consumer.channel) else {
        return;
    };
    if channel.closing {
        return;
    }
    let first_tag = channel.last_tag + 1;
    channel.used_at = core.now;
    let count = u64::from(run.count);
    let counts = &mut consumer.counts;
    counts.note_delivered(consumer.no_ack, run.redelivered, count);
    channel.last_tag += count;
    let payload_max = core.frame_max.saturating_sub(FRAME_OVERHEAD) as usize;
    let messages = batch.messages(run.first, run.count);
    let tagged = (first_tag..).zip(messages);
    let (out, prefix) = (&mut core.out, &consumer.prefix);
    if run.has_offsets || run.failed > 0 || run.acquired > 0 {
        write_with_headers(out, prefix, run, tagged, payload_max);
    } else {
        for (tag, message) in tagged {
            let properties = message.properties;
            let of = (tag, run.redelivered);
            write(out, prefix, of, &message, properties, payload_max);
        }
    }
    if consumer.no_ack {
        return;
    }
    let value = Unacked {
        queue: run.queue,
        shard: consumer.shard,
        seq: run.first_seq,
        consumer: Some(run.consumer),
        reader: consumer.reader,
        keeps_out: consumer.keeps_out,
    };
    channel.unacked.insert(Piece {
        first: first_tag,
        count: u64::from(run.count),
        value,
    });
}

/// Writes messages that are given headers on their way out: their offset where they come from a stream, else how often consumers had them and failed with
/// them.
#[inline(never)]
fn write_with_headers<'m>(
    out: &mut Output,
    prefix: &DeliverPrefix,
    run: &DeliveredRun,
    messages: impl Iterator<Item = (u64, Message<'m>)>,
    payload_max: usize,
) {
    if run.acquired > 0 {
        for (tag, message) in messages {
            let properties = with_counts(message.properties, run.failed, run.acquired);
            let of = (tag, run.redelivered);
            write(out, prefix, of, &message, &properties, payload_max);
        }
        return;
    }
    let mut header = AddedHeader::new(match run.has_offsets {
        true => STREAM_OFFSET,
        false => DELIVERY_COUNT,
    });
    for (seq, (tag, message)) in (run.first_seq..).zip(messages) {
        let number = match run.has_offsets {
            true => seq as i64 - 1,
            false => i64::from(run.failed),
        };
        let properties = header.on(message.properties, number);
        let of = (tag, run.redelivered);
        write(out, prefix, of, &message, properties, payload_max);
    }
}

/// Properties with headers that say how often consumers had a message and failed with it.
fn with_counts<'m>(properties: &'m [u8], failed: u16, acquired: u16) -> Cow<'m, [u8]> {
    let mut told = Cow::Borrowed(properties);
    for (name, count) in [(ACQUIRED_COUNT, acquired), (DELIVERY_COUNT, failed)] {
        if count > 0 {
            let with = AddedHeader::new(name).on(&told, i64::from(count)).to_vec();
            told = Cow::Owned(with);
        }
    }
    told
}

#[inline]
fn write(
    out: &mut Output,
    prefix: &DeliverPrefix,
    (tag, redelivered): (u64, bool),
    message: &Message<'_>,
    properties: &[u8],
    payload_max: usize,
) {
    let Message {
        exchange_and_key: key,
        body,
        ..
    } = *message;
    match body {
        Body::Inline(body) if body.len() <= payload_max => {
            encode::small_delivery(
                out.buffer(),
                prefix,
                tag,
                redelivered,
                key,
                properties,
                body,
            );
        }
        body => {
            encode::deliver_with_prefix(out.buffer(), prefix, tag, redelivered, key);
            content(out, prefix.channel(), properties, body, payload_max);
        }
    }
}

/// Header and body frames of a content; a shared body by reference.
fn content(out: &mut Output, channel: u16, properties: &[u8], body: Body<'_>, payload_max: usize) {
    encode::content_header(out.buffer(), channel, body.len() as u64, properties);
    match body {
        Body::Inline(bytes) => {
            let frame_max = (payload_max as u32).saturating_add(FRAME_OVERHEAD);
            encode::body(out.buffer(), channel, bytes, frame_max);
        }
        Body::Shared(bytes) => {
            let mut at = 0;
            while at < bytes.len() {
                let len = payload_max.min(bytes.len() - at);
                encode::body_frame_start(out.buffer(), channel, len as u32);
                out.push_shared(bytes.slice(at..at + len));
                out.buffer().push(FRAME_END);
                at += len;
            }
        }
    }
}

/// The answer to `basic.get`.
pub(crate) fn got(
    core: &mut Core,
    channel: &mut Channel,
    queue: &Arc<QueueHandle>,
    no_ack: bool,
    got: Option<Got>,
) {
    let Some(got) = got else {
        let found_nothing = DeliveryCounts {
            got_empty: 1,
            ..DeliveryCounts::default()
        };
        note_got(channel, queue, found_nothing);
        let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
        return core.send(channel.number, AMQPClass::Basic(empty));
    };
    let Some(message) = got.batch.message(got.index) else {
        return;
    };
    channel.last_tag += 1;
    note_got(
        channel,
        queue,
        DeliveryCounts::of_got(no_ack, got.redelivered),
    );
    let (tag, number) = (channel.last_tag, channel.number);
    let remaining = u32::try_from(got.remaining).unwrap_or(u32::MAX);
    let properties = with_counts(message.properties, got.failed, got.acquired);
    encode::get_ok(
        core.out.buffer(),
        number,
        tag,
        got.redelivered,
        message.exchange_and_key,
        remaining,
    );
    let payload_max = core.frame_max.saturating_sub(FRAME_OVERHEAD) as usize;
    content(
        &mut core.out,
        number,
        &properties,
        message.body,
        payload_max,
    );
    if core.vhost.is_traced() {
        trace::delivered(
            core,
            number,
            queue,
            std::iter::once(message),
            got.redelivered,
        );
    }
    if !no_ack {
        let value = Unacked {
            queue: got.queue,
            shard: queue.shard,
            seq: got.seq,
            consumer: None,
            reader: 0,
            keeps_out: queue.deduplicates(),
        };
        channel.unacked.insert(Piece {
            first: tag,
            count: 1,
            value,
        });
    }
}

/// Counts a get.
fn note_got(channel: &mut Channel, queue: &Arc<QueueHandle>, counts: DeliveryCounts) {
    channel.counts += counts.into();
    *channel.breakdown.of(queue) += counts;
}

/// Hands a piece of unacked messages to its shard with what becomes of it. The channel's credit is the caller's to give back.
pub(crate) fn settle(core: &mut Core, channel: &Channel, piece: &Piece<Unacked>, outcome: Outcome) {
    let Unacked {
        queue,
        shard,
        seq,
        reader,
        ..
    } = piece.value;
    core.frees |= piece.value.keeps_out;
    let (channel, count) = (channel.number, piece.count);
    core.settle(
        shard,
        Settle {
            queue,
            channel,
            first_seq: seq,
            count,
            outcome,
            reader,
        },
    );
}
