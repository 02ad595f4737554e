//! `basic.qos`: whom a limit holds back, and what gives credit back.

use amq_protocol::protocol::basic;
use leveret_tests::client::{Channel, Connection, Frame, Kind};

/// A channel that reads, and one on the same connection that watches and publishes.
struct Pair {
    reader: Channel,
    other: Channel,
    queue: String,
}

/// Makes a queue with messages `1`, `2`, .. in it.
fn with_messages(count: u32) -> Pair {
    let connection = Connection::open();
    let (reader, other) = (connection.channel(1), connection.channel(2));
    let queue = reader.queue();
    for n in 1..=count {
        other.publish("", &queue, &n.to_string());
    }
    other.await_ready(&queue, count);
    Pair {
        reader,
        other,
        queue,
    }
}

impl Pair {
    /// Expects that exactly these messages are delivered now.
    #[track_caller]
    fn delivered(&self, bodies: &[&str]) {
        assert_eq!(self.reader.deliveries(bodies.len()), bodies);
        self.reader.quiet(&self.queue);
    }
}

#[test]
fn a_limit_per_consumer_holds_for_consumers_started_later() {
    let pair = with_messages(5);
    pair.reader.qos(2, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1", "2"]);
    pair.reader.ack(1);
    pair.delivered(&["3"]);
    assert_eq!(pair.other.ready(&pair.queue), 2);
}

#[test]
fn each_consumer_has_its_own_limit() {
    let pair = with_messages(5);
    pair.reader.qos(1, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1"]);
    pair.reader.qos(2, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["2", "3"]);
}

#[test]
fn a_limit_per_consumer_leaves_running_consumers_alone() {
    let pair = with_messages(3);
    pair.reader.qos(1, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1"]);
    pair.reader.qos(3, false);
    pair.reader.quiet(&pair.queue);
    assert_eq!(pair.other.ready(&pair.queue), 2);
}

#[test]
fn a_limit_for_the_channel_is_shared_and_live() {
    let pair = with_messages(6);
    pair.reader.qos(2, true);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1", "2"]);
    pair.reader.consume(&pair.queue);
    pair.reader.quiet(&pair.queue);
    pair.reader.qos(3, true);
    pair.delivered(&["3"]);
    pair.reader.qos(1, true);
    pair.reader.send(basic::Ack {
        delivery_tag: 2,
        multiple: true,
    });
    pair.reader.quiet(&pair.queue);
    pair.reader.ack(3);
    pair.delivered(&["4"]);
    pair.reader.qos(0, true);
    pair.delivered(&["5", "6"]);
}

#[test]
fn both_limits_hold_together() {
    let pair = with_messages(6);
    pair.reader.qos(2, false);
    pair.reader.qos(3, true);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1", "2"]);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["3"]);
}

#[test]
fn a_limit_of_0_is_no_limit() {
    let pair = with_messages(300);
    pair.reader.qos(1, false);
    pair.reader.qos(0, false);
    pair.reader.consume(&pair.queue);
    assert_eq!(pair.reader.deliveries(300).len(), 300);
}

#[test]
fn a_limit_is_ignored_where_no_ack_is_needed() {
    let pair = with_messages(3);
    pair.reader.qos(1, false);
    pair.reader.qos(1, true);
    pair.reader.consume_no_ack(&pair.queue);
    pair.delivered(&["1", "2", "3"]);
}

#[test]
fn reject_and_nack_give_credit_back() {
    let pair = with_messages(4);
    pair.reader.qos(1, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1"]);
    pair.reader.send(basic::Reject {
        delivery_tag: 1,
        requeue: false,
    });
    pair.delivered(&["2"]);
    pair.reader.send(basic::Nack {
        delivery_tag: 2,
        multiple: false,
        requeue: false,
    });
    pair.delivered(&["3"]);
    pair.reader.send(basic::Reject {
        delivery_tag: 3,
        requeue: true,
    });
    pair.delivered(&["3"]);
}

#[test]
fn recover_gives_credit_back() {
    let pair = with_messages(2);
    pair.reader.qos(1, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1"]);
    pair.reader.send(basic::Recover { requeue: true });
    let again = recover_ok_and_delivery(&pair.reader);
    assert_eq!(again, "1");
    pair.reader.quiet(&pair.queue);
}

/// The two may come in either order.
fn recover_ok_and_delivery(channel: &Channel) -> String {
    use amq_protocol::protocol::{AMQPClass, basic::AMQPMethod};
    let (mut body, mut answered) = (None, false);
    while body.is_none() || !answered {
        match channel.connection().expect_any(channel.number()) {
            AMQPClass::Basic(AMQPMethod::RecoverOk(_)) => answered = true,
            AMQPClass::Basic(AMQPMethod::Deliver(deliver)) => {
                assert!(deliver.redelivered);
                let next = || {
                    channel
                        .connection()
                        .next_on(channel.number())
                        .expect("a frame")
                };
                let (header, content) = (next(), next());
                assert_eq!(
                    (header.kind, content.kind),
                    (Kind::Header as u8, Kind::Body as u8)
                );
                body = Some(String::from_utf8_lossy(&content.payload).into_owned());
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    body.unwrap_or_default()
}

#[test]
fn a_full_consumer_does_not_hold_back_another() {
    let pair = with_messages(4);
    pair.reader.qos(1, false);
    pair.reader.consume(&pair.queue);
    pair.delivered(&["1"]);
    pair.other.consume_no_ack(&pair.queue);
    assert_eq!(pair.other.deliveries(3), ["2", "3", "4"]);
}

#[test]
fn a_prefetch_size_is_not_implemented() {
    let channel = Connection::open().channel(1);
    // amq-protocol writes 0 for the size: these are its octets, with a 7 in that place.
    let payload = [0, 60, 0, 10, 0, 0, 0, 7, 0, 1, 0];
    channel
        .connection()
        .send_frame(&Frame::new(Kind::Method, 1, payload));
    let text = "NOT_IMPLEMENTED - prefetch_size!=0 (7)";
    channel
        .connection()
        .expect_close_for(540, text, Some((60, 10)));
}

#[test]
fn what_was_got_takes_no_credit() {
    for global in [false, true] {
        let pair = with_messages(4);
        pair.reader.qos(1, global);
        for body in ["1", "2"] {
            assert_eq!(
                pair.reader.get(&pair.queue).expect("a message").text(),
                body
            );
        }
        pair.reader.consume(&pair.queue);
        pair.delivered(&["3"]);
        // The delivery of the consumer is what has the credit.
        pair.reader.ack(1);
        pair.reader.quiet(&pair.queue);
        assert_eq!(pair.reader.get(&pair.queue).expect("a message").text(), "4");
        pair.other.publish("", &pair.queue, "5");
        pair.other.await_ready(&pair.queue, 1);
        pair.reader.quiet(&pair.queue);
        pair.reader.ack(3);
        pair.delivered(&["5"]);
    }
}
