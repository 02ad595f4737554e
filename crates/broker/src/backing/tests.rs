//! Brokers that end, in order or not, and others that begin with what they left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::table::{Table, TableRef, TableWriter};

use super::*;
use crate::bindings::ExchangeKind;
use crate::broker::BrokerSettings;
use crate::command::{Command, Holder, NewConsumer, Outcome, Publish, Run, Settle};
use crate::doubles::{WatchedDefinitions, WatchedLog};
use crate::exchange::Destination;
use crate::link::{ConnectionId, ConsumerSlot, Event, Link, Reply};
use crate::queue_handle::QueueHandle;
use crate::users::{UserDirectory, Users};
use crate::vhost::Vhost;
use crate::vhost::door::Binding;

const SHARDS: usize = 2;
const ME: ConnectionId = ConnectionId(1);
const HOLDER: Holder = Holder {
    connection: ME,
    channel: 1,
};

/// What outlives a broker.
#[derive(Clone, Default)]
struct Folder {
    definitions: WatchedDefinitions,
    logs: Vec<WatchedLog>,
}

/// A broker with its shards and one connection to them.
struct Running {
    broker: Arc<Broker>,
    shards: Vec<Shard>,
    link: Arc<Link>,
    published: u64,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Folder {
    fn new() -> Self {
        Self {
            definitions: WatchedDefinitions::default(),
            logs: (0..SHARDS).map(|_| WatchedLog::new()).collect(),
        }
    }

    fn found(&self) -> Found {
        Found {
            definitions: self.definitions.found(),
            queues: self.logs.iter().flat_map(WatchedLog::found).collect(),
        }
    }

    fn try_start(&self) -> Result<Running, RecoverError> {
        let settings = BrokerSettings {
            os_vhosts: Vec::new(),
            vhosts: vec![name("/")],
            users: Users::new(UserDirectory::default()),
            queued_bytes_budget: usize::MAX,
            queued_bytes_max: usize::MAX,
        };
        let log = |log: &WatchedLog| Box::new(log.clone()) as Box<dyn Log>;
        let backing = Backing {
            shards: Shards::new(self.logs.len()),
            logs: self.logs.iter().map(log).collect(),
            definitions: Arc::new(self.definitions.clone()),
            found: self.found(),
        };
        let (broker, shards) = Broker::new(settings, backing)?;
        let link = Arc::new(Link::new(ME, usize::MAX));
        for shard in 0..SHARDS as u16 {
            let connect = Command::Connect(Arc::clone(&link));
            broker
                .shards
                .send(crate::queue_handle::ShardId(shard), connect);
        }
        Ok(Running {
            broker,
            shards,
            link,
            published: 0,
        })
    }

    fn start(&self) -> Running {
        self.try_start().expect("what was written can be read")
    }
}

fn queue(text: &str) -> QueueDeclaration {
    QueueDeclaration {
        name: name(text),
        durable: true,
        owner: None,
        auto_delete: false,
        arguments: Table::default(),
    }
}

fn exchange(text: &str, kind: ExchangeKind) -> ExchangeDeclaration {
    ExchangeDeclaration {
        name: name(text),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

fn binding<'a>(source: &'a str, key: &'a str) -> Binding<'a> {
    Binding {
        source,
        binding_key: key.as_bytes(),
        arguments: TableRef::default(),
    }
}

fn arguments(key: &str, value: &str) -> Table {
    let mut writer = TableWriter::new();
    writer.put(key, value);
    writer.finish()
}

impl Running {
    fn vhost(&self) -> Arc<Vhost> {
        self.broker.vhost("/").unwrap()
    }

    /// Runs the shards until nothing moves; what the connection is told.
    fn run(&mut self) -> Vec<Event> {
        let mut commands = Vec::new();
        // The log answers in the turn after the question.
        for _ in 0..20 {
            for shard in &mut self.shards {
                self.broker.shards.mailbox(shard.id()).take(&mut commands);
                shard.turn(commands.drain(..), Instant::now());
            }
        }
        let mut events = Vec::new();
        self.link.events.take(&mut events);
        events
    }

    fn declare(&mut self, declaration: QueueDeclaration) -> Arc<QueueHandle> {
        let declared = self.vhost().declare_queue(ME, declaration, false).unwrap();
        self.run();
        Arc::clone(declared.queue())
    }

    fn tell(&mut self, queue: &QueueHandle, command: Command) -> Vec<Event> {
        self.broker.shards.send(queue.shard, command);
        self.run()
    }

    /// Publishes messages with these numbers as their bodies; the even ones are not persistent.
    fn publish(&mut self, queue: &QueueHandle, numbers: std::ops::Range<u8>) {
        let mut builder = BatchBuilder::default();
        for number in numbers {
            let message = NewMessage {
                exchange_and_key: b"\0\0",
                properties: &[0, 0],
                persistent: number % 2 == 1,
                priority: 0,
            };
            builder.push(message, &[number]);
        }
        let batch = builder.seal();
        self.published += 1;
        let publish = Publish {
            connection: ME,
            number: self.published,
            bytes: 0,
            runs: vec![Run {
                queues: Arc::from([queue.id]),
                first: 0,
                count: batch.len(),
            }],
            batch,
        };
        self.tell(queue, Command::Publish(publish));
    }

    /// Takes so many messages: their sequence numbers, bodies, and whether they were delivered before.
    fn get(&mut self, queue: &Arc<QueueHandle>, count: usize) -> Vec<(u64, u8, bool)> {
        let get = || Command::Get {
            holder: HOLDER,
            queue: Arc::clone(queue),
            no_ack: false,
        };
        let got = (0..count).flat_map(|_| self.tell(queue, get()));
        got.filter_map(|event| match event {
            Event::Reply(Ok(Reply::Got(got))) => got.map(|got| {
                let body = got.batch.message(got.index).unwrap().body;
                (got.seq, body.as_bytes()[0], got.redelivered)
            }),
            Event::Progress { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn settle(&mut self, queue: &QueueHandle, (first_seq, count): (u64, u64), outcome: Outcome) {
        let settle = Settle {
            queue: queue.id,
            channel: 1,
            first_seq,
            count,
            outcome,
        };
        self.tell(queue, Command::Settle(ME, vec![settle]));
    }

    /// Ends in order.
    fn end(mut self) {
        for shard in 0..SHARDS as u16 {
            let disconnect = Command::Disconnect(ME);
            let shard = crate::queue_handle::ShardId(shard);
            self.broker.shards.send(shard, disconnect);
        }
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        let done: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        self.broker.end(&done);
        self.run();
        assert_eq!(ended.load(Ordering::SeqCst), SHARDS);
        self.broker.note_end();
    }
}

/// Everything that a vhost has, as text.
fn topology(vhost: &Vhost, exchanges: &[&str], queues: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for text in queues {
        let Some(queue) = vhost.find_queue(text) else {
            continue;
        };
        let QueueHandle { id, shard, .. } = *queue;
        let (of, settings) = (&queue.declaration, &queue.settings);
        all.insert(format!("{id:?} {shard:?} {of:?} {settings:?}"));
    }
    for text in exchanges {
        let Some(exchange) = vhost.find_exchange(text) else {
            continue;
        };
        let (auto_delete, internal) = (exchange.auto_delete, exchange.internal);
        let (of, settings) = (&exchange.arguments, &exchange.settings);
        let kind = exchange.kind.name();
        all.insert(format!(
            "{text} {kind} {auto_delete} {internal} {of:?} {settings:?}"
        ));
        exchange.each_binding(|key, arguments, to| {
            let to = match to {
                Destination::Queue(queue) => format!("queue {}", queue.name()),
                Destination::Exchange(exchange) => format!("exchange {}", exchange.name),
            };
            all.insert(format!("{text} {key:?} {arguments:?} {to}"));
        });
    }
    all
}

#[test]
fn durable_topology_comes_back_and_nothing_else() {
    const EXCHANGES: [&str; 7] = ["a", "b", "c", "d", "passing", "amq.topic", "amq.fanout"];
    const QUEUES: [&str; 5] = ["one", "two", "gone", "passing", "mine"];
    let folder = Folder::new();
    let mut running = folder.start();
    let vhost = running.vhost();
    let kinds = ["direct", "fanout", "topic", "headers"];
    for (text, kind) in ["a", "b", "c", "d"].into_iter().zip(kinds) {
        let declaration = ExchangeDeclaration {
            auto_delete: text == "b",
            internal: text == "c",
            arguments: arguments("alternate-exchange", text),
            ..exchange(text, ExchangeKind::from_name(kind).unwrap())
        };
        vhost.declare_exchange(declaration).unwrap();
    }
    running.declare(QueueDeclaration {
        arguments: arguments("x-dead-letter-exchange", "a"),
        ..queue("one")
    });
    running.declare(QueueDeclaration {
        auto_delete: true,
        ..queue("two")
    });
    for text in ["one", "two"] {
        for source in ["a", "b", "amq.topic"] {
            vhost.bind_queue(ME, text, binding(source, "k")).unwrap();
        }
        let of_headers = arguments("h", text);
        let headers = Binding {
            arguments: of_headers.view(),
            ..binding("d", "")
        };
        vhost.bind_queue(ME, text, headers).unwrap();
    }
    vhost.bind_exchange("c", binding("amq.fanout", "")).unwrap();
    vhost.bind_exchange("a", binding("c", "#")).unwrap();
    let expected = topology(&vhost, &EXCHANGES, &QUEUES);

    let passing = ExchangeDeclaration {
        durable: false,
        ..exchange("passing", ExchangeKind::Fanout)
    };
    vhost.declare_exchange(passing).unwrap();
    running.declare(QueueDeclaration {
        durable: false,
        ..queue("passing")
    });
    running.declare(QueueDeclaration {
        owner: Some(ME),
        ..queue("mine")
    });
    for (to, source) in [("one", "passing"), ("passing", "a"), ("mine", "a")] {
        vhost.bind_queue(ME, to, binding(source, "k")).unwrap();
    }
    let gone = running.declare(queue("gone"));
    vhost.bind_queue(ME, "gone", binding("a", "k")).unwrap();
    let delete = Command::Delete {
        connection: ME,
        queue: gone.id,
        if_unused: false,
        if_empty: false,
    };
    running.tell(&gone, delete);
    assert_ne!(topology(&vhost, &EXCHANGES, &QUEUES), expected);

    for in_order in [false, true, true] {
        if in_order {
            running.end();
        }
        running = folder.start();
        let there = topology(&running.vhost(), &EXCHANGES, &QUEUES);
        assert_eq!(there, expected);
        assert_eq!(running.vhost().queues_count(), 2);
    }
}

#[test]
fn vhosts_that_nobody_configured_come_back_with_what_is_in_them() {
    let folder = Folder::new();
    let running = folder.start();
    let other = running.broker.vhost_or_new(&name("other"));
    other.declare_queue(ME, queue("q"), false).unwrap();
    other
        .bind_queue(ME, "q", binding("amq.direct", "k"))
        .unwrap();
    let again = folder.start();
    let other = again.broker.vhost("other").unwrap();
    assert!(other.find_queue("q").is_some());
    assert!(again.vhost().find_queue("q").is_none());
    let direct = other.exchange("amq.direct").unwrap();
    assert_eq!(direct.bindings_count(), 1);
}

#[test]
fn persistent_messages_come_back_in_order() {
    let folder = Folder::new();
    let mut running = folder.start();
    let queues = ["one", "two", "three"].map(|text| running.declare(queue(text)));
    for (i, queue) in (0..).zip(&queues) {
        running.publish(queue, 0..8 + i);
        running.publish(queue, 100..110);
    }
    running.settle(&queues[0], (1, 1), Outcome::Ack);
    running.end();
    let mut running = folder.start();
    for (i, old) in (0..).zip(&queues) {
        let queue = running.vhost().queue(old.name()).unwrap();
        assert_eq!((queue.id, queue.shard), (old.id, old.shard));
        running.publish(&queue, 201..202);
        let odd = (0..8 + i).chain(100..110).chain(201..202);
        let odd = odd.filter(|number| number % 2 == 1);
        let expected: Vec<_> = odd.map(|number| (number, false)).collect();
        let got = running.get(&queue, 30);
        let bodies: Vec<_> = got.iter().map(|(_, body, again)| (*body, *again)).collect();
        assert_eq!(bodies, expected);
        let seqs: Vec<_> = got.iter().map(|(seq, ..)| *seq).collect();
        assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    }
}

/// Messages 1, 3, 5, 7 and 9 of which the first was settled, the next two were delivered and came back, and the others never left.
fn with_some_returned(folder: &Folder) -> (Running, Arc<QueueHandle>) {
    let mut running = folder.start();
    let queue = running.declare(queue("q"));
    running.publish(&queue, 1..10);
    assert_eq!(running.get(&queue, 5).len(), 5);
    running.settle(&queue, (1, 2), Outcome::Ack);
    (running, queue)
}

#[test]
fn after_an_orderly_end_what_was_returned_is_redelivered() {
    let folder = Folder::new();
    let (running, queue) = with_some_returned(&folder);
    running.end();
    let mut running = folder.start();
    let again = running.vhost().queue(queue.name()).unwrap();
    let expected = [(3, 3, true), (5, 5, true), (7, 7, false), (9, 9, false)];
    // Nobody took any of them: the next end knows it as well.
    running.run();
    running.end();
    let mut running = folder.start();
    let handle = running.vhost().queue(again.name()).unwrap();
    assert_eq!(running.get(&handle, 9), expected);
}

#[test]
fn after_another_end_all_may_have_been_delivered() {
    let folder = Folder::new();
    let (running, queue) = with_some_returned(&folder);
    drop(running);
    let mut running = folder.start();
    let again = running.vhost().queue(queue.name()).unwrap();
    running.publish(&again, 11..12);
    let expected = [3, 5, 7, 9].map(|n| (u64::from(n), n, true));
    let got = running.get(&again, 9);
    assert_eq!(got[..4], expected);
    assert_eq!((got[4].1, got[4].2), (11, false), "that one is new");
    assert_eq!(got.len(), 5);
}

#[test]
fn what_may_have_been_delivered_stays_so_through_an_orderly_end() {
    let folder = Folder::new();
    let (running, queue) = with_some_returned(&folder);
    drop(running);
    let mut running = folder.start();
    let again = running.vhost().queue(queue.name()).unwrap();
    assert_eq!(running.get(&again, 1), [(3, 3, true)]);
    running.publish(&again, 11..12);
    running.end();
    let mut running = folder.start();
    let again = running.vhost().queue(queue.name()).unwrap();
    let got = running.get(&again, 9);
    let flags: Vec<_> = got.iter().map(|(_, body, again)| (*body, *again)).collect();
    let expected = [(3, true), (5, true), (7, true), (9, true), (11, false)];
    assert_eq!(flags, expected);
}

#[test]
fn recovered_queues_are_consumed_from_purged_and_deleted_like_others() {
    let folder = Folder::new();
    let mut running = folder.start();
    for text in ["consumed", "purged", "deleted"] {
        let queue = running.declare(queue(text));
        running.publish(&queue, 0..100);
    }
    running.end();
    let mut running = folder.start();
    let [consumed, purged, deleted] =
        ["consumed", "purged", "deleted"].map(|text| running.vhost().queue(text).unwrap());
    let new = NewConsumer {
        slot: ConsumerSlot(1),
        no_ack: true,
        exclusive: false,
        prefetch: 0,
        channel_credit: None,
        priority: 0,
    };
    let consume = Command::Consume(HOLDER, Arc::clone(&consumed), new);
    let events = running.tell(&consumed, consume);
    let count: u32 = events
        .iter()
        .map(|event| match event {
            Event::Deliveries(runs) => runs.iter().map(|run| run.count).sum(),
            _ => 0,
        })
        .sum();
    assert_eq!(count, 50);
    let events = running.tell(&purged, Command::Purge(ME, Arc::clone(&purged)));
    assert!(matches!(events[..], [Event::Reply(Ok(Reply::Purged(50)))]));
    let delete = Command::Delete {
        connection: ME,
        queue: deleted.id,
        if_unused: false,
        if_empty: false,
    };
    let events = running.tell(&deleted, delete);
    assert!(matches!(events[..], [Event::Reply(Ok(Reply::Deleted(50)))]));
    for log in &folder.logs {
        assert_eq!(log.kept_count(), (0, 0));
    }
    drop(running);
    let running = folder.start();
    assert_eq!(running.vhost().queues_count(), 2);
}

#[test]
fn ids_are_never_used_again() {
    let folder = Folder::new();
    let mut used = BTreeSet::new();
    for round in 0..4 {
        let mut running = folder.start();
        for durable in [false, true] {
            let declared = running.declare(QueueDeclaration {
                durable,
                ..queue(&format!("q{round}{durable}"))
            });
            assert!(used.insert(declared.id), "{:?} again", declared.id);
            let delete = Command::Delete {
                connection: ME,
                queue: declared.id,
                if_unused: false,
                if_empty: false,
            };
            running.tell(&declared, delete);
        }
        if round % 2 == 0 {
            running.end();
        }
    }
}

#[test]
fn what_the_log_has_of_queues_that_are_not_defined_goes() {
    let folder = Folder::new();
    let mut running = folder.start();
    let [stays, gone] = ["stays", "gone"].map(|text| running.declare(queue(text)));
    running.publish(&stays, 0..10);
    running.publish(&gone, 0..10);
    drop(running);
    // Its end was written down; that its messages went, was not.
    let key = definitions::queue_key(&gone);
    Definitions::undefine(&folder.definitions, &key);
    let running = folder.start();
    assert!(running.vhost().find_queue("gone").is_none());
    let deleted: Vec<_> = folder
        .logs
        .iter()
        .flat_map(|log| log.lock().deleted.clone())
        .collect();
    assert_eq!(deleted, [gone.id]);
    let kept: usize = folder.logs.iter().map(|log| log.kept_count().0).sum();
    assert_eq!(kept, 5);
    let next = running.vhost().declare_queue(ME, queue("gone"), false);
    assert!(next.unwrap().queue().id > gone.id);
}

#[test]
fn what_cannot_be_put_back_is_an_error_and_changes_nothing() {
    let damage: [(&str, fn(&Folder)); 3] = [
        ("cannot be read", |folder| {
            folder.definitions.define(b"z", b"\x01");
        }),
        ("has an end that is not there", |folder| {
            let mut defined = folder.definitions.lock();
            defined.values.retain(|key, _| key.first() != Some(&b'x'));
        }),
        ("arguments that this version does not take", |folder| {
            let declaration = QueueDeclaration {
                arguments: arguments("x-expires", "never"),
                ..queue("q")
            };
            let settings = crate::arguments::QueueSettings::default();
            let vhost = (name("/"), std::sync::Weak::new());
            let place = (
                leveret_store::log::Group(1),
                crate::queue_handle::ShardId(0),
            );
            let handle = QueueHandle::new(QueueId(1), place, vhost, declaration, settings);
            let value = definitions::queue_value(&handle);
            folder
                .definitions
                .define(&definitions::queue_key(&handle), &value);
        }),
    ];
    for (expected, damage) in damage {
        let folder = Folder::new();
        let mut running = folder.start();
        let x = exchange("x", ExchangeKind::Direct);
        running.vhost().declare_exchange(x).unwrap();
        running.declare(queue("q"));
        running
            .vhost()
            .bind_queue(ME, "q", binding("x", "k"))
            .unwrap();
        running.end();
        damage(&folder);
        let before = folder.definitions.found();
        let error = folder.try_start().err().expect("it is damaged");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(folder.definitions.found(), before);
    }
}
