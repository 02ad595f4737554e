//! The exchange types of RabbitMQ's plugins: hashes, chance, recent history.

use std::collections::{BTreeMap, BTreeSet};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, exchange};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, array, table, text, unique};

/// Queues that are bound to an exchange of a type.
struct Bound {
    channel: Channel,
    exchange: String,
    queues: Vec<String>,
}

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn declaration(name: &str, kind: &str, arguments: FieldTable) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: kind.into(),
        auto_delete: true,
        arguments,
        ..Default::default()
    }
}

impl Bound {
    /// A queue for each binding key.
    fn new(kind: &str, arguments: FieldTable, keys: &[&str]) -> Self {
        let channel = channel();
        let exchange = unique(kind);
        channel.call(declaration(&exchange, kind, arguments));
        let queue = |key: &&str| {
            let queue = channel.queue();
            channel.bind(&queue, &exchange, key);
            queue
        };
        Self {
            queues: keys.iter().map(queue).collect(),
            channel,
            exchange,
        }
    }

    /// Publishes so many messages and says where each of them went, by its text.
    #[track_caller]
    fn places(
        &self,
        count: u32,
        message: impl Fn(u32) -> (String, AMQPProperties),
    ) -> BTreeMap<String, usize> {
        for number in 0..count {
            let (key, properties) = message(number);
            let channel = &self.channel;
            channel.publish_with(&self.exchange, &key, properties, &number.to_string());
        }
        let mut places = BTreeMap::new();
        for (place, queue) in self.queues.iter().enumerate() {
            self.channel.publish("", queue, "last");
            loop {
                let Some(message) = self.channel.get_with(queue, true) else {
                    continue;
                };
                if message.text() == "last" {
                    break;
                }
                let there = places.insert(message.text().to_owned(), place);
                assert_eq!(there, None, "a message went to two queues");
            }
        }
        assert_eq!(places.len(), count as usize, "each message went to a queue");
        places
    }

    /// How many messages each queue gets.
    fn counts(&self, count: u32, message: impl Fn(u32) -> (String, AMQPProperties)) -> Vec<usize> {
        let places = self.places(count, message);
        let count = |place: usize| places.values().filter(|there| **there == place).count();
        (0..self.queues.len()).map(count).collect()
    }

    /// How many queues get some of the messages.
    fn reached(&self, count: u32, message: impl Fn(u32) -> (String, AMQPProperties)) -> usize {
        let places = self.places(count, message);
        places.values().collect::<BTreeSet<_>>().len()
    }
}

/// A message with a key of its own.
fn keyed(number: u32) -> (String, AMQPProperties) {
    (format!("key.{number}"), AMQPProperties::default())
}

#[test]
fn a_hash_gives_each_message_to_one_queue() {
    for kind in ["x-consistent-hash", "x-modulus-hash"] {
        let bound = Bound::new(kind, table([]), &["1", "1", "1"]);
        let counts = bound.counts(300, keyed);
        assert!(counts.iter().all(|count| *count > 40), "{kind}: {counts:?}");
    }
}

#[test]
fn a_hash_gives_each_routing_key_to_the_same_queue() {
    for kind in ["x-consistent-hash", "x-modulus-hash"] {
        let bound = Bound::new(kind, table([]), &["1", "1", "1", "1"]);
        assert_eq!(bound.places(100, keyed), bound.places(100, keyed));
    }
}

#[test]
fn the_weights_of_a_consistent_hash_decide_how_much_a_queue_gets() {
    let bound = Bound::new("x-consistent-hash", table([]), &["1", "4"]);
    let counts = bound.counts(1000, keyed);
    assert!((130..270).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_weight_of_a_consistent_hash_is_an_integer_above_zero() {
    let channel = channel();
    let name = unique("hash");
    for (key, text) in [
        ("", "The binding key must be an integer: <<>>"),
        ("a.b", "The binding key must be an integer: <<\"a.b\">>"),
        ("1.5", "The binding key must be an integer: <<\"1.5\">>"),
        ("0", "The binding key must be greater than 0"),
        ("-7", "The binding key must be greater than 0"),
    ] {
        channel.call(declaration(&name, "x-consistent-hash", table([])));
        let queue = channel.queue();
        let bind = amq_protocol::protocol::queue::Bind {
            queue: queue.as_str().into(),
            exchange: name.as_str().into(),
            routing_key: key.into(),
            nowait: false,
            arguments: table([]),
        };
        channel.fails(bind, 406, &format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
}

#[test]
fn a_consistent_hash_may_look_at_a_header() {
    let arguments = table([("hash-header", text("user"))]);
    let bound = Bound::new("x-consistent-hash", arguments, &["1", "1", "1"]);
    let of_user = |key: u32, user: u32| {
        let headers = table([("user", text(&format!("user {user}")))]);
        let properties = AMQPProperties::default().with_headers(headers);
        (format!("key.{key}"), properties)
    };
    assert_eq!(bound.reached(100, |number| of_user(1, number)), 3);
    assert_eq!(bound.reached(100, |number| of_user(number, 1)), 1);
    // Where it is missing, that is something to hash as well.
    assert_eq!(bound.reached(100, keyed), 1);
}

#[test]
fn a_consistent_hash_may_look_at_a_property() {
    for property in ["message_id", "correlation_id", "timestamp"] {
        let arguments = table([("hash-property", text(property))]);
        let bound = Bound::new("x-consistent-hash", arguments, &["1", "1", "1"]);
        let with = |number: u32| {
            let (value, none) = (format!("id {number}"), AMQPProperties::default());
            match property {
                "message_id" => none.with_message_id(value.as_str().into()),
                "correlation_id" => none.with_correlation_id(value.as_str().into()),
                _ => none.with_timestamp(number.into()),
            }
        };
        assert_eq!(
            bound.reached(100, |number| ("k".to_owned(), with(number))),
            3
        );
        assert_eq!(
            bound.reached(100, |number| (number.to_string(), with(7))),
            1
        );
        assert_eq!(bound.reached(50, keyed), 1);
    }
}

#[test]
fn a_consistent_hash_looks_at_one_thing_that_it_knows() {
    let channel = channel();
    for (arguments, text) in [
        (
            table([("hash-property", text("app_id"))]),
            "Unsupported property: app_id",
        ),
        (
            table([("hash-property", text("")), ("hash-header", text(""))]),
            "hash-header and hash-property are mutually exclusive",
        ),
    ] {
        let declare = declaration(&unique("hash"), "x-consistent-hash", arguments);
        channel.fails(declare, 406, &format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
}

#[test]
fn what_a_consistent_hash_looks_at_is_not_compared() {
    let channel = channel();
    let name = unique("hash");
    let by_header = table([("hash-header", text("a"))]);
    channel.call(declaration(&name, "x-consistent-hash", by_header));
    channel.call(declaration(&name, "x-consistent-hash", table([])));
}

#[test]
fn a_consistent_hash_of_several_routing_keys_looks_at_the_first() {
    let bound = Bound::new("x-consistent-hash", table([]), &["1", "1", "1"]);
    let copied = |number: u32| {
        let headers = table([("CC", array(&[&format!("other.{number}")]))]);
        let properties = AMQPProperties::default().with_headers(headers);
        ("k".to_owned(), properties)
    };
    assert_eq!(bound.reached(60, copied), 1);
}

#[test]
fn a_hash_may_lead_to_an_exchange() {
    let bound = Bound::new("x-consistent-hash", table([]), &[]);
    let channel = &bound.channel;
    let (fanout, queue) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&queue, &fanout, "");
    channel.call(exchange::Bind {
        destination: fanout.as_str().into(),
        source: bound.exchange.as_str().into(),
        routing_key: "3".into(),
        ..Default::default()
    });
    channel.publish(&bound.exchange, "k", "through");
    channel.await_ready(&queue, 1);
}

#[test]
fn a_modulus_hash_counts_each_binding() {
    let bound = Bound::new("x-modulus-hash", table([]), &["", ""]);
    for key in ["a", "b", "c"] {
        bound.channel.bind(&bound.queues[1], &bound.exchange, key);
    }
    let counts = bound.counts(1000, keyed);
    assert!((130..270).contains(&counts[0]), "{counts:?}");
}

#[test]
fn random_gives_each_message_to_any_one_queue() {
    let bound = Bound::new("x-random", table([]), &["a", "b", "c"]);
    let counts = bound.counts(300, |_| ("k".to_owned(), AMQPProperties::default()));
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn local_random_gives_each_message_to_any_one_queue() {
    let bound = Bound::new("x-local-random", table([]), &["", ""]);
    let counts = bound.counts(200, keyed);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn local_random_takes_no_binding_keys() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("x-local-random"), channel.queue());
    let bind = amq_protocol::protocol::queue::Bind {
        queue: queue.as_str().into(),
        exchange: exchange.as_str().into(),
        routing_key: "k".into(),
        nowait: false,
        arguments: table([]),
    };
    let text = "PRECONDITION_FAILED - Non empty binding 'k' key not permitted";
    channel.fails(bind, 406, text);
}

/// An exchange that keeps some messages, which were published.
fn history(arguments: FieldTable, count: u32) -> (Channel, String) {
    let (channel, name) = (channel(), unique("history"));
    channel.call(exchange::Declare {
        auto_delete: false,
        ..declaration(&name, "x-recent-history", arguments)
    });
    for number in 1..=count {
        channel.publish(&name, "k", &number.to_string());
    }
    (channel, name)
}

/// The texts that a new queue finds in it once it is bound.
fn found(channel: &Channel, exchange: &str, count: u32) -> Vec<String> {
    let queue = channel.queue();
    channel.bind(&queue, exchange, "");
    channel.await_ready(&queue, count);
    (0..count).map(|_| channel.take(&queue)).collect()
}

fn delete(channel: &Channel, exchange: &str) {
    channel.call(exchange::Delete {
        exchange: exchange.into(),
        ..Default::default()
    });
}

#[test]
fn a_new_binding_gets_the_last_twenty_messages() {
    let (channel, exchange) = history(table([]), 25);
    let last: Vec<String> = (6..=25).map(|number| number.to_string()).collect();
    assert_eq!(found(&channel, &exchange, 20), last);
    delete(&channel, &exchange);
}

#[test]
fn a_recent_history_is_as_long_as_it_is_declared() {
    let arguments = table([("x-recent-history-length", 2.into())]);
    let (channel, exchange) = history(arguments, 5);
    assert_eq!(found(&channel, &exchange, 2), ["4", "5"]);
    delete(&channel, &exchange);
}

#[test]
fn a_recent_history_goes_to_all_that_is_bound_as_well() {
    let (channel, exchange) = history(table([]), 0);
    let queues = [channel.queue(), channel.queue()];
    for queue in &queues {
        channel.bind(queue, &exchange, "some key");
    }
    channel.publish(&exchange, "another key", "all");
    for queue in &queues {
        channel.await_ready(queue, 1);
    }
    delete(&channel, &exchange);
}

#[test]
fn a_message_may_ask_not_to_be_kept_in_a_recent_history() {
    let (channel, exchange) = history(table([]), 0);
    for (no_store, body) in [(true, "no"), (false, "yes")] {
        let headers = table([("x-recent-history-no-store", no_store.into())]);
        let properties = AMQPProperties::default().with_headers(headers);
        channel.publish_with(&exchange, "k", properties, body);
    }
    assert_eq!(found(&channel, &exchange, 1), ["yes"]);
    delete(&channel, &exchange);
}

#[test]
fn a_recent_history_goes_on_through_an_exchange() {
    let (channel, exchange) = history(table([]), 2);
    let (fanout, queue) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&queue, &fanout, "");
    channel.call(exchange::Bind {
        destination: fanout.as_str().into(),
        source: exchange.as_str().into(),
        ..Default::default()
    });
    channel.await_ready(&queue, 2);
    delete(&channel, &exchange);
}

/// Rejects the next message of a queue, so that it is a dead letter.
fn reject_next(channel: &Channel, queue: &str) {
    channel.await_ready(queue, 1);
    let got = channel.get(queue).expect("it is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: false,
    });
}

#[test]
fn what_a_recent_history_replays_goes_to_its_blind_copies_still() {
    let (channel, exchange) = history(table([]), 0);
    let headers = table([("BCC", array(&["blind"]))]);
    let properties = AMQPProperties::default().with_headers(headers);
    channel.publish_with(&exchange, "k", properties, "message");
    let (behind, blind) = (channel.exchange("direct"), channel.queue());
    channel.bind(&blind, &behind, "blind");
    // As a dead letter of a queue, then from the history itself.
    let dying = channel.queue_with(table([("x-dead-letter-exchange", text(&behind))]));
    channel.bind(&dying, &exchange, "");
    reject_next(&channel, &dying);
    channel.await_ready(&blind, 1);
    let letter = channel.get_with(&blind, true).expect("the letter");
    let headers = letter.properties.headers().clone().expect("headers");
    assert!(headers.inner().get("BCC").is_none());
    channel.call(exchange::Bind {
        destination: behind.as_str().into(),
        source: exchange.as_str().into(),
        ..Default::default()
    });
    channel.await_ready(&blind, 1);
    delete(&channel, &exchange);
}

#[test]
fn a_dead_letter_of_a_recent_history_remembers_its_deaths() {
    let (channel, exchange) = history(table([]), 0);
    let (letters, witness) = (channel.queue(), channel.queue());
    channel.bind(&witness, &exchange, "");
    let first = channel.queue_with(table([("x-dead-letter-exchange", text(&exchange))]));
    channel.publish("", &first, "message");
    reject_next(&channel, &first);
    let second = channel.queue_with(table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&letters)),
    ]));
    channel.await_ready(&witness, 1);
    channel.bind(&second, &exchange, "");
    reject_next(&channel, &second);
    channel.await_ready(&letters, 1);
    let letter = channel.get(&letters).expect("the letter");
    let headers = letter.properties.headers().clone().expect("headers");
    let header = |name: &str| headers.inner().get(name).cloned();
    assert_eq!(header("x-first-death-queue"), Some(text(&first)));
    let Some(AMQPValue::FieldArray(deaths)) = header("x-death") else {
        panic!("no deaths: {headers:?}");
    };
    assert_eq!(deaths.as_slice().len(), 2);
    delete(&channel, &exchange);
}

#[test]
fn the_length_of_a_recent_history_is_a_positive_integer() {
    let channel = channel();
    for (value, term) in [
        (0.into(), "0"),
        ((-1).into(), "-1"),
        (text("2"), "<<\"2\">>"),
    ] {
        let arguments = table([("x-recent-history-length", value)]);
        let declare = declaration(&unique("history"), "x-recent-history", arguments);
        let text = format!(
            "PRECONDITION_FAILED - Invalid argument {term}, 'x-recent-history-length' must be a positive integer"
        );
        channel.fails(declare, 406, &text);
        channel.reopen();
    }
}
