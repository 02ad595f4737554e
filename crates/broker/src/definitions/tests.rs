//! Definitions as bytes and back.

use std::sync::{Arc, Weak};

use leveret_message::table::{TableWriter, Value};
use leveret_store::log::Group;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::arguments::{ExchangeSettings, QueueSettings};
use crate::ids::{ConnectionId, ShardId};
use crate::vhost::Vhost;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn table(of: &[(&str, Value<'_>)]) -> Table {
    let mut writer = TableWriter::new();
    for (name, value) in of {
        writer.put(name, *value);
    }
    writer.finish()
}

fn an_exchange(declaration: ExchangeDeclaration) -> Arc<Exchange> {
    let settings = ExchangeSettings::default();
    Arc::new(Exchange::new(declaration, settings, name("v")))
}

fn a_queue(declaration: QueueDeclaration) -> Arc<QueueHandle> {
    let settings = QueueSettings::parse(declaration.arguments.view()).unwrap();
    let vhost: (Name, Weak<Vhost>) = (name("v"), Weak::new());
    let place = (Group(3), ShardId(0));
    let handle = QueueHandle::new(QueueId(7), place, vhost, declaration, settings);
    Arc::new(handle)
}

fn plain_exchange(text: &str, durable: bool) -> Arc<Exchange> {
    an_exchange(ExchangeDeclaration {
        name: name(text),
        kind: ExchangeKind::Topic,
        durable,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    })
}

fn plain_queue(durable: bool, owner: Option<ConnectionId>) -> Arc<QueueHandle> {
    a_queue(QueueDeclaration {
        name: name("q"),
        durable,
        owner,
        auto_delete: false,
        arguments: Table::default(),
    })
}

#[test]
fn exchanges_come_back_as_they_were() {
    let kinds = ["direct", "fanout", "topic", "headers"];
    let flags = [(false, false), (true, false), (false, true), (true, true)];
    for (kind, (auto_delete, internal)) in kinds.into_iter().zip(flags) {
        let arguments = table(&[("alternate-exchange", Value::from("other"))]);
        let exchange = an_exchange(ExchangeDeclaration {
            name: name("x"),
            kind: ExchangeKind::from_name(kind).unwrap(),
            durable: true,
            auto_delete,
            internal,
            arguments: arguments.clone(),
        });
        match read(&exchange_key(&exchange), &exchange_value(&exchange)) {
            Ok(Definition::Exchange(vhost, there)) => {
                assert_eq!((vhost, &there.name), (name("v"), &name("x")));
                assert_eq!(there.kind.name(), kind);
                assert!(there.durable);
                assert_eq!((there.auto_delete, there.internal), (auto_delete, internal));
                assert_eq!(there.arguments, arguments);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn queues_come_back_as_they_were() {
    for auto_delete in [false, true] {
        let arguments = table(&[("x-expires", Value::from(1000))]);
        let queue = a_queue(QueueDeclaration {
            name: name("q"),
            durable: true,
            owner: None,
            auto_delete,
            arguments: arguments.clone(),
        });
        match read(&queue_key(&queue), &queue_value(&queue)) {
            Ok(Definition::Queue(vhost, id, there)) => {
                assert_eq!((vhost, id, there.name), (name("v"), QueueId(7), name("q")));
                assert_eq!((there.durable, there.owner), (true, None));
                assert_eq!(there.auto_delete, auto_delete);
                assert_eq!(there.arguments, arguments);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bindings_come_back_as_they_were() {
    let source = plain_exchange("from", true);
    let arguments = table(&[("x-match", Value::from("any")), ("n", Value::from(1))]);
    let queue = Destination::Queue(plain_queue(true, None));
    let exchange = Destination::Exchange(plain_exchange("to", true));
    for (to, to_queue, destination) in [(queue, true, "q"), (exchange, false, "to")] {
        for key in ["", "a.#", "\u{0}\u{ff}"] {
            let expected = DefinedBinding {
                source: name("from"),
                to_queue,
                destination: name(destination),
                binding_key: key.as_bytes().to_vec(),
                arguments: arguments.clone(),
            };
            let key = binding_key(&source, key.as_bytes(), &arguments, &to).unwrap();
            match read(&key, &binding_value()) {
                Ok(Definition::Binding(vhost, there)) => {
                    assert_eq!((vhost, there), (name("v"), expected));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn only_bindings_between_what_is_kept_are_kept() {
    let (kept, passing) = (plain_exchange("x", true), plain_exchange("x", false));
    let none = Table::default();
    let is_kept = |from: &Arc<Exchange>, to: Destination| {
        let key = binding_key(from, b"", &none, &to);
        key.is_some()
    };
    let queue = |durable, owner| Destination::Queue(plain_queue(durable, owner));
    assert!(is_kept(&kept, queue(true, None)));
    assert!(!is_kept(&kept, queue(false, None)));
    assert!(!is_kept(&kept, queue(true, Some(ConnectionId(1)))));
    assert!(!is_kept(&passing, queue(true, None)));
    let to = |exchange: &Arc<Exchange>| Destination::Exchange(Arc::clone(exchange));
    assert!(is_kept(&kept, to(&kept)));
    assert!(!is_kept(&kept, to(&passing)));
    assert!(!is_kept(&passing, to(&kept)));
}

#[test]
fn ids_and_the_mark_of_a_running_broker_come_back() {
    let ids = read(IDS, &ids_value(u64::MAX - 1));
    assert!(matches!(ids, Ok(Definition::Ids(next)) if next == u64::MAX - 1));
    let running = read(RUNNING, &running_value());
    assert!(matches!(running, Ok(Definition::Running)));
}

#[test]
fn keys_say_where_a_name_ends() {
    let key = |vhost: &str, of: &str| key(b'q', &[vhost.as_bytes(), of.as_bytes()]);
    assert_ne!(key("ab", "c"), key("a", "bc"));
    assert_ne!(key("", "q"), key("q", ""));
}

#[test]
fn what_another_version_wrote_is_refused_with_its_key() {
    let queue = plain_queue(true, None);
    let (key, value) = (queue_key(&queue), queue_value(&queue));
    let mut newer = value.clone();
    newer[0] = VERSION + 1;
    let refused = read(&key, &newer).expect_err("it is newer");
    assert!(refused.to_string().contains("q"), "{refused}");
    for cut in 0..value.len() {
        assert!(read(&key, &value[..cut]).is_err(), "{cut} bytes");
    }
    for cut in 0..key.len() {
        assert!(read(&key[..cut], &value).is_err(), "{cut} bytes of the key");
    }
    let longer = [value.as_slice(), &[0]].concat();
    assert!(read(&key, &longer).is_err());
}

fn definition() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let exchange = plain_exchange("x", true);
    let queue = plain_queue(true, None);
    let to = Destination::Queue(Arc::clone(&queue));
    let binding = binding_key(&exchange, b"key", &Table::default(), &to).unwrap();
    prop::sample::select(vec![
        (exchange_key(&exchange), exchange_value(&exchange)),
        (queue_key(&queue), queue_value(&queue)),
        (binding, binding_value()),
        (IDS.to_vec(), ids_value(9)),
    ])
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        key in vec(any::<u8>(), 0..40),
        value in vec(any::<u8>(), 0..40),
    ) {
        let result = read(&key, &value);
        prop_assert!(value.first() == Some(&VERSION) || result.is_err());
    }

    #[test]
    fn damaged_definitions_are_read_or_refused(
        (mut key, mut value) in definition(),
        damage in vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (in_key, at, byte) in damage {
            let bytes = if in_key { &mut key } else { &mut value };
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let result = read(&key, &value);
        prop_assert!(value.first() == Some(&VERSION) || result.is_err());
    }
}
