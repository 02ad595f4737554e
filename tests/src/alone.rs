//! A broker for tests that would be in the way of all others: of the same kind as the broker under test, and with alarms that can be raised.
//!
//! It is Leveret. Where `LEVERET_TEST_ADDR` names the broker under test, `LEVERET_TEST_ALONE=rabbitmq` says that it is a RabbitMQ to be started.
//! There is one for this process, and one test has it at a time.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::broker::{self, ADDRESS_VARIABLE, Broker};
use crate::rabbitmq::RabbitMq;

/// Says of which kind the broker is, where the one under test has a name.
pub const ALONE_VARIABLE: &str = "LEVERET_TEST_ALONE";

/// The kind that is not Leveret.
pub const RABBITMQ: &str = "rabbitmq";

/// The broker, while one test has it.
pub struct Alone {
    node: &'static Node,
    _turn: MutexGuard<'static, ()>,
}

enum Node {
    Leveret(Broker),
    RabbitMq(RabbitMq),
}

/// An alarm that is on. It ends with this value.
pub struct Alarm<'a> {
    node: &'a Node,
    resource: &'static str,
}

impl Alone {
    /// Waits until no other test has the broker, and starts it if need be.
    pub fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static NODE: OnceLock<Node> = OnceLock::new();
        // A test that failed has ended its alarms.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            node: NODE.get_or_init(Node::start),
            _turn: turn,
        }
    }

    /// Where it speaks AMQP.
    pub fn amqp(&self) -> SocketAddr {
        match self.node {
            Node::Leveret(broker) => broker.amqp,
            Node::RabbitMq(node) => node.amqp,
        }
    }

    /// Raises the alarm of `memory` or `disk`, and returns when the broker knows.
    pub fn raise(&self, resource: &'static str) -> Alarm<'_> {
        let term =
            format!("rabbit_alarm:set_alarm({{{{resource_limit, {resource}, node()}}, []}}).");
        self.node.eval(&term);
        Alarm {
            node: self.node,
            resource,
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let resource = self.resource;
        let term = format!("rabbit_alarm:clear_alarm({{resource_limit, {resource}, node()}}).");
        self.node.eval(&term);
    }
}

impl Node {
    fn start() -> Self {
        let kind = std::env::var(ALONE_VARIABLE).unwrap_or_default();
        if kind == RABBITMQ {
            return Self::RabbitMq(RabbitMq::start_plain().expect("RabbitMQ is installed"));
        }
        let is_named = std::env::var_os(ADDRESS_VARIABLE).is_some();
        assert!(!is_named, "{ALONE_VARIABLE} is to be set as well");
        Self::Leveret(Broker::start(&broker::binary(), &[]))
    }

    /// Has the broker carry out what operators of RabbitMQ say in Erlang.
    fn eval(&self, term: &str) {
        let output = match self {
            Self::RabbitMq(node) => node.control(&["eval", term]),
            Self::Leveret(node) => {
                let url = format!("http://guest:guest@{}", node.management);
                Command::new(broker::binary())
                    .args(["rabbitmqctl", "eval", term])
                    .env("LEVERET_MANAGEMENT_URL", url)
                    .stdin(Stdio::null())
                    .output()
            }
        };
        let output = output.expect("the program runs");
        // In the middle of another failure there is nothing to add.
        let is_fine = output.status.success() || std::thread::panicking();
        assert!(is_fine, "{term}: {output:?}");
    }
}
