//! `basic.ack`, `nack`, `reject` and `recover`.

use std::ops::RangeInclusive;

use leveret_broker::command::{Command, Outcome};
use leveret_broker::ids::{Holder, ShardId};
use leveret_broker::runs::Piece;
use leveret_wire::ReplyCode;
use leveret_wire::method::basic::{Ack, Nack, Reject};
use leveret_wire::protocol::{AMQPClass, basic};

use crate::channel::consume::not_for_streams;
use crate::channel::{Channel, Next, Question, Unacked, deliver, tx};
use crate::core::Core;
use crate::exception::Exception;

pub(super) fn ack(core: &mut Core, channel: &mut Channel, ack: Ack) -> Result<(), Exception> {
    settle(
        core,
        channel,
        (ack.delivery_tag, ack.multiple),
        Outcome::Ack,
    )
}

pub(super) fn nack(core: &mut Core, channel: &mut Channel, nack: Nack) -> Result<(), Exception> {
    settle(
        core,
        channel,
        (nack.delivery_tag, nack.multiple),
        match nack.requeue {
            true => Outcome::Return,
            false => Outcome::Discard,
        },
    )
}

pub(super) fn reject(
    core: &mut Core,
    channel: &mut Channel,
    reject: Reject,
) -> Result<(), Exception> {
    settle(
        core,
        channel,
        (reject.delivery_tag, false),
        match reject.requeue {
            true => Outcome::Fail,
            false => Outcome::Discard,
        },
    )
}

/// Settles one tag, or with `multiple` all up to it; tag 0 with `multiple` is all there are.
///
/// **Errors**: 406 for a tag that is not outstanding on this channel, or was settled in its transaction.
fn settle(
    core: &mut Core,
    channel: &mut Channel,
    (tag, multiple): (u64, bool),
    outcome: Outcome,
) -> Result<(), Exception> {
    let all = tag == 0 && multiple;
    if !all && !channel.unacked.contains(tag) {
        let explanation = format!("unknown delivery tag {tag}");
        return Err(Exception::channel(
            ReplyCode::PreconditionFailed,
            explanation,
        ));
    }
    let first = if multiple { 0 } else { tag };
    let last = if all { u64::MAX } else { tag };
    if outcome != Outcome::Ack {
        check_rejectable(core, channel, first..=last)?;
    }
    if channel.transaction.is_some() {
        return tx::gather_settles(core, channel, first..=last, outcome);
    }
    let mut unacked = std::mem::take(&mut channel.unacked);
    let mut counted = 0;
    unacked.take(first..=last, |piece| {
        if outcome == Outcome::Ack {
            note_acked(core, channel, &piece);
        }
        if piece.value.is_counted() {
            counted += piece.count;
        }
        deliver::settle(core, channel, &piece, outcome);
    });
    channel.unacked = unacked;
    // Once for all of them: the shards share the counter.
    core.return_credit(channel, counted);
    Ok(())
}

/// Deliveries were acknowledged.
#[inline]
pub(super) fn note_acked(core: &mut Core, channel: &mut Channel, piece: &Piece<Unacked>) {
    let Unacked {
        queue, consumer, ..
    } = piece.value;
    let consumer = consumer.and_then(|slot| core.consumers.get_mut(slot));
    match consumer.filter(|consumer| consumer.queue.id == queue) {
        Some(consumer) => consumer.counts.acked += piece.count,
        None => {
            channel.counts.acked += piece.count;
            channel.breakdown.note_acked(queue, piece.count);
        }
    }
}

/// What was read from a stream can only be acknowledged.
///
/// **Errors**: 540 where some of these deliveries come from one.
fn check_rejectable(
    core: &Core,
    channel: &Channel,
    tags: RangeInclusive<u64>,
) -> Result<(), Exception> {
    let mut rejected = channel.unacked.iter().filter(|piece| {
        piece.value.reader != 0
            && piece.first <= *tags.end()
            && piece.first + piece.count > *tags.start()
    });
    let Some(piece) = rejected.next() else {
        return Ok(());
    };
    let mut queues = core.vhost.queues().into_iter();
    match queues.find(|queue| queue.id == piece.value.queue) {
        Some(queue) => not_for_streams(&queue, "basic.nack and basic.reject"),
        None => Ok(()),
    }
}

/// `basic.recover`: everything that the channel holds goes back to its queues. What is delivered again comes after `recover-ok`: there are
/// clients that drop, at `recover-ok`, what they have not handed on.
///
/// **Errors**: 540 without `requeue`, as in RabbitMQ.
pub(super) fn recover(
    core: &mut Core,
    channel: &mut Channel,
    requeue: bool,
    reply: bool,
) -> Result<Next, Exception> {
    if !requeue {
        return Err(Exception::connection(
            ReplyCode::NotImplemented,
            "requeue=false",
        ));
    }
    if channel.transaction.is_some() {
        tx::recover(core, channel);
        recovered(core, channel, reply);
        return Ok(Next::Done);
    }
    let holder = Holder {
        connection: core.connection(),
        channel: channel.number,
    };
    let shards = core.command_all(|| Command::Release {
        holder,
        close: false,
    });
    if shards == 0 {
        recovered(core, channel, reply);
        return Ok(Next::Done);
    }
    Ok(Next::Wait(Question::Recover {
        shards,
        reply,
        released: 0,
    }))
}

/// A shard has taken back what the channel held from it.
pub(super) fn released(core: &mut Core, channel: &mut Channel, shard: ShardId) {
    let mut unacked = std::mem::take(&mut channel.unacked);
    unacked.take(0..=u64::MAX, |piece| {
        if piece.value.shard != shard {
            channel.unacked.insert(piece);
        } else if piece.value.is_counted() {
            core.return_credit(channel, piece.count);
        }
    });
}

pub(super) fn recovered(core: &mut Core, channel: &Channel, reply: bool) {
    if reply {
        let recover_ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
        core.send(channel.number, AMQPClass::Basic(recover_ok));
    }
}
