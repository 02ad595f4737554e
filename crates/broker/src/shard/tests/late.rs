//! A log that is not durable yet, or has not answered yet: what is asked of it and when, and that meanwhile nothing is lost or comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leveret_store::log::Log;
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{
    Client, Delivery, Fixture, Seen, Sort, consume, consumer, get, purge, release, settle,
};
use crate::command::{NewConsumer, Outcome};
use crate::queue_handle::QueueHandle;

/// A durable queue that keeps nothing in memory, with messages of which the first is there all the same.
fn durable_queue(fixture: &mut Fixture, client: &mut Client, count: u32) -> Arc<QueueHandle> {
    fixture.shard.set_resident_max(0);
    let queue = fixture.declare("q", |declaration| declaration.durable = true);
    publish_singly(fixture, client, &queue, count);
    queue
}

fn publish_singly(
    fixture: &mut Fixture,
    client: &mut Client,
    queue: &Arc<QueueHandle>,
    count: u32,
) {
    for _ in 0..count {
        let publish = fixture.publish(client, &[queue], 1);
        fixture.turn([publish]);
    }
}

fn got(client: &Client) -> Vec<Option<u64>> {
    let told = client.told().into_iter();
    told.map(|seen| match seen {
        Seen::Got(delivery, _) => delivery.map(|delivery| delivery.message),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn what_is_not_durable_is_not_asked_for() {
    let mut fixture = Fixture::new();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    fixture.log.set_durable(0);
    let queue = durable_queue(&mut fixture, &mut publisher, 5);
    fixture.turn([get(&client, &queue, true)]);
    assert_eq!(got(&client), [Some(1)], "that one is in memory");
    assert_eq!(fixture.log.lock().hurried, 0);

    fixture.turn([get(&client, &queue, true)]);
    assert!(fixture.log.lock().hurried > 0, "somebody waits");
    for _ in 0..5 {
        fixture.turn([]);
    }
    assert_eq!(got(&client), []);
    assert!(fixture.log.lock().reads.is_empty());

    // More comes behind what the queue waits for, and is not waited for.
    let asked_at = fixture.log.last().0;
    publish_singly(&mut fixture, &mut publisher, &queue, 3);
    fixture.log.set_durable(asked_at);
    fixture.settle_down();
    assert_eq!(got(&client), [Some(2)]);
    let reads: Vec<_> = fixture.log.lock().reads.drain(..).collect();
    let wanted: Vec<_> = reads.iter().map(|w| (w.first_seq, w.last_seq)).collect();
    assert_eq!(wanted, [(2, 5)]);
}

#[test]
fn nothing_is_asked_twice() {
    let mut fixture = Fixture::new();
    let mut publisher = fixture.client();
    let clients = [(); 4].map(|()| fixture.client());
    let queue = durable_queue(&mut fixture, &mut publisher, 5);
    fixture.turn([get(&publisher, &queue, true)]);
    fixture.log.lock().is_silent = true;
    for client in &clients {
        fixture.turn([get(client, &queue, true)]);
        publish_singly(&mut fixture, &mut publisher, &queue, 1);
    }
    assert_eq!(fixture.log.lock().reads.len(), 1);
    fixture.log.lock().is_silent = false;
    fixture.settle_down();
    for (client, expected) in clients.iter().zip([2, 3, 4, 5]) {
        assert_eq!(got(client), [Some(expected)]);
    }
    assert_eq!(fixture.log.lock().reads.len(), 1);
}

#[test]
fn whoever_waits_gets_what_comes_back_before_what_is_away() {
    let mut fixture = Fixture::new();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = durable_queue(&mut fixture, &mut publisher, 3);
    fixture.turn([get(&publisher, &queue, false)]);
    assert_eq!(got(&publisher), [Some(1)]);
    fixture.log.lock().is_silent = true;
    fixture.turn([get(&client, &queue, true)]);
    assert_eq!(got(&client), []);
    fixture.turn([settle(&publisher, &queue, (1, 1), Outcome::Return)]);
    assert_eq!(got(&client), [Some(1)]);
    fixture.turn([get(&client, &queue, true)]);
    fixture.log.lock().is_silent = false;
    fixture.settle_down();
    assert_eq!(got(&client), [Some(2)]);
}

#[test]
fn everyone_who_waits_is_answered_from_a_chunk_and_what_fills_the_next() {
    let mut fixture = Fixture::new();
    fixture.shard.set_resident_max(0);
    let mut publisher = fixture.client();
    let clients = [(); 5].map(|()| fixture.client());
    let queue = fixture.queue("q");
    for _ in 0..5 {
        let batch = fixture.batch(1, 100_000, false);
        let publish = Fixture::publish_batch(&mut publisher, &[&queue], batch);
        fixture.turn([publish]);
    }
    assert_eq!(fixture.log.kept_count(), (0, 1), "2 to 4; 5 is in memory");
    fixture.log.lock().is_silent = true;
    for client in &clients {
        fixture.turn([get(client, &queue, true)]);
    }
    fixture.log.lock().is_silent = false;
    fixture.settle_down();
    for (client, expected) in clients.iter().zip(1..=5) {
        assert_eq!(got(client), [Some(expected)]);
    }
}

#[test]
fn an_answer_that_comes_after_a_purge_is_dropped() {
    let mut fixture = Fixture::new();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = durable_queue(&mut fixture, &mut publisher, 5);
    fixture.log.lock().is_silent = true;
    let two = [(); 2].map(|()| get(&client, &queue, true));
    fixture.turn(two);
    fixture.turn([purge(&publisher, &queue)]);
    assert_eq!(got(&client), [Some(1), None]);
    assert_eq!(publisher.told(), [Seen::Purged(4)]);
    publish_singly(&mut fixture, &mut publisher, &queue, 3);
    let two = [(); 2].map(|()| get(&client, &queue, true));
    fixture.turn(two);
    fixture.log.lock().is_silent = false;
    fixture.settle_down();
    assert_eq!(got(&client), [Some(6), Some(7)]);
    assert_eq!(fixture.log.kept_count(), (1, 0));
}

#[test]
fn what_is_damaged_is_passed_over_and_not_counted() {
    let mut fixture = Fixture::new();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = durable_queue(&mut fixture, &mut publisher, 8);
    for seq in [2, 3, 5, 8] {
        fixture.log.damage(queue.id, seq);
    }
    for expected in [Some(1), Some(4), Some(6), Some(7), None] {
        fixture.turn([get(&client, &queue, true)]);
        fixture.settle_down();
        assert_eq!(got(&client), [expected]);
    }
    fixture.turn([super::fixture::count(&client, &queue)]);
    assert_eq!(client.told(), [Seen::Counts(0, 0)]);
}

#[test]
fn what_was_returned_and_is_damaged_is_passed_over_and_not_counted() {
    let mut fixture = Fixture::with_budget(0, usize::MAX);
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = fixture.declare("q", |declaration| declaration.durable = true);
    fixture.turn([consume(&client, &queue, consumer(1))]);
    publish_singly(&mut fixture, &mut publisher, &queue, 5);
    assert_eq!(client.told().len(), 6);
    assert_eq!(fixture.queued.held(), 0, "nothing may stay");
    for seq in [1, 3, 4] {
        fixture.log.damage(queue.id, seq);
    }
    fixture.turn([release(&client, true)]);
    assert_eq!(client.told(), [Seen::Released]);
    for expected in [Some(2), Some(5), None] {
        fixture.turn([get(&client, &queue, true)]);
        fixture.settle_down();
        assert_eq!(got(&client), [expected]);
    }
    fixture.turn([super::fixture::count(&client, &queue)]);
    assert_eq!(client.told(), [Seen::Counts(0, 0)]);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize, u32),
    Get(usize, usize, bool),
    Consume(usize, usize, u16),
    /// Of what a client holds of a queue: one in so many, and how.
    Settle(usize, usize, usize, Outcome),
    Release(usize),
    Purge(usize),
    /// Everything is durable now.
    Sync,
    /// Whether the log answers.
    Silent(bool),
}

const QUEUES: usize = 2;
const CLIENTS: usize = 2;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (client, queue) = (|| 0..CLIENTS, || 0..QUEUES);
    let outcome = prop::sample::select(vec![Outcome::Ack, Outcome::Return, Outcome::Fail]);
    let step = prop_oneof![
        6 => (queue(), 1..6_u32).prop_map(|(q, n)| Step::Publish(q, n)),
        5 => (client(), queue(), any::<bool>()).prop_map(|(c, q, n)| Step::Get(c, q, n)),
        1 => (client(), queue(), 1..6_u16).prop_map(|(c, q, n)| Step::Consume(c, q, n)),
        5 => (client(), queue(), 1..4_usize, outcome)
            .prop_map(|(c, q, n, o)| Step::Settle(c, q, n, o)),
        1 => client().prop_map(Step::Release),
        1 => queue().prop_map(Step::Purge),
        2 => Just(Step::Sync),
        3 => any::<bool>().prop_map(Step::Silent),
    ];
    vec(step, 1..120)
}

/// Clients of queues whose log is late.
struct Scene {
    fixture: Fixture,
    clients: Vec<Client>,
    queues: Vec<Arc<QueueHandle>>,
    /// Whether a client waits for a message, and whether it has to settle it.
    gets: Vec<Option<bool>>,
    next_slot: u32,
    /// Of each queue, the messages in order: their numbers rise from 1.
    published: Vec<Vec<u64>>,
    /// What each client holds of each queue.
    held: BTreeMap<(usize, usize), BTreeSet<u64>>,
    /// Of each queue, what was delivered at least once.
    delivered: Vec<BTreeSet<u64>>,
    /// Of each queue, the highest number that was delivered before what is heard of now.
    delivered_before: Vec<u64>,
    gone: Vec<u64>,
}

impl Scene {
    fn new(budget: usize, resident_max: usize) -> Self {
        let mut fixture = Fixture::with_budget(budget, usize::MAX);
        fixture.shard.set_resident_max(resident_max);
        fixture.log.set_durable(0);
        let declare = |name| fixture.declare(name, |declaration| declaration.durable = true);
        let queues = ["one", "two"].map(declare).to_vec();
        let clients = (0..CLIENTS).map(|_| fixture.client()).collect();
        Self {
            fixture,
            clients,
            queues,
            gets: vec![None; CLIENTS],
            next_slot: 1,
            published: vec![Vec::new(); QUEUES],
            held: BTreeMap::new(),
            delivered: vec![BTreeSet::new(); QUEUES],
            delivered_before: vec![0; QUEUES],
            gone: vec![0; QUEUES],
        }
    }

    fn step(&mut self, step: &Step) {
        let mut commands = Vec::new();
        match *step {
            Step::Publish(queue, count) => {
                let batch = self.fixture.mixed_batch(count, 8, |message| Sort {
                    persistent: message % 8 < 5,
                    shared: message.is_multiple_of(11),
                });
                let numbers = (0..count).map(|i| super::fixture::number(&batch, i));
                self.published[queue].extend(numbers);
                let by = &mut self.clients[0];
                commands.push(Fixture::publish_batch(by, &[&self.queues[queue]], batch));
            }
            Step::Get(client, queue, no_ack) if self.gets[client].is_none() => {
                self.gets[client] = Some(no_ack);
                commands.push(get(&self.clients[client], &self.queues[queue], no_ack));
            }
            Step::Get(..) => {}
            Step::Consume(client, queue, prefetch) => {
                let new = NewConsumer {
                    prefetch,
                    ..consumer(self.next_slot)
                };
                self.next_slot += 1;
                commands.push(consume(&self.clients[client], &self.queues[queue], new));
            }
            Step::Settle(client, queue, one_in, outcome) => {
                let held = self.held.entry((client, queue)).or_default();
                for seq in held.iter().copied().step_by(one_in).collect::<Vec<_>>() {
                    held.remove(&seq);
                    self.gone[queue] += u64::from(outcome == Outcome::Ack);
                    let (client, queue) = (&self.clients[client], &self.queues[queue]);
                    commands.push(settle(client, queue, (seq, 1), outcome));
                }
            }
            Step::Release(client) => {
                self.held.retain(|(of, _), _| *of != client);
                commands.push(release(&self.clients[client], true));
            }
            Step::Purge(queue) => commands.push(purge(&self.clients[0], &self.queues[queue])),
            Step::Sync => {
                let last = self.fixture.log.last();
                self.fixture.log.set_durable(last.0);
            }
            Step::Silent(silent) => self.fixture.log.lock().is_silent = silent,
        }
        self.fixture.turn(commands);
        let purged = match *step {
            Step::Purge(queue) => Some(queue),
            _ => None,
        };
        self.hear_all(purged);
        self.check();
    }

    fn hear(&mut self, client: usize, purged: Option<usize>) {
        for seen in self.clients[client].told() {
            match seen {
                Seen::Delivery(delivery) => self.note(client, &delivery, false),
                Seen::Got(got, _) => {
                    let no_ack = self.gets[client].take().expect("it asked");
                    if let Some(got) = got {
                        self.note(client, &got, no_ack);
                    }
                }
                Seen::Purged(count) => self.gone[purged.expect("it asked")] += count,
                Seen::Released | Seen::Consuming => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Each message comes under its number, in order when it comes for the first time, and says so.
    fn note(&mut self, client: usize, delivery: &Delivery, no_ack: bool) {
        let of = |queue: &Arc<QueueHandle>| queue.id == delivery.queue;
        let queue = self.queues.iter().position(of).expect("it is one of them");
        let seq = delivery.seq;
        let message = self.published[queue].get(seq as usize - 1);
        assert_eq!(message, Some(&delivery.message), "number {seq}");
        let last = self.delivered_before[queue];
        let is_new = self.delivered[queue].insert(seq);
        assert_eq!(is_new, !delivery.redelivered, "number {seq}");
        assert!(!is_new || seq > last, "{seq} after {last}");
        for (_, held) in self.held.iter().filter(|((_, of), _)| *of == queue) {
            assert!(!held.contains(&seq), "{seq} is held already");
        }
        if no_ack {
            self.gone[queue] += 1;
        } else {
            self.held.entry((client, queue)).or_default().insert(seq);
        }
    }

    fn hear_all(&mut self, purged: Option<usize>) {
        // Which of two connections is listened to first says nothing of the order.
        let last = |of: &BTreeSet<u64>| of.last().copied().unwrap_or_default();
        self.delivered_before = self.delivered.iter().map(last).collect();
        (0..CLIENTS).for_each(|client| self.hear(client, purged));
    }

    /// What was published is held, ready or gone.
    fn check(&self) {
        let mut bytes = 0;
        for (at, queue) in self.queues.iter().enumerate() {
            let there = &self.fixture.shard.queues[&queue.id];
            bytes += there.held_bytes() as i64;
            let held = self.held.iter().filter(|((_, of), _)| *of == at);
            let held: usize = held.map(|(_, held)| held.len()).sum();
            assert_eq!(there.unacked_count(), held as u64);
            let live = there.ready_count() + there.unacked_count();
            assert_eq!(live + self.gone[at], self.published[at].len() as u64);
        }
        assert_eq!(self.fixture.queued.held(), bytes);
    }

    /// The log catches up, and everyone takes and settles everything.
    fn finish(&mut self) {
        self.fixture.log.lock().durable = None;
        self.step(&Step::Silent(false));
        for queue in 0..QUEUES {
            self.step(&Step::Consume(0, queue, 100));
            loop {
                self.fixture.settle_down();
                self.hear_all(None);
                let there = &self.fixture.shard.queues[&self.queues[queue].id];
                if there.ready_count() + there.unacked_count() == 0 {
                    break;
                }
                assert!(there.unacked_count() > 0, "nothing comes any more");
                (0..CLIENTS).for_each(|c| self.step(&Step::Settle(c, queue, 1, Outcome::Ack)));
            }
        }
        assert!(self.gets.iter().all(Option::is_none), "somebody waits on");
        assert_eq!(self.fixture.log.kept_count(), (0, 0));
        assert_eq!(self.fixture.queued.held(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_or_doubled_while_the_log_is_late(
        steps in steps(),
        budget in prop_oneof![Just(usize::MAX), Just(0), 0..300_usize],
        resident_max in prop_oneof![Just(usize::MAX), Just(0), 0..300_usize],
    ) {
        let mut scene = Scene::new(budget, resident_max);
        steps.iter().for_each(|step| scene.step(step));
        scene.finish();
    }
}
