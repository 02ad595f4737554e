//! Messages that go back to their queue: place, order, `redelivered`; and `basic.recover`.

use amq_protocol::protocol::basic;
use leveret_tests::client::{Channel, Connection};

/// Makes a channel and a queue with these messages ready.
fn with_messages(bodies: &[&str]) -> (Channel, String) {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.fill(&queue, bodies);
    (channel, queue)
}

/// Takes all messages of the queue, each with its redelivered flag.
#[track_caller]
fn drain(channel: &Channel, queue: &str) -> Vec<(String, bool)> {
    let mut messages = Vec::new();
    while let Some(message) = channel.get_with(queue, true) {
        messages.push((message.text().to_owned(), message.method.redelivered));
    }
    messages
}

fn expected(bodies: &[(&str, bool)]) -> Vec<(String, bool)> {
    bodies
        .iter()
        .map(|(body, redelivered)| ((*body).to_owned(), *redelivered))
        .collect()
}

fn reject(delivery_tag: u64) -> basic::Reject {
    basic::Reject {
        delivery_tag,
        requeue: true,
    }
}

#[test]
fn a_requeued_message_returns_to_its_place() {
    let (channel, queue) = with_messages(&["1", "2", "3", "4"]);
    for _ in 0..3 {
        channel.get(&queue).expect("a message");
    }
    channel.send(reject(2));
    channel.send(reject(3));
    channel.send(reject(1));
    channel.await_ready(&queue, 4);
    let back = [("1", true), ("2", true), ("3", true), ("4", false)];
    assert_eq!(drain(&channel, &queue), expected(&back));
}

#[test]
fn nack_multiple_with_requeue_keeps_the_order() {
    let (channel, queue) = with_messages(&["1", "2", "3", "4"]);
    for _ in 0..3 {
        channel.get(&queue).expect("a message");
    }
    channel.send(basic::Nack {
        delivery_tag: 3,
        multiple: true,
        requeue: true,
    });
    channel.await_ready(&queue, 4);
    let back = [("1", true), ("2", true), ("3", true), ("4", false)];
    assert_eq!(drain(&channel, &queue), expected(&back));
}

#[test]
fn a_requeued_message_goes_to_another_consumer_before_newer_ones() {
    let (channel, queue) = with_messages(&["1", "2"]);
    channel.get(&queue).expect("a message");
    let other = channel.connection().channel(2);
    other.qos(1, false);
    channel.send(reject(1));
    channel.await_ready(&queue, 2);
    other.consume(&queue);
    let first = other.deliver();
    assert_eq!((first.text(), first.method.redelivered), ("1", true));
    other.ack(first.method.delivery_tag);
    let second = other.deliver();
    assert_eq!((second.text(), second.method.redelivered), ("2", false));
}

#[test]
fn a_rejecting_consumer_gets_the_message_again() {
    let (channel, queue) = with_messages(&["again"]);
    channel.consume(&queue);
    for tag in 1..=5 {
        let message = channel.deliver();
        assert_eq!(
            (message.method.delivery_tag, message.method.redelivered),
            (tag, tag > 1)
        );
        channel.send(reject(tag));
    }
}

#[test]
fn a_closed_channel_gives_everything_back_in_order() {
    let bodies: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let queue = other.queue();
    for body in &bodies {
        other.publish("", &queue, body);
    }
    other.await_ready(&queue, 100);
    channel.qos(30, false);
    channel.consume(&queue);
    channel.deliveries(30);
    channel.ack(5);
    channel.deliver();
    channel.close();
    other.await_ready(&queue, 99);
    let left: Vec<_> = bodies
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != 4)
        .map(|(n, body)| (body.clone(), n <= 30))
        .collect();
    assert_eq!(drain(&other, &queue), left);
}

#[test]
fn a_channel_exception_gives_everything_back() {
    let (channel, queue) = with_messages(&["1", "2"]);
    channel.get(&queue).expect("a message");
    let text = "PRECONDITION_FAILED - unknown delivery tag 9";
    channel.fails(
        basic::Ack {
            delivery_tag: 9,
            multiple: false,
        },
        406,
        text,
    );
    channel.reopen();
    channel.await_ready(&queue, 2);
    assert_eq!(
        drain(&channel, &queue),
        expected(&[("1", true), ("2", false)])
    );
}

#[test]
fn a_lost_connection_gives_everything_back_and_nothing_twice() {
    use amq_protocol::protocol::queue;
    let watcher = Connection::open().channel(1);
    let queue = leveret_tests::client::unique("lost");
    watcher.call(queue::Declare {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    watcher.fill(&queue, &["1", "2", "3"]);
    for _ in 0..3 {
        let lost = Connection::open();
        let reader = lost.channel(1);
        reader.consume(&queue);
        reader.deliveries(3);
        assert_eq!(watcher.ready(&queue), 0);
        lost.cut();
        watcher.await_ready(&queue, 3);
    }
    let back = [("1", true), ("2", true), ("3", true)];
    assert_eq!(drain(&watcher, &queue), expected(&back));
    watcher.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn recover_requeues_everything_unacked() {
    let (channel, queue) = with_messages(&["got", "delivered", "ready"]);
    channel.get(&queue).expect("a message");
    channel.qos(1, false);
    let tag = channel.consume(&queue);
    channel.deliver();
    channel.cancel(&tag);
    channel.call(basic::Recover { requeue: true });
    channel.await_ready(&queue, 3);
    let back = [("got", true), ("delivered", true), ("ready", false)];
    assert_eq!(drain(&channel, &queue), expected(&back));
    let text = "PRECONDITION_FAILED - unknown delivery tag 1";
    channel.fails(
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        },
        406,
        text,
    );
}

#[test]
fn recover_async_requeues_and_is_not_answered() {
    let (channel, queue) = with_messages(&["1"]);
    channel.get(&queue).expect("a message");
    channel.send(basic::RecoverAsync { requeue: true });
    channel.await_ready(&queue, 1);
    assert_eq!(drain(&channel, &queue), expected(&[("1", true)]));
}

#[test]
fn recover_with_nothing_unacked_is_answered() {
    let (channel, _) = with_messages(&[]);
    channel.call(basic::Recover { requeue: true });
}

#[test]
fn recover_without_requeue_is_not_implemented() {
    let (channel, _) = with_messages(&[]);
    let recover = basic::Recover { requeue: false };
    channel.breaks(recover, 540, "NOT_IMPLEMENTED - requeue=false");
}
