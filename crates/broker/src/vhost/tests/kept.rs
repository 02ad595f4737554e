//! What the door writes down: durable things, each once, in an order in which a start that finds only the first changes finds no binding
//! without its ends.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::definitions::{self, Definition};
use crate::doubles::WatchedDefinitions;
use crate::vhost::door::IsKept;

struct Kept {
    vhost: Arc<Vhost>,
    definitions: WatchedDefinitions,
}

/// How the tests show a definition.
fn shown(key: &[u8], value: &[u8]) -> String {
    match definitions::read(key, value).expect("it was just written") {
        Definition::Exchange(_, exchange) => format!("exchange {}", exchange.name),
        Definition::Queue(_, _, queue) => format!("queue {}", queue.name),
        Definition::Binding(_, binding) => {
            let key = String::from_utf8(binding.binding_key).unwrap();
            format!("{} -{key}-> {}", binding.source, binding.destination)
        }
        other => panic!("{other:?}"),
    }
}

impl Kept {
    fn new() -> Self {
        let definitions = WatchedDefinitions::default();
        let shared = Arc::new(definitions.clone());
        let vhost = doubles::vhost_with("v", &Shards::new(2), shared);
        Self { vhost, definitions }
    }

    fn defined(&self) -> BTreeSet<String> {
        let found = self.definitions.found().into_iter();
        found
            .filter(|(key, _)| **key != *definitions::IDS)
            .map(|(key, value)| shown(&key, &value))
            .collect()
    }

    fn has(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(self.defined(), expected);
    }

    /// How many changes there were, those of ids excepted.
    fn changes(&self) -> usize {
        let defined = self.definitions.lock();
        let changes = defined.changes.iter();
        changes
            .filter(|(key, _)| **key != *definitions::IDS)
            .count()
    }

    fn bind(&self, queue: &str, source: &str, key: &str) -> IsKept {
        self.vhost
            .bind_queue(ME, queue, binding(source, key))
            .unwrap()
    }
}

fn end(vhost: &Vhost, queue: &Arc<QueueHandle>) {
    queue.mark_deleted();
    vhost.forget_queue(queue);
}

fn transient(name: &str) -> QueueDeclaration {
    QueueDeclaration {
        durable: false,
        ..a_queue(name)
    }
}

fn exclusive(name: &str) -> QueueDeclaration {
    QueueDeclaration {
        owner: Some(ME),
        ..a_queue(name)
    }
}

#[test]
fn durable_things_are_defined_once() {
    let kept = Kept::new();
    let vhost = &kept.vhost;
    for _ in 0..2 {
        vhost.declare_queue(ME, a_queue("q"), false).unwrap();
        assert_eq!(vhost.declare_exchange(an_exchange("x")), Ok(IsKept(true)));
        assert_eq!(kept.bind("q", "x", "k"), IsKept(true));
        assert_eq!(kept.bind("q", "amq.direct", ""), IsKept(true));
        let to = vhost.bind_exchange("x", binding("amq.topic", "#"));
        assert_eq!(to, Ok(IsKept(true)));
    }
    kept.has(&[
        "exchange x",
        "queue q",
        "x -k-> q",
        "amq.direct --> q",
        "amq.topic -#-> x",
    ]);
    assert_eq!(kept.changes(), 5);
}

#[test]
fn what_is_not_durable_or_belongs_to_a_connection_is_not_defined() {
    let kept = Kept::new();
    let vhost = &kept.vhost;
    let passing = ExchangeDeclaration {
        durable: false,
        ..an_exchange("passing")
    };
    assert_eq!(vhost.declare_exchange(passing), Ok(IsKept(false)));
    let declared = [transient("t"), exclusive("mine")].map(|declaration| {
        let declared = vhost.declare_queue(ME, declaration, false).unwrap();
        Arc::clone(declared.queue())
    });
    vhost.declare_queue(ME, a_queue("q"), false).unwrap();
    let before = kept.changes();
    assert_eq!(kept.bind("t", "amq.direct", ""), IsKept(false));
    assert_eq!(kept.bind("mine", "amq.direct", ""), IsKept(false));
    assert_eq!(kept.bind("q", "passing", ""), IsKept(false));
    let unbound = vhost.unbind_queue(ME, "t", binding("amq.direct", ""));
    assert_eq!(unbound, Ok(IsKept(false)));
    declared.iter().for_each(|queue| end(vhost, queue));
    assert_eq!(vhost.delete_exchange("passing", false), Ok(IsKept(false)));
    assert_eq!(kept.changes(), before);
    kept.has(&["queue q"]);
}

#[test]
fn what_ends_is_undefined_with_what_goes_with_it() {
    let kept = Kept::new();
    let vhost = &kept.vhost;
    let q = queue(vhost, "q");
    queue(vhost, "other");
    vhost.declare_exchange(auto_delete("auto")).unwrap();
    vhost.declare_exchange(auto_delete("before")).unwrap();
    vhost.bind_exchange("auto", binding("before", "")).unwrap();
    kept.bind("q", "auto", "1");
    kept.bind("q", "amq.direct", "1");
    kept.bind("q", "amq.direct", "2");
    kept.bind("other", "amq.direct", "1");
    let unbound = vhost.unbind_queue(ME, "q", binding("amq.direct", "2"));
    assert_eq!(unbound, Ok(IsKept(true)));
    kept.has(&[
        "queue q",
        "queue other",
        "exchange auto",
        "exchange before",
        "before --> auto",
        "auto -1-> q",
        "amq.direct -1-> q",
        "amq.direct -1-> other",
    ]);
    end(vhost, &q);
    kept.has(&["queue other", "amq.direct -1-> other"]);
    let defined = kept.definitions.lock();
    let keys: BTreeSet<_> = defined.changes.iter().collect();
    assert_eq!(keys.len(), defined.changes.len(), "each change once");
}

#[test]
fn an_exchange_that_goes_with_a_binding_that_is_not_kept_is_undefined() {
    let kept = Kept::new();
    let vhost = &kept.vhost;
    vhost.declare_exchange(auto_delete("auto")).unwrap();
    vhost.declare_queue(ME, transient("t"), false).unwrap();
    assert_eq!(kept.bind("t", "auto", ""), IsKept(false));
    let unbound = vhost.unbind_queue(ME, "t", binding("auto", ""));
    assert_eq!(unbound, Ok(IsKept(true)), "the exchange was kept");
    kept.has(&[]);
}

#[test]
fn what_is_said_late_of_a_queue_says_nothing_of_its_successor() {
    let kept = Kept::new();
    let vhost = &kept.vhost;
    let old = queue(vhost, "q");
    kept.bind("q", "amq.direct", "k");
    kept.bind("q", "amq.direct", "old");
    old.mark_deleted();
    let new = queue(vhost, "q");
    kept.has(&["queue q"]);
    kept.bind("q", "amq.direct", "k");
    vhost.forget_queue(&old);
    kept.has(&["queue q", "amq.direct -k-> q"]);
    let found = kept.definitions.found().into_iter();
    let ids = found.filter_map(|(key, value)| match definitions::read(&key, &value) {
        Ok(Definition::Queue(_, id, _)) => Some(id),
        _ => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), [new.id]);

    // Nor does it stay when its successor is none that is kept.
    new.mark_deleted();
    vhost.declare_queue(ME, transient("q"), false).unwrap();
    vhost.forget_queue(&new);
    kept.has(&[]);
}

#[test]
fn ids_are_reserved_before_they_are_given_out() {
    let kept = Kept::new();
    let q = queue(&kept.vhost, "q");
    let value = kept.definitions.lock().values[definitions::IDS].clone();
    match definitions::read(definitions::IDS, &value) {
        Ok(Definition::Ids(next)) => assert!(next > q.id.0),
        other => panic!("{other:?}"),
    }
    let defined = kept.definitions.lock();
    assert_eq!(*defined.changes[0].0, *definitions::IDS);
}

/// Which of a few exchanges and queues, and which of two keys.
#[derive(Clone, Debug)]
enum Change {
    Exchange(usize, bool, bool),
    Queue(usize, u8),
    BindQueue(usize, usize, bool),
    BindExchange(usize, usize, bool),
    UnbindQueue(usize, usize, bool),
    UnbindExchange(usize, usize, bool),
    DeleteExchange(usize),
    DeleteQueue(usize),
}

const EXCHANGES: [&str; 4] = ["a", "b", "c", "amq.topic"];
const QUEUES: [&str; 3] = ["q", "r", "s"];

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let (x, q, flag) = (|| 0..EXCHANGES.len(), || 0..QUEUES.len(), any::<bool>);
    let change = prop_oneof![
        3 => (x(), prop::bool::weighted(0.8), flag())
            .prop_map(|(x, durable, auto)| Change::Exchange(x, durable, auto)),
        3 => (q(), 0..4_u8).prop_map(|(q, sort)| Change::Queue(q, sort)),
        5 => (x(), q(), flag()).prop_map(|(x, q, key)| Change::BindQueue(x, q, key)),
        4 => (x(), x(), flag()).prop_map(|(x, to, key)| Change::BindExchange(x, to, key)),
        1 => (x(), q(), flag()).prop_map(|(x, q, key)| Change::UnbindQueue(x, q, key)),
        1 => (x(), x(), flag()).prop_map(|(x, to, key)| Change::UnbindExchange(x, to, key)),
        1 => x().prop_map(Change::DeleteExchange),
        1 => q().prop_map(Change::DeleteQueue),
    ];
    vec(change, 1..60)
}

impl Kept {
    /// Makes a change; one that is refused changes nothing.
    fn change(&self, change: &Change) {
        let vhost = &self.vhost;
        let key = |one: bool| if one { "1" } else { "2" };
        match *change {
            Change::Exchange(x, durable, auto_delete) => {
                let _ = vhost.declare_exchange(ExchangeDeclaration {
                    durable,
                    auto_delete,
                    ..an_exchange(EXCHANGES[x])
                });
            }
            Change::Queue(q, sort) => {
                let name = QUEUES[q];
                let declaration = match sort {
                    0 => transient(name),
                    1 => exclusive(name),
                    _ => a_queue(name),
                };
                let _ = vhost.declare_queue(ME, declaration, false);
            }
            Change::BindQueue(x, q, one) => {
                let _ = vhost.bind_queue(ME, QUEUES[q], binding(EXCHANGES[x], key(one)));
            }
            Change::BindExchange(x, to, one) => {
                let _ = vhost.bind_exchange(EXCHANGES[to], binding(EXCHANGES[x], key(one)));
            }
            Change::UnbindQueue(x, q, one) => {
                let _ = vhost.unbind_queue(ME, QUEUES[q], binding(EXCHANGES[x], key(one)));
            }
            Change::UnbindExchange(x, to, one) => {
                let _ = vhost.unbind_exchange(EXCHANGES[to], binding(EXCHANGES[x], key(one)));
            }
            Change::DeleteExchange(x) => {
                let _ = vhost.delete_exchange(EXCHANGES[x], false);
            }
            Change::DeleteQueue(q) => {
                if let Some(queue) = vhost.find_queue(QUEUES[q]) {
                    end(vhost, &queue);
                }
            }
        }
    }

    /// What should be defined, by what is there.
    fn expected(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for name in QUEUES {
            let kept = self.vhost.find_queue(name).filter(|queue| queue.is_kept());
            all.extend(kept.map(|_| format!("queue {name}")));
        }
        for name in EXCHANGES {
            let Some(exchange) = self.vhost.find_exchange(name).filter(|x| x.durable) else {
                continue;
            };
            if !name.starts_with("amq.") {
                all.insert(format!("exchange {name}"));
            }
            exchange.each_binding(|key, _, to| {
                let key = String::from_utf8_lossy(key);
                let to = match to {
                    crate::exchange::Destination::Queue(queue) if queue.is_kept() => queue.name(),
                    crate::exchange::Destination::Exchange(to) if to.durable => &to.name,
                    _ => return,
                };
                all.insert(format!("{name} -{key}-> {to}"));
            });
        }
        all
    }
}

/// Whether every binding has both its ends among the keys.
fn has_ends(keys: &BTreeSet<Box<[u8]>>) -> bool {
    let names: BTreeSet<String> = keys
        .iter()
        .filter_map(|key| match key.first() {
            Some(b'x' | b'q') => Some(format!("{}{}", key[0] as char, field(key, 1))),
            _ => None,
        })
        .collect();
    let is_there = |kind: &str, name: &str| {
        name.starts_with("amq.") || names.contains(&format!("{kind}{name}"))
    };
    keys.iter()
        .filter(|key| key.first() == Some(&b'b'))
        .all(|key| is_there("x", &field(key, 1)) && is_there(&field(key, 2), &field(key, 3)))
}

/// A field of a key, as text.
fn field(key: &[u8], number: usize) -> String {
    let mut rest = &key[1..];
    for _ in 0..number {
        let len = u32::from_le_bytes(*rest.first_chunk().unwrap()) as usize;
        rest = &rest[4 + len..];
    }
    let len = u32::from_le_bytes(*rest.first_chunk().unwrap()) as usize;
    String::from_utf8(rest[4..4 + len].to_vec()).unwrap()
}

proptest! {
    #[test]
    fn what_is_defined_is_what_is_there(changes in changes()) {
        let kept = Kept::new();
        for change in &changes {
            kept.change(change);
            prop_assert_eq!(kept.defined(), kept.expected());
        }
        // A power cut may let any number of the first changes through.
        let mut keys = BTreeSet::new();
        for (key, is_defined) in &kept.definitions.lock().changes {
            match is_defined {
                true => keys.insert(key.clone()),
                false => keys.remove(key),
            };
            prop_assert!(has_ends(&keys));
        }
    }
}
