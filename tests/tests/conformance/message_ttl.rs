//! How long messages may stay: `x-message-ttl` and `expiration` (<https://www.rabbitmq.com/docs/ttl>).

use std::time::{Duration, Instant};

use amq_protocol::protocol::{BasicProperties, basic};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, table, text};

/// How much later than it is due something may be seen.
const LATE: Duration = Duration::from_secs(3);

fn ttl(ms: i32) -> (&'static str, AMQPValue) {
    ("x-message-ttl", AMQPValue::LongInt(ms))
}

fn expiring(ms: &str) -> BasicProperties {
    BasicProperties::default().with_expiration(ms.into())
}

/// Waits until a queue is empty, without asking it for a message. Returns how long that took.
fn await_empty(channel: &Channel, queue: &str) -> Duration {
    let began = Instant::now();
    channel.await_ready(queue, 0);
    began.elapsed()
}

/// Waits until a message that was published now has expired.
fn let_pass(channel: &Channel, ms: i32) {
    let queue = channel.queue_with(table([ttl(ms)]));
    channel.publish("", &queue, "a clock");
    channel.await_ready(&queue, 1);
    channel.await_ready(&queue, 0);
}

fn assert_prompt(took: Duration, due: Duration) {
    assert!(
        took + Duration::from_millis(100) >= due && took <= due + LATE,
        "due after {due:?}, gone after {took:?}"
    );
}

#[test]
fn a_message_goes_when_the_queues_time_is_over() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(600)]));
    channel.publish("", &queue, "short-lived");
    channel.await_ready(&queue, 1);
    assert_prompt(await_empty(&channel, &queue), Duration::from_millis(600));
}

#[test]
fn a_message_goes_when_its_own_time_is_over() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.publish_with("", &queue, expiring("600"), "short-lived");
    channel.await_ready(&queue, 1);
    assert_prompt(await_empty(&channel, &queue), Duration::from_millis(600));
}

#[test]
fn the_shorter_time_counts() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(60_000)]));
    channel.publish_with("", &queue, expiring("300"), "its own");
    channel.await_ready(&queue, 1);
    assert_prompt(await_empty(&channel, &queue), Duration::from_millis(300));
    let queue = channel.queue_with(table([ttl(300)]));
    channel.publish_with("", &queue, expiring("60000"), "the queue's");
    channel.await_ready(&queue, 1);
    assert_prompt(await_empty(&channel, &queue), Duration::from_millis(300));
}

#[test]
fn an_expired_message_behind_one_that_stays_waits_until_it_is_the_first() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.publish_with("", &queue, expiring("60000"), "stays");
    channel.publish_with("", &queue, expiring("1"), "goes");
    channel.publish("", &queue, "last");
    channel.await_ready(&queue, 3);
    let_pass(&channel, 50);
    assert_eq!(channel.ready(&queue), 3);
    assert_eq!(channel.take(&queue), "stays");
    assert_eq!(channel.take(&queue), "last");
}

#[test]
fn an_expired_message_is_not_delivered() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.qos(1, false);
    channel.publish_with("", &queue, BasicProperties::default(), "first");
    for body in ["a", "b", "c"] {
        channel.publish_with("", &queue, expiring("1"), body);
    }
    channel.publish("", &queue, "last");
    channel.await_ready(&queue, 5);
    let_pass(&channel, 50);
    channel.consume(&queue);
    let first = channel.deliver();
    assert_eq!(first.text(), "first");
    channel.await_ready(&queue, 1);
    channel.ack(first.method.delivery_tag);
    assert_eq!(channel.deliver().text(), "last");
}

#[test]
fn with_no_time_at_all_only_a_waiting_consumer_gets_it() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(0)]));
    channel.publish("", &queue, "nobody is there");
    channel.await_ready(&queue, 0);
    assert!(channel.get(&queue).is_none());
    channel.consume(&queue);
    channel.publish("", &queue, "for the consumer");
    assert_eq!(channel.deliver().text(), "for the consumer");
}

#[test]
fn with_no_time_at_all_it_is_a_dead_letter_at_once() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    let letters = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&target)),
    ];
    let [exchange, key] = letters;
    let of_queue = channel.queue_with(table([exchange.clone(), key.clone(), ttl(0)]));
    let of_message = channel.queue_with(table([exchange, key]));
    channel.publish("", &of_queue, "the queue's");
    channel.await_ready(&target, 1);
    channel.publish_with("", &of_message, expiring("0"), "its own");
    channel.await_ready(&target, 2);
    assert_eq!(channel.take(&target), "the queue's");
    assert_eq!(channel.take(&target), "its own");
}

#[test]
fn letters_of_the_expired_come_when_it_is_time_though_nothing_else_happens() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    channel.consume_no_ack(&target);
    let due = Duration::from_secs(2);
    // The machine may have other things to do, but not each time.
    let late = (0..3).map(|_| {
        let queue = channel.queue_with(table([
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&target)),
            ttl(2_000),
        ]));
        let began = Instant::now();
        channel.publish("", &queue, "nobody asks for it");
        channel.deliver();
        let took = began.elapsed();
        assert!(
            took + Duration::from_millis(100) >= due,
            "too early: {took:?}"
        );
        took.saturating_sub(due)
    });
    let least = late.min().expect("three times");
    assert!(least <= due / 5, "at best it was {least:?} late");
}

#[test]
fn what_is_given_back_has_the_deadline_it_had() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(500)]));
    let began = Instant::now();
    channel.publish("", &queue, "given back");
    channel.await_ready(&queue, 1);
    let got = channel.get_with(&queue, false).expect("it is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: true,
    });
    channel.await_ready(&queue, 1);
    channel.await_ready(&queue, 0);
    assert_prompt(began.elapsed(), Duration::from_millis(500));
}

#[test]
fn given_back_when_its_time_is_over_it_goes() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(0)]));
    channel.consume(&queue);
    channel.publish("", &queue, "for the consumer");
    let delivery = channel.deliver();
    channel.cancel(delivery.method.consumer_tag.as_str());
    channel.send(basic::Reject {
        delivery_tag: delivery.method.delivery_tag,
        requeue: true,
    });
    channel.await_ready(&queue, 0);
    assert!(channel.get(&queue).is_none());
}

#[test]
fn of_a_queue_with_a_time_all_go_together_wherever_they_are() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(300)]));
    for body in ["one", "two", "three"] {
        channel.publish_with("", &queue, expiring("60000"), body);
    }
    channel.await_ready(&queue, 3);
    let held = channel.get_with(&queue, false).expect("it is there");
    channel.await_ready(&queue, 0);
    channel.send(basic::Reject {
        delivery_tag: held.method.delivery_tag,
        requeue: true,
    });
    channel.sync();
    assert!(channel.get(&queue).is_none());
}

#[test]
fn an_unacked_message_does_not_expire() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([ttl(100)]));
    channel.publish("", &queue, "held");
    let held = channel.get_with(&queue, false).expect("it is there");
    let_pass(&channel, 400);
    channel.ack(held.method.delivery_tag);
    channel.sync();
}

#[test]
fn expired_messages_go_to_the_dead_letters_in_order() {
    let channel = Connection::open().channel(1);
    let (exchange, target) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&target, &exchange, "");
    let queue = channel.queue_with(table([
        ("x-dead-letter-exchange", text(&exchange)),
        ttl(200),
    ]));
    let bodies = ["one", "two", "three"];
    channel.fill(&queue, &bodies);
    channel.await_ready(&target, 3);
    assert_eq!(channel.ready(&queue), 0);
    assert_eq!(bodies.map(|_| channel.take(&target)), bodies);
}

#[test]
fn a_dead_letter_that_expired_has_no_expiration_but_remembers_it() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    let queue = channel.queue_with(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&target)),
    ]));
    channel.publish_with("", &queue, expiring("100"), "moved");
    channel.await_ready(&target, 1);
    let got = channel.get(&target).expect("the dead letter");
    assert_eq!(got.properties.expiration(), &None);
    let headers = got.properties.headers().clone().expect("headers");
    let deaths = headers.inner().get("x-death").expect("deaths");
    let AMQPValue::FieldArray(deaths) = deaths else {
        panic!("{deaths:?}");
    };
    let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else {
        panic!("{deaths:?}");
    };
    let of = |key: &str| death.inner().get(key).cloned();
    assert_eq!(of("reason"), Some(text("expired")));
    assert_eq!(of("original-expiration"), Some(text("100")));
}

#[test]
fn a_cycle_of_expiry_alone_ends() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([("x-dead-letter-exchange", text("")), ttl(500)]));
    channel.publish("", &queue, "round and round");
    channel.await_ready(&queue, 1);
    channel.await_ready(&queue, 0);
    channel.quiet(&queue);
    assert_eq!(channel.ready(&queue), 0);
}

#[test]
fn times_that_cannot_be_are_refused() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    for (expiration, reason) in [
        ("abc", "no_integer"),
        ("12s", "{leftover_string,\"s\"}"),
        ("-1", "{value_negative,-1}"),
    ] {
        channel.publish_with("", &queue, expiring(expiration), "never");
        let explanation =
            format!("PRECONDITION_FAILED - invalid expiration '{expiration}': {reason}");
        channel.expect_close_for(406, &explanation, Some((60, 40)));
        channel.reopen();
    }
}
