//! What lookups cost, in steps and not in time: nodes, edges and candidates that an index looked at.

use leveret_message::{Table, TableWriter};

use crate::bindings::headers::HeadersIndex;
use crate::bindings::topic::Trie;
use crate::bindings::{Bindings, ExchangeKind, Index};

fn topic(keys: impl Iterator<Item = String>) -> Bindings<usize> {
    let mut bindings = Bindings::new(ExchangeKind::Topic);
    for (number, key) in keys.enumerate() {
        bindings
            .insert(key.as_bytes(), &Table::default(), number)
            .expect("good keys");
    }
    bindings
}

fn trie(bindings: &Bindings<usize>) -> &Trie<usize> {
    match &bindings.index {
        Index::Topic(trie) => trie,
        other => panic!("not a topic index: {other:?}"),
    }
}

fn headers_index(bindings: &Bindings<usize>) -> &HeadersIndex {
    match &bindings.index {
        Index::Headers(index) => index,
        other => panic!("not a headers index: {other:?}"),
    }
}

/// The steps of one lookup, and how many matches it found.
fn lookup(bindings: &Bindings<usize>, key: &str, headers: &Table) -> (usize, usize) {
    let mut found = 0;
    let steps = bindings.matches_counted(key.as_bytes(), Some(headers.view()), |_| found += 1);
    (steps, found)
}

#[test]
fn a_topic_lookup_takes_the_same_steps_in_100_and_100_000_bindings() {
    let patterns: [fn(usize) -> String; 4] = [
        |n| format!("a.{n}.#"),
        |n| format!("*.{n}"),
        |n| format!("a.{n}.*.b"),
        |n| format!("#.{n}.b"),
    ];
    for pattern in patterns {
        let few = topic((0..100).map(pattern));
        let many = topic((0..100_000).map(pattern));
        for key in ["a.57", "a.57.x.b", "a.57.b", "b.c.d", ""] {
            let (steps, found) = lookup(&few, key, &Table::default());
            assert_eq!(
                lookup(&many, key, &Table::default()),
                (steps, found),
                "{key}"
            );
            assert!(steps < 25, "{steps} steps for {key}");
        }
    }
}

#[test]
fn hostile_keys_visit_each_node_once() {
    // All patterns of eight words from a and *, between two #, each ending in a word that never comes.
    let patterns = (0..256).map(|bits: u32| {
        let words = (0..8).map(|bit| if bits >> bit & 1 == 1 { "a" } else { "*" });
        format!("#.{}.#.z", words.collect::<Vec<_>>().join("."))
    });
    let known = ["#.a.#.a", "#.a.#.*", "#.*.#.a", "#.#", "*.#.*.#", "#.a.a.#"].map(String::from);
    let bindings = topic(patterns.chain(known));
    let (nodes, ..) = trie(&bindings).size();
    let keys = [
        ("a.".repeat(127) + "a", 6),
        (".".repeat(255), 2),
        ("a.b.".repeat(63) + "a.b", 3),
    ];
    for (key, expected) in keys {
        let words = key.split('.').count();
        let (steps, found) = lookup(&bindings, &key, &Table::default());
        assert_eq!(found, expected, "{words} words");
        // A visit to a node costs at most some passes over the words.
        assert!(
            steps <= 4 * nodes * words,
            "{steps} steps, {nodes} nodes, {words} words"
        );
    }
}

#[test]
fn the_deepest_key_is_walked_without_trouble() {
    let deepest = "*.".repeat(127) + "*";
    let bindings =
        topic([deepest, ".".repeat(254), "#.".to_owned() + &".".repeat(252)].into_iter());
    let (_, found) = lookup(&bindings, &".".repeat(254), &Table::default());
    assert_eq!(found, 2, "the last two; the first has fewer words");
    let (_, found) = lookup(&bindings, &("a.".repeat(127) + "a"), &Table::default());
    assert_eq!(found, 1);
}

#[test]
fn topic_bindings_come_and_go_in_any_number_and_leave_nothing() {
    let mut bindings = topic((0..50_000).map(|n| format!("a.{n}.#")));
    assert_eq!(trie(&bindings).size(), (100_002, 50_001, 0));
    for number in 0..49_999 {
        let key = format!("a.{number}.#");
        assert!(bindings.remove(key.as_bytes(), &Table::default(), &number));
    }
    assert_eq!(trie(&bindings).size(), (4, 2, 0));
    assert!(bindings.remove(b"a.49999.#", &Table::default(), &49_999));
    assert_eq!(trie(&bindings).size(), (1, 0, 0));
    assert_eq!(bindings.entries.capacity(), 0);
}

#[test]
fn long_words_are_numbered_and_forgotten() {
    let long = |n| format!("a.word-number-{n:010}.#");
    let mut bindings = topic((0..1_000).map(long));
    assert_eq!(trie(&bindings).size(), (2_002, 1_001, 1_000));
    let (steps, found) = lookup(&bindings, "a.word-number-0000000077.x", &Table::default());
    assert_eq!((steps, found), (4, 1));
    assert_eq!(
        lookup(&bindings, "a.word-number-9999999999.x", &Table::default()).1,
        0
    );
    for number in 0..999 {
        assert!(bindings.remove(long(number).as_bytes(), &Table::default(), &number));
    }
    assert_eq!(trie(&bindings).size(), (4, 2, 1));
}

#[test]
fn nodes_and_words_are_used_again() {
    let mut bindings = topic(["keep.#".to_owned()].into_iter());
    for number in 1..10_000 {
        let key = format!("a.{number}.a word that is longer");
        bindings
            .insert(key.as_bytes(), &Table::default(), number)
            .expect("a good key");
        assert!(bindings.remove(key.as_bytes(), &Table::default(), &number));
    }
    assert_eq!(trie(&bindings).size(), (3, 1, 0));
    assert!(
        bindings.entries.len() <= 2,
        "{} numbers",
        bindings.entries.len()
    );
}

/// Bindings that share one header and differ in another.
fn by_headers(count: i32, x_match: &str) -> Bindings<usize> {
    let mut bindings = Bindings::new(ExchangeKind::Headers);
    for number in 0..count {
        let mut arguments = TableWriter::new();
        arguments.put("x-match", x_match);
        if x_match == "all" {
            arguments.put("format", "pdf");
        }
        arguments.put("customer", number);
        arguments.put("order", number + 1_000_000);
        bindings
            .insert(b"", &arguments.finish(), number as usize)
            .expect("good arguments");
    }
    bindings
}

#[test]
fn a_headers_lookup_takes_the_same_steps_in_100_and_10_000_bindings() {
    for x_match in ["all", "any"] {
        let few = by_headers(100, x_match);
        let many = by_headers(10_000, x_match);
        for customer in [57, -1] {
            let mut headers = TableWriter::new();
            headers
                .put("format", "pdf")
                .put("customer", customer)
                .put("order", 1_000_057);
            let headers = headers.finish();
            let (steps, found) = lookup(&few, "", &headers);
            assert_eq!(lookup(&many, "", &headers), (steps, found), "{x_match}");
            assert!(steps <= 12, "{steps} steps");
            let expected = match (x_match, customer) {
                ("all", 57) => 1,
                ("all", _) => 0,
                (_, 57) => 2,
                _ => 1,
            };
            assert_eq!(found, expected, "{x_match} {customer}");
        }
    }
}

#[test]
fn headers_bindings_leave_nothing() {
    let mut bindings = by_headers(1_000, "any");
    assert_eq!(headers_index(&bindings).size(), 2_000);
    let all: Vec<_> = bindings
        .iter()
        .map(|(_, table, to)| (table.clone(), *to))
        .collect();
    for (arguments, to) in all.iter().take(999) {
        assert!(bindings.remove(b"", arguments, to));
    }
    assert_eq!(headers_index(&bindings).size(), 2);
}
