//! Publishers with confirms and consumers, as fault tests need them: they go on until the broker is gone, and know then what they had from it.
//!
//! Each belongs to one thread and is moved on by it step by step, so that a test acts at the very event that it waits for.

use std::ops::RangeInclusive;

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, basic, connection};

use crate::client::{Channel, Connection, table, text};
use crate::ledger::{Message, Published};

/// What a publisher publishes, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The publisher's number.
    pub publisher: u32,
    /// The queue, by way of the default exchange.
    pub queue: String,
    /// How long bodies are, in bytes.
    pub body_len: usize,
    /// How many messages may wait for their confirms.
    pub window: u64,
    /// 2 for persistent messages, 1 for transient ones.
    pub delivery_mode: u8,
    /// How many groups its messages are of, in turn; 0 is none. The header [`GROUP`] names the group.
    pub groups: u64,
}

/// The header of a message that names its group.
pub const GROUP: &str = "group";

impl Plan {
    /// Persistent messages of 200 bytes, 100 of which may wait.
    pub fn new(publisher: u32, queue: &str) -> Self {
        Self {
            publisher,
            queue: queue.to_owned(),
            body_len: 200,
            window: 100,
            delivery_mode: 2,
            groups: 0,
        }
    }
}

/// What a publisher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many of its messages are confirmed in all.
    Confirmed(u64),
    /// A full queue has refused one of its messages: so many were refused in all.
    Refused(u64),
    /// It is to stop publishing, for this reason.
    Blocked(String),
    /// It may go on.
    Unblocked,
    /// The broker is gone.
    Closed,
}

/// A publisher on a channel in confirm mode.
pub struct Publisher {
    channel: Channel,
    plan: Plan,
    published: Published,
    is_blocked: bool,
}

impl Publisher {
    /// Opens a channel on a connection of its own.
    pub fn open(connection: &Connection, plan: Plan) -> Self {
        let channel = connection.channel(1);
        channel.confirm_select();
        let published = Published {
            publisher: plan.publisher,
            ..Published::default()
        };
        Self {
            channel,
            plan,
            published,
            is_blocked: false,
        }
    }

    /// Publishes as long as the window has room and it is not blocked, then waits for the next event.
    #[track_caller]
    pub fn go_on(&mut self) -> Event {
        while !self.is_blocked && self.waiting() < self.plan.window {
            self.publish();
        }
        self.listen()
    }

    /// Publishes nothing more, and waits until everything is confirmed. Whether it is: the broker may be gone before.
    #[track_caller]
    pub fn finish(&mut self) -> bool {
        while self.waiting() > 0 {
            if self.listen() == Event::Closed {
                return false;
            }
        }
        true
    }

    /// Publishes so many messages and waits until they are confirmed.
    #[track_caller]
    pub fn publish_all(&mut self, count: u64) {
        let last = self.published.sent + count;
        while self.published.sent < last {
            while self.waiting() >= self.plan.window {
                assert_ne!(self.listen(), Event::Closed, "the broker is gone");
            }
            self.publish();
        }
        assert!(self.finish(), "the broker is gone");
    }

    /// What was published and confirmed so far.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// What was published and confirmed; it ends here.
    pub fn end(self) -> Published {
        self.published
    }

    fn waiting(&self) -> u64 {
        let answered = self.published.confirmed.len() + self.published.refused.len();
        self.published.sent - answered as u64
    }

    fn publish(&mut self) {
        self.published.sent += 1;
        let message = Message {
            publisher: self.plan.publisher,
            number: self.published.sent,
        };
        let method = basic::Publish {
            routing_key: self.plan.queue.as_str().into(),
            ..Default::default()
        };
        let mut properties = AMQPProperties::default().with_delivery_mode(self.plan.delivery_mode);
        if self.plan.groups > 0 {
            let group = (message.number % self.plan.groups).to_string();
            properties = properties.with_headers(table([(GROUP, text(&group))]));
        }
        let body = message.body(self.plan.body_len);
        self.channel.publish_content(method, &properties, &body);
    }

    /// The messages that an answer is about: each has one, and they come in order.
    #[track_caller]
    fn answered(&self, (tag, multiple): (u64, bool)) -> RangeInclusive<u64> {
        let Published {
            sent,
            confirmed,
            refused,
            ..
        } = &self.published;
        let before = confirmed.last().max(refused.last()).copied();
        let before = before.unwrap_or_default();
        let first = if multiple { before + 1 } else { tag };
        assert!(
            first > before && tag <= *sent,
            "{first} to {tag} answered after {before}, of {sent}"
        );
        first..=tag
    }

    /// Waits for the next event, and publishes nothing.
    #[track_caller]
    pub fn listen(&mut self) -> Event {
        let Some(frame) = self.channel.connection().next_frame() else {
            return Event::Closed;
        };
        match frame.as_method() {
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                let numbers = self.answered((ack.delivery_tag, ack.multiple));
                let confirmed = &mut self.published.confirmed;
                confirmed.extend(numbers);
                Event::Confirmed(confirmed.len() as u64)
            }
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                let numbers = self.answered((nack.delivery_tag, nack.multiple));
                let refused = &mut self.published.refused;
                refused.extend(numbers);
                Event::Refused(refused.len() as u64)
            }
            AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)) => {
                self.is_blocked = true;
                Event::Blocked(blocked.reason.to_string())
            }
            AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)) => {
                self.is_blocked = false;
                Event::Unblocked
            }
            other => panic!("a publisher got {other:?}"),
        }
    }
}

/// A delivery of a message of a test.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Which message it is; its body is right.
    pub message: Message,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Its delivery tag.
    pub tag: u64,
}

/// A consumer that must ack.
pub struct Consumer {
    channel: Channel,
}

impl Consumer {
    /// Starts it on a channel of its own; a prefetch of 0 is unlimited.
    pub fn open(connection: &Connection, queue: &str, prefetch: u16) -> Self {
        let channel = connection.channel(2);
        channel.qos(prefetch, false);
        channel.consume(queue);
        Self { channel }
    }

    /// Waits for the next delivery; none when the broker is gone.
    #[track_caller]
    pub fn take(&mut self) -> Option<Taken> {
        let content = self.channel.next_delivery()?;
        Some(Taken {
            message: Message::of(&content.body),
            redelivered: content.method.redelivered,
            tag: content.method.delivery_tag,
        })
    }

    /// Acks a delivery, and all before it.
    pub fn ack_upto(&self, tag: u64) {
        self.channel.send(basic::Ack {
            delivery_tag: tag,
            multiple: true,
        });
    }
}

/// Takes everything that a queue has by now, and leaves it unacked.
#[track_caller]
pub fn take_all(connection: &Connection, queue: &str) -> Vec<Taken> {
    let channel = connection.channel(1);
    let count = channel.ready(queue);
    let mut consumer = Consumer::open(connection, queue, 0);
    let taken = (0..count).map(|_| consumer.take().expect("the broker runs"));
    let taken: Vec<Taken> = taken.collect();
    consumer.channel.quiet(queue);
    channel.close();
    taken
}

/// The messages of deliveries.
pub fn messages(taken: &[Taken]) -> Vec<Message> {
    taken.iter().map(|taken| taken.message).collect()
}
