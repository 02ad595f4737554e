//! Connections as they behave, before a shard and its model: what they say becomes commands for both, and both have to tell them the same.
//!
//! A connection settles what it was given, gives its channel's credit back with that, asks for more when it has written what waits in its
//! outbox, and says nothing while it waits for a channel to be let go of. It says what it says by what it was told up to the last turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use leveret_message::batch::Batch;
use leveret_message::name::Name;
use leveret_store::log::QueueId;

use super::fixture::{Client, Delivery, Fixture, Seen};
use super::model::{Model, address};
use crate::command::{
    ChannelCredit, Command, NewConsumer, Outcome, Publish, Run, RunQueues, Settle,
};
use crate::ids::ConsumerSlot;
use crate::queue_handle::QueueHandle;

mod check;
mod scene;

pub(super) use scene::Scene;
use scene::{by_queue, sort};

pub(super) const CLIENTS: usize = 3;
/// Plain, durable, auto-delete, and exclusive to the first client.
pub(super) const QUEUES: [&str; 4] = ["plain", "durable", "auto_delete", "exclusive"];
const EXCLUSIVE: usize = 3;
/// The second channel has credit for this many.
const CHANNEL_CREDIT: i64 = 3;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Declare(usize),
    Delete(usize, bool, bool),
    Purge(usize),
    Count(usize),
    Get(usize, u16, bool),
    Consume(usize, u16, Consumer),
    /// One of its consumers, by number.
    Cancel(usize),
    /// Of one of its consumers, by number.
    SetPrefetch(usize, u16),
    /// Runs of one batch: to which queues, as bits, and how many.
    Publish(Vec<(u8, u32)>),
    /// Of what it holds: from which on, how many, and how.
    Settle(usize, usize, Outcome),
    Release(u16, bool),
    Disconnect,
    /// Writes so many quarters of what waits in its outbox.
    Write(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Consumer {
    pub(super) no_ack: bool,
    pub(super) exclusive: bool,
    pub(super) prefetch: u16,
    pub(super) priority: i64,
}

/// A message that a connection has and has not settled.
#[derive(Clone, Copy, Debug)]
struct Held {
    queue: QueueId,
    seq: u64,
    channel: u16,
    /// Whether it takes the channel's credit.
    counted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    /// On which channel, and whether `no_ack`.
    Get(u16, bool),
    /// Which channel, and whether it closes.
    Release(u16, bool),
    Other,
}

struct Connection {
    client: Client,
    consumers: BTreeMap<u32, (QueueId, u16, bool)>,
    held: Vec<Held>,
    credit: ChannelCredit,
    credit_returned: bool,
    /// What the answers that are to come are about.
    asked: VecDeque<Asked>,
    /// Says nothing more in this turn.
    silent: bool,
    taken: usize,
    returned: usize,
    done: u64,
}

/// A shard and its model, and the connections that both serve.
pub(super) struct Stage {
    fixture: Fixture,
    model: Model,
    connections: Vec<Connection>,
    queues: BTreeMap<usize, Arc<QueueHandle>>,
    scene: Scene,
    next_slot: u32,
    pub(super) transcript: Vec<String>,
}

fn connection(fixture: &mut Fixture, model: &mut Model, scene: Scene) -> Connection {
    let outbox_max = match scene {
        Scene::SmallOutboxes(max) => max,
        _ => usize::MAX,
    };
    let client = fixture.connect(outbox_max);
    model.connect(client.id(), outbox_max);
    let credit = Arc::new(AtomicI64::new(CHANNEL_CREDIT));
    model.set_credit(address(&credit), CHANNEL_CREDIT);
    Connection {
        client,
        consumers: BTreeMap::new(),
        held: Vec::new(),
        credit,
        credit_returned: false,
        asked: VecDeque::new(),
        silent: false,
        taken: 0,
        returned: 0,
        done: 0,
    }
}

impl Stage {
    pub(super) fn new(scene: Scene) -> Self {
        let (mut fixture, mut model) = match scene {
            Scene::LittleMemory { budget, .. } => {
                (Fixture::with_budget(budget, usize::MAX), Model::default())
            }
            _ => (Fixture::new(), Model::default()),
        };
        if let Scene::LittleMemory { resident_max, .. } = scene {
            fixture.shard.set_resident_max(resident_max);
        }
        let connections = (0..CLIENTS)
            .map(|_| connection(&mut fixture, &mut model, scene))
            .collect();
        Self {
            fixture,
            model,
            connections,
            queues: BTreeMap::new(),
            scene,
            next_slot: 1,
            transcript: Vec::new(),
        }
    }

    /// A turn: what connections say, and what they and the model hear.
    pub(super) fn turn(&mut self, steps: &[(usize, Step)]) {
        let mut commands = Vec::new();
        for (who, step) in steps {
            if std::mem::take(&mut self.connections[*who].credit_returned) {
                let connection = self.connections[*who].client.id();
                commands.push(Command::Resume(connection));
            }
            if !self.connections[*who].silent {
                self.say(*who, step, &mut commands);
            }
        }
        commands
            .iter()
            .for_each(|command| self.model.apply(command));
        self.model.deal();
        self.fixture.turn(commands);
        if self.scene.is_of_little_memory() {
            self.fixture.settle_down();
        }
        (0..CLIENTS).for_each(|who| self.hear(who));
        self.compare();
    }

    /// The commands that a step of a connection becomes.
    fn say(&mut self, who: usize, step: &Step, commands: &mut Vec<Command>) {
        let connection = self.connections[who].client.id();
        match *step {
            Step::Declare(queue) => self.declare(who, queue, commands),
            Step::Publish(ref runs) => self.publish(who, runs, commands),
            Step::Settle(at, count, outcome) => self.settle(who, at, count, outcome, commands),
            Step::Write(quarters) => {
                let client = &self.connections[who].client;
                let bytes = client.link.waiting_bytes() * quarters / 4;
                let mut resumed = false;
                client.link.written(bytes, |_| resumed = true);
                // A shared body takes 4 bytes less once it was away.
                if self.scene.is_of_little_memory() {
                    assert!(!resumed, "there is always room");
                } else {
                    assert_eq!(resumed, self.model.written(connection, bytes));
                }
                commands.extend(resumed.then_some(Command::Resume(connection)));
            }
            Step::Cancel(at) => {
                let consumers = &self.connections[who].consumers;
                let slot = consumers.iter().nth(at % consumers.len().max(1));
                let cancel = slot.map(|(slot, (queue, ..))| {
                    Command::Cancel(connection, *queue, ConsumerSlot(*slot))
                });
                self.connections[who]
                    .asked
                    .extend(cancel.is_some().then_some(Asked::Other));
                commands.extend(cancel);
            }
            Step::SetPrefetch(at, prefetch) => {
                let consumers = &self.connections[who].consumers;
                let slot = consumers.iter().nth(at % consumers.len().max(1));
                commands.extend(slot.map(|(slot, (queue, ..))| Command::SetPrefetch {
                    connection,
                    queue: *queue,
                    slot: ConsumerSlot(*slot),
                    prefetch,
                }));
            }
            Step::Release(channel, close) => {
                let of = &mut self.connections[who];
                of.asked.push_back(Asked::Release(channel, close));
                of.silent = true;
                let holder = of.client.holder(channel);
                commands.push(Command::Release { holder, close });
            }
            Step::Disconnect => {
                let of = &mut self.connections[who];
                of.asked.push_back(Asked::Other);
                of.silent = true;
                commands.push(Command::Disconnect(connection));
            }
            Step::Delete(queue, ..)
            | Step::Purge(queue)
            | Step::Count(queue)
            | Step::Get(queue, ..)
            | Step::Consume(queue, ..) => {
                if let Some(handle) = self.queues.get(&queue).map(Arc::clone)
                    && handle.check_owner(connection).is_ok()
                {
                    commands.push(self.ask(who, handle, step));
                }
            }
        }
    }

    fn ask(&mut self, who: usize, queue: Arc<QueueHandle>, step: &Step) -> Command {
        let scene = self.scene;
        let counts = |channel| channel == 2 && !scene.is_of_little_memory();
        let of = &mut self.connections[who];
        let connection = of.client.id();
        of.asked.push_back(match *step {
            Step::Get(_, channel, no_ack) => Asked::Get(channel, no_ack),
            _ => Asked::Other,
        });
        match *step {
            Step::Delete(_, if_unused, if_empty) => Command::Delete {
                connection,
                queue: queue.id,
                if_unused,
                if_empty,
            },
            Step::Purge(_) => Command::Purge(connection, queue),
            Step::Get(_, channel, no_ack) => {
                let holder = of.client.holder(channel);
                Command::Get {
                    holder,
                    queue,
                    no_ack,
                }
            }
            Step::Consume(_, channel, new) => {
                let slot = self.next_slot;
                self.next_slot += 1;
                of.consumers.insert(slot, (queue.id, channel, new.no_ack));
                let new = NewConsumer {
                    slot: ConsumerSlot(slot),
                    tag: Name::new(&format!("tag {slot}")).expect("short"),
                    no_ack: new.no_ack,
                    exclusive: new.exclusive,
                    prefetch: new.prefetch,
                    channel_credit: counts(channel).then(|| Arc::clone(&of.credit)),
                    priority: new.priority,
                    timeout: None,
                    offset: Default::default(),
                    filter: None,
                    offset_name: None,
                    reader: 0,
                };
                Command::Consume(of.client.holder(channel), queue, new)
            }
            _ => Command::Count(connection, queue),
        }
    }

    fn declare(&mut self, who: usize, queue: usize, commands: &mut Vec<Command>) {
        let connection = self.connections[who].client.id();
        let exclusive = queue == EXCLUSIVE;
        if exclusive && who != 0 {
            return;
        }
        let name = QUEUES[queue];
        let handle = self.fixture.declare_by(connection, name, |declaration| {
            declaration.durable = name == "durable";
            declaration.auto_delete = name == "auto_delete";
            declaration.owner = exclusive.then_some(connection);
        });
        self.queues.insert(queue, handle);
        commands.extend(self.fixture.take_from_door());
    }

    fn publish(&mut self, who: usize, runs: &[(u8, u32)], commands: &mut Vec<Command>) {
        let handles = |bits: u8| -> RunQueues {
            let named = self.queues.iter().filter(|(at, _)| bits & (1 << **at) != 0);
            named.map(|(_, handle)| handle.id).collect()
        };
        let runs: Vec<(RunQueues, u32)> = runs
            .iter()
            .map(|(bits, count)| (handles(*bits), *count))
            .filter(|(queues, _)| !queues.is_empty())
            .collect();
        if matches!(self.scene, Scene::SmallOutboxes(_)) {
            for (queues, count) in runs {
                for _ in 0..count {
                    let batch = self.fixture.batch(1, 8, true);
                    let run = (queues.clone(), 1);
                    commands.push(self.batch(who, batch, &[run]));
                }
            }
        } else if !runs.is_empty() {
            let count = runs.iter().map(|(_, count)| count).sum();
            let batch = match self.scene {
                Scene::LittleMemory { body_len, .. } => {
                    self.fixture.mixed_batch(count, body_len, sort)
                }
                _ => self.fixture.batch(count, 8, true),
            };
            commands.push(self.batch(who, batch, &runs));
        }
    }

    fn batch(&mut self, who: usize, batch: Arc<Batch>, of: &[(RunQueues, u32)]) -> Command {
        let by = &mut self.connections[who];
        by.client.batches += 1;
        let bytes = batch.size(0, batch.len());
        by.taken += bytes;
        let mut first = 0;
        let mut runs = Vec::new();
        for (queues, count) in of {
            runs.push(Run {
                queues: queues.clone(),
                first,
                count: *count,
            });
            first += count;
        }
        Command::Publish(Publish {
            connection: by.client.id(),
            number: by.client.batches,
            bytes,
            batch,
            runs,
        })
    }

    fn settle(
        &mut self,
        who: usize,
        at: usize,
        count: usize,
        outcome: Outcome,
        commands: &mut Vec<Command>,
    ) {
        let held = &mut self.connections[who].held;
        if held.is_empty() {
            return;
        }
        let first = at % held.len();
        let last = held.len().min(first + count);
        let mut settles: Vec<Settle> = Vec::new();
        let mut counted = 0;
        for one in held.drain(first..last) {
            counted += i64::from(one.counted);
            match settles.last_mut() {
                Some(last)
                    if (last.queue, last.channel) == (one.queue, one.channel)
                        && last.first_seq + last.count == one.seq =>
                {
                    last.count += 1;
                }
                _ => settles.push(Settle {
                    queue: one.queue,
                    channel: one.channel,
                    first_seq: one.seq,
                    count: 1,
                    outcome,
                    reader: 0,
                }),
            }
        }
        let connection = self.connections[who].client.id();
        self.return_credit(who, counted);
        commands.push(Command::Settle(connection, settles));
        if std::mem::take(&mut self.connections[who].credit_returned) {
            commands.push(Command::Resume(connection));
        }
    }

    fn return_credit(&mut self, who: usize, count: i64) {
        let of = &mut self.connections[who];
        if count > 0 {
            of.credit_returned |= of.credit.fetch_add(count, Ordering::SeqCst) <= 0;
            self.model.add_credit(address(&of.credit), count);
        }
    }

    /// Reads what a connection was told, and holds it against the model.
    fn hear(&mut self, who: usize) {
        let of = &mut self.connections[who];
        of.silent = false;
        let mut told = of.client.all();
        for seen in &told {
            if let Seen::Progress(done, returned) = seen {
                assert!(*done == 0 || *done > of.done, "{done} after {}", of.done);
                of.done = of.done.max(*done);
                of.returned += returned;
            }
        }
        if told.last() != Some(&Seen::Disconnected) {
            assert_eq!(of.done, of.client.batches, "the memory log is never behind");
        }
        told.retain(|seen| !matches!(seen, Seen::Progress(..)));
        let mut expected = self.model.told(of.client.id());
        if self.scene.is_of_little_memory() {
            expected.sort_by_key(by_queue);
            told.sort_by_key(by_queue);
        }
        assert_eq!(told, expected, "client {who}");
        self.transcript.push(format!("{who}: {told:?}"));
        told.iter().for_each(|seen| self.note(who, seen));
    }

    fn note(&mut self, who: usize, seen: &Seen) {
        let of = &mut self.connections[who];
        match seen {
            Seen::Delivery(delivery) => {
                let (_, channel, no_ack) = of.consumers[&delivery.consumer];
                if !no_ack {
                    let counted = channel == 2 && !self.scene.is_of_little_memory();
                    of.held.push(held(delivery, channel, counted));
                }
            }
            Seen::Cancelled(_) => {}
            Seen::Disconnected => {
                self.model.forget(of.client.id());
                let new = connection(&mut self.fixture, &mut self.model, self.scene);
                self.connections[who] = new;
            }
            answer => {
                let asked = of.asked.pop_front().expect("answers are asked for");
                self.note_answer(who, asked, answer);
            }
        }
    }

    fn note_answer(&mut self, who: usize, asked: Asked, answer: &Seen) {
        let of = &mut self.connections[who];
        match (asked, answer) {
            (Asked::Get(channel, false), Seen::Got(Some(got), _)) => {
                of.held.push(held(got, channel, false));
            }
            (Asked::Release(channel, close), _) => {
                assert_eq!(*answer, Seen::Released);
                let counted = of.held.iter().filter(|h| h.channel == channel && h.counted);
                let counted = counted.count() as i64;
                of.held.retain(|held| held.channel != channel);
                if close && channel == 2 {
                    of.credit = Arc::new(AtomicI64::new(CHANNEL_CREDIT));
                    let credit = address(&of.credit);
                    self.model.set_credit(credit, CHANNEL_CREDIT);
                } else {
                    self.return_credit(who, counted);
                }
            }
            _ => {}
        }
    }
}

fn held(delivery: &Delivery, channel: u16, counted: bool) -> Held {
    Held {
        queue: delivery.queue,
        seq: delivery.seq,
        channel,
        counted,
    }
}
