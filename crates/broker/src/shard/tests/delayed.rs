//! Messages that are held back for long, by a clock that is moved: they are released at their time, whatever buckets they went through.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableWriter, Value};

use super::fixture::{Client, Fixture, Seen, consume, consumer};
use crate::bindings::ExchangeKind;
use crate::command::{Command, NewConsumer};
use crate::exchange::ExchangeDeclaration;
use crate::queue_handle::QueueHandle;
use crate::vhost::door::Binding;

/// A shard with an exchange that delays messages, and a queue bound to it that somebody consumes from.
struct Stage {
    fixture: Fixture,
    client: Client,
    delay: Arc<QueueHandle>,
    began: Instant,
}

impl Stage {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let mut arguments = TableWriter::new();
        arguments.put("x-delayed-type", Value::LongStr(b"fanout"));
        let declaration = ExchangeDeclaration {
            name: Name::new("later").unwrap(),
            kind: ExchangeKind::Delayed,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.finish(),
        };
        fixture.vhost.declare_exchange(declaration).unwrap();
        let queue = fixture.queue("q");
        let binding = Binding {
            source: "later",
            binding_key: b"",
            arguments: Default::default(),
        };
        fixture.vhost.bind_queue(client_id(), "q", binding).unwrap();
        let client = fixture.client();
        let no_ack = NewConsumer {
            no_ack: true,
            ..consumer(1)
        };
        fixture.turn([consume(&client, &queue, no_ack)]);
        assert_eq!(client.told(), [Seen::Consuming]);
        let exchange = fixture.vhost.exchange("later").unwrap();
        let delay = Arc::clone(exchange.delay.get().unwrap());
        let began = fixture.now;
        Self {
            fixture,
            client,
            delay,
            began,
        }
    }

    /// Publishes messages with these numbers, to be held back for so long.
    fn publish(&mut self, messages: &[(u64, Duration)]) {
        let mut builder = BatchBuilder::default();
        for (number, delay) in messages {
            let mut headers = TableWriter::new();
            headers.put("x-delay", Value::Long(delay.as_millis() as i64));
            let mut writer = PropertiesWriter::from(Properties::default());
            writer.headers = Some(headers.view());
            let properties = writer.to_bytes().unwrap();
            let message = NewMessage {
                exchange_and_key: b"\x05later\0",
                properties: &properties,
                persistent: true,
                priority: 0,
            };
            builder.push(message, &number.to_le_bytes());
        }
        let publish = Fixture::publish_batch(&mut self.client, &[&self.delay], builder.seal());
        self.fixture.turn([publish]);
    }

    /// Lets time pass up to so long after the beginning, as the shard's task does: from one time at which it is due to the next. Returns what was
    /// released, and when.
    fn pass(&mut self, until: Duration) -> Vec<(u64, Duration)> {
        let end = self.began + until;
        let mut released = Vec::new();
        let mut turns = 0;
        loop {
            self.fixture.settle_down();
            let after = self.fixture.now - self.began;
            let messages = self.client.deliveries().into_iter();
            released.extend(messages.map(|(_, message)| (message, after)));
            match self.fixture.shard.next_deadline().filter(|due| *due <= end) {
                Some(due) => self.fixture.now = due.max(self.fixture.now),
                None => break,
            }
            turns += 1;
            assert!(turns < 10_000, "it is always due and never does anything");
        }
        self.fixture.now = end;
        released
    }

    fn waiting(&self) -> u64 {
        self.fixture
            .shard
            .delays
            .get(&self.delay.id)
            .unwrap()
            .count()
    }
}

fn client_id() -> crate::link::ConnectionId {
    crate::link::ConnectionId(0)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn each_is_released_at_its_time() {
    let mut stage = Stage::new();
    let delays = [1, 59, 65, 3_000, 4_097, 100_000, 262_200, 9_000_000];
    let messages: Vec<(u64, Duration)> = (1..).zip(delays.map(secs)).collect();
    stage.publish(&messages);
    assert_eq!(stage.waiting(), 8);
    assert_eq!(stage.pass(secs(10_000_000)), messages);
    assert_eq!(stage.waiting(), 0);
}

#[test]
fn they_are_released_in_the_order_of_their_times_and_of_their_coming() {
    let mut stage = Stage::new();
    let at = |ms: u64| Duration::from_millis(200_000 + ms);
    stage.publish(&[(1, at(700)), (2, at(300)), (3, at(700))]);
    stage.pass(secs(100));
    let later = |ms| at(ms) - secs(100);
    stage.publish(&[(4, later(500)), (5, later(700)), (6, later(300))]);
    let expected = [
        (2, at(300)),
        (6, at(300)),
        (4, at(500)),
        (1, at(700)),
        (3, at(700)),
        (5, at(700)),
    ];
    assert_eq!(stage.pass(secs(1000)), expected);
}

#[test]
fn what_is_far_away_takes_no_memory() {
    let mut stage = Stage::new();
    let messages: Vec<(u64, Duration)> = (1..=1000).map(|n| (n, secs(5_000 + n))).collect();
    stage.publish(&messages);
    let held = |stage: &Stage| stage.fixture.shard.held_bytes;
    assert_eq!(held(&stage), 0);
    assert_eq!(stage.pass(secs(10_000)), messages);
    assert_eq!(held(&stage), 0);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0, "the log forgets what was released");
}

#[test]
fn a_purge_leaves_nothing_behind() {
    let mut stage = Stage::new();
    stage.publish(&[(1, secs(1)), (2, secs(30)), (3, secs(5_000))]);
    let purge = Command::Purge(stage.client.id(), Arc::clone(&stage.delay));
    stage.fixture.turn([purge]);
    assert_eq!(stage.client.told(), [Seen::Purged(3)]);
    assert_eq!(stage.pass(secs(10_000)), []);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0);
}
