//! What becomes of messages too many: `x-max-length`, `x-max-length-bytes`, `x-overflow` (<https://www.rabbitmq.com/docs/maxlength>).

use std::ops::RangeInclusive;

use amq_protocol::protocol::{AMQPClass, basic, tx};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table, text};

fn queue(channel: &Channel, further: &[(&str, AMQPValue)]) -> String {
    let mut arguments = table([]);
    for (key, value) in further {
        arguments.insert((*key).into(), value.clone());
    }
    channel.queue_with(arguments)
}

fn number(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

/// What the broker says of publishes: whether it took each.
fn answers(channel: &Channel, publishes: RangeInclusive<usize>) -> Vec<bool> {
    let (first, last) = publishes.into_inner();
    let mut answers = vec![None; last];
    while answers[first - 1..].iter().any(Option::is_none) {
        let (tag, multiple, taken) = match channel.connection().expect_any(channel.number()) {
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => (ack.delivery_tag, ack.multiple, true),
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                (nack.delivery_tag, nack.multiple, false)
            }
            other => panic!("no confirm: {other:?}"),
        };
        let first = if multiple { 1 } else { tag };
        for answer in &mut answers[first as usize - 1..tag as usize] {
            answer.get_or_insert(taken);
        }
    }
    answers[first - 1..].iter().flatten().copied().collect()
}

#[test]
fn a_transaction_that_a_full_queue_refuses_in_part_is_no_success() {
    let channel = Connection::open().channel(1);
    let full = queue(
        &channel,
        &[
            ("x-max-length", number(1)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    let others: Vec<String> = (0..4).map(|_| channel.queue()).collect();
    channel.call(tx::Select {});
    for queue in others.iter().chain([&full]) {
        channel.publish("", queue, "one");
    }
    channel.call(tx::Commit {});
    for queue in others.iter().chain([&full]) {
        channel.publish("", queue, "two");
    }
    channel.fails(
        tx::Commit {},
        406,
        "PRECONDITION_FAILED - partial tx completion",
    );
    // What was not refused is there.
    channel.reopen();
    for queue in &others {
        channel.await_ready(queue, 2);
    }
    assert_eq!(channel.ready(&full), 1);
}

#[test]
fn a_full_queue_refuses_what_is_published() {
    let channel = Connection::open().channel(1);
    let queue = queue(
        &channel,
        &[
            ("x-max-length", number(2)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    channel.confirm_select();
    for body in ["one", "two", "three", "four"] {
        channel.publish("", &queue, body);
    }
    assert_eq!(answers(&channel, 1..=4), [true, true, false, false]);
    assert_eq!(channel.take(&queue), "one");
    channel.publish("", &queue, "five");
    channel.publish("", &queue, "six");
    assert_eq!(answers(&channel, 5..=6), [true, false]);
    assert_eq!(channel.take(&queue), "two");
    assert_eq!(channel.take(&queue), "five");
    assert!(channel.get(&queue).is_none());
}

#[test]
fn without_confirms_what_is_refused_is_gone() {
    let channel = Connection::open().channel(1);
    let queue = queue(
        &channel,
        &[
            ("x-max-length", number(1)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    for body in ["one", "two"] {
        channel.publish("", &queue, body);
    }
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "one");
    assert!(channel.get(&queue).is_none());
}

#[test]
fn one_queue_that_refuses_is_enough_for_a_nack() {
    let channel = Connection::open().channel(1);
    let exchange = channel.exchange("fanout");
    let full = queue(
        &channel,
        &[
            ("x-max-length", number(0)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    let other = channel.queue();
    channel.bind(&full, &exchange, "");
    channel.bind(&other, &exchange, "");
    channel.confirm_select();
    channel.publish(&exchange, "", "for both");
    assert_eq!(answers(&channel, 1..=1), [false]);
    channel.await_ready(&other, 1);
    assert_eq!(channel.ready(&full), 0);
}

#[test]
fn what_is_refused_can_go_to_the_dead_letters() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    let queue = queue(
        &channel,
        &[
            ("x-max-length", number(1)),
            ("x-overflow", text("reject-publish-dlx")),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&target)),
        ],
    );
    channel.confirm_select();
    channel.publish("", &queue, "kept");
    channel.publish("", &queue, "refused");
    assert_eq!(answers(&channel, 1..=2), [true, false]);
    channel.await_ready(&target, 1);
    let got = channel.get(&target).expect("the dead letter");
    assert_eq!(got.text(), "refused");
    let headers = got.properties.headers().clone().expect("headers");
    let reason = headers.inner().get("x-first-death-reason").cloned();
    assert_eq!(reason, Some(text("maxlen")));
    assert_eq!(channel.take(&queue), "kept");
}

#[test]
fn bytes_are_those_of_bodies_and_the_oldest_go() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, &[("x-max-length-bytes", number(10))]);
    channel.fill(&queue, &["1234", "5678", "90"]);
    channel.publish("", &queue, "abc");
    channel.await_ready(&queue, 3);
    channel.publish("", &queue, "12345678");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "12345678");
}

#[test]
fn a_message_larger_than_the_queue_leaves_it_empty() {
    let channel = Connection::open().channel(1);
    let queue = queue(&channel, &[("x-max-length-bytes", number(3))]);
    channel.publish("", &queue, "abc");
    channel.await_ready(&queue, 1);
    channel.publish("", &queue, "abcd");
    channel.await_ready(&queue, 0);
}

#[test]
fn a_queue_that_is_full_of_bytes_refuses() {
    let channel = Connection::open().channel(1);
    let queue = queue(
        &channel,
        &[
            ("x-max-length-bytes", number(10)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    channel.confirm_select();
    for body in ["12345", "123456", "12345", "1"] {
        channel.publish("", &queue, body);
    }
    assert_eq!(answers(&channel, 1..=4), [true, false, true, false]);
}

#[test]
fn unacked_messages_do_not_count() {
    let channel = Connection::open().channel(1);
    let queue = queue(
        &channel,
        &[
            ("x-max-length", number(1)),
            ("x-overflow", text("reject-publish")),
        ],
    );
    channel.confirm_select();
    channel.publish("", &queue, "held");
    assert_eq!(answers(&channel, 1..=1), [true]);
    channel.get_with(&queue, false).expect("it is there");
    channel.publish("", &queue, "ready");
    channel.publish("", &queue, "too many");
    assert_eq!(answers(&channel, 2..=3), [true, false]);
}
