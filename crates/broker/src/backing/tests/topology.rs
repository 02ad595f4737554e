//! Exchanges, queues, bindings and ids, before and after.

use std::collections::BTreeSet;

use leveret_message::table::{TableRef, TableWriter};

use super::*;
use crate::bindings::ExchangeKind;
use crate::exchange::Destination;
use crate::vhost::door::Binding;

fn exchange(text: &str, kind: ExchangeKind) -> ExchangeDeclaration {
    ExchangeDeclaration {
        name: name(text),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

fn binding<'a>(source: &'a str, key: &'a str) -> Binding<'a> {
    Binding {
        source,
        binding_key: key.as_bytes(),
        arguments: TableRef::default(),
    }
}

fn arguments(key: &str, value: &str) -> Table {
    let mut writer = TableWriter::new();
    writer.put(key, value);
    writer.finish()
}

/// Everything that a vhost has, as text.
fn topology(vhost: &Vhost, exchanges: &[&str], queues: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for text in queues {
        let Some(queue) = vhost.find_queue(text) else {
            continue;
        };
        let QueueHandle { id, shard, .. } = *queue;
        let (of, settings) = (&queue.declaration, &queue.settings);
        all.insert(format!("{id:?} {shard:?} {of:?} {settings:?}"));
    }
    for text in exchanges {
        let Some(exchange) = vhost.find_exchange(text) else {
            continue;
        };
        let (auto_delete, internal) = (exchange.auto_delete, exchange.internal);
        let (of, settings) = (&exchange.arguments, &exchange.settings);
        let kind = exchange.kind.name();
        all.insert(format!(
            "{text} {kind} {auto_delete} {internal} {of:?} {settings:?}"
        ));
        exchange.each_binding(|key, arguments, to| {
            let to = match to {
                Destination::Queue(queue) => format!("queue {}", queue.name()),
                Destination::Exchange(exchange) => format!("exchange {}", exchange.name),
            };
            all.insert(format!("{text} {key:?} {arguments:?} {to}"));
        });
    }
    all
}

const EXCHANGES: [&str; 7] = ["a", "b", "c", "d", "passing", "amq.topic", "amq.fanout"];
const QUEUES: [&str; 5] = ["one", "two", "gone", "passing", "mine"];

/// Declares and binds what is to come back.
fn declare_durable(running: &mut Running) {
    let vhost = running.vhost();
    let kinds = ["direct", "fanout", "topic", "headers"];
    for (text, kind) in ["a", "b", "c", "d"].into_iter().zip(kinds) {
        let declaration = ExchangeDeclaration {
            auto_delete: text == "b",
            internal: text == "c",
            arguments: arguments("alternate-exchange", text),
            ..exchange(text, ExchangeKind::from_name(kind).unwrap())
        };
        vhost.declare_exchange(declaration).unwrap();
    }
    running.declare(QueueDeclaration {
        arguments: arguments("x-dead-letter-exchange", "a"),
        ..queue("one")
    });
    running.declare(QueueDeclaration {
        auto_delete: true,
        ..queue("two")
    });
    for text in ["one", "two"] {
        for source in ["a", "b", "amq.topic"] {
            vhost.bind_queue(ME, text, binding(source, "k")).unwrap();
        }
        let of_headers = arguments("h", text);
        let headers = Binding {
            arguments: of_headers.view(),
            ..binding("d", "")
        };
        vhost.bind_queue(ME, text, headers).unwrap();
    }
    vhost.bind_exchange("c", binding("amq.fanout", "")).unwrap();
    vhost.bind_exchange("a", binding("c", "#")).unwrap();
}

/// Declares and binds what is not.
fn declare_passing(running: &mut Running) {
    let vhost = running.vhost();
    let passing = ExchangeDeclaration {
        durable: false,
        ..exchange("passing", ExchangeKind::Fanout)
    };
    vhost.declare_exchange(passing).unwrap();
    running.declare(QueueDeclaration {
        durable: false,
        ..queue("passing")
    });
    running.declare(QueueDeclaration {
        owner: Some(ME),
        ..queue("mine")
    });
    for (to, source) in [("one", "passing"), ("passing", "a"), ("mine", "a")] {
        vhost.bind_queue(ME, to, binding(source, "k")).unwrap();
    }
    let gone = running.declare(queue("gone"));
    vhost.bind_queue(ME, "gone", binding("a", "k")).unwrap();
    let delete = Command::Delete {
        connection: ME,
        queue: gone.id,
        if_unused: false,
        if_empty: false,
    };
    running.tell(&gone, delete);
}

#[test]
fn durable_topology_comes_back_and_nothing_else() {
    let folder = Folder::new();
    let mut running = folder.start();
    declare_durable(&mut running);
    let expected = topology(&running.vhost(), &EXCHANGES, &QUEUES);
    declare_passing(&mut running);
    assert_ne!(topology(&running.vhost(), &EXCHANGES, &QUEUES), expected);
    for in_order in [false, true, true] {
        if in_order {
            running.end();
        }
        running = folder.start();
        let there = topology(&running.vhost(), &EXCHANGES, &QUEUES);
        assert_eq!(there, expected);
        assert_eq!(running.vhost().queues_count(), 2);
    }
}

#[test]
fn vhosts_that_nobody_configured_come_back_with_what_is_in_them() {
    let folder = Folder::new();
    let running = folder.start();
    let other = running.broker.vhost_or_new(&name("other"));
    other.declare_queue(ME, queue("q"), false).unwrap();
    other
        .bind_queue(ME, "q", binding("amq.direct", "k"))
        .unwrap();
    let again = folder.start();
    let other = again.broker.vhost("other").unwrap();
    assert!(other.find_queue("q").is_some());
    assert!(again.vhost().find_queue("q").is_none());
    let direct = other.exchange("amq.direct").unwrap();
    assert_eq!(direct.bindings_count(), 1);
}

#[test]
fn ids_are_never_used_again() {
    let folder = Folder::new();
    let mut used = BTreeSet::new();
    for round in 0..4 {
        let mut running = folder.start();
        for durable in [false, true] {
            let declared = running.declare(QueueDeclaration {
                durable,
                ..queue(&format!("q{round}{durable}"))
            });
            assert!(used.insert(declared.id), "{:?} again", declared.id);
            let delete = Command::Delete {
                connection: ME,
                queue: declared.id,
                if_unused: false,
                if_empty: false,
            };
            running.tell(&declared, delete);
        }
        if round % 2 == 0 {
            running.end();
        }
    }
}

#[test]
fn what_the_log_has_of_queues_that_are_not_defined_goes() {
    let folder = Folder::new();
    let mut running = folder.start();
    let [stays, gone] = ["stays", "gone"].map(|text| running.declare(queue(text)));
    running.publish(&stays, 0..10);
    running.publish(&gone, 0..10);
    drop(running);
    // Its end was written down; that its messages went, was not.
    let key = definitions::queue_key(&gone);
    Definitions::undefine(&folder.definitions, &key);
    let running = folder.start();
    assert!(running.vhost().find_queue("gone").is_none());
    let deleted: Vec<_> = folder
        .logs
        .iter()
        .flat_map(|log| log.lock().deleted.clone())
        .collect();
    assert_eq!(deleted, [gone.id]);
    let kept: usize = folder.logs.iter().map(|log| log.kept_count().0).sum();
    assert_eq!(kept, 5);
    let next = running.vhost().declare_queue(ME, queue("gone"), false);
    assert!(next.unwrap().queue().id > gone.id);
}

type Damage = fn(&Folder);

#[test]
fn what_cannot_be_put_back_is_an_error_and_changes_nothing() {
    let damages: [(&str, Damage); 3] = [
        ("cannot be read", |folder| {
            folder.definitions.define(b"z", b"\x01");
        }),
        ("has an end that is not there", |folder| {
            let mut defined = folder.definitions.lock();
            defined.values.retain(|key, _| key.first() != Some(&b'x'));
        }),
        ("arguments that this version does not take", |folder| {
            let declaration = QueueDeclaration {
                arguments: arguments("x-expires", "never"),
                ..queue("q")
            };
            let settings = crate::arguments::QueueSettings::default();
            let vhost = (name("/"), std::sync::Weak::new());
            let place = (leveret_store::log::Group(1), crate::ids::ShardId(0));
            let handle = QueueHandle::new(QueueId(1), place, vhost, declaration, settings);
            let value = definitions::queue_value(&handle);
            folder
                .definitions
                .define(&definitions::queue_key(&handle), &value);
        }),
    ];
    for (expected, damage) in damages {
        let folder = Folder::new();
        let mut running = folder.start();
        let x = exchange("x", ExchangeKind::Direct);
        running.vhost().declare_exchange(x).unwrap();
        running.declare(queue("q"));
        running
            .vhost()
            .bind_queue(ME, "q", binding("x", "k"))
            .unwrap();
        running.end();
        damage(&folder);
        let before = folder.definitions.found();
        let error = folder.try_start().err().expect("it is damaged");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(folder.definitions.found(), before);
    }
}
