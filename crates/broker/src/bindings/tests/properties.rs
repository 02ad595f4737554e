//! Random bindings, bound and unbound in random order, against the model.

use std::collections::{BTreeSet, HashMap};

use leveret_message::{Table, TableWriter, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{Destination, Model};
use crate::bindings::postings::Bound;
use crate::bindings::topic::Trie;
use crate::bindings::{Bindings, ExchangeKind};

#[derive(Clone, Debug)]
enum Op {
    Bind(Vec<u8>, Table, Destination),
    Unbind(Vec<u8>, Table, Destination),
    /// Unbind what is there, chosen by number.
    UnbindExisting(usize),
    Route(Vec<u8>, Table),
}

/// Words up to this length are kept in another form than longer ones.
const FIFTEEN: &str = "fifteen letters";
const SIXTEEN: &str = "fifteen letters\0";

/// Keys of few different words, so that they often meet; at most `len` words, wildcards among them.
fn key(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec!["a", "a", "b", "", "*", "#", FIFTEEN, SIXTEEN]);
    vec(word, 0..=len).prop_map(|words| words.join(".").into_bytes())
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop::sample::select(vec![
        Value::SignedInt(1),
        Value::Long(1),
        Value::Timestamp(1),
        Value::Timestamp(u64::MAX),
        Value::Long(-1),
        Value::LongStr(b"1"),
        Value::Binary(b"1"),
        Value::Float(1.0),
        Value::Double(1.0),
        Value::Bool(true),
        Value::Decimal { scale: 0, value: 1 },
        Value::Void,
        Value::Void,
    ])
}

fn table(len: usize) -> impl Strategy<Value = Table> {
    let name = prop::sample::select(vec!["a", "b", "c", "x-a", "x-b"]);
    vec((name, value()), 0..=len).prop_map(|entries| {
        let mut writer = TableWriter::new();
        for (name, value) in entries {
            writer.put(name, value);
        }
        writer.finish()
    })
}

fn arguments() -> impl Strategy<Value = Table> {
    let x_match = prop::sample::select(vec!["", "all", "any", "all-with-x", "any-with-x", "none"]);
    (x_match, table(3)).prop_map(|(x_match, rest)| {
        let mut writer = TableWriter::new();
        if !x_match.is_empty() {
            writer.put("x-match", x_match);
        }
        for (name, value) in rest.view().iter() {
            writer.put(name, value);
        }
        writer.finish()
    })
}

fn op(arguments: BoxedStrategy<Table>, headers: BoxedStrategy<Table>) -> impl Strategy<Value = Op> {
    let bind = (key(5), arguments.clone(), 0..4u8);
    let unbind = (key(3), arguments, 0..4u8);
    prop_oneof![
        4 => bind.prop_map(|(key, table, to)| Op::Bind(key, table, to)),
        1 => unbind.prop_map(|(key, table, to)| Op::Unbind(key, table, to)),
        2 => any::<usize>().prop_map(Op::UnbindExisting),
        4 => (key(7), headers).prop_map(|(key, headers)| Op::Route(key, headers)),
    ]
}

fn check(kind: ExchangeKind, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut bindings = Bindings::new(kind);
    let mut model = Model::new(kind);
    for op in ops {
        match op {
            Op::Bind(key, table, to) => {
                let new = bindings.insert(&key, &table, to).ok();
                prop_assert_eq!(new, model.insert(&key, &table, to));
            }
            Op::Unbind(key, table, to) => {
                let removed = bindings.remove(&key, &table, &to);
                prop_assert_eq!(removed, model.remove(&key, &table, to));
            }
            Op::UnbindExisting(number) => {
                let count = model.bindings().len().max(1);
                let Some((key, table, to)) = model.bindings().get(number % count).cloned() else {
                    continue;
                };
                prop_assert!(bindings.remove(&key, &table, &to));
                model.remove(&key, &table, to);
            }
            Op::Route(key, headers) => {
                let mut found = BTreeSet::new();
                bindings.matches(&key, Some(headers.view()), |to| {
                    found.insert(*to);
                });
                prop_assert_eq!(found, model.matches(&key, headers.view()));
            }
        }
        prop_assert_eq!(bindings.len(), model.bindings().len());
        prop_assert_eq!(bindings.is_empty(), model.bindings().is_empty());
    }
    let mut listed: Vec<_> = bindings
        .iter()
        .map(|(k, t, d)| (k.to_vec(), t.clone(), *d))
        .collect();
    let mut expected = model.bindings().to_vec();
    let order = |(key, table, to): &(Vec<u8>, Table, u8)| {
        (key.clone(), table.view().as_bytes().to_vec(), *to)
    };
    listed.sort_by_key(order);
    expected.sort_by_key(order);
    prop_assert_eq!(listed, expected);
    Ok(())
}

fn bound(number: u32) -> Bound<u32> {
    Bound {
        number,
        destination: number,
    }
}

/// Ops without arguments or headers, for the kinds that route by key.
fn keyed() -> impl Strategy<Value = Vec<Op>> {
    vec(op(table(1).boxed(), Just(Table::default()).boxed()), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn direct_as_the_model(ops in keyed()) {
        check(ExchangeKind::Direct, ops)?;
    }

    #[test]
    fn fanout_as_the_model(ops in keyed()) {
        check(ExchangeKind::Fanout, ops)?;
    }

    #[test]
    fn topic_as_the_model(ops in keyed()) {
        check(ExchangeKind::Topic, ops)?;
    }

    #[test]
    fn headers_as_the_model(ops in vec(op(arguments().boxed(), table(5).boxed()), 0..80)) {
        check(ExchangeKind::Headers, ops)?;
    }

    /// Keys with more words than a short string holds take another path through the walk.
    #[test]
    fn a_long_routing_key_as_the_model(
        patterns in vec(key(5), 1..8),
        start in key(4),
        middle in prop::sample::select(vec!["a.", "b.a."]),
        end in key(4),
    ) {
        let mut bindings = Bindings::new(ExchangeKind::Topic);
        let mut model = Model::new(ExchangeKind::Topic);
        for (number, pattern) in (0..).zip(patterns) {
            let new = bindings.insert(&pattern, &Table::default(), number).ok();
            prop_assert_eq!(new, model.insert(&pattern, &Table::default(), number));
        }
        let key = [&start[..], b".", middle.repeat(300).as_bytes(), &end].concat();
        let mut found = BTreeSet::new();
        bindings.matches(&key, None, |to| {
            found.insert(*to);
        });
        prop_assert_eq!(found, model.matches(&key, Table::default().view()));
    }

    /// A trie reports each binding once, and after removals it is as large as one that never held what was removed.
    #[test]
    fn a_trie_keeps_nothing_of_what_was_removed(
        kept in vec(key(5), 0..12),
        removed in vec(key(5), 0..12),
        routing_key in key(7),
    ) {
        let mut trie = Trie::new();
        let mut alone = Trie::new();
        let mut positions = HashMap::new();
        for (number, key) in (0..).zip(kept.iter().chain(&removed)) {
            positions.insert(number, trie.insert(key, bound(number)));
        }
        for (number, key) in (0..).zip(&kept) {
            alone.insert(key, bound(number));
        }
        for (number, key) in (kept.len() as u32..).zip(&removed) {
            let (node, position) = positions[&number];
            if let Some(moved) = trie.remove(key, node, position) {
                positions.insert(moved, (node, position));
            }
        }
        prop_assert_eq!(trie.size(), alone.size());
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        trie.matches(&routing_key, |number| found.push(*number));
        alone.matches(&routing_key, |number| expected.push(*number));
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(&found, &expected);
        found.dedup();
        prop_assert_eq!(found.len(), expected.len());
    }
}
