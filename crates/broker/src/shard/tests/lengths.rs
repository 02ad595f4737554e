//! The bytes that a queue with `x-max-length-bytes` counts are those of what is ready, by random steps: wherever the messages are, over restarts, and
//! where the limit comes later.

use std::sync::Arc;
use std::time::Duration;

use leveret_message::table::{TableWriter, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Client, Fixture, Seen, Sort, get, outcomes, purge, settle};
use crate::arguments::QueueArguments;
use crate::command::Outcome;
use crate::queue_handle::QueueHandle;

/// All bodies are as long.
const BODY: u64 = 20;

#[derive(Clone, Debug)]
enum Step {
    /// So many messages, persistent or not.
    Publish(u32, bool),
    Get(bool),
    /// One of those that were handed out.
    Settle(usize, Outcome),
    /// What waits may be ready again.
    Pass(u64),
    Purge,
    Restart,
    /// A policy brings the limit or takes it away.
    Govern(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (1..6_u32, prop::bool::weighted(0.8)).prop_map(|(n, kept)| Step::Publish(n, kept)),
        6 => any::<bool>().prop_map(Step::Get),
        6 => (0..6_usize, outcomes()).prop_map(|(at, outcome)| Step::Settle(at, outcome)),
        3 => (0..60_u64).prop_map(Step::Pass),
        1 => Just(Step::Purge),
        2 => Just(Step::Restart),
        2 => any::<bool>().prop_map(Step::Govern),
    ];
    vec(step, 1..60)
}

struct Stage {
    fixture: Fixture,
    client: Client,
    queue: Arc<QueueHandle>,
    is_limited: bool,
    /// By sequence number.
    held: Vec<u64>,
}

impl Stage {
    fn new(budget: usize) -> Self {
        let mut fixture = Fixture::with_budget(budget, usize::MAX);
        fixture.shard.set_resident_max(budget);
        let queue = fixture.declare("short", |declaration| {
            let mut arguments = TableWriter::new();
            arguments.put("x-max-length-bytes", Value::Long(1 << 40));
            arguments.put("x-delayed-retry-type", Value::LongStr(b"all"));
            arguments.put("x-delayed-retry-min", Value::Long(20));
            declaration.arguments = arguments.finish();
            declaration.durable = true;
        });
        let client = fixture.client();
        Self {
            fixture,
            client,
            queue,
            is_limited: true,
            held: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(count, persistent) => {
                let sort = Sort {
                    persistent: *persistent,
                    shared: false,
                };
                let batch = self.fixture.mixed_batch(*count, BODY as usize, |_| sort);
                let publish = Fixture::publish_batch(&mut self.client, &[&self.queue], batch);
                self.fixture.turn([publish]);
            }
            Step::Get(no_ack) => self.get(*no_ack),
            Step::Settle(at, outcome) => {
                if *at < self.held.len() {
                    let seq = self.held.remove(*at);
                    let settle = settle(&self.client, &self.queue, (seq, 1), *outcome);
                    self.fixture.turn([settle]);
                }
            }
            Step::Pass(ms) => {
                self.fixture.now += Duration::from_millis(*ms);
                self.fixture.turn([]);
            }
            Step::Purge => {
                let purge = purge(&self.client, &self.queue);
                self.fixture.turn([purge]);
            }
            Step::Restart => self.restart(),
            Step::Govern(is_limited) => self.govern(*is_limited),
        }
        self.fixture.settle_down();
        self.check();
    }

    fn get(&mut self, no_ack: bool) {
        let get = get(&self.client, &self.queue, no_ack);
        self.fixture.turn([get]);
        self.fixture.settle_down();
        let got = self.client.told().into_iter().find_map(|seen| match seen {
            Seen::Got(Some(got), _) => Some(got.seq),
            _ => None,
        });
        self.held.extend(got.filter(|_| !no_ack));
    }

    fn restart(&mut self) {
        self.fixture.restart(&self.queue);
        self.client = self.fixture.client();
        self.held.clear();
        self.is_limited = true;
    }

    fn govern(&mut self, is_limited: bool) {
        let id = self.queue.id;
        let queue = self.fixture.shard.queues.get_mut(&id).unwrap();
        let mut settings = QueueArguments::clone(&queue.settings);
        settings.length.bytes = is_limited.then_some(1 << 40);
        queue.govern(settings.into());
        crate::shard::touch(&mut self.fixture.shard.touched, queue);
        self.is_limited = is_limited;
        self.fixture.turn([]);
    }

    fn check(&self) {
        let queue = &self.fixture.shard.queues[&self.queue.id];
        if self.is_limited {
            let (bytes, others) = queue.counted();
            assert_eq!(bytes + others * BODY, queue.ready_count() * BODY);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_counted_is_what_is_ready(steps in steps(), little in any::<bool>()) {
        let mut stage = Stage::new(if little { 100 } else { usize::MAX });
        for step in &steps {
            stage.step(step);
        }
    }
}

#[test]
fn what_the_log_has_is_counted_though_nobody_takes_it() {
    let mut stage = Stage::new(usize::MAX);
    stage.step(&Step::Publish(5_000, true));
    let all = stage.fixture.queued.held();
    stage.step(&Step::Restart);
    let queue = &stage.fixture.shard.queues[&stage.queue.id];
    assert_eq!(queue.counted(), (5_000 * BODY, 0));
    // But for the first ones, which are looked at for when they expire, nothing of it stays in memory.
    assert!((queue.held_bytes() as i64) < all / 10);
}
