//! Routing over bindings of exchanges: cycles, alternates, several keys. What a single exchange matches is tested with its bindings.

mod picked;
mod property;

use std::sync::Arc;

use leveret_message::name::Name;
use leveret_message::properties::PropertiesWriter;
use leveret_message::table::{Table, TableRef, TableWriter, Value};

use super::*;
use crate::bindings::ExchangeKind;
use crate::command::Shards;
use crate::doubles;
use crate::exchange::ExchangeDeclaration;
use crate::ids::ConnectionId;
use crate::queue_handle::QueueDeclaration;
use crate::vhost::door::Binding;

fn vhost() -> Arc<Vhost> {
    doubles::vhost("/", &Shards::new(1))
}

fn routed<'a>(routing_keys: &'a [&'a [u8]]) -> Routed<'a> {
    Routed {
        routing_keys,
        properties: Properties::default(),
        chance: 0,
    }
}

fn exchange(vhost: &Vhost, name: &str, kind: ExchangeKind, alternate: Option<&str>) {
    let mut arguments = TableWriter::new();
    if let Some(alternate) = alternate {
        arguments.put("alternate-exchange", alternate);
    }
    let declaration = ExchangeDeclaration {
        name: Name::new(name).unwrap(),
        kind,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: arguments.finish(),
    };
    vhost.declare_exchange(declaration).unwrap();
}

fn queue(vhost: &Vhost, name: &str) {
    let declaration = QueueDeclaration {
        name: Name::new(name).unwrap(),
        durable: false,
        owner: None,
        auto_delete: false,
        arguments: Table::default(),
    };
    vhost
        .declare_queue(ConnectionId(1), declaration, false)
        .unwrap();
}

fn binding<'a>(source: &'a str, key: &'a str) -> Binding<'a> {
    Binding {
        source,
        binding_key: key.as_bytes(),
        arguments: TableRef::default(),
    }
}

fn bind(vhost: &Vhost, source: &str, key: &str, queue: &str) {
    let binding = binding(source, key);
    vhost.bind_queue(ConnectionId(1), queue, binding).unwrap();
}

fn bind_exchange(vhost: &Vhost, source: &str, key: &str, destination: &str) {
    vhost
        .bind_exchange(destination, binding(source, key))
        .unwrap();
}

fn reached(vhost: &Vhost, exchange: &str, keys: &[&str]) -> Reached {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    route(vhost, &vhost.exchange(exchange).unwrap(), &routed(&keys))
}

/// The names of the queues that a message reaches, sorted.
fn queues(vhost: &Vhost, exchange: &str, keys: &[&str]) -> Vec<String> {
    let reached = reached(vhost, exchange, keys);
    let mut names: Vec<String> = reached
        .queues
        .iter()
        .map(|q| q.name().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn the_default_exchange_knows_every_queue_by_its_name() {
    let vhost = vhost();
    queue(&vhost, "q");
    assert_eq!(queues(&vhost, "", &["q"]), ["q"]);
    assert_eq!(queues(&vhost, "", &["q", "none", "q"]), ["q"]);
    assert!(queues(&vhost, "", &["none"]).is_empty());
    let default = vhost.exchange("").unwrap();
    assert!(
        route(&vhost, &default, &routed(&[b"\xff"]))
            .queues
            .is_empty()
    );
    vhost.queue("q").unwrap().mark_deleted();
    assert!(queues(&vhost, "", &["q"]).is_empty());
}

#[test]
fn a_queue_gets_one_copy_through_however_many_paths() {
    let vhost = vhost();
    queue(&vhost, "q");
    for name in ["left", "right", "start"] {
        exchange(&vhost, name, ExchangeKind::Fanout, None);
    }
    for name in ["left", "right"] {
        bind_exchange(&vhost, "start", "", name);
        bind(&vhost, name, "", "q");
        bind(&vhost, name, "other key", "q");
    }
    bind(&vhost, "start", "", "q");
    assert_eq!(queues(&vhost, "start", &["k"]), ["q"]);
    // More than 32 are told apart in another way than a few.
    for i in 0..50 {
        queue(&vhost, &format!("q{i}"));
        for name in ["left", "right"] {
            bind(&vhost, name, "", &format!("q{i}"));
        }
    }
    assert_eq!(queues(&vhost, "start", &["k"]).len(), 51);
}

#[test]
fn cycles_end() {
    let vhost = vhost();
    for (name, next) in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")] {
        exchange(&vhost, name, ExchangeKind::Fanout, None);
        exchange(&vhost, next, ExchangeKind::Fanout, None);
        bind_exchange(&vhost, name, "", next);
        queue(&vhost, &format!("q{name}"));
        bind(&vhost, name, "", &format!("q{name}"));
    }
    for start in ["a", "b", "c"] {
        assert_eq!(queues(&vhost, start, &[""]), ["qa", "qb", "qc"]);
    }
}

#[test]
fn alternates_get_what_nothing_else_matches() {
    let vhost = vhost();
    exchange(&vhost, "first", ExchangeKind::Direct, Some("second"));
    exchange(&vhost, "second", ExchangeKind::Direct, Some("third"));
    exchange(&vhost, "third", ExchangeKind::Direct, Some("first"));
    for (name, key) in [("first", "1"), ("second", "2"), ("third", "3")] {
        queue(&vhost, name);
        bind(&vhost, name, key, name);
    }
    assert_eq!(queues(&vhost, "first", &["1"]), ["first"]);
    assert_eq!(queues(&vhost, "first", &["2"]), ["second"]);
    assert_eq!(queues(&vhost, "first", &["3"]), ["third"]);
    assert_eq!(queues(&vhost, "second", &["1"]), ["first"]);
    // Round once, and nowhere.
    let nowhere = reached(&vhost, "first", &["4"]);
    assert!(nowhere.queues.is_empty());
    assert_eq!(nowhere.visited.len(), 3);
    assert!(!nowhere.fleeting);
}

#[test]
fn an_exchange_that_matches_an_exchange_has_matched() {
    let vhost = vhost();
    exchange(&vhost, "empty", ExchangeKind::Fanout, None);
    exchange(&vhost, "start", ExchangeKind::Fanout, Some("amq.fanout"));
    queue(&vhost, "q");
    bind(&vhost, "amq.fanout", "", "q");
    assert_eq!(queues(&vhost, "start", &[""]), ["q"]);
    bind_exchange(&vhost, "start", "", "empty");
    assert!(queues(&vhost, "start", &[""]).is_empty());
}

/// RabbitMQ asks each exchange with all keys of a message together: the alternate is for messages that no key of which matches.
#[test]
fn an_alternate_gets_a_message_of_which_no_key_matches() {
    let vhost = vhost();
    exchange(&vhost, "start", ExchangeKind::Direct, Some("amq.fanout"));
    for name in ["one", "two", "alternate"] {
        queue(&vhost, name);
    }
    bind(&vhost, "amq.fanout", "", "alternate");
    bind(&vhost, "start", "1", "one");
    bind(&vhost, "start", "2", "two");
    assert_eq!(queues(&vhost, "start", &["1", "none"]), ["one"]);
    assert_eq!(queues(&vhost, "start", &["none", "2", "1"]), ["one", "two"]);
    assert_eq!(queues(&vhost, "start", &["none", "no"]), ["alternate"]);
}

#[test]
fn all_keys_go_on_to_further_exchanges() {
    let vhost = vhost();
    exchange(&vhost, "start", ExchangeKind::Direct, None);
    queue(&vhost, "q");
    bind_exchange(&vhost, "start", "1", "amq.direct");
    bind(&vhost, "amq.direct", "2", "q");
    assert_eq!(queues(&vhost, "start", &["1", "2"]), ["q"]);
    assert!(queues(&vhost, "start", &["1"]).is_empty());
    assert!(queues(&vhost, "start", &["2"]).is_empty());
}

#[test]
fn answers_that_hold_for_one_message_are_fleeting() {
    let vhost = vhost();
    queue(&vhost, "q");
    exchange(&vhost, "lost", ExchangeKind::Direct, Some("not there"));
    exchange(&vhost, "to headers", ExchangeKind::Fanout, None);
    bind_exchange(&vhost, "to headers", "", "amq.headers");
    bind(&vhost, "lost", "bound", "q");
    let fleeting = |exchange: &str, keys: &[&str]| reached(&vhost, exchange, keys).fleeting;
    assert!(!fleeting("", &["q"]));
    assert!(fleeting("", &["none"]), "the queue may come");
    assert!(fleeting("", &["q", "none"]));
    assert!(!fleeting("amq.direct", &["none"]));
    assert!(!fleeting("lost", &["bound"]));
    assert!(fleeting("lost", &["none"]), "the alternate may come");
    assert!(fleeting("amq.headers", &[""]));
    assert!(fleeting("to headers", &[""]));
}

#[test]
fn an_exchange_that_was_deleted_answers_once() {
    let vhost = vhost();
    exchange(&vhost, "gone", ExchangeKind::Fanout, None);
    let gone = vhost.exchange("gone").unwrap();
    assert!(!route(&vhost, &gone, &routed(&[b""])).fleeting);
    vhost.delete_exchange("gone", false).unwrap();
    assert!(route(&vhost, &gone, &routed(&[b""])).fleeting);
}

#[test]
fn headers_are_looked_at_on_the_way() {
    let vhost = vhost();
    queue(&vhost, "q");
    let mut arguments = TableWriter::new();
    arguments.put("colour", Value::LongStr(b"red"));
    let arguments = arguments.finish();
    let bound = Binding {
        source: "amq.headers",
        binding_key: b"",
        arguments: arguments.view(),
    };
    vhost.bind_queue(ConnectionId(1), "q", bound).unwrap();
    bind_exchange(&vhost, "amq.fanout", "", "amq.headers");
    let start = vhost.exchange("amq.fanout").unwrap();
    let properties = PropertiesWriter {
        headers: Some(arguments.view()),
        ..Default::default()
    };
    let properties = properties.to_bytes().unwrap();
    let with_headers = Routed {
        properties: Properties::parse(&properties).unwrap(),
        ..routed(&[b"k"])
    };
    assert_eq!(route(&vhost, &start, &with_headers).queues.len(), 1);
    assert!(route(&vhost, &start, &routed(&[b"k"])).queues.is_empty());
}
