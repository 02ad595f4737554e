//! Asking shards and connections, and doing at a shard what a client would do there.
//!
//! Waits have an end: whoever does not answer in time is left out of what is told.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::broker::Broker;
use leveret_broker::command::Command;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::{
    ConnectionFigures, Described, Detail, Observed, QueueFigures, QueueSum, ShardFigures,
};
use leveret_broker::ids::{ConnectionId, ShardId};
use leveret_broker::link::{Event, Link, Reply};
use leveret_broker::queue_handle::{QueueHandle, QueueId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use std::collections::HashMap;

use crate::refusal::Refusal;

/// How long answers are waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// So many queues are asked about at a time, so that no turn of a shard is long.
const QUEUES_AT_ONCE: usize = 2000;

/// Bytes of messages that wait for an operator's link: as much as one answer has.
const LINK_BYTES_MAX: usize = usize::MAX;

/// What queues tell of themselves. Those that are gone are left out.
pub(crate) async fn queues(
    broker: &Broker,
    queues: &[Arc<QueueHandle>],
    detail: Detail,
) -> HashMap<QueueId, QueueFigures> {
    by_id(observed(broker, &ids(queues), detail).await)
}

/// As [`queues`], for those whose numbers are known.
pub(crate) async fn each_queue(
    broker: &Broker,
    queues: &[(ShardId, QueueId)],
) -> HashMap<QueueId, QueueFigures> {
    by_id(observed(broker, queues, Detail::Each).await)
}

/// What queues tell together.
pub(crate) async fn sum(broker: &Broker, queues: &[Arc<QueueHandle>]) -> QueueSum {
    let mut sum = QueueSum::default();
    for figures in observed(broker, &ids(queues), Detail::Sum).await {
        sum += figures.sum;
    }
    sum
}

/// What queues tell together, and what every shard tells of itself. Each shard is asked once, unless it has more than [`QUEUES_AT_ONCE`].
pub(crate) async fn sum_and_shards(
    broker: &Broker,
    queues: &[Arc<QueueHandle>],
) -> (QueueSum, Vec<ShardFigures>) {
    let mut answers = Vec::new();
    for (shard, ids) in by_shard(broker, &ids(queues)) {
        let mut rest = ids.chunks(QUEUES_AT_ONCE);
        let first = rest.next().unwrap_or_default();
        let ask = |ids: &[QueueId]| observe(broker, shard, ids.to_vec(), Detail::Sum);
        answers.push((true, ask(first)));
        answers.extend(rest.map(|ids| (false, ask(ids))));
    }
    let (mut sum, mut shards) = (QueueSum::default(), Vec::new());
    for (is_first, answer) in answers {
        let Some(figures) = answered(answer).await else {
            continue;
        };
        sum += figures.sum;
        if is_first {
            shards.push(figures);
        }
    }
    (sum, shards)
}

/// Every shard, with those of the queues that it has.
fn by_shard(
    broker: &Broker,
    queues: &[(ShardId, QueueId)],
) -> impl Iterator<Item = (ShardId, Vec<QueueId>)> {
    let shards = (0..broker.shards.count() as u16).map(ShardId);
    shards.map(|shard| {
        let its = queues.iter().filter(move |(other, _)| *other == shard);
        (shard, its.map(|(_, id)| *id).collect())
    })
}

fn ids(queues: &[Arc<QueueHandle>]) -> Vec<(ShardId, QueueId)> {
    queues.iter().map(|queue| (queue.shard, queue.id)).collect()
}

fn by_id(all: Vec<ShardFigures>) -> HashMap<QueueId, QueueFigures> {
    let queues = all.into_iter().flat_map(|figures| figures.queues);
    queues.map(|queue| (queue.id, queue)).collect()
}

async fn observed(
    broker: &Broker,
    queues: &[(ShardId, QueueId)],
    detail: Detail,
) -> Vec<ShardFigures> {
    let mut answers = Vec::new();
    for (shard, ids) in by_shard(broker, queues) {
        for ids in ids.chunks(QUEUES_AT_ONCE) {
            answers.push(observe(broker, shard, ids.to_vec(), detail));
        }
    }
    let mut all = Vec::new();
    for answer in answers {
        all.extend(answered(answer).await);
    }
    all
}

/// What every shard tells of all queues together.
pub(crate) async fn shards(broker: &Broker) -> Vec<ShardFigures> {
    let shards = 0..broker.shards.count() as u16;
    let answers: Vec<_> = shards
        .map(|shard| observe(broker, ShardId(shard), Vec::new(), Detail::Sum))
        .collect();
    let mut all = Vec::new();
    for answer in answers {
        all.extend(answered(answer).await);
    }
    all
}

fn observe(
    broker: &Broker,
    shard: ShardId,
    queues: Vec<QueueId>,
    detail: Detail,
) -> oneshot::Receiver<ShardFigures> {
    let (sender, receiver) = oneshot::channel();
    let then = Observed::new(move |figures| {
        let _ = sender.send(figures);
    });
    broker.shards.send(
        shard,
        Command::Observe {
            queues,
            detail,
            then,
        },
    );
    receiver
}

/// What open connections tell of themselves; none for one that ended or gave no answer.
pub(crate) async fn connections(
    connections: &[ConnectionFacts],
) -> HashMap<ConnectionId, ConnectionFigures> {
    let open = connections.iter().filter(|facts| facts.open_as.is_some());
    let asked: Vec<_> = open
        .map(|facts| {
            let (sender, receiver) = oneshot::channel();
            let described = Described::new(move |figures| {
                let _ = sender.send(figures);
            });
            facts.link.events.push(Event::Describe(described));
            (facts.link.connection, receiver)
        })
        .collect();
    let mut all = HashMap::new();
    for (connection, answer) in asked {
        all.extend(answered(answer).await.map(|figures| (connection, figures)));
    }
    all
}

async fn answered<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    timeout(ANSWER_WAIT, answer).await.ok()?.ok()
}

/// Waits until what was changed survives a power cut.
pub(crate) async fn kept(broker: &Broker) {
    let (sender, receiver) = oneshot::channel();
    broker.when_kept(Box::new(move || {
        let _ = sender.send(());
    }));
    // The broker ends rather than not keep something.
    let _ = receiver.await;
}

/// A link of its own to the shards, as a connection has one; what it holds unacked goes back to the queues at its end.
#[derive(Debug)]
pub(crate) struct OperatorLink<'a> {
    broker: &'a Broker,
    link: Arc<Link>,
    connected: Vec<ShardId>,
}

impl<'a> OperatorLink<'a> {
    pub(crate) fn new(broker: &'a Broker) -> Self {
        let connection = broker.connections.next_id();
        Self {
            broker,
            link: Arc::new(Link::new(connection, LINK_BYTES_MAX)),
            connected: Vec::new(),
        }
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.link.connection
    }

    /// Makes it known to a shard.
    pub(crate) fn connect(&mut self, shard: ShardId) {
        if !self.connected.contains(&shard) {
            self.connected.push(shard);
            let connect = Command::Connect(Arc::clone(&self.link));
            self.broker.shards.send(shard, connect);
        }
    }

    pub(crate) fn send(&mut self, shard: ShardId, command: Command) {
        self.connect(shard);
        self.broker.shards.send(shard, command);
    }

    /// Asks a shard, and waits for its answer.
    ///
    /// **Errors**: what the shard answers; 503 where it does not.
    pub(crate) async fn ask(&mut self, shard: ShardId, command: Command) -> Result<Reply, Refusal> {
        self.send(shard, command);
        let reply = self.next(|event| match event {
            Event::Reply(reply) => Some(reply),
            _ => None,
        });
        reply.await?.map_err(Refusal::from)
    }

    /// The next event that `wanted` takes; others are dropped.
    ///
    /// **Errors**: 503 where none comes in time.
    pub(crate) async fn next<T>(
        &self,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<T, Refusal> {
        let events = &self.link.events;
        let found = async {
            loop {
                let mut taken = Vec::new();
                poll_fn(|context| events.poll_take(context, &mut taken)).await;
                if let Some(found) = taken.into_iter().find_map(&mut wanted) {
                    return found;
                }
            }
        };
        let late = |_| Refusal::unavailable("the queue gave no answer in time");
        timeout(ANSWER_WAIT, found).await.map_err(late)
    }
}

impl Drop for OperatorLink<'_> {
    fn drop(&mut self) {
        for shard in &self.connected {
            let disconnect = Command::Disconnect(self.link.connection);
            self.broker.shards.send(*shard, disconnect);
        }
    }
}
