//! Tests of a connection's way into the queues: which routes are remembered and for how long, and what the shards are sent.
//!
//! Shards are not run: their mailboxes show what they get, and a queue ends as its shard ends it.

mod firehose;

use std::collections::BTreeMap;

use bytes::Bytes;
use leveret_message::batch::Body;
use leveret_message::name::Name;
use leveret_message::properties::Properties;
use leveret_message::table::{Table, TableRef, TableWriter};

use leveret_store::log::QueueId;

use super::*;
use crate::bindings::ExchangeKind;
use crate::doubles;
use crate::exchange::ExchangeDeclaration;
use crate::filling::NewBody;
use crate::queue_handle::QueueDeclaration;
use crate::queue_handle::QueueHandle;
use crate::vhost::door::Binding;

const ME: ConnectionId = ConnectionId(1);
const SHARDS: u16 = 4;

struct Fixture {
    vhost: Arc<Vhost>,
    shards: Shards,
    publisher: Publisher,
}

/// `u8 length, exchange, u8 length, routing key`.
fn wire_key(exchange: &str, key: &str) -> Vec<u8> {
    let mut bytes = vec![exchange.len() as u8];
    bytes.extend_from_slice(exchange.as_bytes());
    bytes.push(key.len() as u8);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

fn binding<'a>(source: &'a str, key: &'a str) -> Binding<'a> {
    Binding {
        source,
        binding_key: key.as_bytes(),
        arguments: TableRef::default(),
    }
}

impl Fixture {
    fn new() -> Self {
        let shards = Shards::new(usize::from(SHARDS));
        let vhost = doubles::vhost("/", &shards);
        let publisher = Publisher::new(ME, Arc::clone(&vhost), shards.clone());
        Self {
            vhost,
            shards,
            publisher,
        }
    }

    /// A new queue; its shard's mailbox is emptied.
    fn queue(&self, name: &str) -> Arc<QueueHandle> {
        let declaration = QueueDeclaration {
            name: Name::new(name).unwrap(),
            durable: false,
            owner: None,
            auto_delete: false,
            arguments: Table::default(),
        };
        let declared = self.vhost.declare_queue(ME, declaration, false).unwrap();
        self.sent();
        Arc::clone(declared.queue())
    }

    fn exchange(&self, name: &str, kind: ExchangeKind, alternate: Option<&str>) {
        let mut arguments = TableWriter::new();
        if let Some(alternate) = alternate {
            arguments.put("alternate-exchange", alternate);
        }
        let declaration = ExchangeDeclaration {
            name: Name::new(name).unwrap(),
            kind,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: arguments.finish(),
        };
        self.vhost.declare_exchange(declaration).unwrap();
    }

    fn bind(&self, source: &str, key: &str, queue: &str) {
        let binding = binding(source, key);
        self.vhost.bind_queue(ME, queue, binding).unwrap();
    }

    /// Routes a message that has these keys, whether its route is remembered or not.
    fn route(&mut self, exchange: &str, keys: &[&str]) -> RouteIndex {
        let exchange_and_key = wire_key(exchange, keys[0]);
        let exchange = self.vhost.exchange(exchange).unwrap();
        let keys = keys.iter().map(|key| key.as_bytes());
        self.publisher
            .route(&exchange, &exchange_and_key, keys, Properties::default())
    }

    fn remembers(&mut self, exchange: &str, key: &str) -> bool {
        let remembered = self.publisher.remembered(&wire_key(exchange, key));
        remembered.is_some()
    }

    fn publish(&mut self, route: RouteIndex, body: &[u8]) -> Vec<u16> {
        let message = NewMessage {
            exchange_and_key: &wire_key("x", "k"),
            properties: &[0, 0],
            persistent: false,
            priority: 0,
        };
        let shards = self
            .publisher
            .publish((1, route), message, &NewBody::Copied(body));
        shards.iter().map(|shard| shard.0).collect()
    }

    /// Hands over; the next turn begins.
    fn hand_over(&mut self) -> BTreeMap<u16, Vec<Publish>> {
        self.publisher.hand_over(|_| {});
        self.sent()
    }

    /// The batches that the shards were sent since the last time.
    fn sent(&self) -> BTreeMap<u16, Vec<Publish>> {
        let mut sent = BTreeMap::new();
        for shard in 0..SHARDS {
            let mut commands = Vec::new();
            self.shards.mailbox(ShardId(shard)).take(&mut commands);
            let publishes = commands.into_iter().filter_map(|command| match command {
                Command::Publish(publish) => Some(publish),
                _ => None,
            });
            let publishes: Vec<Publish> = publishes.collect();
            if !publishes.is_empty() {
                sent.insert(shard, publishes);
            }
        }
        sent
    }

    fn end(&self, queue: &Arc<QueueHandle>) {
        queue.mark_deleted();
        self.vhost.forget_queue(queue);
    }
}

#[test]
fn a_route_is_remembered_over_turns() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    assert!(!fixture.remembers("", "q"));
    let route = fixture.route("", &["q"]);
    for _ in 0..3 {
        let remembered = fixture.publisher.remembered(&wire_key("", "q"));
        assert_eq!(remembered, Some(route));
        assert!(!fixture.remembers("", "other"));
        fixture.hand_over();
    }
    fixture.publisher.forget();
    assert!(!fixture.remembers("", "q"));
}

#[test]
fn a_route_holds_until_what_it_depends_on_changes() {
    type Change = fn(&Fixture);
    let unbind: Change = |f| {
        let bound = binding("amq.direct", "k");
        f.vhost.unbind_queue(ME, "q", bound).unwrap();
    };
    let changes: [(&str, Change); 7] = [
        ("bind", |f| f.bind("amq.direct", "elsewhere", "q")),
        ("unbind", unbind),
        ("bind behind it", |f| f.bind("middle", "another", "q")),
        ("delete an exchange behind it", |f| {
            f.vhost.delete_exchange("middle", false).unwrap();
        }),
        ("bind an exchange", |f| {
            let bound = binding("amq.direct", "k");
            f.vhost.bind_exchange("amq.topic", bound).unwrap();
        }),
        ("delete a queue", |f| f.end(&f.vhost.queue("q").unwrap())),
        ("mark a queue", |f| {
            f.vhost.queue("q").unwrap().mark_deleted()
        }),
    ];
    for (name, change) in changes {
        let mut fixture = Fixture::new();
        fixture.queue("q");
        fixture.exchange("middle", ExchangeKind::Fanout, None);
        fixture.bind("amq.direct", "k", "q");
        fixture.bind("middle", "", "q");
        let bound = binding("amq.direct", "k");
        fixture.vhost.bind_exchange("middle", bound).unwrap();
        fixture.route("amq.direct", &["k"]);
        fixture.hand_over();
        assert!(fixture.remembers("amq.direct", "k"), "{name}");
        fixture.hand_over();
        change(&fixture);
        assert!(!fixture.remembers("amq.direct", "k"), "{name}");
        assert!(!fixture.remembers("amq.direct", "k"), "{name}");
    }
}

#[test]
fn what_has_nothing_to_do_with_a_route_leaves_it() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    fixture.bind("amq.direct", "k", "q");
    fixture.route("amq.direct", &["k"]);
    fixture.route("", &["q"]);
    fixture.hand_over();
    let other = fixture.queue("other");
    fixture.bind("amq.fanout", "", "other");
    fixture.end(&other);
    assert!(fixture.remembers("amq.direct", "k"));
    assert!(fixture.remembers("", "q"));
}

#[test]
fn a_new_queue_of_an_old_name_gets_its_messages() {
    let mut fixture = Fixture::new();
    let old = fixture.queue("q");
    fixture.route("", &["q"]);
    fixture.hand_over();
    fixture.end(&old);
    let new = fixture.queue("q");
    assert!(!fixture.remembers("", "q"));
    let route = fixture.route("", &["q"]);
    assert_eq!(fixture.publish(route, b""), [new.shard.0]);
    let sent = fixture.hand_over();
    assert_eq!(*sent[&new.shard.0][0].runs[0].queues, [new.id]);
}

/// The exchange is found, then deleted, then routed from: its version will never rise again.
#[test]
fn a_route_from_an_exchange_that_was_deleted_meanwhile_is_not_remembered() {
    let mut fixture = Fixture::new();
    fixture.exchange("x", ExchangeKind::Fanout, None);
    let gone = fixture.vhost.exchange("x").unwrap();
    fixture.vhost.delete_exchange("x", false).unwrap();
    let key = wire_key("x", "");
    let keys = [&b""[..]].into_iter();
    let route = fixture
        .publisher
        .route(&gone, &key, keys, Properties::default());
    assert!(fixture.publisher.reaches_nobody(route));
    assert!(!fixture.remembers("x", ""));
    fixture.hand_over();
    fixture.exchange("x", ExchangeKind::Fanout, None);
    assert!(!fixture.remembers("x", ""));
}

#[test]
fn fleeting_routes_are_not_remembered() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    fixture.exchange("lost", ExchangeKind::Direct, Some("not there"));
    for (exchange, keys) in [
        ("amq.headers", &[""][..]),
        ("", &["q", "copy"]),
        ("amq.direct", &["k", "k"]),
        ("", &["not there"]),
        ("lost", &["k"]),
    ] {
        fixture.route(exchange, keys);
        assert!(!fixture.remembers(exchange, keys[0]), "{exchange} {keys:?}");
        fixture.hand_over();
        assert!(!fixture.remembers(exchange, keys[0]), "{exchange} {keys:?}");
    }
    // Nobody bound is an answer like any other: a binding would change it.
    let route = fixture.route("amq.direct", &["k"]);
    assert!(fixture.publisher.reaches_nobody(route));
    assert!(fixture.publish(route, b"").is_empty());
    assert!(fixture.remembers("amq.direct", "k"));
}

#[test]
fn each_shard_gets_one_batch_with_a_run_for_each_stretch() {
    let mut fixture = Fixture::new();
    let queues: Vec<_> = (0..6).map(|i| fixture.queue(&format!("q{i}"))).collect();
    for i in 0..6 {
        fixture.bind("amq.fanout", "", &format!("q{i}"));
    }
    let all = fixture.route("amq.fanout", &[""]);
    let one = fixture.route("", &["q0"]);
    let home = queues[0].shard.0;
    for (route, body) in [(all, 0), (all, 1), (one, 2), (one, 3), (one, 4), (all, 5)] {
        let shards = fixture.publish(route, &[body]);
        assert_eq!(
            shards,
            if route == one {
                vec![home]
            } else {
                vec![0, 1, 2, 3]
            }
        );
    }
    assert!(!fixture.publisher.is_empty());
    let mut told = Vec::new();
    fixture.publisher.hand_over(|shard| told.push(shard.0));
    assert_eq!(told, [0, 1, 2, 3]);
    assert!(fixture.publisher.is_empty());
    let sent = fixture.sent();
    for shard in 0..SHARDS {
        let [publish] = &sent[&shard][..] else {
            panic!("{} batches", sent[&shard].len());
        };
        assert_eq!((publish.connection, publish.number), (ME, 1));
        let here = queues.iter().filter(|queue| queue.shard.0 == shard);
        let here: Vec<QueueId> = here.map(|queue| queue.id).collect();
        let mut runs: Vec<(Vec<QueueId>, u32, u32)> = Vec::new();
        for run in &publish.runs {
            let mut ids = run.queues.to_vec();
            ids.sort();
            runs.push((ids, run.first, run.count));
        }
        let bodies: Vec<u8> = (0..publish.batch.len())
            .map(|i| publish.batch.message(i).unwrap().body.as_bytes()[0])
            .collect();
        if shard == home {
            let alone = vec![queues[0].id];
            assert_eq!(runs, [(here.clone(), 0, 2), (alone, 2, 3), (here, 5, 1)]);
            assert_eq!(bodies, [0, 1, 2, 3, 4, 5]);
        } else {
            assert_eq!(runs, [(here, 0, 3)]);
            assert_eq!(bodies, [0, 1, 5]);
        }
    }
    assert!(fixture.hand_over().is_empty(), "nothing is sent twice");
}

#[test]
fn batches_are_numbered_for_each_shard_and_take_allowance() {
    let mut fixture = Fixture::new();
    let (one, two) = (fixture.queue("one"), fixture.queue("two"));
    let body = vec![0; ALLOWANCE / 2];
    for number in 1..=2 {
        assert!(fixture.publisher.has_allowance());
        let route = fixture.route("", &["one"]);
        fixture.publish(route, &body);
        assert!(fixture.publisher.gathered_bytes() > body.len());
        fixture.hand_over();
        assert_eq!(fixture.publisher.gathered_bytes(), 0);
        assert_eq!(fixture.publisher.number(one.shard), number);
    }
    assert_eq!(fixture.publisher.number(two.shard), 0);
    assert!(!fixture.publisher.has_allowance());
    fixture.publisher.returned(one.shard, body.len());
    assert!(fixture.publisher.has_allowance());
}

#[test]
fn shared_bodies_take_allowance_and_stay_where_they_are() {
    let mut fixture = Fixture::new();
    let queue = fixture.queue("q");
    let route = fixture.route("", &["q"]);
    let body = Bytes::from(vec![7; ALLOWANCE]);
    let message = NewMessage {
        exchange_and_key: &wire_key("", "q"),
        properties: &[0, 0],
        persistent: false,
        priority: 0,
    };
    let shared = NewBody::Shared(body.clone());
    fixture.publisher.publish((1, route), message, &shared);
    let sent = fixture.hand_over();
    assert!(!fixture.publisher.has_allowance());
    let publish = &sent[&queue.shard.0][0];
    assert!(publish.bytes > body.len());
    match publish.batch.message(0).unwrap().body {
        Body::Shared(there) => assert_eq!(there.as_ptr(), body.as_ptr()),
        Body::Inline(_) => panic!("it was copied"),
    }
}

#[test]
fn remembered_routes_are_bounded() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    for i in 0..3 * ROUTES_MAX {
        let key = format!("k{i}");
        let route = fixture.route("amq.topic", &[&key]);
        assert!(fixture.remembers("amq.topic", &key));
        assert!(fixture.publisher.reaches_nobody(route));
        assert!(fixture.publisher.routes.len() <= ROUTES_MAX);
        assert!(fixture.publisher.by_key.len() <= ROUTES_MAX);
    }
    // So are those that are good for one message, while others wait to be handed over.
    let q = fixture.route("", &["q"]);
    fixture.publish(q, b"");
    for _ in 0..2 * ROUTES_MAX {
        let route = fixture.route("amq.headers", &[""]);
        fixture.publish(route, b"");
        assert!(fixture.publisher.routes.len() <= ROUTES_MAX);
    }
    assert_eq!(fixture.hand_over().len(), 1);
}

#[test]
fn remembered_routes_are_bounded_by_their_queues() {
    const QUEUES: usize = 1000;
    let mut fixture = Fixture::new();
    for i in 0..QUEUES {
        fixture.queue(&format!("q{i}"));
        fixture.bind("amq.topic", "#", &format!("q{i}"));
    }
    for i in 0..200 {
        let route = fixture.route("amq.topic", &[&format!("k{i}")]);
        assert!(!fixture.publisher.reaches_nobody(route));
        let remembered: usize = fixture
            .publisher
            .routes
            .iter()
            .map(|r| r.handles.len())
            .sum();
        assert!(remembered < ROUTED_QUEUES_MAX + QUEUES, "{remembered}");
    }
}
