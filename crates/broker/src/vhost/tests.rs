//! Tests of a vhost and its door: what may be declared, bound and deleted, and in what words it is refused.
//!
//! `lifetime` tests what goes with what, and that nothing of it stays in memory. Shards are not run here: their mailboxes show what the door
//! tells them, and a queue ends as its shard ends it.

mod kept;
mod lifetime;

use leveret_message::table::{TableRef, TableWriter, Value};

use super::*;
use crate::doubles;
use crate::ids::{ConnectionId, ShardId};
use crate::queue_handle::QueueDeclaration;
use crate::vhost::door::{Binding, Declared, generated_name};

const ME: ConnectionId = ConnectionId(1);
const OTHER: ConnectionId = ConnectionId(2);

fn vhost() -> Arc<Vhost> {
    doubles::vhost("v", &Shards::new(2))
}

fn a_queue(name: &str) -> QueueDeclaration {
    QueueDeclaration {
        name: Name::new(name).unwrap(),
        durable: true,
        owner: None,
        auto_delete: false,
        arguments: Table::default(),
    }
}

fn an_exchange(name: &str) -> ExchangeDeclaration {
    ExchangeDeclaration {
        name: Name::new(name).unwrap(),
        kind: ExchangeKind::Fanout,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

fn auto_delete(name: &str) -> ExchangeDeclaration {
    ExchangeDeclaration {
        auto_delete: true,
        ..an_exchange(name)
    }
}

fn arguments(of: &[(&str, Value<'_>)]) -> Table {
    let mut writer = TableWriter::new();
    for (name, value) in of {
        writer.put(name, *value);
    }
    writer.finish()
}

/// Declares a queue that is new.
fn queue(vhost: &Vhost, name: &str) -> Arc<QueueHandle> {
    match vhost.declare_queue(ME, a_queue(name), false) {
        Ok(Declared::New(queue)) => queue,
        other => panic!("{name}: {other:?}"),
    }
}

fn exchange(vhost: &Vhost, declaration: ExchangeDeclaration) -> Arc<Exchange> {
    let name = declaration.name.clone();
    vhost.declare_exchange(declaration).unwrap();
    vhost.exchange(&name).unwrap()
}

fn binding<'a>(source: &'a str, key: &'a str) -> Binding<'a> {
    Binding {
        source,
        binding_key: key.as_bytes(),
        arguments: TableRef::default(),
    }
}

/// The text of an error.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn a_vhost_begins_with_its_exchanges() {
    let vhost = vhost();
    let kinds = [
        ("", "direct", false),
        ("amq.direct", "direct", false),
        ("amq.fanout", "fanout", false),
        ("amq.topic", "topic", false),
        ("amq.headers", "headers", false),
        ("amq.match", "headers", false),
        ("amq.rabbitmq.trace", "topic", true),
    ];
    assert_eq!(vhost.exchanges_count(), kinds.len());
    for (name, kind, internal) in kinds {
        let exchange = vhost.exchange(name).unwrap();
        assert_eq!(exchange.kind.name(), kind, "{name}");
        assert_eq!(exchange.internal, internal, "{name}");
        assert!(exchange.durable && !exchange.auto_delete, "{name}");
        assert_eq!(exchange.is_default(), name.is_empty());
    }
    assert_eq!(vhost.queues_count(), 0);
}

#[test]
fn what_is_not_there_is_not_found() {
    let vhost = vhost();
    let text = refusal(vhost.queue("q"));
    assert_eq!(text, "no queue 'q' in vhost 'v'");
    let text = refusal(vhost.exchange("x"));
    assert_eq!(text, "no exchange 'x' in vhost 'v'");
}

#[test]
fn reserved_names_are_for_what_is_there() {
    let vhost = vhost();
    let text = refusal(vhost.declare_queue(ME, a_queue("amq.mine"), false));
    let reserved = "queue name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_eq!(text, reserved);
    let text = refusal(vhost.declare_exchange(an_exchange("amq.mine")));
    let reserved = "exchange name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_eq!(text, reserved);
    // A name the broker made, and what is there already, may be declared.
    let name = generated_name("amq.gen-");
    let made = vhost.declare_queue(ME, a_queue(&name), true);
    assert!(matches!(made, Ok(Declared::New(_))));
    let again = vhost.declare_queue(ME, a_queue(&name), false);
    assert!(matches!(again, Ok(Declared::Existing(_))));
    vhost.declare_exchange(an_exchange("amq.fanout")).unwrap();
    // Only the prefix with its dot is reserved.
    queue(&vhost, "amqp");
}

#[test]
fn generated_names_are_all_different() {
    let one = generated_name("amq.gen-");
    let two = generated_name("amq.gen-");
    assert_ne!(one, two);
    assert_eq!(one.len(), "amq.gen-".len() + 22);
    assert!(one.starts_with("amq.gen-"));
}

#[test]
fn the_default_exchange_is_not_touched() {
    let vhost = vhost();
    queue(&vhost, "q");
    let default = binding("", "k");
    let refusals = [
        refusal(vhost.declare_exchange(an_exchange(""))),
        refusal(vhost.delete_exchange("", false)),
        refusal(vhost.bind_queue(ME, "q", default)),
        refusal(vhost.unbind_queue(ME, "q", default)),
        refusal(vhost.bind_exchange("amq.fanout", default)),
        refusal(vhost.unbind_exchange("amq.fanout", default)),
        refusal(vhost.bind_exchange("", binding("amq.fanout", ""))),
        refusal(vhost.unbind_exchange("", binding("amq.fanout", ""))),
    ];
    for text in refusals {
        assert_eq!(text, "operation not permitted on the default exchange");
    }
}

#[test]
fn system_exchanges_cannot_be_deleted() {
    let vhost = vhost();
    let text = refusal(vhost.delete_exchange("amq.topic", false));
    let expected = "deletion of system exchange 'amq.topic' in vhost 'v' not allowed";
    assert_eq!(text, expected);
}

#[test]
fn a_queue_declared_again_is_the_same_if_it_is_equivalent() {
    let vhost = vhost();
    let first = queue(&vhost, "q");
    let again = vhost.declare_queue(OTHER, a_queue("q"), false).unwrap();
    assert!(Arc::ptr_eq(again.queue(), &first));
    let inequivalent = |change: &dyn Fn(&mut QueueDeclaration)| {
        let mut declaration = a_queue("q");
        change(&mut declaration);
        refusal(vhost.declare_queue(ME, declaration, false))
    };
    assert_eq!(
        inequivalent(&|new| new.durable = false),
        "inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'false' but current is 'true'"
    );
    assert_eq!(
        inequivalent(&|new| new.auto_delete = true),
        "inequivalent arg 'auto_delete' for queue 'q' in vhost 'v': received 'true' but current is 'false'"
    );
    assert_eq!(
        inequivalent(&|new| new.arguments = arguments(&[("x-max-length", Value::Long(5))])),
        "inequivalent arg 'x-max-length' for queue 'q' in vhost 'v': received the value '5' of type 'long' but current is none"
    );
    // What is wrong in itself is not looked at where the queue is there.
    let wrong = |new: &mut QueueDeclaration| {
        new.durable = false;
        new.arguments = arguments(&[("x-expires", Value::Long(0))]);
    };
    assert!(inequivalent(&wrong).starts_with("inequivalent arg 'durable'"));
    let mut declaration = a_queue("new");
    declaration.arguments = arguments(&[("x-expires", Value::Long(0))]);
    assert_eq!(
        refusal(vhost.declare_queue(ME, declaration, false)),
        "invalid arg 'x-expires' for queue 'new' in vhost 'v': {value_zero,0}"
    );
    assert!(vhost.find_queue("new").is_none());
}

#[test]
fn an_exchange_declared_again_has_to_be_equivalent() {
    let vhost = vhost();
    let first = exchange(&vhost, an_exchange("x"));
    vhost.declare_exchange(an_exchange("x")).unwrap();
    assert!(Arc::ptr_eq(&vhost.exchange("x").unwrap(), &first));
    let inequivalent = |change: &dyn Fn(&mut ExchangeDeclaration)| {
        let mut declaration = an_exchange("x");
        change(&mut declaration);
        refusal(vhost.declare_exchange(declaration))
    };
    let text = |argument: &str, received: &str, current: &str| {
        format!(
            "inequivalent arg '{argument}' for exchange 'x' in vhost 'v': received '{received}' but current is '{current}'"
        )
    };
    assert_eq!(
        inequivalent(&|new| new.kind = ExchangeKind::Topic),
        text("type", "topic", "fanout")
    );
    assert_eq!(
        inequivalent(&|new| new.durable = false),
        text("durable", "false", "true")
    );
    assert_eq!(
        inequivalent(&|new| new.auto_delete = true),
        text("auto_delete", "true", "false")
    );
    assert_eq!(
        inequivalent(&|new| new.internal = true),
        text("internal", "true", "false")
    );
    let alternate = arguments(&[("alternate-exchange", Value::LongStr(b"ae"))]);
    let refused = inequivalent(&|new| new.arguments = alternate.clone());
    assert!(
        refused.starts_with(
            "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost 'v': received"
        ),
        "{refused}"
    );
}

#[test]
fn exclusive_queues_are_their_owner_s() {
    let vhost = vhost();
    let mine = QueueDeclaration {
        owner: Some(ME),
        ..a_queue("q")
    };
    vhost.declare_queue(ME, mine.clone(), false).unwrap();
    let again = vhost.declare_queue(ME, mine, false);
    assert!(matches!(again, Ok(Declared::Existing(_))));
    let theirs = QueueDeclaration {
        owner: Some(OTHER),
        ..a_queue("q")
    };
    let locked = "cannot obtain exclusive access to locked queue 'q' in vhost 'v'. It could be originally declared on another \
                  connection or the exclusive property value does not match that of the original declaration.";
    let refusals = [
        refusal(vhost.declare_queue(OTHER, theirs, false)),
        refusal(vhost.declare_queue(OTHER, a_queue("q"), false)),
        refusal(vhost.declare_queue(ME, a_queue("q"), false)),
        refusal(vhost.bind_queue(OTHER, "q", binding("amq.fanout", ""))),
        refusal(vhost.unbind_queue(OTHER, "q", binding("amq.fanout", ""))),
    ];
    for text in refusals {
        assert_eq!(text, locked);
    }
    vhost
        .bind_queue(ME, "q", binding("amq.fanout", ""))
        .unwrap();
    // A queue that is nobody's does not become somebody's.
    queue(&vhost, "open");
    let exclusive = QueueDeclaration {
        owner: Some(ME),
        ..a_queue("open")
    };
    assert!(matches!(
        vhost.declare_queue(ME, exclusive, false),
        Err(Error::Locked(_))
    ));
}

#[test]
fn a_shard_hears_of_a_queue_once() {
    let vhost = vhost();
    let handles = [queue(&vhost, "one"), queue(&vhost, "two")];
    vhost.declare_queue(ME, a_queue("one"), false).unwrap();
    assert_ne!(handles[0].shard, handles[1].shard);
    for handle in handles {
        let mut commands = Vec::new();
        let ShardId(_) = handle.shard;
        vhost.shards.mailbox(handle.shard).take(&mut commands);
        assert!(
            matches!(&commands[..], [crate::command::Command::Declare(queue)] if Arc::ptr_eq(queue, &handle)),
            "{commands:?}"
        );
    }
}

#[test]
fn a_binding_is_there_once() {
    let vhost = vhost();
    queue(&vhost, "q");
    let source = exchange(&vhost, an_exchange("x"));
    let count = |expected| assert_eq!(source.bindings_count(), expected);
    let version = source.version();
    vhost.bind_queue(ME, "q", binding("x", "k")).unwrap();
    assert!(source.version() > version);
    let version = source.version();
    vhost.bind_queue(ME, "q", binding("x", "k")).unwrap();
    assert_eq!(source.version(), version, "nothing has changed");
    count(1);
    vhost.bind_queue(ME, "q", binding("x", "other")).unwrap();
    let both = arguments(&[("a", Value::Long(1)), ("b", Value::Void)]);
    let turned = arguments(&[("b", Value::Void), ("a", Value::Long(1))]);
    let with = |arguments| Binding {
        arguments,
        ..binding("x", "k")
    };
    vhost.bind_queue(ME, "q", with(both.view())).unwrap();
    vhost.bind_queue(ME, "q", with(turned.view())).unwrap();
    count(3);
    vhost.unbind_queue(ME, "q", with(turned.view())).unwrap();
    count(2);
    let version = source.version();
    vhost.unbind_queue(ME, "q", with(both.view())).unwrap();
    vhost.unbind_queue(ME, "q", binding("x", "none")).unwrap();
    assert_eq!(source.version(), version, "nothing has changed");
    vhost.unbind_queue(ME, "q", binding("x", "other")).unwrap();
    vhost.unbind_queue(ME, "q", binding("x", "k")).unwrap();
    count(0);
    // The exchange outlives its bindings: it is not auto-delete.
    assert!(vhost.find_exchange("x").is_some());
}

#[test]
fn bindings_need_both_ends_and_unbinding_none() {
    let vhost = vhost();
    queue(&vhost, "q");
    let no_queue = "no queue 'none' in vhost 'v'";
    let no_exchange = "no exchange 'none' in vhost 'v'";
    let fanout = binding("amq.fanout", "");
    let none = binding("none", "");
    assert_eq!(refusal(vhost.bind_queue(ME, "none", fanout)), no_queue);
    assert_eq!(refusal(vhost.bind_queue(ME, "none", none)), no_queue);
    assert_eq!(refusal(vhost.bind_queue(ME, "q", none)), no_exchange);
    assert_eq!(refusal(vhost.bind_exchange("none", fanout)), no_exchange);
    assert_eq!(refusal(vhost.bind_exchange("amq.topic", none)), no_exchange);
    vhost.unbind_queue(ME, "none", fanout).unwrap();
    vhost.unbind_queue(ME, "q", none).unwrap();
    vhost.unbind_exchange("none", fanout).unwrap();
    vhost.unbind_exchange("amq.topic", none).unwrap();
    let text = refusal(vhost.bind_queue(ME, "q", binding("amq.topic", "#.#.#")));
    assert!(text.contains("#.#.#"), "{text}");
    assert_eq!(vhost.exchange("amq.topic").unwrap().bindings_count(), 0);
    assert!(vhost.queue("q").unwrap().sources.lock().is_empty());
}

#[test]
fn deletion_of_exchanges_has_conditions() {
    let vhost = vhost();
    queue(&vhost, "q");
    exchange(&vhost, an_exchange("x"));
    vhost.delete_exchange("none", true).unwrap();
    vhost.bind_queue(ME, "q", binding("x", "")).unwrap();
    let text = refusal(vhost.delete_exchange("x", true));
    assert_eq!(text, "exchange 'x' in vhost 'v' in use");
    vhost.delete_exchange("x", false).unwrap();
    assert!(vhost.find_exchange("x").is_none());
    exchange(&vhost, an_exchange("x"));
    // Where others lead to it, it is not in use.
    vhost.bind_exchange("x", binding("amq.fanout", "")).unwrap();
    vhost.delete_exchange("x", true).unwrap();
    assert_eq!(vhost.exchange("amq.fanout").unwrap().bindings_count(), 0);
}
