//! RabbitMQ's semantics of queues and consumers, said plainly: messages one by one in ordered maps, consumers in a list that is searched.
//!
//! The model takes the same commands as a shard and says what each connection is told. It knows no batches' bounds, no runs and no rings.
//! What it shares with the shard is the order in which queues are dealt from, those that were empty at once and touched ones last touched first, because consumers of several queues
//! compete for their channel's credit and their connection's outbox.

use std::collections::{BTreeMap, BTreeSet};

use leveret_store::log::QueueId;

use super::fixture::{Delivery, Seen, number};
use crate::command::{Command, NewConsumer, Outcome, Publish, Settle};
use crate::error::{Error, Resource};
use crate::ids::{ConnectionId, Holder};
use crate::queue_handle::QueueHandle;

mod deal;

/// A connection and how it numbers the consumer.
type ConsumerName = (ConnectionId, u32);

#[derive(Clone, Copy, Debug)]
struct Message {
    number: u64,
    bytes: usize,
    redelivered: bool,
}

#[derive(Debug)]
struct Consumer {
    name: ConsumerName,
    holder: Holder,
    new: NewConsumer,
    unacked: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    resource: Resource,
    auto_delete: bool,
    owner: Option<ConnectionId>,
    next_seq: u64,
    ready: BTreeMap<u64, Message>,
    unacked: BTreeMap<u64, (Message, Holder, Option<ConsumerName>)>,
    consumers: Vec<Consumer>,
    /// Whose turn it is, next one first. Those who were passed over for lack of credit or room are not in it.
    turn: Vec<ConsumerName>,
}

#[derive(Debug, Default)]
struct Connection {
    told: Vec<Seen>,
    outbox_max: usize,
    waiting: usize,
    stalled: bool,
    used: BTreeSet<(u16, QueueId)>,
    passed_over_in: BTreeSet<QueueId>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    queues: BTreeMap<QueueId, Queue>,
    connections: BTreeMap<ConnectionId, Connection>,
    touched: Vec<QueueId>,
    /// What is left of channels' credit, by the address of the shared counter.
    credits: BTreeMap<usize, i64>,
}

impl Queue {
    pub(super) fn counts(&self) -> (u64, u64, usize) {
        let (ready, unacked) = (self.ready.len(), self.unacked.len());
        (ready as u64, unacked as u64, self.consumers.len())
    }

    fn bytes(&self) -> usize {
        let unacked = self.unacked.values().map(|(message, ..)| message.bytes);
        self.ready
            .values()
            .map(|message| message.bytes)
            .chain(unacked)
            .sum()
    }

    fn consumer(&mut self, name: ConsumerName) -> Option<&mut Consumer> {
        self.consumers
            .iter_mut()
            .find(|consumer| consumer.name == name)
    }

    fn enter(&mut self, name: ConsumerName) {
        if !self.turn.contains(&name) {
            self.turn.push(name);
        }
    }

    /// Takes messages back from their holder; they are ready again, or gone.
    fn take_back(&mut self, holder: Holder, seqs: std::ops::Range<u64>, requeue: bool) {
        let held: Vec<u64> = self.unacked.range(seqs).map(|(seq, _)| *seq).collect();
        for seq in held {
            let (mut message, of, consumer) = self.unacked[&seq];
            if of != holder {
                continue;
            }
            self.unacked.remove(&seq);
            if let Some(name) = consumer
                && let Some(consumer) = self.consumer(name)
            {
                consumer.unacked -= 1;
                self.enter(name);
            }
            if requeue {
                message.redelivered = true;
                self.ready.insert(seq, message);
            }
        }
    }
}

impl Model {
    pub(super) fn queues(&self) -> &BTreeMap<QueueId, Queue> {
        &self.queues
    }

    pub(super) fn bytes(&self) -> usize {
        self.queues.values().map(Queue::bytes).sum()
    }

    pub(super) fn waiting(&self, connection: ConnectionId) -> usize {
        self.connections[&connection].waiting
    }

    /// What a connection was told since the last time.
    pub(super) fn told(&mut self, connection: ConnectionId) -> Vec<Seen> {
        let connection = self.connections.get_mut(&connection);
        connection.map_or_else(Vec::new, |c| std::mem::take(&mut c.told))
    }

    pub(super) fn connect(&mut self, connection: ConnectionId, outbox_max: usize) {
        let new = Connection {
            outbox_max,
            ..Connection::default()
        };
        self.connections.insert(connection, new);
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// A channel has credit for so many; a counter may take the place of one that is gone.
    pub(super) fn set_credit(&mut self, counter: usize, count: i64) {
        self.credits.insert(counter, count);
    }

    pub(super) fn add_credit(&mut self, counter: usize, count: i64) {
        let credit = self.credits.get_mut(&counter);
        *credit.expect("channels have credit first") += count;
    }

    /// A connection has written some of its outbox; whether that makes it ask for more.
    pub(super) fn written(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        let connection = self.connections.get_mut(&connection).expect("it writes");
        connection.waiting -= bytes;
        let has_room = connection.waiting <= connection.outbox_max / 2;
        has_room && std::mem::take(&mut connection.stalled)
    }

    fn tell(&mut self, connection: ConnectionId, seen: Seen) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.told.push(seen);
        }
    }

    fn touch(&mut self, queue: QueueId) {
        if !self.touched.contains(&queue) {
            self.touched.push(queue);
        }
    }

    pub(super) fn apply(&mut self, command: &Command) {
        match command {
            Command::Connect(link) => panic!("{:?} is connected by name", link.connection),
            Command::Disconnect(connection) => self.disconnect(*connection),
            Command::Declare(handle) => self.declare(handle),
            Command::Govern(_) => panic!("there are no policies"),
            Command::Operate(..) => panic!("there are no operators"),
            Command::Publish(publish) => self.publish(publish),
            Command::Settle(connection, settles) => {
                settles.iter().for_each(|s| self.settle(*connection, s));
            }
            Command::Consume(holder, handle, new) => {
                let seen = self.consume(*holder, handle, new);
                self.tell(holder.connection, seen);
            }
            Command::Cancel(connection, queue, slot) => {
                self.deal();
                self.remove_consumers(*queue, |c| c.name == (*connection, slot.0));
                self.tell(*connection, Seen::CancelOk);
            }
            Command::SetPrefetch {
                connection,
                queue,
                slot,
                prefetch,
            } => self.set_prefetch(*queue, (*connection, slot.0), *prefetch),
            Command::Get {
                holder,
                queue,
                no_ack,
            } => {
                self.deal();
                let seen = self.get(*holder, queue, *no_ack);
                self.tell(holder.connection, seen);
            }
            Command::Purge(connection, handle) => {
                self.deal();
                let seen = self.ask(handle, |queue| {
                    Seen::Purged(std::mem::take(&mut queue.ready).len() as u64)
                });
                self.tell(*connection, seen);
            }
            Command::Delete {
                connection,
                queue,
                if_unused,
                if_empty,
            } => {
                self.deal();
                let seen = self.delete(*queue, *if_unused, *if_empty);
                self.tell(*connection, seen);
            }
            Command::Count(connection, handle) => {
                self.deal();
                let seen = self.ask(handle, |queue| {
                    let (ready, _, consumers) = queue.counts();
                    Seen::Counts(ready, consumers as u64)
                });
                self.tell(*connection, seen);
            }
            Command::Observe { .. } => {}
            Command::Release { holder, close } => {
                self.release(*holder, *close);
                self.tell(holder.connection, Seen::Released);
            }
            Command::Resume(connection) => self.resume(*connection),
            Command::Drop { .. } | Command::End(_) => panic!("the model does not end"),
            Command::Transact(_) => panic!("the model has no transactions"),
        }
    }

    fn ask(&mut self, handle: &QueueHandle, answer: impl FnOnce(&mut Queue) -> Seen) -> Seen {
        match self.queues.get_mut(&handle.id) {
            None => Seen::Refused(Error::NotFound(handle.resource())),
            Some(queue) => answer(queue),
        }
    }

    fn declare(&mut self, handle: &QueueHandle) {
        let queue = Queue {
            resource: handle.resource(),
            auto_delete: handle.declaration.auto_delete,
            owner: handle.declaration.owner,
            next_seq: 1,
            ready: BTreeMap::new(),
            unacked: BTreeMap::new(),
            consumers: Vec::new(),
            turn: Vec::new(),
        };
        self.queues.insert(handle.id, queue);
    }

    fn publish(&mut self, publish: &Publish) {
        for run in &publish.runs {
            for id in run.queues.iter() {
                let Some(queue) = self.queues.get_mut(id) else {
                    continue;
                };
                let is_idle = queue.ready.is_empty() && !self.touched.contains(id);
                for index in run.first..run.first + run.count {
                    let message = Message {
                        number: number(&publish.batch, index),
                        bytes: publish.batch.size(index, 1),
                        redelivered: false,
                    };
                    queue.ready.insert(queue.next_seq, message);
                    queue.next_seq += 1;
                }
                if is_idle {
                    self.deal_from(*id);
                } else {
                    self.touch(*id);
                }
            }
        }
    }

    fn settle(&mut self, connection: ConnectionId, settle: &Settle) {
        let Some(queue) = self.queues.get_mut(&settle.queue) else {
            return;
        };
        let holder = Holder {
            connection,
            channel: settle.channel,
        };
        let seqs = settle.first_seq..settle.first_seq + settle.count;
        queue.take_back(
            holder,
            seqs,
            matches!(settle.outcome, Outcome::Return | Outcome::Fail),
        );
        if !queue.ready.is_empty() {
            self.touch(settle.queue);
        }
    }

    fn consume(&mut self, holder: Holder, handle: &QueueHandle, new: &NewConsumer) -> Seen {
        let seen = self.ask(handle, |queue| {
            let others = !queue.consumers.is_empty();
            if queue.consumers.iter().any(|c| c.new.exclusive) || (new.exclusive && others) {
                return Seen::Refused(Error::ExclusiveUse(queue.resource.clone()));
            }
            let name = (holder.connection, new.slot.0);
            queue.consumers.push(Consumer {
                name,
                holder,
                new: new.clone(),
                unacked: 0,
            });
            queue.enter(name);
            Seen::Consuming
        });
        if seen == Seen::Consuming {
            self.note_used(holder, handle.id);
            self.touch(handle.id);
        }
        seen
    }

    fn set_prefetch(&mut self, id: QueueId, name: ConsumerName, prefetch: u16) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if let Some(consumer) = queue.consumer(name).filter(|c| !c.new.no_ack) {
            consumer.new.prefetch = prefetch;
            if prefetch == 0 || consumer.unacked < u64::from(prefetch) {
                queue.enter(name);
            }
        }
        self.touch(id);
    }

    fn note_used(&mut self, holder: Holder, queue: QueueId) {
        let connection = self.connections.get_mut(&holder.connection);
        connection
            .expect("it asks")
            .used
            .insert((holder.channel, queue));
    }

    fn get(&mut self, holder: Holder, handle: &QueueHandle, no_ack: bool) -> Seen {
        let seen = self.ask(handle, |queue| {
            let Some((seq, message)) = queue.ready.pop_first() else {
                return Seen::Got(None, 0);
            };
            if !no_ack {
                queue.unacked.insert(seq, (message, holder, None));
            }
            let got = Delivery {
                consumer: 0,
                queue: handle.id,
                seq,
                message: message.number,
                redelivered: message.redelivered,
            };
            Seen::Got(Some(got), queue.ready.len() as u64)
        });
        if matches!(seen, Seen::Got(Some(_), _)) && !no_ack {
            self.note_used(holder, handle.id);
        }
        seen
    }

    fn delete(&mut self, id: QueueId, if_unused: bool, if_empty: bool) -> Seen {
        match self.queues.get(&id) {
            None => Seen::Deleted(0),
            Some(queue) if if_unused && !queue.consumers.is_empty() => {
                Seen::Refused(Error::InUse(queue.resource.clone()))
            }
            Some(queue) if if_empty && !queue.ready.is_empty() => {
                Seen::Refused(Error::NotEmpty(queue.resource.clone()))
            }
            Some(_) => Seen::Deleted(self.drop_queue(id)),
        }
    }

    fn drop_queue(&mut self, id: QueueId) -> u64 {
        let Some(queue) = self.queues.remove(&id) else {
            return 0;
        };
        for Consumer { name, .. } in queue.consumers {
            self.tell(name.0, Seen::Cancelled(name.1));
        }
        queue.ready.len() as u64
    }

    fn remove_consumers(&mut self, id: QueueId, of: impl Fn(&Consumer) -> bool) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let before = queue.consumers.len();
        queue.consumers.retain(|consumer| !of(consumer));
        let left = &queue.consumers;
        queue
            .turn
            .retain(|name| left.iter().any(|c| c.name == *name));
        if queue.consumers.is_empty() && before > 0 && queue.auto_delete {
            self.drop_queue(id);
        } else {
            self.touch(id);
        }
    }

    fn release(&mut self, holder: Holder, close: bool) {
        let Some(connection) = self.connections.get_mut(&holder.connection) else {
            return;
        };
        let of_channel = |(channel, _): &(u16, QueueId)| *channel == holder.channel;
        let used: Vec<_> = connection.used.iter().copied().filter(of_channel).collect();
        if close {
            connection.used.retain(|used| !of_channel(used));
        }
        for (_, id) in used {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            queue.take_back(holder, 0..u64::MAX, true);
            self.touch(id);
            if close {
                self.remove_consumers(id, |consumer| consumer.holder == holder);
            }
        }
    }

    fn disconnect(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let channels: BTreeSet<u16> = connection
            .used
            .iter()
            .map(|(channel, _)| *channel)
            .collect();
        for channel in channels {
            let holder = Holder {
                connection: id,
                channel,
            };
            self.release(holder, true);
        }
        let owned = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.owner == Some(id));
        let owned: Vec<QueueId> = owned.map(|(queue, _)| *queue).collect();
        for queue in owned {
            self.drop_queue(queue);
        }
        self.tell(id, Seen::Disconnected);
    }

    fn resume(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        for queue_id in std::mem::take(&mut connection.passed_over_in) {
            let Some(queue) = self.queues.get_mut(&queue_id) else {
                continue;
            };
            let names: Vec<ConsumerName> = queue.consumers.iter().map(|c| c.name).collect();
            let of_it = names.into_iter().filter(|name| name.0 == id);
            of_it.for_each(|name| queue.enter(name));
            self.touch(queue_id);
        }
    }
}

/// What tells a shared counter from others.
pub(super) fn address(credit: &crate::command::ChannelCredit) -> usize {
    std::sync::Arc::as_ptr(credit) as usize
}
