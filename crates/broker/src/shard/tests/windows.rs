//! What comes through the window of an `x-message-deduplication` exchange, by a clock that is moved: once, in one part of a transaction with its key, and
//! done when both are durable.

use std::sync::Arc;
use std::time::Duration;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableWriter, Value};
use leveret_store::log::Position;

use super::fixture::{Client, Fixture, Seen, consume, consumer};
use crate::bindings::ExchangeKind;
use crate::exchange::ExchangeDeclaration;
use crate::ids::ConnectionId;
use crate::queue::KEYS;
use crate::queue_handle::QueueHandle;
use crate::vhost::door::Binding;

/// A shard with such an exchange of three keys for ten seconds, and a durable queue bound to it.
struct Stage {
    fixture: Fixture,
    client: Client,
    window: Arc<QueueHandle>,
    queue: Arc<QueueHandle>,
    next: u64,
}

impl Stage {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let mut arguments = TableWriter::new();
        arguments.put("x-cache-size", Value::Long(3));
        arguments.put("x-cache-ttl", Value::Long(10_000));
        let declaration = ExchangeDeclaration {
            name: Name::new("once").unwrap(),
            kind: ExchangeKind::Deduplication,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.finish(),
        };
        fixture.vhost.declare_exchange(declaration).unwrap();
        let queue = fixture.declare("q", |declaration| declaration.durable = true);
        let binding = Binding {
            source: "once",
            binding_key: b"",
            arguments: Default::default(),
        };
        let nobody = ConnectionId(0);
        fixture.vhost.bind_queue(nobody, "q", binding).unwrap();
        let exchange = fixture.vhost.exchange("once").unwrap();
        let window = Arc::clone(exchange.window.get().unwrap());
        let client = fixture.client();
        Self {
            fixture,
            client,
            window,
            queue,
            next: 1,
        }
    }

    /// Publishes messages with these values, numbered from 1 on.
    fn publish(&mut self, values: &[&str]) {
        let mut builder = BatchBuilder::default();
        for value in values {
            let mut headers = TableWriter::new();
            headers.put("x-deduplication-header", Value::LongStr(value.as_bytes()));
            let mut writer = PropertiesWriter::from(Properties::default());
            writer.headers = Some(headers.view());
            let message = NewMessage {
                exchange_and_key: b"\x04once\0",
                properties: &writer.to_bytes().unwrap(),
                persistent: true,
                priority: 0,
            };
            builder.push(message, &self.next.to_le_bytes());
            self.next += 1;
        }
        let publish = Fixture::publish_batch(&mut self.client, &[&self.window], builder.seal());
        self.fixture.turn([publish]);
    }

    fn pass(&mut self, time: Duration) {
        self.fixture.now += time;
        self.fixture.turn([]);
    }

    /// The numbers of the messages that came through.
    fn came(&mut self) -> Vec<u64> {
        let consume = consume(&self.client, &self.queue, consumer(1));
        self.fixture.turn([consume]);
        let told = self.client.told().into_iter();
        told.filter_map(|seen| match seen {
            Seen::Delivery(delivery) => Some(delivery.message),
            _ => None,
        })
        .collect()
    }

    fn known(&self) -> usize {
        self.fixture.shard.windows[&self.window.id].count()
    }
}

#[test]
fn a_value_comes_through_once_in_its_time() {
    let mut stage = Stage::new();
    stage.publish(&["a", "b", "a"]);
    stage.pass(Duration::from_secs(6));
    stage.publish(&["a", "c"]);
    stage.pass(Duration::from_millis(3_999));
    stage.publish(&["a", "b"]);
    assert_eq!(stage.known(), 3);
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.known(), 1);
    stage.publish(&["a", "b", "c"]);
    assert_eq!(stage.came(), [1, 2, 5, 8, 9]);
    // Nobody has to come for keys to be forgotten, in memory and in the log.
    stage.pass(Duration::from_secs(10));
    assert_eq!((stage.known(), stage.fixture.queued.keys.known()), (0, 0));
    assert_eq!(stage.fixture.log.kept_count().0, 5);
}

#[test]
fn a_message_and_its_key_are_in_one_part_of_a_transaction() {
    let mut stage = Stage::new();
    let before = stage.fixture.log.lock().parts.len();
    stage.publish(&["a"]);
    let log = stage.fixture.log.lock();
    let parts = &log.parts[before..];
    assert_eq!(parts.len(), 1);
    let targets = log.enqueued.iter().flat_map(|entry| &entry.targets);
    let of = |queue, stream| {
        let targets = targets.clone();
        targets
            .filter(|target| (target.queue, target.stream.0) == (queue, stream))
            .map(|target| target.count)
            .sum::<u32>()
    };
    assert_eq!(of(stage.window.id, KEYS), 1);
    assert_eq!(of(stage.queue.id, 0), 1);
}

#[test]
fn a_batch_is_done_when_it_is_durable_and_what_it_repeats() {
    let mut stage = Stage::new();
    let hold = |stage: &Stage, at: Option<Position>| {
        let mut log = stage.fixture.log.lock();
        (log.durable, log.written) = (at, at);
    };
    let done = |stage: &Stage| {
        let all = stage.client.all().into_iter();
        let done = all.filter_map(|seen| match seen {
            Seen::Progress(done, _) => Some(done),
            _ => None,
        });
        done.max().unwrap_or(0)
    };
    hold(&stage, Some(Position(0)));
    stage.publish(&["a"]);
    stage.publish(&["a"]);
    assert_eq!(done(&stage), 0);
    hold(&stage, None);
    stage.fixture.turn([]);
    assert_eq!(done(&stage), 2);
}
