//! Dead letters: where rejected messages and those too many go, and what they say of it (<https://www.rabbitmq.com/docs/dlx>).

use amq_protocol::protocol::{BasicProperties, basic, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
use leveret_tests::client::{Channel, Connection, table, text, unique};

/// A queue whose dead letters go to a new queue bound to a new fanout exchange: source, exchange, target.
fn with_letters(channel: &Channel, further: &[(&str, AMQPValue)]) -> (String, String, String) {
    let (exchange, target) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&target, &exchange, "");
    let mut arguments = table([("x-dead-letter-exchange", text(&exchange))]);
    for (key, value) in further {
        arguments.insert((*key).into(), value.clone());
    }
    (channel.queue_with(arguments), exchange, target)
}

fn reject_next(channel: &Channel, queue: &str) {
    let got = channel.get_with(queue, false).expect("a message is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: false,
    });
}

fn headers(channel: &Channel, queue: &str) -> FieldTable {
    channel.await_ready(queue, 1);
    let got = channel.get(queue).expect("a message is there");
    got.properties.headers().clone().expect("it has headers")
}

fn header(headers: &FieldTable, key: &str) -> AMQPValue {
    let value = headers.inner().get(key);
    value
        .unwrap_or_else(|| panic!("no {key} in {headers:?}"))
        .clone()
}

fn deaths(headers: &FieldTable) -> Vec<FieldTable> {
    let AMQPValue::FieldArray(deaths) = header(headers, "x-death") else {
        panic!("x-death is no array: {headers:?}");
    };
    let table = |death: &AMQPValue| match death {
        AMQPValue::FieldTable(death) => death.clone(),
        other => panic!("a death is no table: {other:?}"),
    };
    deaths.as_slice().iter().map(table).collect()
}

fn keys(of: &[&str]) -> AMQPValue {
    let keys: Vec<AMQPValue> = of.iter().map(|key| text(key)).collect();
    AMQPValue::FieldArray(FieldArray::from(keys))
}

#[test]
fn a_rejected_message_says_where_it_died() {
    let channel = Connection::open().channel(1);
    let (queue, exchange, target) = with_letters(&channel, &[]);
    channel.publish("", &queue, "unwanted");
    reject_next(&channel, &queue);
    channel.await_ready(&target, 1);
    let got = channel.get(&target).expect("the dead letter");
    assert_eq!(got.text(), "unwanted");
    assert_eq!(got.method.exchange.as_str(), exchange);
    assert_eq!(got.method.routing_key.as_str(), queue);
    assert!(!got.method.redelivered);
    let headers = got.properties.headers().clone().expect("headers");
    let deaths = deaths(&headers);
    let [death] = deaths.as_slice() else {
        panic!("one death: {deaths:?}");
    };
    assert_eq!(header(death, "count"), AMQPValue::LongLongInt(1));
    assert_eq!(header(death, "reason"), text("rejected"));
    assert_eq!(header(death, "queue"), text(&queue));
    assert_eq!(header(death, "exchange"), text(""));
    assert_eq!(header(death, "routing-keys"), keys(&[&queue]));
    assert!(matches!(header(death, "time"), AMQPValue::Timestamp(at) if at > 1_700_000_000));
    assert_eq!(header(&headers, "x-first-death-queue"), text(&queue));
    assert_eq!(header(&headers, "x-first-death-reason"), text("rejected"));
    assert_eq!(header(&headers, "x-first-death-exchange"), text(""));
}

#[test]
fn every_message_of_a_nack_goes_in_order() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[]);
    let bodies = ["one", "two", "three"];
    channel.fill(&queue, &bodies);
    channel.consume(&queue);
    channel.deliveries(3);
    channel.send(basic::Nack {
        delivery_tag: 3,
        multiple: true,
        requeue: false,
    });
    channel.await_ready(&target, 3);
    assert_eq!(bodies.map(|_| channel.take(&target)), bodies);
}

#[test]
fn an_ack_and_a_requeue_are_no_deaths() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[]);
    channel.publish("", &queue, "wanted");
    let got = channel.get_with(&queue, false).expect("a message");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: true,
    });
    channel.await_ready(&queue, 1);
    let again = channel.get_with(&queue, false).expect("a message");
    channel.ack(again.method.delivery_tag);
    channel.await_ready(&queue, 0);
    assert_eq!(channel.ready(&target), 0);
}

#[test]
fn the_queues_own_key_replaces_the_messages_and_its_cc() {
    let channel = Connection::open().channel(1);
    let target = channel.queue();
    let queue = channel.queue_with(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&target)),
    ]));
    let copy = channel.queue();
    let properties = BasicProperties::default()
        .with_headers(table([("CC", keys(&[&copy])), ("kept", text("1"))]));
    channel.publish_with("", &queue, properties, "two keys");
    channel.await_ready(&copy, 1);
    channel.get(&copy);
    reject_next(&channel, &queue);
    let headers = headers(&channel, &target);
    assert!(headers.inner().get("CC").is_none());
    assert_eq!(header(&headers, "kept"), text("1"));
    let deaths = deaths(&headers);
    assert_eq!(header(&deaths[0], "routing-keys"), keys(&[&queue, &copy]));
    assert_eq!(channel.ready(&copy), 0);
}

#[test]
fn without_a_key_of_its_own_the_letter_goes_to_all_keys_it_had() {
    let channel = Connection::open().channel(1);
    let exchange = channel.exchange("direct");
    let (one, two) = (channel.queue(), channel.queue());
    let queue = channel.queue_with(table([("x-dead-letter-exchange", text(&exchange))]));
    channel.bind(&one, &exchange, &queue);
    channel.bind(&two, &exchange, "copy");
    let properties = BasicProperties::default().with_headers(table([("CC", keys(&["copy"]))]));
    channel.publish_with("", &queue, properties, "two keys");
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    for target in [one, two] {
        let headers = headers(&channel, &target);
        assert_eq!(header(&headers, "CC"), keys(&["copy"]));
    }
}

#[test]
fn deaths_are_counted_by_queue_and_reason_the_newest_first() {
    let channel = Connection::open().channel(1);
    let (first, second) = (unique("first"), unique("second"));
    for (name, other) in [(&first, &second), (&second, &first)] {
        channel.call(queue::Declare {
            queue: name.as_str().into(),
            exclusive: true,
            arguments: table([
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(other)),
            ]),
            ..Default::default()
        });
    }
    channel.publish("", &first, "to and fro");
    for at in [&first, &second, &first, &second] {
        channel.await_ready(at, 1);
        reject_next(&channel, at);
    }
    let headers = headers(&channel, &first);
    let told = deaths(&headers)
        .iter()
        .map(|death| (header(death, "queue"), header(death, "count")))
        .collect::<Vec<_>>();
    let twice = AMQPValue::LongLongInt(2);
    assert_eq!(
        told,
        [(text(&second), twice.clone()), (text(&first), twice)]
    );
    assert_eq!(header(&headers, "x-first-death-queue"), text(&first));
}

#[test]
fn another_reason_in_the_same_queue_is_another_death() {
    let channel = Connection::open().channel(1);
    let back = unique("back");
    let queue = channel.queue_with(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&back)),
    ]));
    channel.call(queue::Declare {
        queue: back.as_str().into(),
        exclusive: true,
        arguments: table([
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&queue)),
        ]),
        ..Default::default()
    });
    let expiring = BasicProperties::default().with_expiration("50".into());
    channel.publish_with("", &queue, expiring, "dies twice here");
    channel.await_ready(&back, 1);
    reject_next(&channel, &back);
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    let headers = headers(&channel, &back);
    let told = deaths(&headers)
        .iter()
        .map(|death| {
            (
                header(death, "queue"),
                header(death, "reason"),
                header(death, "count"),
            )
        })
        .collect::<Vec<_>>();
    let once = |queue: &str, reason| (text(queue), text(reason), AMQPValue::LongLongInt(1));
    assert_eq!(told[0], once(&queue, "rejected"));
    assert_eq!(told.len(), 3);
    for earlier in [once(&back, "rejected"), once(&queue, "expired")] {
        assert!(told.contains(&earlier), "{told:?}");
    }
    assert_eq!(header(&headers, "x-first-death-reason"), text("expired"));
}

#[test]
fn a_cycle_in_which_it_is_rejected_goes_on() {
    let channel = Connection::open().channel(1);
    let waits = unique("waits");
    let works = channel.queue_with(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&waits)),
    ]));
    channel.call(queue::Declare {
        queue: waits.as_str().into(),
        exclusive: true,
        arguments: table([
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&works)),
            ("x-message-ttl", 20.into()),
        ]),
        ..Default::default()
    });
    channel.publish("", &works, "tried again and again");
    channel.consume(&works);
    for round in 0..8_i64 {
        let delivery = channel.deliver();
        if round > 0 {
            let headers = delivery.properties.headers().clone().expect("headers");
            let counts = deaths(&headers)
                .iter()
                .map(|death| header(death, "count"))
                .collect::<Vec<_>>();
            assert_eq!(
                counts,
                [AMQPValue::LongLongInt(round), AMQPValue::LongLongInt(round)]
            );
        }
        channel.send(basic::Reject {
            delivery_tag: delivery.method.delivery_tag,
            requeue: false,
        });
    }
}

#[test]
fn blind_copies_have_letters_too_unless_the_queue_has_a_key_of_its_own() {
    let channel = Connection::open().channel(1);
    let exchange = channel.exchange("direct");
    let (blind, own) = (channel.queue(), channel.queue());
    channel.bind(&blind, &exchange, "blind");
    channel.bind(&own, &exchange, "own");
    let keyless = table([("x-dead-letter-exchange", text(&exchange))]);
    let mut keyed = keyless.clone();
    keyed.insert("x-dead-letter-routing-key".into(), text("own"));
    let headers_of = || table([("BCC", keys(&["blind"]))]);
    let publish = |queue: &str| {
        let properties = BasicProperties::default().with_headers(headers_of());
        channel.publish_with("", queue, properties, "one key is not seen");
        channel.await_ready(queue, 1);
        reject_next(&channel, queue);
    };
    publish(&channel.queue_with(keyed));
    let letter = headers(&channel, &own);
    assert!(letter.inner().get("BCC").is_none());
    assert_eq!(channel.ready(&blind), 0);
    publish(&channel.queue_with(keyless));
    let letter = headers(&channel, &blind);
    assert!(letter.inner().get("BCC").is_none());
}

#[test]
fn a_letter_that_dies_again_goes_to_its_blind_copies_still() {
    let channel = Connection::open().channel(1);
    let (second, last) = (channel.exchange("direct"), channel.queue());
    channel.bind(&last, &second, "blind");
    let middle = channel.queue_with(table([("x-dead-letter-exchange", text(&second))]));
    let first_exchange = channel.exchange("fanout");
    channel.bind(&middle, &first_exchange, "");
    let first = channel.queue_with(table([("x-dead-letter-exchange", text(&first_exchange))]));
    let publisher = channel.connection().channel(2);
    publisher.call(tx::Select {});
    let bodies = ["short", &"long ".repeat(10_000)];
    for body in bodies {
        let headers = table([("BCC", keys(&["nobody", "blind"]))]);
        let properties = BasicProperties::default().with_headers(headers);
        publisher.publish_with("", &first, properties, body);
    }
    publisher.call(tx::Commit {});
    for queue in [&first, &middle] {
        channel.await_ready(queue, 2);
        reject_next(&channel, queue);
        reject_next(&channel, queue);
    }
    channel.await_ready(&last, 2);
    for body in bodies {
        let letter = channel.get(&last).expect("a letter");
        assert_eq!(letter.text(), body);
        assert_eq!(letter.method.routing_key.as_str(), first);
        let headers = letter.properties.headers().clone().expect("headers");
        assert!(headers.inner().get("BCC").is_none());
    }
}

#[test]
fn a_missing_exchange_loses_the_letter_until_it_is_declared() {
    let channel = Connection::open().channel(1);
    let exchange = unique("later");
    let queue = channel.queue_with(table([("x-dead-letter-exchange", text(&exchange))]));
    channel.publish("", &queue, "lost");
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    // The queue has heard of it when it answers.
    assert_eq!(channel.ready(&queue), 0);
    channel.call(exchange::Declare {
        exchange: exchange.as_str().into(),
        kind: "fanout".into(),
        auto_delete: true,
        ..Default::default()
    });
    let target = channel.queue();
    channel.bind(&target, &exchange, "");
    channel.publish("", &queue, "kept");
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    channel.await_ready(&target, 1);
    assert_eq!(channel.take(&target), "kept");
}

#[test]
fn what_is_no_list_of_deaths_is_replaced() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[]);
    let properties = BasicProperties::default().with_headers(table([("x-death", text("[]"))]));
    channel.publish_with("", &queue, properties, "forged");
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    assert_eq!(deaths(&headers(&channel, &target)).len(), 1);
}

#[test]
fn a_list_of_deaths_that_its_publisher_made_up_is_replaced() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[]);
    let forged = |fields: FieldTable| AMQPValue::FieldTable(fields);
    let without_count = forged(table([
        ("queue", text(&queue)),
        ("reason", text("rejected")),
    ]));
    let counted = forged(table([
        ("queue", text(&queue)),
        ("reason", text("rejected")),
        ("count", AMQPValue::LongLongInt(41)),
    ]));
    for entries in [
        vec![without_count.clone(), without_count],
        vec![counted],
        vec![text("no table"), 7.into()],
    ] {
        let forged = AMQPValue::FieldArray(FieldArray::from(entries));
        let properties = BasicProperties::default().with_headers(table([("x-death", forged)]));
        channel.publish_with("", &queue, properties, "forged");
        channel.await_ready(&queue, 1);
        reject_next(&channel, &queue);
        let headers = headers(&channel, &target);
        let [death] = &deaths(&headers)[..] else {
            panic!("one death: {headers:?}");
        };
        assert_eq!(header(death, "count"), AMQPValue::LongLongInt(1));
    }
}

#[test]
fn expiration_is_kept_in_the_death_alone() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[]);
    let properties = BasicProperties::default().with_expiration("600000".into());
    channel.publish_with("", &queue, properties, "would expire");
    channel.await_ready(&queue, 1);
    reject_next(&channel, &queue);
    channel.await_ready(&target, 1);
    let got = channel.get(&target).expect("the dead letter");
    assert_eq!(*got.properties.expiration(), None);
    let headers = got.properties.headers().clone().expect("headers");
    assert_eq!(
        header(&deaths(&headers)[0], "original-expiration"),
        text("600000")
    );
}

#[test]
fn the_oldest_of_too_many_die() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[("x-max-length", AMQPValue::LongInt(2))]);
    channel.fill(&target, &[]);
    for body in ["one", "two", "three", "four"] {
        channel.publish("", &queue, body);
    }
    channel.await_ready(&target, 2);
    channel.await_ready(&queue, 2);
    let got = channel.get(&target).expect("the first one");
    assert_eq!(got.text(), "one");
    let headers = got.properties.headers().clone().expect("headers");
    assert_eq!(header(&deaths(&headers)[0], "reason"), text("maxlen"));
    assert_eq!(channel.take(&target), "two");
    assert_eq!(channel.take(&queue), "three");
}

#[test]
fn unacked_messages_do_not_count_as_too_many() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue_with(table([("x-max-length", AMQPValue::LongInt(1))]));
    channel.publish("", &queue, "held");
    channel.await_ready(&queue, 1);
    let held = channel.get_with(&queue, false).expect("a message");
    channel.publish("", &queue, "kept");
    channel.await_ready(&queue, 1);
    channel.send(basic::Reject {
        delivery_tag: held.method.delivery_tag,
        requeue: true,
    });
    channel.sync();
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "kept");
}

#[test]
fn a_queue_that_keeps_nothing_gives_to_who_waits() {
    let channel = Connection::open().channel(1);
    let (queue, _, target) = with_letters(&channel, &[("x-max-length", AMQPValue::LongInt(0))]);
    channel.publish("", &queue, "nobody waits");
    channel.await_ready(&target, 1);
    assert_eq!(channel.ready(&queue), 0);
    channel.consume_no_ack(&queue);
    channel.publish("", &queue, "somebody does");
    assert_eq!(channel.deliver().text(), "somebody does");
}

#[test]
fn messages_that_go_round_because_of_the_length_end() {
    let channel = Connection::open().channel(1);
    let name = unique("round");
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        exclusive: true,
        arguments: table([
            ("x-dead-letter-exchange", text("")),
            ("x-max-length", AMQPValue::LongInt(1)),
        ]),
        ..Default::default()
    });
    for body in ["one", "two", "three"] {
        channel.publish("", &name, body);
    }
    channel.await_ready(&name, 1);
    assert_eq!(channel.take(&name), "three");
    assert_eq!(channel.ready(&name), 0);
}

#[test]
fn at_least_once_a_letter_waits_until_there_is_somewhere_to_go() {
    let channel = Connection::open().channel(1);
    let (name, exchange, target) = (unique("source"), unique("letters"), channel.queue());
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        arguments: table([
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text(&exchange)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]),
        ..Default::default()
    });
    channel.publish("", &name, "not lost");
    channel.await_ready(&name, 1);
    reject_next(&channel, &name);
    channel.await_ready(&name, 0);
    channel.call(exchange::Declare {
        exchange: exchange.as_str().into(),
        kind: "fanout".into(),
        auto_delete: true,
        ..Default::default()
    });
    channel.bind(&target, &exchange, "");
    channel.await_ready(&target, 1);
    assert_eq!(channel.take(&target), "not lost");
    channel.call(queue::Delete {
        queue: name.as_str().into(),
        ..Default::default()
    });
}
