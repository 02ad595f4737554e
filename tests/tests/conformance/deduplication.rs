//! `x-message-deduplication`, for queues and as a type of exchange: of messages whose `x-deduplication-header` is the same only the first gets in
//! (<https://github.com/noxdafox/rabbitmq-message-deduplication>). RabbitMQ needs that plugin for it.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, table, text, unique};

const ARGUMENT: &str = "x-message-deduplication";
const HEADER: &str = "x-deduplication-header";

/// The arguments of a queue that keeps duplicates out, and others.
fn unique_with<const N: usize>(others: [(&str, AMQPValue); N]) -> FieldTable {
    let mut arguments = table(others);
    arguments.insert(ARGUMENT.into(), AMQPValue::Boolean(true));
    arguments
}

fn properties(value: AMQPValue) -> BasicProperties {
    BasicProperties::default().with_headers(table([(HEADER, value)]))
}

fn publish(channel: &Channel, queue: &str, value: &str, body: &str) {
    channel.publish_with("", queue, properties(text(value)), body);
}

/// All that is in a queue, taken out.
fn drained(channel: &Channel, queue: &str) -> Vec<String> {
    let next = || channel.get_with(queue, true);
    std::iter::from_fn(next)
        .map(|message| message.text().to_owned())
        .collect()
}

#[test]
fn a_queue_keeps_a_second_message_out_while_the_first_is_in_it() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    for (value, body) in [
        ("a", "a1"),
        ("b", "b1"),
        ("a", "a2"),
        ("c", "c1"),
        ("b", "b2"),
    ] {
        publish(&channel, &queue, value, body);
    }
    channel.publish("", &queue, "without");
    channel.publish("", &queue, "without");
    let there = ["a1", "b1", "c1", "without", "without"];
    assert_eq!(drained(&channel, &queue), there);
}

#[test]
fn values_of_every_type_are_told_apart() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    let values = [
        text("42"),
        AMQPValue::LongInt(42),
        AMQPValue::Double(4.2),
        AMQPValue::Boolean(true),
        AMQPValue::Void,
        text(""),
    ];
    for value in values.iter().chain(&values) {
        channel.publish_with("", &queue, properties(value.clone()), "once");
    }
    // As wide as it likes, it is the same number.
    channel.publish_with(
        "",
        &queue,
        properties(AMQPValue::ShortShortInt(42)),
        "again",
    );
    channel.publish_with("", &queue, properties(AMQPValue::LongLongInt(42)), "again");
    assert_eq!(drained(&channel, &queue), ["once"; 6]);
}

#[test]
fn a_message_that_is_handed_out_keeps_others_out_until_it_is_acked() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    publish(&channel, &queue, "a", "first");
    let got = channel.get(&queue).expect("the first");
    publish(&channel, &queue, "a", "second");
    assert_eq!(channel.ready(&queue), 0);
    channel.ack(got.method.delivery_tag);
    publish(&channel, &queue, "a", "third");
    assert_eq!(drained(&channel, &queue), ["third"]);
}

#[test]
fn a_message_that_goes_back_keeps_others_out() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    publish(&channel, &queue, "a", "first");
    let got = channel.get(&queue).expect("the first");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: true,
    });
    publish(&channel, &queue, "a", "second");
    assert_eq!(drained(&channel, &queue), ["first"]);
}

#[test]
fn a_consumer_that_does_not_ack_frees_the_value_at_once() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    channel.consume_no_ack(&queue);
    for body in ["first", "second", "third"] {
        publish(&channel, &queue, "a", body);
    }
    assert_eq!(channel.deliveries(3), ["first", "second", "third"]);
}

#[test]
fn what_expires_or_is_one_too_many_frees_its_value() {
    let channel = Connection::open().channel(1);
    let ttl = channel.queue_with(unique_with([("x-message-ttl", AMQPValue::LongInt(1_000))]));
    let publisher = channel.connection().channel(2);
    publisher.confirm_select();
    publish(&publisher, &ttl, "a", "first");
    publisher.expect::<basic::Ack>();
    channel.await_ready(&ttl, 0);
    publish(&publisher, &ttl, "a", "second");
    publisher.expect::<basic::Ack>();
    assert_eq!(channel.ready(&ttl), 1);
    let short = channel.queue_with(unique_with([("x-max-length", AMQPValue::LongInt(1))]));
    for (value, body) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        publish(&channel, &short, value, body);
    }
    assert_eq!(drained(&channel, &short), ["a2"]);
}

#[test]
fn what_is_purged_frees_its_value_and_what_is_handed_out_does_not() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    publish(&channel, &queue, "held", "held");
    channel.get(&queue).expect("it is handed out");
    publish(&channel, &queue, "ready", "ready");
    channel.call(queue::Purge {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    publish(&channel, &queue, "held", "a duplicate");
    publish(&channel, &queue, "ready", "again");
    assert_eq!(drained(&channel, &queue), ["again"]);
}

#[test]
fn dead_letters_free_their_value_and_duplicates_are_none() {
    let channel = Connection::open().channel(1);
    let dead = channel.queue_with(unique_with([]));
    let queue = channel.queue_with(unique_with([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&dead)),
    ]));
    for body in ["first", "a duplicate"] {
        publish(&channel, &queue, "a", body);
    }
    let reject = || {
        let got = channel.get(&queue).expect("one is there");
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: false,
        });
    };
    reject();
    channel.await_ready(&dead, 1);
    publish(&channel, &queue, "a", "second");
    // Where it goes there is one already.
    reject();
    assert_eq!(channel.ready(&queue), 0);
    assert_eq!(drained(&channel, &dead), ["first"]);
}

#[test]
fn a_message_that_dies_into_its_own_queue_is_there_once() {
    let channel = Connection::open().channel(1);
    let name = unique("own");
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        exclusive: true,
        arguments: unique_with([
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&name)),
        ]),
        ..Default::default()
    });
    publish(&channel, &name, "a", "first");
    let got = channel.get(&name).expect("it is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: false,
    });
    channel.await_ready(&name, 1);
    publish(&channel, &name, "a", "second");
    assert_eq!(drained(&channel, &name), ["first"]);
}

#[test]
fn a_duplicate_is_confirmed() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    channel.confirm_select();
    for _ in 0..5 {
        publish(&channel, &queue, "a", "one");
    }
    channel.confirms(5);
    assert_eq!(drained(&channel, &queue), ["one"]);
}

#[test]
fn a_full_queue_confirms_a_duplicate_and_refuses_others() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", text("reject-publish")),
    ]));
    channel.confirm_select();
    for value in ["a", "a", "b"] {
        publish(&channel, &queue, value, value);
    }
    let mut refused = Vec::new();
    let mut answered = 0;
    while answered < 3 {
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => answered = ack.delivery_tag,
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                let first = if nack.multiple {
                    answered + 1
                } else {
                    nack.delivery_tag
                };
                refused.extend(first..=nack.delivery_tag);
                answered = nack.delivery_tag;
            }
            other => panic!("no confirm: {other:?}"),
        }
    }
    assert_eq!(refused, [3]);
    assert_eq!(drained(&channel, &queue), ["a"]);
}

#[test]
fn priorities_share_their_values() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([("x-max-priority", AMQPValue::LongInt(9))]));
    for (value, priority) in [("a", 1), ("b", 5), ("a", 9), ("b", 0)] {
        let properties = properties(text(value)).with_priority(priority);
        channel.publish_with("", &queue, properties, value);
    }
    assert_eq!(drained(&channel, &queue), ["b", "a"]);
}

#[test]
fn a_transaction_has_no_duplicates_within() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(unique_with([]));
    channel.call(amq_protocol::protocol::tx::Select {});
    for body in ["first", "second"] {
        publish(&channel, &queue, "a", body);
    }
    channel.call(amq_protocol::protocol::tx::Commit {});
    assert_eq!(drained(&channel, &queue), ["first"]);
}

#[test]
fn the_argument_is_a_boolean_and_may_be_left_out_again() {
    let channel = Connection::open().channel(1);
    let name = unique("dedup");
    let declare = |arguments| queue::Declare {
        queue: name.as_str().into(),
        exclusive: true,
        arguments,
        ..Default::default()
    };
    let explanation = format!(
        "PRECONDITION_FAILED - invalid arg '{ARGUMENT}' for queue '{name}' in vhost '/': {{unacceptable_type,longstr}}"
    );
    channel.fails(
        declare(table([(ARGUMENT, text("true"))])),
        406,
        &explanation,
    );
    channel.reopen();
    channel.call(declare(unique_with([])));
    channel.call(declare(table([])));
    let off = channel.queue_with(table([(ARGUMENT, AMQPValue::Boolean(false))]));
    publish(&channel, &off, "a", "one");
    publish(&channel, &off, "a", "two");
    assert_eq!(drained(&channel, &off), ["one", "two"]);
}
