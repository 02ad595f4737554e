//! Connections and shards in one thread, without sockets, tasks or a clock: what one writes, the next one takes, until nothing moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use leveret_amqp::connection::{Connection, Due};
use leveret_amqp::settings::{AmqpSettings, Peer};
use leveret_broker::backing::Backing;
use leveret_broker::broker::{Broker, BrokerSettings};
use leveret_broker::shard::Shard;
use leveret_broker::users::{PasswordHash, Permission, User, UserDirectory, Users};
use leveret_message::name::Name;

/// Deadlines looked after in one advance of the clock; more means that one never moves on.
const DEADLINES_MAX: usize = 10_000;

/// A broker, its shards and the connections to it.
pub(crate) struct Sockets {
    pub(crate) broker: Arc<Broker>,
    pub(crate) settings: AmqpSettings,
    shards: Vec<Shard>,
    sockets: BTreeMap<u32, Socket>,
    now: Instant,
}

/// One side of a socket: what was sent and not taken, what came back and was not looked at.
struct Socket {
    connection: Connection,
    input: Vec<u8>,
    /// Whether `input` has something that the connection has not seen.
    fresh: bool,
    output: Vec<u8>,
    closed: bool,
}

/// Name, tags, and what is configured, written and read.
type UserOfTests = (
    &'static str,
    &'static [&'static str],
    Option<[&'static str; 3]>,
);

/// The users of the scripts, with name as password, and what each may do in `/`.
const USERS: [UserOfTests; 4] = [
    ("guest", &["administrator"], Some([".*", ".*", ".*"])),
    // May do everything with what begins with `own-`, and publish to `amq.direct`.
    (
        "limited",
        &[],
        Some(["^own-", "^(own-|amq\\.direct$)", "^own-"]),
    ),
    ("stranger", &[], None),
    ("double", &["impersonator"], Some([".*", ".*", ".*"])),
];

fn name(text: &str) -> Name {
    Name::new(text).expect("names of the tests are short")
}

fn users() -> Users {
    let mut directory = UserDirectory::default();
    for (user, tags, permission) in USERS {
        directory.put_user(User {
            name: name(user),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            password: Some(PasswordHash::new(user.as_bytes())),
            limits: Default::default(),
        });
        if let Some([configure, write, read]) = permission {
            let permission = Permission::new(configure, write, read).expect("patterns are valid");
            directory.put_permission(name(user), name("/"), permission);
        }
    }
    Users::new(directory)
}

impl Sockets {
    /// A new broker with two shards and the vhosts `/` and `other`.
    pub(crate) fn new() -> Self {
        let settings = BrokerSettings {
            node: "leveret@test".to_owned(),
            os_vhosts: Vec::new(),
            vhosts: vec![name("/"), name("other")],
            users: users(),
            queued_bytes_budget: usize::MAX,
            queued_bytes_max: 64 * 1024 * 1024,
            consumer_timeout: None,
        };
        let made = Broker::new(settings, Backing::memory(2));
        let (broker, shards) = made.expect("nothing was there");
        let settings = AmqpSettings {
            version: "1.2.3".to_owned(),
            ..AmqpSettings::default()
        };
        Self {
            broker,
            settings,
            shards,
            sockets: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    /// A new socket; one of that number that was closed is replaced.
    pub(crate) fn accept(&mut self, number: u32, is_loopback: bool) {
        let peer = Peer {
            name: format!("script {number}"),
            is_loopback,
            ..Peer::default()
        };
        let settings = Arc::new(self.settings.clone());
        let connection = Connection::new(Arc::clone(&self.broker), settings, peer, self.now);
        let (input, output) = (Vec::new(), Vec::new());
        let socket = Socket {
            connection,
            input,
            fresh: false,
            output,
            closed: false,
        };
        self.sockets.insert(number, socket);
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.sockets.contains_key(&number)
    }

    /// Sends octets.
    pub(crate) fn send(&mut self, number: u32, bytes: &[u8]) -> Result<(), String> {
        self.send_all(&[(number, bytes.to_vec())])
    }

    /// Sends octets to several connections, which read them before any shard runs.
    pub(crate) fn send_all(&mut self, all: &[(u32, Vec<u8>)]) -> Result<(), String> {
        for (number, bytes) in all {
            let socket = self.sockets.get_mut(number).ok_or("no such socket")?;
            if socket.closed {
                return Err("the broker has closed the socket".to_owned());
            }
            socket.input.extend_from_slice(bytes);
            socket.fresh = true;
        }
        self.settle();
        Ok(())
    }

    /// Closes the client's side without a word.
    pub(crate) fn lose(&mut self, number: u32) -> Result<(), String> {
        let mut socket = self.sockets.remove(&number).ok_or("no such socket")?;
        socket.connection.abandon();
        self.settle();
        Ok(())
    }

    /// What came back on each socket since the last time, and whether it was closed then.
    pub(crate) fn received(&mut self) -> Vec<(u32, Vec<u8>, bool)> {
        let mut received = Vec::new();
        for (number, socket) in &mut self.sockets {
            let bytes = std::mem::take(&mut socket.output);
            let ended = socket.connection.is_over() && !socket.closed;
            if ended {
                socket.closed = true;
                socket.connection.abandon();
            }
            if ended || !bytes.is_empty() {
                received.push((*number, bytes, ended));
            }
        }
        received
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<(), String> {
        let until = self.now + by;
        for _ in 0..DEADLINES_MAX {
            let live = self.sockets.values().filter(|socket| socket.is_live());
            let connections = live.filter_map(|socket| socket.connection.next_deadline());
            let shards = self.shards.iter().filter_map(Shard::next_deadline);
            let Some(next) = connections
                .chain(shards)
                .min()
                .filter(|next| *next <= until)
            else {
                self.now = until;
                return Ok(());
            };
            self.now = next.max(self.now);
            self.look_after_deadlines();
            self.settle();
        }
        Err("a deadline never moves on".to_owned())
    }

    fn look_after_deadlines(&mut self) {
        let now = self.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        for socket in self.sockets.values_mut().filter(|socket| socket.is_live()) {
            if due(socket.connection.next_deadline())
                && socket.connection.on_deadline(now) == Due::Drop
            {
                socket.connection.abandon();
            }
        }
        for shard in &mut self.shards {
            if due(shard.next_deadline()) {
                shard.turn(std::iter::empty(), now);
            }
        }
    }

    /// Runs connections and shards until nothing moves.
    pub(crate) fn settle(&mut self) {
        let mut commands = Vec::new();
        let mut moves = true;
        while moves {
            moves = false;
            for shard in &mut self.shards {
                if self.broker.shards.mailbox(shard.id()).take(&mut commands) {
                    shard.turn(commands.drain(..), self.now);
                    moves = true;
                }
            }
            for socket in self.sockets.values_mut().filter(|socket| !socket.closed) {
                moves |= socket.turn(self.now);
            }
        }
    }
}

impl Socket {
    fn is_live(&self) -> bool {
        !self.closed && !self.connection.is_over()
    }

    /// As the shell of a connection does it: events, input, output.
    fn turn(&mut self, now: Instant) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut moves = self.connection.poll_events(&mut context, now).is_ready();
        if self.fresh && self.connection.takes_input() {
            let used = self.connection.input(&self.input, now);
            self.input.drain(..used);
            self.fresh = !self.input.is_empty() && !self.connection.takes_input();
            moves = true;
        }
        let before = self.output.len();
        self.connection.write_to(&mut self.output, now);
        moves | (self.output.len() > before)
    }
}
