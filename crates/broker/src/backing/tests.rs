//! Brokers that end, in order or not, and others that begin with what they left: here with the messages, `topology` with all else.

mod settings;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::table::Table;

use super::*;
use crate::broker::Broker;
use crate::broker::BrokerSettings;
use crate::command::{Command, NewConsumer, Outcome, Publish, Run, RunQueues, Settle};
use crate::doubles::{WatchedDefinitions, WatchedLog};
use crate::ids::{ConnectionId, ConsumerSlot, Holder};
use crate::link::{Event, Link, Reply};
use crate::queue_handle::QueueHandle;
use crate::shard::Shard;
use crate::users::{UserDirectory, Users};
use crate::vhost::Vhost;

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
            node: "leveret@test".to_owned(),
            os_vhosts: Vec::new(),
            vhosts: vec![name("/")],
            users: Users::new(UserDirectory::default()),
            queued_bytes_budget: usize::MAX,
            queued_bytes_max: usize::MAX,
            consumer_timeout: None,
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
            broker.shards.send(crate::ids::ShardId(shard), connect);
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
        if batch.is_empty() {
            return;
        }
        self.published += 1;
        let publish = Publish {
            connection: ME,
            number: self.published,
            bytes: 0,
            runs: vec![Run {
                queues: RunQueues::One(queue.id),
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
            reader: 0,
        };
        self.tell(queue, Command::Settle(ME, vec![settle]));
    }

    /// Ends in order.
    fn end(mut self) {
        for shard in 0..SHARDS as u16 {
            let disconnect = Command::Disconnect(ME);
            let shard = crate::ids::ShardId(shard);
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
fn an_orderly_end_says_nothing_of_what_is_gone() {
    for more in [0..0, 10..20] {
        let folder = Folder::new();
        let (running, queue) = with_some_returned(&folder);
        drop(running);
        let mut running = folder.start();
        let again = running.vhost().queue(queue.name()).unwrap();
        assert_eq!(running.get(&again, 9).len(), 4);
        running.settle(&again, (1, 9), Outcome::Ack);
        running.publish(&again, more);
        running.end();
        for log in &folder.logs {
            let requeued = &log.lock().requeued;
            assert!(requeued.is_empty(), "{requeued:?}");
        }
    }
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
        tag: Name::new("tag 1").expect("short"),
        no_ack: true,
        exclusive: false,
        prefetch: 0,
        channel_credit: None,
        priority: 0,
        timeout: None,
        offset: Default::default(),
        filter: None,
        offset_name: None,
        reader: 0,
    };
    let consume = Command::Consume(HOLDER, Arc::clone(&consumed), new);
    let events = running.tell(&consumed, consume);
    let count: u32 = events
        .iter()
        .map(|event| match event {
            Event::Deliveries(runs) => runs.iter().map(|(_, run)| run.count).sum(),
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
