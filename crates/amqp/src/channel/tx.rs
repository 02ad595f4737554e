//! Transactions: `tx.select`, `commit` and `rollback`, and what a transactional channel gathers meanwhile.
//!
//! A publish is checked and routed when it comes; its message, or its return, is kept until the commit, at which a mandatory one comes back too
//! if its queues are gone by then. So is what the client settles: those
//! messages are neither unacked any more nor gone. A commit sends each shard its part; what all of them do is durable together, or lost
//! together. A rollback forgets the messages, and what was settled is unacked again.

use std::ops::RangeInclusive;

use leveret_broker::command::{Outcome, Settle};
use leveret_broker::figures::MessageCounts;
use leveret_broker::filling::NewBody;
use leveret_broker::publisher::RouteIndex;
use leveret_broker::publisher::gathered::{Charge, Gathered};
use leveret_broker::runs::Piece;
use leveret_message::batch::NewMessage;
use leveret_wire::ReplyCode;
use leveret_wire::method::tx::Method;
use leveret_wire::protocol::{AMQPClass, tx};

use crate::channel::{Channel, Next, Question, Unacked, deliver, publish, settle};
use crate::core::Core;
use crate::exception::Exception;

/// What a channel has gathered since the last commit or rollback.
pub(crate) struct Transaction {
    gathered: Gathered,
    settled: Vec<(Piece<Unacked>, Outcome)>,
    /// Frames of `basic.return`.
    pub(super) returns: Vec<u8>,
    /// What is counted if it is committed.
    counts: MessageCounts,
}

/// A commit that waits for its shards.
#[derive(Debug)]
pub(crate) struct Committing {
    /// How many of them have not answered.
    shards: usize,
    /// Whether no full queue has refused a message.
    is_whole: bool,
    /// What it takes of memory, given back with it.
    _charge: Charge,
}

impl Transaction {
    fn new(core: &Core) -> Self {
        Self {
            gathered: Gathered::new(&core.broker.shards, &core.broker.gathered),
            settled: Vec::new(),
            returns: Vec::new(),
            counts: MessageCounts::default(),
        }
    }

    /// How many publishes and how many settled deliveries wait for the commit.
    pub(crate) fn uncommitted(&self) -> (u64, u64) {
        let settled = self.settled.iter().map(|(piece, _)| piece.count);
        (self.counts.published, settled.sum())
    }

    /// Whether it has room for what it holds.
    ///
    /// **Errors**: 406 where it has not, or all transactions of the broker together have not.
    fn check_size(&self, core: &Core) -> Result<(), Exception> {
        let (bytes, max) = (self.gathered.bytes(), core.settings.transaction_bytes_max);
        let explanation = if bytes > max {
            format!("transaction size {bytes} is larger than configured max size {max}")
        } else if self.gathered.are_too_many() {
            "all transactions together are larger than what the broker can commit".to_owned()
        } else {
            return Ok(());
        };
        Err(Exception::channel(
            ReplyCode::PreconditionFailed,
            explanation,
        ))
    }
}

/// Carries out a method of the class.
///
/// **Errors**: 406 for `select` in confirm mode, and for the others on a channel that is not transactional.
pub(super) fn carry_out(
    core: &mut Core,
    channel: &mut Channel,
    method: Method,
) -> Result<Next, Exception> {
    match method {
        Method::Select(_) => select(core, channel),
        Method::Commit(_) => commit(core, channel),
        Method::Rollback(_) => rollback(core, channel),
    }
}

/// Once more changes nothing.
fn select(core: &mut Core, channel: &mut Channel) -> Result<Next, Exception> {
    if channel.confirms.is_some() {
        return Err(refused("cannot switch from confirm to tx mode"));
    }
    if channel.transaction.is_none() {
        channel.transaction = Some(Box::new(Transaction::new(core)));
    }
    let select_ok = tx::AMQPMethod::SelectOk(tx::SelectOk {});
    core.send(channel.number, AMQPClass::Tx(select_ok));
    Ok(Next::Done)
}

fn commit(core: &mut Core, channel: &mut Channel) -> Result<Next, Exception> {
    let Transaction {
        mut gathered,
        settled,
        returns,
        mut counts,
    } = take(core, channel)?;
    core.out.buffer().extend_from_slice(&returns);
    let mut counted = 0;
    for (piece, outcome) in settled {
        if outcome == Outcome::Ack {
            settle::note_acked(core, channel, &piece);
        }
        if piece.value.is_counted() {
            counted += piece.count;
        }
        gathered.settle(
            piece.value.shard,
            Settle {
                queue: piece.value.queue,
                channel: channel.number,
                first_seq: piece.value.seq,
                count: piece.count,
                outcome,
                reader: piece.value.reader,
            },
        );
    }
    let (number, frame_max) = (channel.number, core.frame_max);
    let (shards, charge) = core.commit((number, gathered), |out, message| {
        let body = message.body.as_bytes();
        let message = (message.exchange_and_key, message.properties, body);
        publish::write_return(out, number, message, frame_max);
        counts.returned += 1;
    });
    channel.counts += counts;
    core.counts.returned += counts.returned;
    core.counts.dropped += counts.dropped;
    core.return_credit(channel, counted);
    if shards == 0 {
        committed(core, channel);
        return Ok(Next::Done);
    }
    let waiting = Committing {
        shards,
        is_whole: true,
        _charge: charge,
    };
    Ok(Next::Wait(Question::Commit(waiting)))
}

/// A shard has done its part, `is_whole` where no full queue refused a message of it.
///
/// **Errors**: 406 once all have answered, if one of them was not whole; what was not refused is done and durable all the same.
pub(super) fn part_committed(
    core: &mut Core,
    channel: &Channel,
    mut waiting: Committing,
    is_whole: bool,
) -> Result<Next, Exception> {
    waiting.shards -= 1;
    waiting.is_whole &= is_whole;
    match (waiting.shards, waiting.is_whole) {
        (0, true) => committed(core, channel),
        (0, false) => return Err(refused("partial tx completion")),
        _ => return Ok(Next::Wait(Question::Commit(waiting))),
    }
    Ok(Next::Done)
}

/// Everything is durable, in all shards.
fn committed(core: &mut Core, channel: &Channel) {
    let commit_ok = tx::AMQPMethod::CommitOk(tx::CommitOk {});
    core.send(channel.number, AMQPClass::Tx(commit_ok));
}

fn rollback(core: &mut Core, channel: &mut Channel) -> Result<Next, Exception> {
    for (piece, _) in take(core, channel)?.settled {
        channel.unacked.insert(piece);
    }
    let rollback_ok = tx::AMQPMethod::RollbackOk(tx::RollbackOk {});
    core.send(channel.number, AMQPClass::Tx(rollback_ok));
    Ok(Next::Done)
}

/// Ends the transaction and begins the next one.
fn take(core: &Core, channel: &mut Channel) -> Result<Transaction, Exception> {
    match &mut channel.transaction {
        Some(open) => Ok(std::mem::replace(&mut **open, Transaction::new(core))),
        None => Err(refused("channel is not transactional")),
    }
}

/// Keeps a message, with its blind keys, for the commit. One that reaches no queue is counted only.
///
/// **Errors**: 406 where there is no room for it.
pub(super) fn gather(
    core: &mut Core,
    channel: &mut Channel,
    (route, mandatory): (RouteIndex, bool),
    (message, blind): (NewMessage<'_>, &[u8]),
    body: &NewBody<'_>,
) -> Result<(), Exception> {
    let Some(transaction) = &mut channel.transaction else {
        return Ok(());
    };
    let gathered = &mut transaction.gathered;
    let shards = core
        .publisher
        .gather((route, mandatory), message, body, gathered);
    if !blind.is_empty() {
        core.publisher.gather_blind(route, blind, gathered);
    }
    transaction.counts.published += 1;
    if shards.is_empty() && !mandatory {
        transaction.counts.dropped += 1;
    }
    transaction.check_size(core)
}

/// A return was added to those of a transaction, which were so long before.
///
/// **Errors**: 406 where there is no room for it.
pub(super) fn note_return(
    core: &Core,
    transaction: &mut Transaction,
    before: usize,
) -> Result<(), Exception> {
    let bytes = transaction.returns.len() - before;
    transaction.gathered.keep(bytes);
    transaction.counts.returned += 1;
    transaction.check_size(core)
}

/// Keeps for the commit what becomes of unacked deliveries.
///
/// **Errors**: 406 where there is no room for it.
pub(super) fn gather_settles(
    core: &Core,
    channel: &mut Channel,
    tags: RangeInclusive<u64>,
    outcome: Outcome,
) -> Result<(), Exception> {
    let Some(transaction) = &mut channel.transaction else {
        return Ok(());
    };
    channel.unacked.take(tags, |piece| {
        transaction.gathered.keep_settled();
        transaction.settled.push((piece, outcome));
    });
    transaction.check_size(core)
}

/// `basic.recover`: what is unacked goes back to its queues, at once; not so what the transaction has settled. The shards hear of it only after
/// `recover-ok` was said.
pub(super) fn recover(core: &mut Core, channel: &mut Channel) {
    let mut counted = 0;
    let mut unacked = std::mem::take(&mut channel.unacked);
    unacked.take(0..=u64::MAX, |piece| {
        if piece.value.is_counted() {
            counted += piece.count;
        }
        deliver::settle(core, channel, &piece, Outcome::Return);
    });
    core.return_credit(channel, counted);
}

fn refused(explanation: &str) -> Exception {
    Exception::channel(ReplyCode::PreconditionFailed, explanation)
}
