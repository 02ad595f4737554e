//! A channel as tests use it: calls, expected failures, contents, and ways to know that nothing
//! more is coming.
//!
//! Whether the channel is open is the broker's business; this only numbers the frames.

use std::time::Instant;

use amq_protocol::frame::parsing::parse_content_header;
use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, channel, confirm, exchange, queue};
use amq_protocol::types::FieldTable;

use super::{Connection, DEADLINE, Frame, Kind, Method, Request, unique};

/// The length of a body of [`Channel::flood`].
pub const FLOOD_BODY: usize = 16 * 1024;

/// A channel number on a connection.
#[derive(Clone)]
pub struct Channel {
    connection: Connection,
    number: u16,
}

/// A method that carries content, with the content.
#[derive(Clone, Debug)]
pub struct Content<M> {
    /// The deliver, get-ok or return.
    pub method: M,
    /// The content header's payload as it came.
    pub header: Vec<u8>,
    /// The properties in it.
    pub properties: AMQPProperties,
    /// The body, put together.
    pub body: Vec<u8>,
    /// How many body frames it came in.
    pub body_frames: usize,
}

impl<M> Content<M> {
    /// Returns the body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("test bodies are text")
    }
}

impl Channel {
    /// Names a channel that no `channel.open` was sent for.
    pub fn unopened(connection: Connection, number: u16) -> Self {
        Self { connection, number }
    }

    /// Returns the connection it is on.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Sends a method and waits for nothing.
    pub fn send(&self, method: impl Method) {
        self.connection.send(self.number, method);
    }

    /// Sends a method and returns its answer.
    #[track_caller]
    pub fn call<R: Request>(&self, request: R) -> R::Reply {
        self.send(request);
        self.expect()
    }

    /// Returns the next method, which must be an `M`.
    #[track_caller]
    pub fn expect<M: Method>(&self) -> M {
        self.connection.expect(self.number)
    }

    /// Sends a method that must close the channel with this code and text, and answers the close.
    #[track_caller]
    pub fn fails(&self, method: impl Method, code: u16, text: &str) {
        self.fails_class(&method.into_class(), code, text);
    }

    /// As [`Self::fails`], for methods in a list.
    #[track_caller]
    pub fn fails_class(&self, class: &AMQPClass, code: u16, text: &str) {
        self.connection
            .send_frame(&Frame::method(self.number, class));
        self.expect_close_for(code, text, Some(ids(class)));
    }

    /// Sends a method that must close the connection with this code and text.
    #[track_caller]
    pub fn breaks(&self, method: impl Method, code: u16, text: &str) {
        let class = method.into_class();
        self.connection
            .send_frame(&Frame::method(self.number, &class));
        self.connection
            .expect_close_for(code, text, Some(ids(&class)));
    }

    /// Expects `channel.close` with this code and text, for any method, and answers it.
    #[track_caller]
    pub fn expect_close(&self, code: u16, text: &str) {
        self.expect_close_for(code, text, None);
    }

    /// As [`Self::expect_close`], and the close must name class and method `for_method`.
    #[track_caller]
    pub fn expect_close_for(&self, code: u16, text: &str, for_method: Option<(u16, u16)>) {
        let close: channel::Close = self.expect();
        assert_eq!((close.reply_code, close.reply_text.as_str()), (code, text));
        if let Some(ids) = for_method {
            assert_eq!(
                (close.class_id, close.method_id),
                ids,
                "class and method of the close"
            );
        }
        self.send(channel::CloseOk {});
    }

    /// Opens the channel again after a close.
    #[track_caller]
    pub fn reopen(&self) {
        self.call(channel::Open {});
    }

    /// Closes the channel as the protocol wants it.
    #[track_caller]
    pub fn close(&self) {
        self.call(channel::Close {
            reply_code: 200,
            ..Default::default()
        });
    }

    /// Declares an exclusive queue that the broker names, and returns the name.
    #[track_caller]
    pub fn queue(&self) -> String {
        self.queue_with(FieldTable::default())
    }

    /// As [`Self::queue`], with arguments.
    #[track_caller]
    pub fn queue_with(&self, arguments: FieldTable) -> String {
        let declare = queue::Declare {
            exclusive: true,
            arguments,
            ..Default::default()
        };
        self.call(declare).queue.to_string()
    }

    /// Declares an auto-delete exchange of this type, and returns its name.
    #[track_caller]
    pub fn exchange(&self, kind: &str) -> String {
        let name = unique(kind);
        self.call(exchange::Declare {
            exchange: name.as_str().into(),
            kind: kind.into(),
            auto_delete: true,
            ..Default::default()
        });
        name
    }

    /// Binds a queue.
    #[track_caller]
    pub fn bind(&self, queue: &str, exchange: &str, routing_key: &str) {
        self.bind_with(queue, exchange, routing_key, FieldTable::default());
    }

    /// Binds a queue with arguments.
    #[track_caller]
    pub fn bind_with(&self, queue: &str, exchange: &str, key: &str, arguments: FieldTable) {
        self.call(queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            nowait: false,
            arguments,
        });
    }

    /// Publishes a text without properties.
    pub fn publish(&self, exchange: &str, routing_key: &str, body: &str) {
        self.publish_with(exchange, routing_key, AMQPProperties::default(), body);
    }

    /// Publishes a text with properties.
    pub fn publish_with(&self, exchange: &str, key: &str, properties: AMQPProperties, body: &str) {
        let publish = basic::Publish {
            exchange: exchange.into(),
            routing_key: key.into(),
            ..Default::default()
        };
        self.publish_content(publish, &properties, body.as_bytes());
    }

    /// Publishes and wants it back if no queue takes it.
    pub fn publish_mandatory(&self, exchange: &str, routing_key: &str, body: &str) {
        let publish = basic::Publish {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            mandatory: true,
            ..Default::default()
        };
        self.publish_content(publish, &AMQPProperties::default(), body.as_bytes());
    }

    /// Publishes any content, the body split at the negotiated frame size.
    pub fn publish_content(&self, method: basic::Publish, props: &AMQPProperties, body: &[u8]) {
        let mut bytes = Frame::method(self.number, &method.into_class()).encode();
        bytes.extend(Frame::header(self.number, body.len() as u64, props).encode());
        for part in body.chunks(self.connection.frame_max() as usize - 8) {
            bytes.extend(Frame::new(Kind::Body, self.number, part).encode());
        }
        self.connection.send_bytes(&bytes);
    }

    /// Publishes texts to a queue through the default exchange and waits until all are in it.
    #[track_caller]
    pub fn fill(&self, queue: &str, bodies: &[&str]) {
        let before = self.ready(queue);
        for body in bodies {
            self.publish("", queue, body);
        }
        self.await_ready(
            queue,
            before + u32::try_from(bodies.len()).expect("few bodies"),
        );
    }

    /// Gets a message that must be acknowledged, or none.
    #[track_caller]
    pub fn get(&self, queue: &str) -> Option<Content<basic::GetOk>> {
        self.get_with(queue, false)
    }

    /// Gets a message that needs no acknowledgement, which must be there, and returns its text.
    #[track_caller]
    pub fn take(&self, queue: &str) -> String {
        self.get_with(queue, true)
            .expect("a message in the queue")
            .text()
            .to_owned()
    }

    /// As [`Self::take`], once there is one.
    #[track_caller]
    pub fn await_take(&self, queue: &str) -> String {
        self.await_counts(queue, |counts| counts.message_count > 0);
        self.take(queue)
    }

    /// Gets a message, or none.
    #[track_caller]
    pub fn get_with(&self, queue: &str, no_ack: bool) -> Option<Content<basic::GetOk>> {
        self.send(basic::Get {
            queue: queue.into(),
            no_ack,
        });
        match self.connection.expect_any(self.number) {
            AMQPClass::Basic(basic::AMQPMethod::GetOk(method)) => Some(self.content_of(method)),
            AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)) => None,
            other => panic!("expected get-ok or get-empty, got {other:?}"),
        }
    }

    /// Starts a consumer that must acknowledge, and returns its tag.
    #[track_caller]
    pub fn consume(&self, queue: &str) -> String {
        self.consume_with(basic::Consume {
            queue: queue.into(),
            ..Default::default()
        })
    }

    /// Starts a consumer that need not acknowledge, and returns its tag.
    #[track_caller]
    pub fn consume_no_ack(&self, queue: &str) -> String {
        let consume = basic::Consume {
            queue: queue.into(),
            no_ack: true,
            ..Default::default()
        };
        self.consume_with(consume)
    }

    /// Starts a consumer as told, and returns its tag.
    #[track_caller]
    pub fn consume_with(&self, consume: basic::Consume) -> String {
        self.call(consume).consumer_tag.to_string()
    }

    /// Cancels a consumer.
    #[track_caller]
    pub fn cancel(&self, tag: &str) {
        self.call(basic::Cancel {
            consumer_tag: tag.into(),
            nowait: false,
        });
    }

    /// Limits unacknowledged messages: per consumer, or for the channel if `global`.
    #[track_caller]
    pub fn qos(&self, prefetch_count: u16, global: bool) {
        self.call(basic::Qos {
            prefetch_count,
            global,
        });
    }

    /// Returns the next delivery.
    #[track_caller]
    pub fn deliver(&self) -> Content<basic::Deliver> {
        self.content()
    }

    /// Returns the texts of the next `count` deliveries.
    #[track_caller]
    pub fn deliveries(&self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| self.deliver().text().to_owned())
            .collect()
    }

    /// Acknowledges one delivery.
    pub fn ack(&self, delivery_tag: u64) {
        self.send(basic::Ack {
            delivery_tag,
            multiple: false,
        });
    }

    /// Gives one delivery back: as failed, with `basic.reject`, or only so, with `basic.nack`.
    pub fn give_back(&self, delivery_tag: u64, failed: bool) {
        match failed {
            true => self.send(basic::Reject {
                delivery_tag,
                requeue: true,
            }),
            false => self.send(basic::Nack {
                delivery_tag,
                requeue: true,
                ..Default::default()
            }),
        }
    }

    /// Declares a durable queue with more messages of [`FLOOD_BODY`] octets than sockets and the broker's own buffers have; they are ready when this returns.
    #[track_caller]
    pub fn flood(&self, arguments: FieldTable) -> String {
        let queue = unique("flood");
        self.call(queue::Declare {
            queue: queue.as_str().into(),
            durable: true,
            arguments,
            ..Default::default()
        });
        let body = "x".repeat(FLOOD_BODY);
        for _ in 0..2_000 {
            self.publish("", &queue, &body);
        }
        self.await_ready(&queue, 2_000);
        queue
    }

    /// Returns the next method, which must be an `M`, with its content.
    #[track_caller]
    pub fn content<M: Method>(&self) -> Content<M> {
        let method = self.expect();
        self.content_of(method)
    }

    /// Returns the next delivery; none when the peer has closed before it was whole.
    #[track_caller]
    pub fn next_delivery(&self) -> Option<Content<basic::Deliver>> {
        match self.connection.next_method(self.number)? {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(method)) => self.next_content_of(method),
            other => panic!("expected a delivery, got {other:?}"),
        }
    }

    #[track_caller]
    fn content_of<M>(&self, method: M) -> Content<M> {
        self.next_content_of(method).expect("a whole content")
    }

    /// Returns a method with its content; none when the peer has closed before it was whole.
    #[track_caller]
    pub fn next_content_of<M>(&self, method: M) -> Option<Content<M>> {
        let header = self.connection.next_on(self.number)?;
        assert_eq!(header.kind, Kind::Header as u8, "expected a content header");
        let (_, parsed) =
            parse_content_header(header.payload.as_slice()).expect("a content header");
        let mut body = Vec::new();
        let mut body_frames = 0;
        while (body.len() as u64) < parsed.body_size {
            let frame = self.connection.next_on(self.number)?;
            assert_eq!(frame.kind, Kind::Body as u8, "expected a body frame");
            body.extend_from_slice(&frame.payload);
            body_frames += 1;
        }
        let (header, properties) = (header.payload, parsed.properties);
        Some(Content {
            method,
            header,
            properties,
            body,
            body_frames,
        })
    }

    /// Asks passively for a queue: its counts.
    #[track_caller]
    pub fn inspect(&self, queue: &str) -> queue::DeclareOk {
        let declare = queue::Declare {
            queue: queue.into(),
            passive: true,
            ..Default::default()
        };
        self.call(declare)
    }

    /// Returns how many messages of a queue are ready.
    #[track_caller]
    pub fn ready(&self, queue: &str) -> u32 {
        self.inspect(queue).message_count
    }

    /// Asks until `count` messages of a queue are ready.
    #[track_caller]
    pub fn await_ready(&self, queue: &str, count: u32) {
        self.await_counts(queue, |ok| ok.message_count == count);
    }

    /// Asks until a queue's counts are as wanted.
    #[track_caller]
    pub fn await_counts(&self, queue: &str, wanted: impl Fn(&queue::DeclareOk) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let counts = self.inspect(queue);
            if wanted(&counts) {
                return;
            }
            assert!(Instant::now() < deadline, "the counts stay at {counts:?}");
        }
    }

    /// Asks until a queue is gone: a passive declare of it is refused. The channel is left open.
    #[track_caller]
    pub fn await_queue_gone(&self, queue: &str) {
        let class = queue::Declare {
            queue: queue.into(),
            passive: true,
            ..Default::default()
        };
        self.await_refusal(|| class.clone().into_class(), 404);
    }

    /// Sends a method until it is refused with `code`. The channel is left open.
    #[track_caller]
    pub fn await_refusal(&self, method: impl Fn() -> AMQPClass, code: u16) {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            self.connection
                .send_frame(&Frame::method(self.number, &method()));
            let reply = self.connection.expect_any(self.number);
            if let AMQPClass::Channel(channel::AMQPMethod::Close(close)) = reply {
                self.send(channel::CloseOk {});
                self.reopen();
                if close.reply_code == code {
                    return;
                }
            }
        }
        panic!("{:?} is not refused with {code}", method());
    }

    /// Expects that nothing is on its way: whatever a queue sent before now would come before the
    /// answer to a question about it.
    #[track_caller]
    pub fn quiet(&self, queue: &str) {
        self.inspect(queue);
        assert_eq!(self.connection.waiting_on(self.number), 0);
    }

    /// Sends something harmless and waits for its answer: all that was sent before has been read.
    #[track_caller]
    pub fn sync(&self) {
        self.call(exchange::Declare {
            exchange: "amq.direct".into(),
            kind: "direct".into(),
            passive: true,
            ..Default::default()
        });
    }

    /// Puts the channel into confirm mode.
    #[track_caller]
    pub fn confirm_select(&self) {
        self.call(confirm::Select { nowait: false });
    }

    /// Collects confirms until publishes `1..=last` have theirs, and returns the tags in the order
    /// of arrival, each once.
    #[track_caller]
    pub fn confirms(&self, last: u64) -> Vec<u64> {
        let mut confirmed: Vec<u64> = Vec::new();
        while (confirmed.len() as u64) < last {
            let ack: basic::Ack = self.expect();
            let first = if ack.multiple { 1 } else { ack.delivery_tag };
            for tag in first..=ack.delivery_tag {
                let known = confirmed.contains(&tag);
                assert!(!known || ack.multiple, "publish {tag} was confirmed twice");
                assert!(tag <= last, "there was no publish {tag}");
                if !known {
                    confirmed.push(tag);
                }
            }
        }
        confirmed
    }
}

fn ids(class: &AMQPClass) -> (u16, u16) {
    (class.get_amqp_class_id(), class.get_amqp_method_id())
}
