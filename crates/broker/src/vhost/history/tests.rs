//! What an exchange keeps, what a new binding gets of it, and what outlives the broker.

use leveret_message::exchange_and_key;
use leveret_message::name::Name;
use leveret_message::properties::PropertiesWriter;
use leveret_message::table::{Table, TableRef, TableWriter};

use super::*;
use crate::bindings::ExchangeKind;
use crate::command::Shards;
use crate::definitions::Definition;
use crate::doubles::{self, WatchedDefinitions};
use crate::exchange::ExchangeDeclaration;
use crate::ids::ConnectionId;
use crate::publisher::Publisher;
use crate::queue_handle::QueueDeclaration;
use crate::vhost::door::Binding;

const ME: ConnectionId = ConnectionId(1);

/// A vhost with an exchange `x` that keeps three messages, and what it writes down.
struct Fixture {
    shards: Shards,
    vhost: Arc<Vhost>,
    definitions: WatchedDefinitions,
    publisher: Publisher,
}

impl Fixture {
    fn new() -> Self {
        let mut arguments = TableWriter::new();
        arguments.put("x-recent-history-length", 3);
        let fixture = Self::with(WatchedDefinitions::default());
        fixture.declare("x", arguments.finish());
        fixture
    }

    fn with(definitions: WatchedDefinitions) -> Self {
        let shards = Shards::new(2);
        let vhost = doubles::vhost_with("v", &shards, Arc::new(definitions.clone()));
        let publisher = Publisher::new(ME, Arc::clone(&vhost), shards.clone());
        Self {
            shards,
            vhost,
            definitions,
            publisher,
        }
    }

    /// As a broker begins with what the other one wrote down.
    fn restarted(self) -> Self {
        let next = Self::with(self.definitions.clone());
        let found = self.definitions.found();
        let read = found
            .iter()
            .map(|(key, value)| definitions::read(key, value));
        let mut recent = Vec::new();
        for definition in read.map(|read| read.expect("it was just written")) {
            match definition {
                Definition::Exchange(_, exchange) => next.vhost.recover_exchange(exchange),
                Definition::Recent(_, message) => recent.push(message),
                _ => {}
            }
        }
        recent.sort_by_key(|message| message.number);
        for message in recent {
            let batch = message.batch;
            next.vhost
                .recover_recent(&message.exchange, message.number, batch);
        }
        next
    }

    fn declare(&self, name: &str, arguments: Table) {
        let declaration = ExchangeDeclaration {
            name: Name::new(name).unwrap(),
            kind: ExchangeKind::RecentHistory,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments,
        };
        self.vhost.declare_exchange(declaration).unwrap();
    }

    fn publish_with(&mut self, exchange: &str, properties: &[u8], body: &[u8]) {
        let key = exchange_and_key::join(exchange.as_bytes(), b"k").unwrap();
        let exchange = self.vhost.exchange(exchange).unwrap();
        let properties = Properties::parse(properties).unwrap();
        let keys = std::iter::once(&b"k"[..]);
        let route = self.publisher.route(&exchange, &key, keys, properties);
        let message = NewMessage {
            exchange_and_key: &key,
            properties: properties.as_bytes(),
            persistent: false,
            priority: 0,
        };
        let body = NewBody::Copied(body);
        self.publisher.keep_recent(route, message, &body, &[]);
        self.publisher.publish((1, route), message, &body);
        assert!(self.publisher.remembered(&key).is_none());
    }

    fn publish(&mut self, bodies: &[&str]) {
        for body in bodies {
            self.publish_with("x", &[0, 0], body.as_bytes());
        }
    }

    fn bind(&self, source: &str, queue: &str) {
        let declaration = QueueDeclaration {
            name: Name::new(queue).unwrap(),
            durable: false,
            owner: None,
            auto_delete: false,
            arguments: Table::default(),
        };
        self.vhost.declare_queue(ME, declaration, false).unwrap();
        self.vhost.bind_queue(ME, queue, binding(source)).unwrap();
    }

    /// The texts that were sent to the shards behind a binding.
    fn sent(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for shard in 0..self.shards.count() as u16 {
            let mut commands = Vec::new();
            self.shards.mailbox(ShardId(shard)).take(&mut commands);
            for command in commands {
                let Command::Transact(part) = command else {
                    continue;
                };
                for run in &part.runs {
                    texts.extend(part.batch.messages(run.first, run.count).map(text));
                }
            }
        }
        texts
    }

    /// What a new queue gets.
    fn recent(&self, queue: &str) -> Vec<String> {
        self.sent();
        self.bind("x", queue);
        self.sent()
    }

    /// How many messages are written down.
    fn written(&self) -> usize {
        let found = self.definitions.found().into_iter();
        found.filter(|(key, _)| key.first() == Some(&b'h')).count()
    }
}

fn text(message: Message<'_>) -> String {
    String::from_utf8(message.body.as_bytes().to_vec()).unwrap()
}

fn binding(source: &str) -> Binding<'_> {
    Binding {
        source,
        binding_key: b"",
        arguments: TableRef::default(),
    }
}

#[test]
fn a_new_binding_gets_the_last_messages_in_their_order() {
    let mut fixture = Fixture::new();
    assert!(fixture.recent("early").is_empty());
    fixture.publish(&["1", "2"]);
    assert_eq!(fixture.recent("soon"), ["1", "2"]);
    fixture.publish(&["3", "4", "5"]);
    assert_eq!(fixture.recent("late"), ["3", "4", "5"]);
    // A binding that is there already is no new one.
    assert!(fixture.recent("late").is_empty());
}

#[test]
fn a_message_may_ask_not_to_be_kept() {
    let mut fixture = Fixture::new();
    for (store, text) in [(true, "no"), (false, "yes")] {
        let mut headers = TableWriter::new();
        headers.put(NO_STORE, store);
        let properties = PropertiesWriter {
            headers: Some(headers.view()),
            ..Default::default()
        };
        let properties = properties.to_bytes().unwrap();
        fixture.publish_with("x", &properties, text.as_bytes());
    }
    assert_eq!(fixture.recent("q"), ["yes"]);
}

#[test]
fn the_last_messages_go_on_through_exchanges_that_are_bound() {
    let mut fixture = Fixture::new();
    fixture.publish(&["1", "2"]);
    fixture.bind("amq.fanout", "q");
    fixture.sent();
    fixture
        .vhost
        .bind_exchange("amq.fanout", binding("x"))
        .unwrap();
    assert_eq!(fixture.sent(), ["1", "2"]);
    // One that keeps messages as well keeps these, and a circle ends.
    fixture.declare("y", Table::default());
    fixture.vhost.bind_exchange("y", binding("x")).unwrap();
    fixture.vhost.bind_exchange("x", binding("y")).unwrap();
    fixture.bind("y", "late");
    assert!(fixture.sent().iter().any(|text| text == "2"));
}

#[test]
fn messages_outlive_the_broker_with_their_exchange() {
    let mut fixture = Fixture::new();
    fixture.publish(&["1", "2", "3", "4", "5"]);
    assert_eq!(fixture.written(), 3);
    let mut fixture = fixture.restarted();
    assert_eq!(fixture.recent("q"), ["3", "4", "5"]);
    fixture.publish(&["6"]);
    assert_eq!(fixture.written(), 3);
    let fixture = fixture.restarted();
    assert_eq!(fixture.recent("q"), ["4", "5", "6"]);
    fixture.vhost.delete_exchange("x", false).unwrap();
    assert_eq!(fixture.written(), 0);
}

#[test]
fn a_history_is_bounded_in_bytes() {
    let mut fixture = Fixture::new();
    let half = "h".repeat(HISTORY_BYTES_MAX / 2 - 1024);
    fixture.publish(&[&half, &half, "last"]);
    let lengths = |texts: Vec<String>| texts.iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(
        lengths(fixture.recent("three")),
        [half.len(), half.len(), 4]
    );
    fixture.publish(&[&half]);
    assert_eq!(
        lengths(fixture.recent("again")),
        [half.len(), 4, half.len()]
    );
    assert_eq!(fixture.written(), 3);
    let whole = "w".repeat(HISTORY_BYTES_MAX);
    fixture.publish(&[&whole]);
    assert!(fixture.recent("none").is_empty());
    assert_eq!(fixture.written(), 0);
    fixture.publish(&["1"]);
    assert_eq!(fixture.recent("one"), ["1"]);
}
