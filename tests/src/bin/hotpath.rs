//! Moves messages through connections and shards in one thread, without sockets, tasks or a clock: what `cargo xtask ratchet` measures.
//!
//! `hotpath WORKLOAD COUNT` publishes COUNT messages: `no-ack`, `manual-ack` (acks of 100 at a time, prefetch 1000), `fanout-10` (a fanout
//! exchange, ten queues, a connection for each), `body-1k`, or `queues-1000` (persistent messages into a thousand durable queues in turn, with
//! confirms, one connection that consumes from all of them with acks of 100 at a time); bodies have 16 bytes but for `body-1k`. What comes out is held
//! against what has to come out, to the byte. The last line is `allocations N`: how often the whole run asked the allocator for memory. The same arguments take the
//! same steps each time, so the numbers only change with the code.

use std::alloc::System;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, channel, confirm, connection, exchange, queue};
use amq_protocol::types::FieldTable;
use leveret_amqp::connection::Connection;
use leveret_amqp::settings::{AmqpSettings, Peer};
use leveret_broker::backing::Backing;
use leveret_broker::broker::{Broker, BrokerSettings};
use leveret_broker::command::Command;
use leveret_broker::shard::Shard;
use leveret_broker::users::{PasswordHash, Permission, User, UserDirectory, Users};
use leveret_message::name::Name;
use leveret_tests::client::{Frame, Kind, Method, header_payload};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much one read of the publisher's socket takes.
const READ_SIZE: usize = 64 * 1024;

/// Deliveries that one ack settles, where there are acks.
const ACKED_AT_ONCE: u64 = 100;

/// A `basic.ack` on channel 1, up to its delivery tag, and how long it is.
const CONFIRM: [u8; 11] = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80];
const CONFIRM_LEN: usize = 21;

/// Unacked deliveries that a consumer takes, where there are acks.
const PREFETCH: u16 = 1000;

/// What is published, and who takes it.
#[derive(Clone, Copy)]
struct Workload {
    exchange: &'static str,
    queues: usize,
    body: usize,
    acks: bool,
    /// Whether messages go to one queue after the other, are persistent and confirmed, and one connection consumes from all queues.
    spread: bool,
}

impl Workload {
    fn named(name: &str) -> Option<Self> {
        let plain = Self {
            exchange: "",
            queues: 1,
            body: 16,
            acks: false,
            spread: false,
        };
        match name {
            "no-ack" => Some(plain),
            "manual-ack" => Some(Self {
                acks: true,
                ..plain
            }),
            "fanout-10" => Some(Self {
                exchange: "fan",
                queues: 10,
                ..plain
            }),
            "body-1k" => Some(Self {
                body: 1024,
                ..plain
            }),
            "queues-1000" => Some(Self {
                queues: 1000,
                acks: true,
                spread: true,
                ..plain
            }),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [workload, count] => Workload::named(workload).zip(count.parse().ok()),
        _ => None,
    };
    let Some((workload, count)) = parsed else {
        let usage = "hotpath no-ack|manual-ack|fanout-10|body-1k|queues-1000 COUNT";
        // Nothing is left to do if this cannot be written.
        let _ = writeln!(io::stderr(), "usage: {usage}");
        return ExitCode::from(2);
    };
    run(workload, count);
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations + stats.reallocations;
    match writeln!(io::stdout(), "allocations {allocations}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(workload: Workload, count: u64) {
    let mut machine = Machine::new();
    let mut producer = machine.client();
    machine.declare(&mut producer, workload);
    let mut consumers: Vec<Consumer> = if workload.spread {
        let all = (0..workload.queues).collect();
        vec![Consumer::start(&mut machine, workload, all)]
    } else {
        (0..workload.queues)
            .map(|queue| Consumer::start(&mut machine, workload, vec![queue]))
            .collect()
    };
    let mut stream = Stream::new(&publishes(workload), count);
    let mut confirmed = 0;
    let taken = |consumers: &[Consumer]| consumers.iter().map(|c| c.taken).sum::<u64>();
    while taken(&consumers) < count * consumers.len() as u64 {
        let mut moves = stream.feed(&mut producer, machine.now);
        moves |= machine.turn_shards();
        for consumer in &mut consumers {
            moves |= consumer.turn(machine.now);
        }
        producer.poll(machine.now);
        confirmed = producer.take_confirms(confirmed);
        if !moves {
            machine.pass_time();
        }
    }
    assert!(stream.is_used_up(), "more came than was published");
    let all = if workload.spread { count } else { 0 };
    assert_eq!(
        confirmed, all,
        "each message is confirmed, where that is asked"
    );
    for consumer in &mut consumers {
        assert_eq!(consumer.taken, count, "each queue gets every message");
        consumer.end(&mut machine);
    }
}

/// A broker and its shards, as on a machine with two cores.
struct Machine {
    broker: Arc<Broker>,
    settings: Arc<AmqpSettings>,
    shards: Vec<Shard>,
    commands: Vec<Command>,
    now: Instant,
}

impl Machine {
    fn new() -> Self {
        let name = |text| Name::new(text).expect("short");
        let mut users = UserDirectory::default();
        users.put_user(User {
            name: name("guest"),
            tags: Box::default(),
            password: Some(PasswordHash::new(b"guest")),
            limits: Default::default(),
        });
        let permission = Permission::new(".*", ".*", ".*").expect("patterns are valid");
        users.put_permission(name("guest"), name("/"), permission);
        let settings = BrokerSettings {
            node: "leveret@test".to_owned(),
            os_vhosts: Vec::new(),
            vhosts: vec![name("/")],
            users: Users::new(users),
            queued_bytes_budget: usize::MAX,
            queued_bytes_max: 256 * 1024 * 1024,
            consumer_timeout: None,
        };
        let made = Broker::new(settings, Backing::memory(2));
        let (broker, shards) = made.expect("nothing was there");
        Self {
            broker,
            settings: Arc::new(AmqpSettings::default()),
            shards,
            commands: Vec::new(),
            now: Instant::now(),
        }
    }

    fn turn_shards(&mut self) -> bool {
        let mut moves = false;
        for shard in &mut self.shards {
            let mailbox = self.broker.shards.mailbox(shard.id());
            if mailbox.take(&mut self.commands) {
                shard.turn(self.commands.drain(..), self.now);
                moves = true;
            }
        }
        moves
    }

    /// Nothing moves: a shard holds allowance back for a while.
    fn pass_time(&mut self) {
        let deadline = self.shards.iter().filter_map(Shard::next_deadline).min();
        self.now = deadline.expect("something moves, or is due later");
        for shard in &mut self.shards {
            shard.turn(std::iter::empty(), self.now);
        }
    }

    /// A connection with channel 1 open.
    fn client(&mut self) -> Client {
        let peer = Peer {
            name: "hotpath".to_owned(),
            is_loopback: true,
            ..Peer::default()
        };
        let (broker, settings) = (Arc::clone(&self.broker), Arc::clone(&self.settings));
        let mut client = Client {
            connection: Connection::new(broker, settings, peer, self.now),
            out: Vec::new(),
        };
        let start_ok = connection::StartOk {
            client_properties: FieldTable::default(),
            mechanism: "PLAIN".into(),
            response: "\0guest\0guest".into(),
            locale: "en_US".into(),
        };
        let tune_ok = connection::TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 0,
        };
        let open = connection::Open {
            virtual_host: "/".into(),
        };
        let mut hello = b"AMQP\x00\x00\x09\x01".to_vec();
        hello.extend(method(0, start_ok));
        hello.extend(method(0, tune_ok));
        hello.extend(method(0, open));
        hello.extend(method(1, channel::Open {}));
        self.ask(&mut client, &hello);
        let open_ok = method(1, channel::OpenOk {});
        assert!(client.out.ends_with(&open_ok), "the channel is open");
        client.out.clear();
        client
    }

    /// Feeds a client and runs the shards until nothing moves; the answers are in `out`.
    fn ask(&mut self, client: &mut Client, mut input: &[u8]) {
        loop {
            let used = client.connection.input(input, self.now);
            input = input.get(used..).unwrap_or_default();
            let moves = self.turn_shards() | client.poll(self.now) | (used > 0);
            if !moves {
                break;
            }
        }
        assert!(input.is_empty(), "all of it was taken");
    }

    fn declare(&mut self, client: &mut Client, workload: Workload) {
        let mut input = Vec::new();
        if !workload.exchange.is_empty() {
            input.extend(method(
                1,
                exchange::Declare {
                    exchange: workload.exchange.into(),
                    kind: "fanout".into(),
                    passive: false,
                    durable: false,
                    auto_delete: false,
                    internal: false,
                    nowait: true,
                    arguments: FieldTable::default(),
                },
            ));
        }
        for index in 0..workload.queues {
            let options = queue_declare(workload, index);
            input.extend(method(1, options));
            if !workload.exchange.is_empty() {
                let bind = queue::Bind {
                    queue: queue_name(workload, index).into(),
                    exchange: workload.exchange.into(),
                    routing_key: "q0".into(),
                    nowait: true,
                    arguments: FieldTable::default(),
                };
                input.extend(method(1, bind));
            }
        }
        if workload.spread {
            input.extend(method(1, confirm::Select { nowait: true }));
        }
        self.ask(client, &input);
        assert!(client.out.is_empty(), "nothing was refused");
    }
}

/// Names of the queues of a workload are equally long, and so are tags of consumers, which are called as their queues.
fn queue_name(workload: Workload, index: usize) -> String {
    if workload.spread {
        format!("q{index:03}")
    } else {
        format!("q{index}")
    }
}

fn routing_key(workload: Workload, index: usize) -> String {
    let named = if workload.spread { index } else { 0 };
    queue_name(workload, named)
}

fn queue_declare(workload: Workload, index: usize) -> queue::Declare {
    queue::Declare {
        queue: queue_name(workload, index).into(),
        passive: false,
        durable: workload.spread,
        exclusive: false,
        auto_delete: false,
        nowait: true,
        arguments: FieldTable::default(),
    }
}

/// A connection, and what it wrote.
struct Client {
    connection: Connection,
    out: Vec<u8>,
}

impl Client {
    /// Takes events and writes.
    fn poll(&mut self, now: Instant) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let heard = self.connection.poll_events(&mut context, now).is_ready();
        let before = self.out.len();
        self.connection.write_to(&mut self.out, now);
        heard | (self.out.len() > before)
    }

    /// Takes what a publisher is told, which can only be confirms; up to which message there are some now.
    fn take_confirms(&mut self, before: u64) -> u64 {
        let last = self.out.chunks(CONFIRM_LEN).fold(before, |last, frame| {
            let tag = frame
                .strip_prefix(&CONFIRM)
                .and_then(|rest| rest.first_chunk());
            let tag = u64::from_be_bytes(*tag.expect("a publisher is told of confirms alone"));
            assert!(tag > last, "confirms rise");
            tag
        });
        self.out.clear();
        last
    }
}

fn method(channel: u16, method: impl Method) -> Vec<u8> {
    Frame::method(channel, &method.into_class()).encode()
}

fn body(workload: Workload) -> Vec<u8> {
    (b'a'..=b'p').cycle().take(workload.body).collect()
}

/// Header and body frame of a message.
fn content(workload: Workload) -> Vec<u8> {
    let mut properties = AMQPProperties::default();
    if workload.spread {
        properties = properties.with_delivery_mode(2);
    }
    let header = header_payload(workload.body as u64, &properties);
    let mut content = Frame::new(Kind::Header, 1, header).encode();
    content.extend(Frame::new(Kind::Body, 1, body(workload)).encode());
    content
}

/// One message for each queue that is published to.
fn publishes(workload: Workload) -> Vec<Vec<u8>> {
    let targets = if workload.spread { workload.queues } else { 1 };
    let publish = |index| {
        let publish = basic::Publish {
            exchange: workload.exchange.into(),
            routing_key: routing_key(workload, index).into(),
            mandatory: false,
            immediate: false,
        };
        let mut octets = method(1, publish);
        octets.extend(content(workload));
        octets
    };
    (0..targets).map(publish).collect()
}

/// The same messages again and again, in reads of one size.
struct Stream {
    /// All messages in turn, as often as one read and some more needs.
    pattern: Vec<u8>,
    /// How long all of them are.
    period: usize,
    /// Bytes that have not been read.
    unread: usize,
    /// Where in the pattern the next read begins.
    at: usize,
    /// What was read: from `used` on, what the connection has not taken.
    buffer: Vec<u8>,
    used: usize,
}

impl Stream {
    fn new(messages: &[Vec<u8>], count: u64) -> Self {
        let (period, of) = (messages.concat(), messages.len() as u64);
        assert_eq!(count % of, 0, "each queue gets equally many");
        Self {
            pattern: period.repeat(READ_SIZE / period.len() + 2),
            period: period.len(),
            unread: period.len() * (count / of) as usize,
            at: 0,
            buffer: Vec::with_capacity(2 * READ_SIZE),
            used: 0,
        }
    }

    fn is_used_up(&self) -> bool {
        self.unread == 0 && self.used == self.buffer.len()
    }

    /// One read, as long as the publisher's connection takes it.
    fn feed(&mut self, producer: &mut Client, now: Instant) -> bool {
        if self.is_used_up() || !producer.connection.takes_input() {
            return false;
        }
        self.buffer.drain(..self.used);
        let len = READ_SIZE.min(self.unread);
        let read = self.pattern.get(self.at..self.at + len);
        self.buffer.extend_from_slice(read.expect("a read fits"));
        self.at = (self.at + len) % self.period;
        self.unread -= len;
        self.used = producer.connection.input(&self.buffer, now);
        self.used > 0
    }
}

/// A connection with a consumer on each of its queues.
struct Consumer {
    client: Client,
    workload: Workload,
    queues: Vec<usize>,
    /// For each of the queues a delivery as it has to be.
    deliveries: Vec<Vec<u8>>,
    /// Where the tag stands in all of them.
    tag_at: usize,
    /// Which queue the next delivery is probably from.
    next: usize,
    /// Deliveries so far.
    taken: u64,
    acked: u64,
    input: Vec<u8>,
}

impl Consumer {
    fn start(machine: &mut Machine, workload: Workload, queues: Vec<usize>) -> Self {
        let mut client = machine.client();
        let qos = basic::Qos {
            prefetch_count: PREFETCH,
            global: false,
        };
        let mut input = method(1, qos);
        for queue in &queues {
            let consume = basic::Consume {
                queue: queue_name(workload, *queue).into(),
                consumer_tag: queue_name(workload, *queue).into(),
                no_local: false,
                no_ack: !workload.acks,
                exclusive: false,
                nowait: false,
                arguments: FieldTable::default(),
            };
            input.extend(method(1, consume));
        }
        machine.ask(&mut client, &input);
        let consume_ok = basic::ConsumeOk {
            consumer_tag: queue_name(workload, queues[queues.len() - 1]).into(),
        };
        assert!(client.out.ends_with(&method(1, consume_ok)), "it consumes");
        client.out.clear();
        let deliveries: Vec<Vec<u8>> = queues
            .iter()
            .map(|queue| delivery(workload, *queue, u64::MAX))
            .collect();
        let tag_at = deliveries[0]
            .windows(8)
            .position(|octets| octets == [0xff; 8]);
        Self {
            client,
            workload,
            queues,
            deliveries,
            tag_at: tag_at.expect("a delivery has a tag"),
            next: 0,
            taken: 0,
            acked: 0,
            input: Vec::new(),
        }
    }

    /// Takes what came and acks what it has to.
    fn turn(&mut self, now: Instant) -> bool {
        if !self.client.poll(now) {
            return false;
        }
        self.take_deliveries();
        if self.workload.acks {
            while self.taken - self.acked >= ACKED_AT_ONCE {
                self.ack(ACKED_AT_ONCE);
            }
            self.send(now);
        }
        true
    }

    fn take_deliveries(&mut self) {
        let len = self.deliveries[0].len();
        for delivery in self.client.out.chunks(len) {
            self.taken += 1;
            // The order among queues is the broker's; most often the queues follow each other.
            if !self.is_from(self.next, delivery) {
                let mut all = (self.next..self.deliveries.len()).chain(0..self.next);
                let from = all.find(|queue| self.is_from(*queue, delivery));
                self.next =
                    from.unwrap_or_else(|| panic!("delivery {} is as published", self.taken));
            }
            self.next += 1;
            if self.next == self.deliveries.len() {
                self.next = 0;
            }
        }
        self.client.out.clear();
    }

    /// Whether a delivery is the next one as it has to be from a queue.
    fn is_from(&self, queue: usize, delivery: &[u8]) -> bool {
        let (before, after) = self.deliveries[queue].split_at(self.tag_at);
        let after = after.split_at(8).1;
        let rest = delivery.strip_prefix(before);
        let rest = rest.and_then(|rest| rest.strip_prefix(&self.taken.to_be_bytes()));
        rest == Some(after)
    }

    fn ack(&mut self, count: u64) {
        self.acked += count;
        self.input.extend([1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80]);
        self.input.extend(self.acked.to_be_bytes());
        self.input.extend([1, 0xce]);
    }

    fn send(&mut self, now: Instant) {
        if !self.input.is_empty() {
            let used = self.client.connection.input(&self.input, now);
            assert_eq!(used, self.input.len(), "acks are always taken");
            self.input.clear();
        }
    }

    /// Acks what is left, and looks whether the queues are empty.
    fn end(&mut self, machine: &mut Machine) {
        if self.workload.acks && self.taken > self.acked {
            self.ack(self.taken - self.acked);
            self.send(machine.now);
        }
        for queue in self.queues.clone() {
            self.client.out.clear();
            let delete = queue::Delete {
                queue: queue_name(self.workload, queue).into(),
                if_unused: false,
                if_empty: true,
                nowait: false,
            };
            machine.ask(&mut self.client, &method(1, delete));
            let delete_ok = method(1, queue::DeleteOk { message_count: 0 });
            let answered = self.client.out.starts_with(&delete_ok);
            assert!(answered, "the queue is empty");
        }
        machine.now += Duration::from_secs(1);
    }
}

fn delivery(workload: Workload, queue: usize, delivery_tag: u64) -> Vec<u8> {
    let deliver = basic::Deliver {
        consumer_tag: queue_name(workload, queue).into(),
        delivery_tag,
        redelivered: false,
        exchange: workload.exchange.into(),
        routing_key: routing_key(workload, queue).into(),
    };
    let mut octets = method(1, deliver);
    octets.extend(content(workload));
    octets
}
