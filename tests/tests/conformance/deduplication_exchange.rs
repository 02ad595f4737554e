//! Exchanges of the type `x-message-deduplication`, as RabbitMQ's community plugin has them: a fanout that lets a message through only once.

use std::time::{Duration, Instant};

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, table, text, unique};

const KIND: &str = "x-message-deduplication";
const HEADER: &str = "x-deduplication-header";

fn declaration(name: &str, arguments: FieldTable) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: KIND.into(),
        auto_delete: true,
        arguments,
        ..Default::default()
    }
}

fn size(size: i32) -> (&'static str, AMQPValue) {
    ("x-cache-size", AMQPValue::LongInt(size))
}

/// An exchange, which goes with its last binding, and a queue bound to it.
fn bound(channel: &Channel, arguments: FieldTable) -> (String, String) {
    let (name, queue) = (unique("dedup"), channel.queue());
    channel.call(declaration(&name, arguments));
    channel.bind(&queue, &name, "#");
    (name, queue)
}

fn properties(value: &str) -> BasicProperties {
    BasicProperties::default().with_headers(table([(HEADER, text(value))]))
}

fn publish(channel: &Channel, exchange: &str, value: &str, body: &str) {
    channel.publish_with(exchange, "key", properties(value), body);
}

/// All that is in a queue, taken out.
fn drained(channel: &Channel, queue: &str) -> Vec<String> {
    let next = || channel.get_with(queue, true);
    let all = std::iter::from_fn(next);
    all.map(|message| message.text().to_owned()).collect()
}

#[test]
fn a_value_comes_through_once_whatever_became_of_its_message() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(10)]));
    for body in ["first", "second", "third"] {
        publish(&channel, &exchange, "a", body);
    }
    assert_eq!(drained(&channel, &queue), ["first"]);
    publish(&channel, &exchange, "a", "fourth");
    publish(&channel, &exchange, "b", "other");
    assert_eq!(drained(&channel, &queue), ["other"]);
}

#[test]
fn without_the_header_it_is_a_fanout() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(10)]));
    let other = channel.queue();
    channel.bind(&other, &exchange, "another key");
    channel.publish(&exchange, "", "one");
    channel.publish(&exchange, "any", "two");
    publish(&channel, &exchange, "a", "three");
    for queue in [queue, other] {
        let mut there = drained(&channel, &queue);
        there.sort();
        assert_eq!(there, ["one", "three", "two"]);
    }
}

/// A method behind a publish finds the message in its queue, whichever shard that is in.
#[test]
fn methods_behind_a_publish_find_its_message() {
    let channel = Connection::open().channel(1);
    let queues: Vec<String> = (0..8).map(|_| channel.queue()).collect();
    for round in 0..20 {
        let (exchange, _) = bound(&channel, table([size(10)]));
        for queue in &queues {
            channel.bind(queue, &exchange, "");
        }
        let value = format!("{round}");
        publish(&channel, &exchange, &value, &value);
        let queue = &queues[round % queues.len()];
        assert_eq!(channel.take(queue), value);
        for queue in &queues {
            drained(&channel, queue);
        }
    }
}

#[test]
fn messages_of_a_publisher_stay_in_order() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(1000)]));
    channel.consume_no_ack(&queue);
    let bodies: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    for body in bodies.iter().flat_map(|body| [body, body]) {
        publish(&channel, &exchange, body, body);
    }
    assert_eq!(channel.deliveries(500), bodies);
    channel.quiet(&queue);
}

#[test]
fn a_value_is_forgotten_when_its_time_is_over() {
    let channel = Connection::open().channel(1);
    let ttl = ("x-cache-ttl", AMQPValue::LongInt(60_000));
    let (exchange, queue) = bound(&channel, table([size(10), ttl]));
    let brief = |ms| {
        let mut headers = table([(HEADER, text("brief"))]);
        headers.insert("x-cache-ttl".into(), AMQPValue::LongInt(ms));
        BasicProperties::default().with_headers(headers)
    };
    let began = Instant::now();
    channel.publish_with(&exchange, "", brief(700), "first");
    publish(&channel, &exchange, "long", "long");
    let mut again = 0;
    while channel.ready(&queue) < 3 {
        channel.publish_with(&exchange, "", brief(60_000), "again");
        again += 1;
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert!(began.elapsed() >= Duration::from_millis(690));
    assert!(again > 1);
    publish(&channel, &exchange, "long", "a duplicate");
    channel.publish_with(&exchange, "", brief(1), "a duplicate");
    assert_eq!(drained(&channel, &queue), ["first", "long", "again"]);
}

#[test]
fn of_too_many_values_the_oldest_is_forgotten() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(2)]));
    for value in ["a", "b", "a", "c", "b", "a"] {
        publish(&channel, &exchange, value, value);
    }
    assert_eq!(drained(&channel, &queue), ["a", "b", "c", "a"]);
}

#[test]
fn a_duplicate_is_confirmed() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(10)]));
    channel.confirm_select();
    for _ in 0..5 {
        publish(&channel, &exchange, "a", "one");
    }
    channel.confirms(5);
    assert_eq!(drained(&channel, &queue), ["one"]);
}

#[test]
fn duplicates_go_to_the_alternate_exchange() {
    let channel = Connection::open().channel(1);
    let (alternate, duplicates) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&duplicates, &alternate, "");
    let arguments = table([size(10), ("alternate-exchange", text(&alternate))]);
    let (exchange, queue) = bound(&channel, arguments);
    for body in ["first", "second"] {
        publish(&channel, &exchange, "a", body);
    }
    assert_eq!(drained(&channel, &queue), ["first"]);
    assert_eq!(drained(&channel, &duplicates), ["second"]);
}

#[test]
fn what_reaches_no_queue_is_not_remembered() {
    let channel = Connection::open().channel(1);
    let name = unique("dedup");
    channel.call(declaration(&name, table([size(10)])));
    let mandatory = basic::Publish {
        exchange: name.as_str().into(),
        mandatory: true,
        ..Default::default()
    };
    channel.publish_content(mandatory, &properties("a"), b"nowhere");
    let returned = channel.content::<basic::Return>();
    assert_eq!(returned.method.reply_code, 312);
    let queue = channel.queue();
    channel.bind(&queue, &name, "");
    publish(&channel, &name, "a", "somewhere");
    publish(&channel, &name, "a", "a duplicate");
    assert_eq!(drained(&channel, &queue), ["somewhere"]);
}

#[test]
fn exchanges_behind_each_other_know_for_themselves() {
    let channel = Connection::open().channel(1);
    let (first, of_first) = bound(&channel, table([size(10)]));
    let (second, of_second) = bound(&channel, table([size(10)]));
    let bind = |source: &str, destination: &str| {
        channel.call(exchange::Bind {
            source: source.into(),
            destination: destination.into(),
            ..Default::default()
        });
    };
    bind(&first, &second);
    // And round.
    bind(&second, &first);
    publish(&channel, &second, "a", "a");
    // It comes to the first one by another way than this: what is behind a method finds it there.
    channel.sync();
    publish(&channel, &first, "a", "a duplicate");
    publish(&channel, &first, "b", "b");
    assert_eq!(drained(&channel, &of_first), ["a", "b"]);
    assert_eq!(drained(&channel, &of_second), ["a", "b"]);
}

#[test]
fn exchanges_that_forget_at_once_and_lead_to_each_other_end_it() {
    let channel = Connection::open().channel(1);
    let (first, queue) = bound(&channel, table([size(10)]));
    let (second, _) = bound(&channel, table([size(10)]));
    for (source, destination) in [(&first, &second), (&second, &first)] {
        channel.call(exchange::Bind {
            source: source.as_str().into(),
            destination: destination.as_str().into(),
            ..Default::default()
        });
    }
    let mut headers = table([(HEADER, text("a"))]);
    headers.insert("x-cache-ttl".into(), AMQPValue::LongInt(0));
    let properties = BasicProperties::default().with_headers(headers);
    channel.publish_with(&first, "", properties, "round");
    channel.await_counts(&queue, |counts| counts.message_count == 32);
    channel.publish("", &queue, "end");
    assert_eq!(channel.ready(&queue), 33);
}

#[test]
fn dead_letters_and_transactions_come_through_once() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(10)]));
    let dying = channel.queue_with(table([("x-dead-letter-exchange", text(&exchange))]));
    for value in ["a", "a", "b"] {
        channel.publish_with("", &dying, properties(value), value);
    }
    for _ in 0..3 {
        let got = channel.get(&dying).expect("it is there");
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: false,
        });
    }
    channel.await_ready(&queue, 2);
    channel.call(tx::Select {});
    for value in ["b", "c", "c"] {
        publish(&channel, &exchange, value, value);
    }
    channel.call(tx::Rollback {});
    for value in ["c", "a", "c"] {
        publish(&channel, &exchange, value, value);
    }
    channel.call(tx::Commit {});
    assert_eq!(drained(&channel, &queue), ["a", "b", "c"]);
}

#[test]
fn what_a_full_queue_refuses_is_told_and_not_remembered() {
    let channel = Connection::open().channel(1);
    let name = unique("dedup");
    channel.call(declaration(&name, table([size(10)])));
    let full = small_queue(&channel);
    channel.bind(&full, &name, "");
    channel.confirm_select();
    let taken = |value: &str| {
        publish(&channel, &name, value, value);
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(basic::AMQPMethod::Ack(_)) => true,
            AMQPClass::Basic(basic::AMQPMethod::Nack(_)) => false,
            other => panic!("no confirm: {other:?}"),
        }
    };
    assert!(taken("a"));
    assert!(!taken("b"));
    assert!(taken("a"), "a duplicate needs no room");
    assert_eq!(channel.take(&full), "a");
    assert_eq!(channel.ready(&full), 0);
    assert!(taken("b"));
    assert_eq!(drained(&channel, &full), ["b"]);
}

/// A queue for one message, whose letters for those it refuses go to the other one.
fn small_queue_with_letters(channel: &Channel) -> (String, String) {
    let letters = channel.queue();
    let small = channel.queue_with(table([
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&letters)),
    ]));
    (small, letters)
}

#[test]
fn what_a_full_queue_refuses_is_its_dead_letter_and_not_remembered() {
    let channel = Connection::open().channel(1);
    let (exchange, inner) = (unique("dedup"), unique("dedup"));
    channel.call(declaration(&exchange, table([size(10)])));
    channel.call(declaration(&inner, table([size(10)])));
    // One right behind the exchange, the other one behind two.
    let (near, near_letters) = small_queue_with_letters(&channel);
    let (far, far_letters) = small_queue_with_letters(&channel);
    channel.bind(&near, &exchange, "");
    channel.call(exchange::Bind {
        destination: inner.as_str().into(),
        source: exchange.as_str().into(),
        ..Default::default()
    });
    channel.bind(&far, &inner, "");
    channel.confirm_select();
    let publish_and_wait = |value: &str| {
        publish(&channel, &exchange, value, value);
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(basic::AMQPMethod::Ack(_)) => true,
            AMQPClass::Basic(basic::AMQPMethod::Nack(_)) => false,
            other => panic!("no confirm: {other:?}"),
        }
    };
    assert!(publish_and_wait("a"));
    assert!(!publish_and_wait("b"));
    for (full, letters) in [(&near, &near_letters), (&far, &far_letters)] {
        channel.await_ready(letters, 1);
        let letter = channel.get_with(letters, true).expect("the letter");
        let headers = letter.properties.headers().clone().expect("headers");
        let header = |name: &str| headers.inner().get(name).cloned();
        assert_eq!(letter.text(), "b");
        assert_eq!(header("x-first-death-queue"), Some(text(full)));
        assert_eq!(header("x-first-death-reason"), Some(text("maxlen")));
        assert_eq!(drained(&channel, full), ["a"]);
    }
    assert!(publish_and_wait("b"));
    assert_eq!(drained(&channel, &near), ["b"]);
    assert_eq!(drained(&channel, &far), ["b"]);
}

/// Where it is only left out, a full queue makes a letter all the same, while those with room have the message.
#[test]
fn what_passes_by_a_full_queue_is_its_dead_letter() {
    let channel = Connection::open().channel(1);
    let (exchange, free) = bound(&channel, table([size(10)]));
    let (full, letters) = small_queue_with_letters(&channel);
    channel.bind(&full, &exchange, "");
    publish(&channel, &exchange, "a", "a");
    channel.await_ready(&full, 1);
    let transactional = channel.connection().channel(2);
    transactional.call(tx::Select {});
    publish(&transactional, &exchange, "b", "b");
    transactional.fails(
        tx::Commit {},
        406,
        "PRECONDITION_FAILED - partial tx completion",
    );
    channel.await_ready(&letters, 1);
    assert_eq!(channel.take(&letters), "b");
    assert_eq!(drained(&channel, &free), ["a", "b"]);
    assert_eq!(drained(&channel, &full), ["a"]);
}

/// What an exchange forgets at once.
fn forgotten(channel: &Channel, queue: &str, body: &str) {
    let headers = table([(HEADER, text(body)), ("x-cache-ttl", AMQPValue::LongInt(0))]);
    let properties = BasicProperties::default().with_headers(headers);
    channel.publish_with("", queue, properties, body);
}

/// As with any other exchange: without a rejection nothing goes round for ever.
#[test]
fn dead_letters_do_not_come_back_to_their_queue_through_an_exchange() {
    let channel = Connection::open().channel(1);
    let (exchange, letters) = bound(&channel, table([size(10)]));
    let dying = channel.queue_with(table([
        ("x-message-ttl", AMQPValue::LongInt(0)),
        ("x-dead-letter-exchange", text(&exchange)),
    ]));
    channel.bind(&dying, &exchange, "");
    for body in ["one", "two", "three"] {
        forgotten(&channel, &dying, body);
        channel.await_ready(&letters, 1);
        assert_eq!(channel.take(&letters), body);
    }
}

#[test]
fn what_a_full_queue_refuses_does_not_come_back_to_it_through_an_exchange() {
    let channel = Connection::open().channel(1);
    let (exchange, letters) = bound(&channel, table([size(10)]));
    let full = channel.queue_with(table([
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-dead-letter-exchange", text(&exchange)),
    ]));
    channel.bind(&full, &exchange, "");
    for body in ["kept", "refused"] {
        forgotten(&channel, &full, body);
    }
    channel.await_ready(&letters, 1);
    assert_eq!(drained(&channel, &letters), ["refused"]);
    assert_eq!(drained(&channel, &full), ["kept"]);
}

fn small_queue(channel: &Channel) -> String {
    channel.queue_with(table([
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", text("reject-publish")),
    ]))
}

/// Takes messages from a queue and rejects them, so that they are dead letters.
fn reject_all(channel: &Channel, queue: &str) {
    while let Some(got) = channel.get(queue) {
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: false,
        });
    }
}

#[test]
fn dead_letters_and_transactions_pass_by_a_full_queue() {
    let channel = Connection::open().channel(1);
    let (exchange, free) = bound(&channel, table([size(10)]));
    let full = small_queue(&channel);
    channel.bind(&full, &exchange, "");
    let dying = channel.queue_with(table([("x-dead-letter-exchange", text(&exchange))]));
    for value in ["a", "b"] {
        channel.publish_with("", &dying, properties(value), value);
    }
    channel.await_ready(&dying, 2);
    reject_all(&channel, &dying);
    channel.await_ready(&free, 2);
    channel.call(tx::Select {});
    publish(&channel, &exchange, "c", "c");
    channel.fails(
        tx::Commit {},
        406,
        "PRECONDITION_FAILED - partial tx completion",
    );
    channel.reopen();
    channel.call(tx::Select {});
    assert_eq!(drained(&channel, &free), ["a", "b", "c"]);
    assert_eq!(drained(&channel, &full), ["a"]);
    // They went somewhere, and are known.
    publish(&channel, &exchange, "b", "again");
    channel.call(tx::Commit {});
    assert_eq!(channel.ready(&free), 0);
}

#[test]
fn letters_that_must_not_be_lost_wait_until_a_queue_behind_has_room() {
    let channel = Connection::open().channel(1);
    let outer = unique("dedup");
    channel.call(declaration(&outer, table([size(10)])));
    let (inner, full) = (unique("dedup"), small_queue(&channel));
    channel.call(declaration(&inner, table([size(10)])));
    channel.bind(&full, &inner, "");
    channel.call(exchange::Bind {
        source: outer.as_str().into(),
        destination: inner.as_str().into(),
        ..Default::default()
    });
    let dying = channel.queue_with(table([
        ("x-dead-letter-exchange", text(&outer)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]));
    for value in ["a", "b"] {
        channel.publish_with("", &dying, properties(value), value);
    }
    channel.await_ready(&dying, 2);
    reject_all(&channel, &dying);
    channel.await_ready(&full, 1);
    assert_eq!(channel.take(&full), "a");
    assert_eq!(channel.await_take(&full), "b");
}

#[test]
fn a_full_queue_behind_two_exchanges_refuses_as_well() {
    let channel = Connection::open().channel(1);
    let (outer, inner) = (unique("dedup"), unique("dedup"));
    let full = small_queue(&channel);
    for name in [&outer, &inner] {
        channel.call(declaration(name, table([size(10)])));
    }
    channel.bind(&full, &inner, "");
    channel.call(exchange::Bind {
        source: outer.as_str().into(),
        destination: inner.as_str().into(),
        ..Default::default()
    });
    channel.confirm_select();
    for (value, is_taken) in [("a", true), ("b", false), ("a", true)] {
        publish(&channel, &outer, value, value);
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(basic::AMQPMethod::Ack(_)) => assert!(is_taken),
            AMQPClass::Basic(basic::AMQPMethod::Nack(_)) => assert!(!is_taken),
            other => panic!("no confirm: {other:?}"),
        }
    }
    assert_eq!(drained(&channel, &full), ["a"]);
    publish(&channel, &outer, "b", "b");
    channel.expect::<basic::Ack>();
    assert_eq!(drained(&channel, &full), ["b"]);
}

#[test]
fn wrong_arguments_are_refused() {
    const SIZE: &str =
        "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
    const TTL: &str = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0";
    const PERSISTENCE: &str =
        "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
    let channel = Connection::open().channel(1);
    let persistence = |word| ("x-cache-persistence", text(word));
    for (arguments, explanation) in [
        (table([]), SIZE),
        (table([size(0)]), SIZE),
        (table([size(-1)]), SIZE),
        (table([("x-cache-size", text("foo"))]), SIZE),
        (table([("x-cache-size", AMQPValue::Boolean(true))]), SIZE),
        (
            table([size(1), ("x-cache-ttl", AMQPValue::LongInt(0))]),
            TTL,
        ),
        (table([size(1), ("x-cache-ttl", text("bar"))]), TTL),
        (table([size(1), persistence("tape")]), PERSISTENCE),
    ] {
        let declare = declaration(&unique("dedup"), arguments);
        let explanation = format!("PRECONDITION_FAILED - {explanation}");
        channel.fails(declare, 406, &explanation);
        channel.reopen();
    }
    for arguments in [
        table([("x-cache-size", text("10")), ("x-cache-ttl", text("1000"))]),
        table([size(1), persistence("disk")]),
        table([size(1), persistence("memory")]),
    ] {
        let name = unique("dedup");
        channel.call(declaration(&name, arguments));
        // Only what RabbitMQ compares has to be the same.
        channel.call(declaration(&name, table([size(7)])));
    }
}

#[test]
fn nobody_sees_what_an_exchange_knows() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = bound(&channel, table([size(10)]));
    publish(&channel, &exchange, "a", "a");
    let hidden = format!("amq.deduplication.{exchange}");
    channel.send(queue::Declare {
        queue: hidden.as_str().into(),
        passive: true,
        ..Default::default()
    });
    let text = format!("NOT_FOUND - no queue '{hidden}' in vhost '/'");
    channel.expect_close(404, &text);
    channel.reopen();
    channel.publish("", &hidden, "nowhere");
    assert_eq!(channel.ready(&queue), 1);
    // An exchange of the same name knows nothing of it.
    channel.call(exchange::Delete {
        exchange: exchange.as_str().into(),
        ..Default::default()
    });
    channel.call(declaration(&exchange, table([size(10)])));
    channel.bind(&queue, &exchange, "");
    publish(&channel, &exchange, "a", "again");
    assert_eq!(channel.ready(&queue), 2);
}
