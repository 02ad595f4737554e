//! A queue that keeps duplicates out, by random steps, against a model that is a list: also where messages leave memory, and over restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableWriter, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Client, Fixture, Seen, get, outcomes, purge, settle};
use leveret_store::log::Position;

use crate::command::Outcome;
use crate::queue_handle::QueueHandle;

#[derive(Clone, Debug)]
enum Step {
    /// A batch of messages: the value of each, where it has one, and whether it is persistent.
    Publish(Vec<(Option<u8>, bool)>),
    Get(bool),
    /// One of those that were handed out.
    Settle(usize, Outcome),
    Purge,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = (prop::option::weighted(0.9, 0..6_u8), any::<bool>());
    let step = prop_oneof![
        10 => vec(message, 1..6).prop_map(Step::Publish),
        6 => any::<bool>().prop_map(Step::Get),
        6 => (0..6_usize, outcomes()).prop_map(|(at, outcome)| Step::Settle(at, outcome)),
        1 => Just(Step::Purge),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..60)
}

#[derive(Clone, Copy, Debug)]
struct Told {
    value: Option<u8>,
    persistent: bool,
}

struct Stage {
    fixture: Fixture,
    client: Client,
    queue: Arc<QueueHandle>,
    next: u64,
    /// By the number of the message.
    ready: BTreeMap<u64, Told>,
    /// By sequence number, the numbers of messages.
    held: BTreeMap<u64, (u64, Told)>,
}

impl Stage {
    fn new(resident_max: usize) -> Self {
        let mut fixture = Fixture::with_budget(resident_max, usize::MAX);
        fixture.shard.set_resident_max(resident_max);
        let queue = fixture.declare("unique", |declaration| {
            let mut arguments = TableWriter::new();
            arguments.put("x-message-deduplication", Value::Bool(true));
            declaration.arguments = arguments.finish();
            declaration.durable = true;
        });
        let client = fixture.client();
        Self {
            fixture,
            client,
            queue,
            next: 1,
            ready: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(messages) => self.publish(messages),
            Step::Get(no_ack) => self.get(*no_ack),
            Step::Settle(at, outcome) => self.settle(*at, *outcome),
            Step::Purge => {
                let purge = purge(&self.client, &self.queue);
                self.fixture.turn([purge]);
                let count = std::mem::take(&mut self.ready).len() as u64;
                assert_eq!(self.client.told(), [Seen::Purged(count)]);
            }
            Step::Restart => self.restart(),
        }
        self.fixture.settle_down();
        self.check();
    }

    fn publish(&mut self, messages: &[(Option<u8>, bool)]) {
        let mut builder = BatchBuilder::default();
        for (value, persistent) in messages {
            let mut headers = TableWriter::new();
            if let Some(value) = value {
                headers.put("x-deduplication-header", Value::UnsignedByte(*value));
            }
            let mut writer = PropertiesWriter::from(Properties::default());
            writer.headers = Some(headers.view());
            let message = NewMessage {
                exchange_and_key: b"\0\x06unique",
                properties: &writer.to_bytes().unwrap(),
                persistent: *persistent,
                priority: 0,
            };
            builder.push(message, &self.next.to_le_bytes());
            let told = Told {
                value: *value,
                persistent: *persistent,
            };
            let held = self.held.values().map(|(_, told)| told);
            let mut there = self.ready.values().chain(held);
            if value.is_none() || there.all(|there| there.value != *value) {
                self.ready.insert(self.next, told);
            }
            self.next += 1;
        }
        let publish = Fixture::publish_batch(&mut self.client, &[&self.queue], builder.seal());
        self.fixture.turn([publish]);
    }

    fn get(&mut self, no_ack: bool) {
        let get = get(&self.client, &self.queue, no_ack);
        self.fixture.turn([get]);
        self.fixture.settle_down();
        let told = self.client.told();
        let [Seen::Got(got, _)] = told.as_slice() else {
            panic!("{told:?}");
        };
        let first = self.ready.pop_first();
        let message = got.as_ref().map(|got| got.message);
        assert_eq!(message, first.map(|(number, _)| number));
        if let Some((got, (number, told))) = got.as_ref().zip(first).filter(|_| !no_ack) {
            self.held.insert(got.seq, (number, told));
        }
    }

    fn settle(&mut self, at: usize, outcome: Outcome) {
        let Some(seq) = self.held.keys().nth(at).copied() else {
            return;
        };
        let settle = settle(&self.client, &self.queue, (seq, 1), outcome);
        self.fixture.turn([settle]);
        let (number, told) = self.held.remove(&seq).unwrap();
        if matches!(outcome, Outcome::Return | Outcome::Fail) {
            self.ready.insert(number, told);
        }
    }

    /// The broker was killed, and starts again: what is persistent is there.
    fn restart(&mut self) {
        self.fixture.restart(&self.queue);
        // Nothing is carried out before the keys are read.
        self.client = self.fixture.client();
        for _ in 0..3 {
            self.fixture.turn([]);
        }
        assert!(self.fixture.shard.loading.is_none());
        self.ready
            .extend(std::mem::take(&mut self.held).into_values());
        self.ready.retain(|_, told| told.persistent);
    }

    fn check(&self) {
        let queue = &self.fixture.shard.queues[&self.queue.id];
        assert_eq!(queue.ready_count(), self.ready.len() as u64);
        let held = self.held.values().map(|(_, told)| told);
        let all = self.ready.values().chain(held);
        let values = all.filter(|told| told.value.is_some()).count();
        assert_eq!(queue.keys.as_ref().map(|keys| keys.count()), Some(values));
        assert_eq!(self.fixture.queued.keys.known(), values as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_value_is_in_the_queue_once(steps in steps(), little in any::<bool>()) {
        let mut stage = Stage::new(if little { 60 } else { usize::MAX });
        for step in &steps {
            stage.step(step);
        }
        let log = stage.fixture.log.clone();
        stage.step(&Step::Purge);
        while !stage.held.is_empty() {
            stage.step(&Step::Settle(0, Outcome::Ack));
        }
        stage.fixture.settle_down();
        // No key is left behind in the log.
        prop_assert_eq!(log.kept_count().0, 0);
    }
}

#[test]
fn without_room_for_its_key_a_message_is_refused() {
    let mut stage = Stage::new(usize::MAX);
    stage.fixture = Fixture::with_budget(usize::MAX, 4 * 128 * 2);
    stage.client = stage.fixture.client();
    stage.queue = stage.fixture.declare("few", |declaration| {
        let mut arguments = TableWriter::new();
        arguments.put("x-message-deduplication", Value::Bool(true));
        declaration.arguments = arguments.finish();
    });
    stage.publish(&[
        (Some(1), true),
        (Some(2), true),
        (Some(3), true),
        (None, true),
    ]);
    assert!(stage.client.told().contains(&Seen::Full(vec![(2, 1)])));
    stage.ready.retain(|_, told| told.value != Some(3));
    stage.check();
    stage.get(true);
    stage.publish(&[(Some(3), true)]);
    stage.check();
}

#[test]
fn a_duplicate_is_done_when_what_it_repeats_is_durable() {
    let mut stage = Stage::new(usize::MAX);
    let mut other = stage.fixture.client();
    let hold = |stage: &Stage, at: Option<Position>| {
        let mut log = stage.fixture.log.lock();
        (log.durable, log.written) = (at, at);
    };
    hold(&stage, Some(Position(0)));
    stage.publish(&[(Some(1), true)]);
    std::mem::swap(&mut stage.client, &mut other);
    stage.publish(&[(Some(1), true), (Some(1), false)]);
    let done = |client: &Client| {
        let all = client.all().into_iter();
        all.filter_map(|seen| match seen {
            Seen::Progress(done, _) => Some(done),
            _ => None,
        })
        .max()
    };
    assert_eq!(done(&other).unwrap_or(0), 0);
    assert_eq!(done(&stage.client).unwrap_or(0), 0);
    hold(&stage, None);
    stage.fixture.turn([]);
    assert_eq!((done(&other), done(&stage.client)), (Some(1), Some(1)));
    stage.check();
}
