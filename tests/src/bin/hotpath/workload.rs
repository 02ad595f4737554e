//! What is published, and who takes it.

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, confirm, exchange, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Frame, Kind, header_payload, text};

use crate::machine::method;

/// Bindings of the headers exchange; a message matches the last one.
const HEADER_BINDINGS: usize = 100;

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Where messages are published, and of which type that is; the default exchange has no name.
    exchange: (&'static str, &'static str),
    pub(crate) queues: usize,
    body: usize,
    /// How many deliveries one ack settles; 0 where consumers need not ack.
    pub(crate) acked_at_once: u64,
    /// Whether messages are persistent, their queues durable, and their publisher waits for confirms.
    pub(crate) confirms: bool,
    /// Whether messages go to one queue after the other, and one connection consumes from all queues.
    pub(crate) spread: bool,
}

/// 16 bytes, transient, one queue, no-ack.
const PLAIN: Workload = Workload {
    name: "no-ack",
    exchange: ("", ""),
    queues: 1,
    body: 16,
    acked_at_once: 0,
    confirms: false,
    spread: false,
};

impl Workload {
    pub(crate) fn all() -> [Self; 8] {
        [
            PLAIN,
            Self {
                name: "manual-ack",
                acked_at_once: 100,
                ..PLAIN
            },
            Self {
                name: "ack-each",
                acked_at_once: 1,
                ..PLAIN
            },
            Self {
                name: "fanout-10",
                exchange: ("fan", "fanout"),
                queues: 10,
                ..PLAIN
            },
            Self {
                name: "headers-100",
                exchange: ("head", "headers"),
                ..PLAIN
            },
            Self {
                name: "body-1k",
                body: 1024,
                ..PLAIN
            },
            Self {
                name: "confirmed",
                acked_at_once: 100,
                confirms: true,
                ..PLAIN
            },
            Self {
                name: "queues-1000",
                queues: 1000,
                acked_at_once: 100,
                confirms: true,
                spread: true,
                ..PLAIN
            },
        ]
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|workload| workload.name == name)
    }

    /// Names of the queues of a workload are equally long, and so are tags of consumers, which are called as their queues.
    pub(crate) fn queue_name(self, index: usize) -> String {
        match self.spread {
            true => format!("q{index:03}"),
            false => format!("q{index}"),
        }
    }

    fn routing_key(self, index: usize) -> String {
        self.queue_name(if self.spread { index } else { 0 })
    }

    /// What the publisher says first.
    pub(crate) fn declarations(self) -> Vec<u8> {
        let (exchange, kind) = self.exchange;
        let mut input = Vec::new();
        if !exchange.is_empty() {
            let declare = exchange::Declare {
                exchange: exchange.into(),
                kind: kind.into(),
                passive: false,
                durable: false,
                auto_delete: false,
                internal: false,
                nowait: true,
                arguments: FieldTable::default(),
            };
            input.extend(method(1, declare));
        }
        for index in 0..self.queues {
            let declare = queue::Declare {
                queue: self.queue_name(index).into(),
                passive: false,
                durable: self.confirms,
                exclusive: false,
                auto_delete: false,
                nowait: true,
                arguments: FieldTable::default(),
            };
            input.extend(method(1, declare));
            input.extend(self.bindings(index));
        }
        if self.confirms {
            input.extend(method(1, confirm::Select { nowait: true }));
        }
        input
    }

    fn bindings(self, index: usize) -> Vec<u8> {
        let arguments: Vec<FieldTable> = match self.exchange.1 {
            "" => Vec::new(),
            "headers" => (1..=HEADER_BINDINGS).map(kind).collect(),
            _ => vec![FieldTable::default()],
        };
        let bind = |arguments| {
            let bind = queue::Bind {
                queue: self.queue_name(index).into(),
                exchange: self.exchange.0.into(),
                routing_key: self.routing_key(index).into(),
                nowait: true,
                arguments,
            };
            method(1, bind)
        };
        arguments.into_iter().flat_map(bind).collect()
    }

    fn body(self) -> Vec<u8> {
        (b'a'..=b'p').cycle().take(self.body).collect()
    }

    /// Header and body frame of a message.
    fn content(self) -> Vec<u8> {
        let mut properties = AMQPProperties::default();
        if self.confirms {
            properties = properties.with_delivery_mode(2);
        }
        if self.exchange.1 == "headers" {
            properties = properties.with_headers(kind(HEADER_BINDINGS));
        }
        let header = header_payload(self.body as u64, &properties);
        let mut content = Frame::new(Kind::Header, 1, header).encode();
        content.extend(Frame::new(Kind::Body, 1, self.body()).encode());
        content
    }

    /// One message for each queue that is published to.
    pub(crate) fn publishes(self) -> Vec<Vec<u8>> {
        let targets = if self.spread { self.queues } else { 1 };
        let publish = |index| {
            let publish = basic::Publish {
                exchange: self.exchange.0.into(),
                routing_key: self.routing_key(index).into(),
                mandatory: false,
                immediate: false,
            };
            let mut octets = method(1, publish);
            octets.extend(self.content());
            octets
        };
        (0..targets).map(publish).collect()
    }

    /// What a consumer of a queue gets for each message.
    pub(crate) fn delivery(self, queue: usize, delivery_tag: u64) -> Vec<u8> {
        let deliver = basic::Deliver {
            consumer_tag: self.queue_name(queue).into(),
            delivery_tag,
            redelivered: false,
            exchange: self.exchange.0.into(),
            routing_key: self.routing_key(queue).into(),
        };
        let mut octets = method(1, deliver);
        octets.extend(self.content());
        octets
    }
}

/// What headers exchanges compare.
fn kind(number: usize) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert("kind".into(), text(&format!("k{number}")));
    headers
}
