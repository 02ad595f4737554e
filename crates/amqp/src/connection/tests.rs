//! Connections whose peer reads little or nothing: what the scripts cannot say, since there everything is read.

use std::task::Context;

use leveret_broker::backing::Backing;
use leveret_broker::broker::BrokerSettings;
use leveret_broker::shard::Shard;
use leveret_broker::users::{PasswordHash, Permission, User, UserDirectory, Users};
use leveret_message::name::Name;
use leveret_wire::protocol::{basic, channel, confirm, queue};
use leveret_wire::types::{FieldTable, ShortString};

use super::*;

mod described;
mod kept;
mod unread;

/// A connection that is open with channel 1, the queue `q` and a consumer of it, and its shard.
struct Stage {
    connection: Connection,
    shard: Shard,
    broker: Arc<Broker>,
    now: Instant,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("short")
}

fn users() -> Users {
    let mut directory = UserDirectory::default();
    directory.put_user(User {
        name: name("guest"),
        tags: Box::default(),
        password: Some(PasswordHash::new(b"guest")),
        limits: Default::default(),
    });
    let everything = Permission::new(".*", ".*", ".*").expect("patterns are valid");
    directory.put_permission(name("guest"), name("/"), everything);
    Users::new(directory)
}

/// A broker with the user `guest`, and its one shard.
pub(crate) fn broker() -> (Arc<Broker>, Shard) {
    broker_on(Backing::memory(1))
}

fn broker_on(backing: Backing) -> (Arc<Broker>, Shard) {
    let settings = BrokerSettings {
        node: "leveret@test".to_owned(),
        os_vhosts: Vec::new(),
        vhosts: vec![name("/")],
        users: users(),
        queued_bytes_budget: usize::MAX,
        queued_bytes_max: 64 * 1024 * 1024,
        consumer_timeout: None,
    };
    let made = Broker::new(settings, backing);
    let (broker, mut shards) = made.expect("nothing was there");
    (broker, shards.pop().expect("there is one"))
}

pub(crate) fn peer() -> Peer {
    Peer {
        name: "test".to_owned(),
        is_loopback: true,
        ..Peer::default()
    }
}

/// What a client says from the protocol header to `channel.open`, a piece for each answer that it waits for.
pub(crate) fn opening(heartbeat: u16) -> Vec<Vec<u8>> {
    use connection_class::{AMQPMethod, Open, StartOk, TuneOk};
    let mut said = vec![b"AMQP\x00\x00\x09\x01".to_vec()];
    for method in [
        AMQPMethod::StartOk(StartOk {
            client_properties: FieldTable::default(),
            mechanism: ShortString::from("PLAIN"),
            response: "\0guest\0guest".into(),
            locale: ShortString::from("en_US"),
        }),
        AMQPMethod::TuneOk(TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat,
        }),
        AMQPMethod::Open(Open {
            virtual_host: ShortString::from("/"),
        }),
    ] {
        said.push(method_bytes(0, AMQPClass::Connection(method)));
    }
    let open = channel::AMQPMethod::Open(channel::Open {});
    said.push(method_bytes(1, AMQPClass::Channel(open)));
    said
}

fn method_bytes(channel: u16, method: AMQPClass) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::method(&mut bytes, channel, method);
    bytes
}

/// `basic.publish` on channel 1 with its content.
pub(crate) fn published(routing_key: &str, mandatory: bool, body: &[u8]) -> Vec<u8> {
    let publish = basic::AMQPMethod::Publish(basic::Publish {
        exchange: ShortString::from(""),
        routing_key: ShortString::from(routing_key),
        mandatory,
        immediate: false,
    });
    let mut bytes = method_bytes(1, AMQPClass::Basic(publish));
    encode::content_header(&mut bytes, 1, body.len() as u64, &[0, 0]);
    encode::body(&mut bytes, 1, body, 131_072);
    bytes
}

impl Stage {
    fn new(heartbeat: u16) -> Self {
        let mut stage = Self::open(heartbeat, broker());
        stage.consume();
        stage
    }

    /// Without queue and consumer.
    fn open(heartbeat: u16, (broker, shard): (Arc<Broker>, Shard)) -> Self {
        let settings = Arc::new(AmqpSettings {
            outbox_bytes_max: 64 * 1024,
            ..AmqpSettings::default()
        });
        let now = Instant::now();
        let connection = Connection::new(Arc::clone(&broker), settings, peer(), now);
        let mut stage = Self {
            connection,
            shard,
            broker,
            now,
        };
        for piece in opening(heartbeat) {
            stage.input(&piece);
        }
        stage
    }

    fn consume(&mut self) {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: ShortString::from("q"),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.say(1, AMQPClass::Queue(declare));
        let consume = basic::AMQPMethod::Consume(basic::Consume {
            queue: ShortString::from("q"),
            consumer_tag: ShortString::from("c"),
            no_local: false,
            no_ack: true,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.say(1, AMQPClass::Basic(consume));
        self.take(usize::MAX);
    }

    fn input(&mut self, bytes: &[u8]) {
        assert!(self.connection.takes_input());
        let used = self.connection.input(bytes, self.now);
        assert_eq!(used, bytes.len());
        self.settle();
    }

    fn say(&mut self, channel: u16, method: AMQPClass) {
        self.input(&method_bytes(channel, method));
    }

    fn publish(&mut self, routing_key: &str, mandatory: bool, body: &[u8]) {
        self.input(&published(routing_key, mandatory, body));
    }

    /// Runs the shard and takes its events until nothing moves. What the connection has to say stays where it is.
    fn settle(&mut self) {
        let mut commands = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            let told = self
                .broker
                .shards
                .mailbox(self.shard.id())
                .take(&mut commands);
            self.shard.turn(commands.drain(..), self.now);
            let heard = self.connection.poll_events(&mut context, self.now);
            if !told && heard.is_pending() {
                return;
            }
        }
    }

    /// The socket takes up to so many bytes.
    fn take(&mut self, most: usize) {
        let count = most.min(self.connection.output().len());
        self.connection.output().advance(count);
        self.connection.written(self.now);
        self.settle();
    }

    /// Lets time pass until `close-ok` waits to be written.
    fn await_close_ok(&mut self) {
        assert!(!self.is_dropped_within(Duration::from_millis(1)));
        assert!(!self.connection.output().is_empty());
    }

    /// Looks after every deadline up to `by` from now; whether the connection was dropped.
    fn is_dropped_within(&mut self, by: Duration) -> bool {
        let until = self.now + by;
        while let Some(next) = self.connection.next_deadline() {
            if next > until {
                break;
            }
            self.now = next.max(self.now);
            if self.connection.on_deadline(self.now) == Due::Drop {
                return true;
            }
        }
        self.now = until;
        false
    }
}

/// Fills the output until nothing more is read: with messages that no queue takes.
fn fill(stage: &mut Stage) {
    let body = vec![7; 100_000];
    while stage.connection.takes_input() {
        stage.publish("nowhere", true, &body);
    }
    assert!(stage.connection.output().len() >= OUTPUT_MAX);
}

fn close() -> AMQPClass {
    AMQPClass::Connection(connection_class::AMQPMethod::Close(
        connection_class::Close {
            reply_code: 200,
            reply_text: ShortString::from("bye"),
            class_id: 0,
            method_id: 0,
        },
    ))
}

#[test]
fn who_closes_over_and_over_is_dropped() {
    let mut stage = Stage::new(0);
    for _ in 0..50 {
        stage.say(0, close());
        stage.await_close_ok();
        stage.take(usize::MAX);
        assert!(!stage.is_dropped_within(Duration::from_millis(199)));
    }
    assert!(stage.is_dropped_within(Duration::from_millis(51)));
}

#[test]
fn who_closes_and_reads_nothing_is_dropped() {
    for heartbeat in [0, 60] {
        let mut stage = Stage::new(heartbeat);
        stage.say(0, close());
        stage.await_close_ok();
        assert!(!stage.is_dropped_within(Duration::from_secs(9)));
        assert!(stage.is_dropped_within(Duration::from_secs(1)));
    }
}

#[test]
fn who_neither_reads_nor_is_read_is_dropped() {
    let mut stage = Stage::new(10);
    fill(&mut stage);
    assert!(!stage.is_dropped_within(Duration::from_secs(19)));
    assert!(stage.is_dropped_within(Duration::from_secs(1)));
}

#[test]
fn who_reads_slowly_is_not() {
    let mut stage = Stage::new(10);
    fill(&mut stage);
    for _ in 0..10 {
        assert!(!stage.is_dropped_within(Duration::from_secs(15)));
        stage.take(1);
        assert!(!stage.connection.takes_input());
    }
    assert!(!stage.is_dropped_within(Duration::from_secs(19)));
    assert!(stage.is_dropped_within(Duration::from_secs(1)));
}

#[test]
fn deliveries_follow_what_was_written_though_the_output_is_never_empty() {
    let mut stage = Stage::new(0);
    let (body, mut taken) = (vec![7; 10_000], 0);
    for _ in 0..50 {
        stage.publish("q", false, &body);
    }
    for _ in 0..1000 {
        // Something else waits whenever the socket takes more.
        stage.publish("nowhere", true, b"");
        let most = (stage.connection.output().len() - 1).min(10_000);
        taken += most;
        stage.take(most);
        assert!(!stage.connection.output().is_empty());
    }
    assert!(stage.connection.link.waiting_bytes() < body.len());
    assert!(taken > 50 * body.len());
}
