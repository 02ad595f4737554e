//! A broker without threads, and connections to it without sockets.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use amq_protocol::protocol::{channel, connection};
use amq_protocol::types::FieldTable;
use leveret_amqp::connection::Connection;
use leveret_amqp::settings::{AmqpSettings, Peer};
use leveret_broker::backing::Backing;
use leveret_broker::broker::{Broker, BrokerSettings};
use leveret_broker::command::Command;
use leveret_broker::shard::Shard;
use leveret_broker::users::{PasswordHash, Permission, User, UserDirectory, Users};
use leveret_message::name::Name;
use leveret_tests::client::{Frame, Method};

use crate::workload::Workload;

/// A `basic.ack` on channel 1, up to its delivery tag, and how long it is.
const CONFIRM: [u8; 11] = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80];
const CONFIRM_LEN: usize = 21;

/// A broker and its shards, as on a machine with two cores.
pub(crate) struct Machine {
    broker: Arc<Broker>,
    settings: Arc<AmqpSettings>,
    shards: Vec<Shard>,
    commands: Vec<Command>,
    pub(crate) now: Instant,
}

impl Machine {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn turn_shards(&mut self) -> bool {
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
    pub(crate) fn pass_time(&mut self) {
        let deadline = self.shards.iter().filter_map(Shard::next_deadline).min();
        self.now = deadline.expect("something moves, or is due later");
        for shard in &mut self.shards {
            shard.turn(std::iter::empty(), self.now);
        }
    }

    /// A connection with channel 1 open.
    pub(crate) fn client(&mut self) -> Client {
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
    pub(crate) fn ask(&mut self, client: &mut Client, mut input: &[u8]) {
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

    pub(crate) fn declare(&mut self, client: &mut Client, workload: Workload) {
        self.ask(client, &workload.declarations());
        assert!(client.out.is_empty(), "nothing was refused");
    }
}

/// A connection, and what it wrote.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) out: Vec<u8>,
}

impl Client {
    /// Takes events and writes.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let heard = self.connection.poll_events(&mut context, now).is_ready();
        let before = self.out.len();
        self.connection.write_to(&mut self.out, now);
        heard | (self.out.len() > before)
    }

    /// Takes what a publisher is told, which can only be confirms; up to which message there are some now.
    pub(crate) fn take_confirms(&mut self, before: u64) -> u64 {
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

/// A frame with a method.
pub(crate) fn method(channel: u16, method: impl Method) -> Vec<u8> {
    Frame::method(channel, &method.into_class()).encode()
}
