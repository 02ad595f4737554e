//! What a transaction has gathered to publish: it is kept apart until it is committed, and forgotten where it is not.
//!
//! How much that may be is counted as the log will have it: a message is there once for each group of queues that it goes to. All transactions of
//! a broker share a limit, because all of them may be committed at once, and a batch of the log has its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_message::batch::{Message, NewMessage};
use leveret_store::log::Transaction;

use super::{Publisher, Route, RouteIndex, ShardSet};
use crate::command::{Command, Part, Settle, Shards};
use crate::exchange::Exchange;
use crate::filling::{Filling, NewBody, lanes};
use crate::ids::ShardId;
use crate::queue_handle::QueueHandle;

/// How many bytes all transactions together may gather; half of what a batch of the log may have.
pub const GATHERED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What a message takes beside its own bytes, once for each group.
const MESSAGE_BYTES: usize = 64;

/// What a queue takes for each run of messages that goes to it.
const RUN_BYTES: usize = 64;

/// What a settled run takes.
const SETTLE_BYTES: usize = 64;

/// A message that is to come back where it reaches no queue.
#[derive(Debug)]
struct Mandatory {
    /// The queues it had when it was published.
    queues: Arc<[Arc<QueueHandle>]>,
    /// Where it is among what was gathered.
    shard: ShardId,
    index: u32,
}

/// Messages that are gathered one after the other on the same route.
#[derive(Debug)]
struct Gone {
    exchange: Arc<Exchange>,
    queues: Arc<[Arc<QueueHandle>]>,
    count: u64,
}

/// How much all transactions of a broker have gathered.
#[derive(Debug, Default)]
pub struct GatheredBytes(AtomicUsize);

impl GatheredBytes {
    /// How many bytes these are now.
    pub fn held(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one transaction takes of the limit for all; it is given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    bytes: usize,
    of: Arc<GatheredBytes>,
}

impl Charge {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Gathered {
    /// For each shard.
    lanes: Vec<Filling>,
    stretches: Vec<Gone>,
    settles: Vec<Vec<Settle>>,
    mandatory: Vec<Mandatory>,
    charge: Charge,
}

impl Gathered {
    /// Nothing, for these shards.
    pub fn new(shards: &Shards, of: &Arc<GatheredBytes>) -> Self {
        let charge = Charge {
            bytes: 0,
            of: Arc::clone(of),
        };
        Self {
            lanes: lanes(shards),
            stretches: Vec::new(),
            settles: (0..shards.count()).map(|_| Vec::new()).collect(),
            mandatory: Vec::new(),
            charge,
        }
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.charge.bytes
    }

    /// Whether all transactions together have gathered too much.
    pub fn are_too_many(&self) -> bool {
        self.charge.of.held() > GATHERED_BYTES_MAX
    }

    /// Something is kept with it that takes so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        self.charge.add(bytes);
    }

    /// A run of messages is to be settled with it.
    pub fn keep_settled(&mut self) {
        self.charge.add(SETTLE_BYTES);
    }

    /// Adds settled messages of a shard, in the order in which they are to be settled.
    pub fn settle(&mut self, shard: ShardId, settle: Settle) {
        if let Some(settles) = self.settles.get_mut(usize::from(shard.0)) {
            settle.add_to(settles);
        }
    }

    /// A message on a route is among it.
    fn note(&mut self, route: &Route) {
        match self.stretches.last_mut() {
            Some(last) if Arc::ptr_eq(&last.queues, &route.handles) => last.count += 1,
            _ => {
                if !self.stretches.is_empty() {
                    self.charge.add(size_of::<Gone>());
                }
                self.stretches.push(Gone {
                    exchange: Arc::clone(&route.exchange),
                    queues: Arc::clone(&route.handles),
                    count: 1,
                });
            }
        }
    }
}

impl Publisher {
    /// Adds a message to what a transaction has gathered, and says to which shards it will go.
    ///
    /// **Effect**: in this connection's memory only, until [`Publisher::commit`]. **Cost**: as [`Publisher::publish`].
    pub fn gather(
        &self,
        (route, mandatory): (RouteIndex, bool),
        message: NewMessage<'_>,
        body: &NewBody<'_>,
        gathered: &mut Gathered,
    ) -> ShardSet {
        let route = &self.routes[route.0];
        gathered.note(route);
        let body_len = match body {
            NewBody::Copied(body) => body.len(),
            NewBody::Shared(body) => body.len(),
        };
        let len = message.exchange_and_key.len() + message.properties.len() + body_len;
        let mut bytes = (len + MESSAGE_BYTES) * route.groups;
        for (shard, queues) in &route.lanes {
            if gathered.lanes[shard.0 as usize].add(queues, message, body) {
                bytes += queues.len() * RUN_BYTES;
            }
        }
        gathered.charge.add(bytes);
        if mandatory && let Some((shard, _)) = route.lanes.first() {
            gathered.mandatory.push(Mandatory {
                queues: Arc::clone(&route.handles),
                shard: *shard,
                index: gathered.lanes[shard.0 as usize].builder.len() - 1,
            });
        }
        route.shards
    }

    /// The message that was gathered last, on this route, keeps its blind keys.
    #[cold]
    pub fn gather_blind(&self, route: RouteIndex, blind: &[u8], gathered: &mut Gathered) {
        let route = &self.routes[route.0];
        for (shard, _) in &route.lanes {
            let filling = &mut gathered.lanes[shard.0 as usize];
            filling.builder.mark_blind(blind);
        }
        gathered.charge.add(blind.len() * route.groups);
    }

    /// Sends what a channel has gathered to the shards as one transaction: how many shards answer it, and what it takes until they have.
    ///
    /// `first` is called with each shard before something is sent to it, `returned` with each mandatory message whose queues are all gone by now.
    /// **Order**: as [`Publisher::hand_over`], behind what was handed over. **Waits**: never.
    pub fn commit(
        &mut self,
        (channel, gathered): (u16, Gathered),
        mut first: impl FnMut(ShardId),
        mut returned: impl FnMut(&Message<'_>),
    ) -> (usize, Charge) {
        let Gathered {
            lanes,
            stretches,
            settles,
            mandatory,
            charge,
        } = gathered;
        for gone in stretches {
            for queue in gone.queues.iter() {
                queue.note_published(&gone.exchange, gone.count);
            }
            self.make_known(&gone.exchange);
            let went = gone.count * gone.queues.len() as u64;
            self.note(channel, gone.exchange, (gone.count, went));
        }
        let of_shards = (0..).map(ShardId).zip(lanes.into_iter().zip(settles));
        let is_concerned = |(_, (filling, settles)): &(ShardId, (Filling, Vec<Settle>))| {
            !filling.is_empty() || !settles.is_empty()
        };
        let concerned: Vec<_> = of_shards.filter(is_concerned).collect();
        let (count, transaction) = (concerned.len(), Transaction::new(concerned.len()));
        let part = |(shard, (mut filling, settles)): (ShardId, (Filling, Vec<Settle>))| {
            let bytes = filling.builder.byte_len();
            let (batch, runs) = filling.seal();
            let part = Part {
                connection: Some(self.connection),
                transaction,
                bytes,
                batch,
                runs,
                settles,
                reserved: false,
                passed: 0,
                room: None,
            };
            (shard, part)
        };
        let parts: Vec<(ShardId, Part)> = concerned.into_iter().map(part).collect();
        for of in mandatory {
            let part = parts.iter().find(|(shard, _)| *shard == of.shard);
            if of.queues.iter().all(|queue| queue.is_deleted())
                && let Some(message) = part.and_then(|(_, part)| part.batch.message(of.index))
            {
                returned(&message);
            }
        }
        for (shard, part) in parts {
            first(shard);
            self.lanes[shard.0 as usize].outstanding += part.bytes;
            self.shards.send(shard, Command::Transact(Box::new(part)));
        }
        (count, charge)
    }
}
