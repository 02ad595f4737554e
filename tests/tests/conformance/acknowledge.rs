//! `basic.ack`, `basic.nack`, `basic.reject`: which tags they settle, and which are refused.

use amq_protocol::protocol::{AMQPClass, basic, queue};
use leveret_tests::client::{Channel, Connection, Method, table, text};

/// Makes a channel with `count` unacked deliveries, and a queue with nothing else in it.
fn with_unacked(count: u32) -> (Channel, String) {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    for n in 1..=count {
        channel.publish("", &queue, &n.to_string());
    }
    channel.await_ready(&queue, count);
    for tag in 1..=u64::from(count) {
        let message = channel.get(&queue).expect("a message");
        assert_eq!(message.method.delivery_tag, tag);
    }
    (channel, queue)
}

/// Closes the channel and expects these messages back in the queue.
#[track_caller]
fn left_unacked(channel: &Channel, queue: &str, bodies: &[&str]) {
    let other = channel.connection().channel(9);
    channel.close();
    other.await_ready(queue, u32::try_from(bodies.len()).expect("few bodies"));
    let left: Vec<String> = bodies.iter().map(|_| other.take(queue)).collect();
    assert_eq!(left, bodies);
}

fn ack(delivery_tag: u64, multiple: bool) -> basic::Ack {
    basic::Ack {
        delivery_tag,
        multiple,
    }
}

#[test]
fn ack_settles_one_delivery() {
    let (channel, queue) = with_unacked(3);
    channel.send(ack(2, false));
    left_unacked(&channel, &queue, &["1", "3"]);
}

#[test]
fn ack_multiple_settles_all_up_to_the_tag() {
    let (channel, queue) = with_unacked(4);
    channel.send(ack(1, false));
    channel.send(ack(3, true));
    left_unacked(&channel, &queue, &["4"]);
}

#[test]
fn ack_multiple_of_tag_0_settles_all() {
    let (channel, queue) = with_unacked(3);
    channel.send(ack(0, true));
    left_unacked(&channel, &queue, &[]);
}

#[test]
fn ack_multiple_of_tag_0_with_nothing_unacked_is_fine() {
    let (channel, _) = with_unacked(0);
    channel.send(ack(0, true));
    channel.sync();
}

#[test]
fn nack_multiple_settles_all_up_to_the_tag() {
    let (channel, queue) = with_unacked(4);
    channel.send(basic::Nack {
        delivery_tag: 2,
        multiple: true,
        requeue: false,
    });
    channel.send(basic::Nack {
        delivery_tag: 3,
        multiple: false,
        requeue: true,
    });
    channel.await_ready(&queue, 1);
    left_unacked(&channel, &queue, &["3", "4"]);
}

#[test]
fn nack_multiple_of_tag_0_settles_all() {
    let (channel, queue) = with_unacked(3);
    channel.send(basic::Nack {
        delivery_tag: 0,
        multiple: true,
        requeue: true,
    });
    channel.await_ready(&queue, 3);
    channel.send(basic::Nack {
        delivery_tag: 0,
        multiple: true,
        requeue: true,
    });
    channel.sync();
}

#[test]
fn reject_without_requeue_drops_the_message() {
    let (channel, queue) = with_unacked(2);
    channel.send(basic::Reject {
        delivery_tag: 1,
        requeue: false,
    });
    left_unacked(&channel, &queue, &["2"]);
}

#[test]
fn an_unknown_delivery_tag_is_refused() {
    let unknown: [(AMQPClass, u64); 8] = [
        (ack(7, false).into_class(), 7),
        (ack(7, true).into_class(), 7),
        (ack(0, false).into_class(), 0),
        (ack(u64::MAX >> 1, false).into_class(), u64::MAX >> 1),
        (
            basic::Nack {
                delivery_tag: 7,
                multiple: false,
                requeue: true,
            }
            .into_class(),
            7,
        ),
        (
            basic::Nack {
                delivery_tag: 0,
                multiple: false,
                requeue: true,
            }
            .into_class(),
            0,
        ),
        (
            basic::Reject {
                delivery_tag: 7,
                requeue: true,
            }
            .into_class(),
            7,
        ),
        (
            basic::Reject {
                delivery_tag: 0,
                requeue: false,
            }
            .into_class(),
            0,
        ),
    ];
    for (method, tag) in unknown {
        let (channel, queue) = with_unacked(2);
        let text = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
        channel.fails_class(&method, 406, &text);
        channel.reopen();
        channel.await_ready(&queue, 2);
    }
}

#[test]
fn a_second_ack_is_refused() {
    let (channel, _) = with_unacked(2);
    channel.send(ack(1, false));
    channel.fails(
        ack(1, false),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    );
}

#[test]
fn an_ack_inside_what_a_multiple_settled_is_refused() {
    let (channel, _) = with_unacked(3);
    channel.send(ack(2, true));
    channel.fails(
        ack(1, false),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    );
}

#[test]
fn a_delivery_that_needs_no_ack_cannot_be_acknowledged() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    channel.publish("", &queue, "gone");
    channel.deliver();
    channel.fails(
        ack(1, false),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    );
}

#[test]
fn delivery_tags_are_counted_by_channel() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let queue = one.queue();
    one.fill(&queue, &["for one", "for two"]);
    assert_eq!(one.get(&queue).expect("a message").method.delivery_tag, 1);
    assert_eq!(two.get(&queue).expect("a message").method.delivery_tag, 1);
    one.ack(1);
    two.ack(1);
    two.fails(
        ack(2, false),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 2",
    );
}

#[test]
fn gets_and_deliveries_share_the_count() {
    let channel = Connection::open().channel(1);
    let (got, consumed) = (channel.queue(), channel.queue());
    channel.fill(&got, &["got"]);
    channel.consume(&consumed);
    channel.publish("", &consumed, "delivered");
    assert_eq!(channel.deliver().method.delivery_tag, 1);
    assert_eq!(channel.get(&got).expect("a message").method.delivery_tag, 2);
    channel.send(ack(2, true));
    channel.sync();
}

#[test]
fn acknowledged_messages_are_gone_for_good() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.consume(&queue);
    for _ in 0..100 {
        channel.publish("", &queue, "settled");
    }
    for tag in 1..=100 {
        assert_eq!(channel.deliver().method.delivery_tag, tag);
        channel.ack(tag);
    }
    left_unacked(&channel, &queue, &[]);
}

#[test]
fn a_client_that_does_not_read_on_may_settle_what_it_has() {
    const SETTLED: u32 = 100;
    let (from, to) = (Connection::open().channel(1), Connection::open().channel(1));
    let letters = from.queue();
    let flood = from.flood(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&letters)),
    ]));
    to.consume(&flood);
    let tags: Vec<u64> = (0..SETTLED)
        .map(|_| to.deliver().method.delivery_tag)
        .collect();
    for delivery_tag in tags {
        to.send(basic::Reject {
            delivery_tag,
            requeue: false,
        });
    }
    from.await_ready(&letters, SETTLED);
    from.call(queue::Delete {
        queue: flood.as_str().into(),
        ..Default::default()
    });
}
