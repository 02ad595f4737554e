//! Tests of the bindings: here what the specification says, case by case; in `properties` everything against a model;
//! in `cost` that lookups look at little, and that what was unbound is gone; in `picks` the
//! kinds that pick one destination.

mod cost;
mod model;
mod picks;
mod properties;

use leveret_message::{Table, TableWriter, Value};

use super::{BindingError, Bindings, ExchangeKind, Target, canonical_arguments};
use crate::stable_hash::mix;

impl Target for () {
    fn identity(&self) -> u64 {
        0
    }
}

impl Target for u8 {
    fn identity(&self) -> u64 {
        mix(u64::from(*self))
    }
}

impl Target for i32 {
    fn identity(&self) -> u64 {
        mix(*self as u64)
    }
}

impl Target for usize {
    fn identity(&self) -> u64 {
        mix(*self as u64)
    }
}

fn none() -> Table {
    Table::default()
}

fn table(entries: &[(&str, Value<'_>)]) -> Table {
    let mut writer = TableWriter::new();
    for (name, value) in entries {
        writer.put(name, *value);
    }
    writer.finish()
}

/// Whether a topic binding key matches a routing key.
fn topic(binding_key: &str, routing_key: &str) -> bool {
    let mut bindings = Bindings::new(ExchangeKind::Topic);
    bindings
        .insert(binding_key.as_bytes(), &none(), ())
        .expect("a good key");
    let mut count = 0;
    bindings.matches(routing_key.as_bytes(), None, |()| count += 1);
    assert!(count <= 1, "reported {count} times");
    count == 1
}

/// Whether the arguments of a headers binding match headers.
fn headers(arguments: &[(&str, Value<'_>)], headers: &[(&str, Value<'_>)]) -> bool {
    let mut bindings = Bindings::new(ExchangeKind::Headers);
    bindings
        .insert(b"", &table(arguments), ())
        .expect("good arguments");
    let mut matched = false;
    bindings.matches(b"", Some(table(headers).view()), |()| matched = true);
    matched
}

fn refusal(kind: ExchangeKind, key: &[u8], arguments: &Table) -> String {
    let mut bindings = Bindings::new(kind);
    let error = bindings
        .insert(key, arguments, ())
        .expect_err("a refused binding");
    assert!(bindings.is_empty());
    error.to_string()
}

#[test]
fn kinds_have_the_names_of_exchange_declare() {
    for kind in ExchangeKind::ALL {
        assert_eq!(ExchangeKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(ExchangeKind::from_name("Direct"), None);
    assert_eq!(ExchangeKind::from_name(""), None);
}

#[test]
fn direct_is_equality() {
    let mut bindings = Bindings::new(ExchangeKind::Direct);
    for (key, to) in [("a", 1), ("a", 2), ("a.b", 3), ("#", 4), ("", 5)] {
        assert_eq!(bindings.insert(key.as_bytes(), &none(), to), Ok(true));
    }
    let mut found = Vec::new();
    bindings.matches(b"a", None, |to| found.push(*to));
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    found.clear();
    bindings.matches(b"", None, |to| found.push(*to));
    assert_eq!(found, [5]);
    bindings.matches(b"b", None, |_| panic!("nothing is bound"));
}

#[test]
fn fanout_is_all() {
    let mut bindings = Bindings::new(ExchangeKind::Fanout);
    for to in 0..3 {
        assert_eq!(bindings.insert(b"ignored", &none(), to), Ok(true));
    }
    let mut found = Vec::new();
    bindings.matches(b"else", None, |to| found.push(*to));
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2]);
}

#[test]
fn a_binding_is_its_destination_key_and_arguments() {
    for kind in [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
    ] {
        let mut bindings = Bindings::new(kind);
        let argued = table(&[("b", Value::Long(1)), ("a", Value::Long(2))]);
        let reordered = table(&[("a", Value::Long(2)), ("b", Value::Long(1))]);
        assert_eq!(bindings.insert(b"k", &none(), 1), Ok(true));
        assert_eq!(bindings.insert(b"k", &none(), 1), Ok(false));
        assert_eq!(bindings.insert(b"k", &none(), 2), Ok(true));
        assert_eq!(bindings.insert(b"l", &none(), 1), Ok(true));
        assert_eq!(bindings.insert(b"k", &argued, 1), Ok(true));
        assert_eq!(bindings.insert(b"k", &reordered, 1), Ok(false));
        assert_eq!(bindings.len(), 4);
        assert!(!bindings.remove(b"l", &reordered, &1));
        assert!(!bindings.remove(b"l", &none(), &2));
        assert!(bindings.remove(b"k", &reordered, &1));
        assert!(!bindings.remove(b"k", &argued, &1));
        assert!(bindings.remove(b"k", &none(), &1));
        assert_eq!(bindings.len(), 2);
    }
}

#[test]
fn arguments_are_listed_by_name() {
    let mut bindings = Bindings::new(ExchangeKind::Direct);
    let arguments = table(&[
        ("b", Value::Long(1)),
        ("a", Value::Bool(true)),
        ("b", Value::Void),
    ]);
    bindings.insert(b"k", &arguments, 1).expect("good");
    let sorted = table(&[
        ("a", Value::Bool(true)),
        ("b", Value::Long(1)),
        ("b", Value::Void),
    ]);
    assert_eq!(
        bindings.iter().collect::<Vec<_>>(),
        [(&b"k"[..], &sorted, &1)]
    );
    assert_eq!(canonical_arguments(&arguments), sorted);
}

#[test]
fn topic_star_is_one_word() {
    assert!(topic("*", "a"));
    assert!(!topic("*", "a.b"));
    assert!(!topic("*", ""));
    assert!(topic("*.orange.*", "quick.orange.rabbit"));
    assert!(!topic("*.orange.*", "quick.orange.male.rabbit"));
    assert!(topic("a.*.c", "a..c"), "an empty word is a word");
}

#[test]
fn topic_hash_is_zero_or_more_words() {
    assert!(topic("#", ""));
    assert!(topic("#", "a.b.c"));
    assert!(topic("lazy.#", "lazy"));
    assert!(topic("lazy.#", "lazy.orange.male.rabbit"));
    assert!(!topic("lazy.#", "lazier"));
    assert!(topic("a.#.b", "a.b"));
    assert!(topic("a.#.b", "a.x.y.b"));
    assert!(topic("a.#.b", "a.b.b"));
    assert!(!topic("a.#.b", "a.b.c"));
    assert!(topic("#.a.#", "a"));
    assert!(topic("#.a.#", "x.a.y.z"));
    assert!(!topic("#.a.#", "x.y"));
    assert!(topic("#.#", ""));
    assert!(topic("#.*", "a"));
    assert!(!topic("#.*", ""));
    assert!(topic("*.#.*", "a.b"));
    assert!(!topic("*.#.*", "a"));
}

#[test]
fn topic_empty_words_count() {
    assert!(topic("a..b", "a..b"));
    assert!(!topic("a..b", "a.b"));
    assert!(topic("a.*.b", "a..b"));
    assert!(topic("*.*", "."));
    assert!(!topic("*", "."));
    assert!(topic("a.", "a."));
    assert!(!topic("a", "a."));
    assert!(topic("", ""), "an empty key is no words");
    assert!(!topic("", "a"));
    assert!(!topic("", "."));
}

#[test]
fn topic_words_are_bytes() {
    assert!(topic("\0.a", "\0.a"));
    assert!(!topic("a", "a\0"));
    assert!(!topic("", "\0"));
    assert!(!topic("a.b", "a.B"));
    let long = "a word that is longer than fifteen bytes";
    assert!(topic(long, long));
    assert!(!topic(long, &long[1..]));
}

#[test]
fn topic_wildcards_are_words_of_their_own() {
    assert!(topic("a*", "a*"));
    assert!(!topic("a*", "ab"));
    assert!(!topic("a#", "a.b"));
    assert!(topic("**", "**"));
    assert!(!topic("**", "a"));
    // In a routing key they mean nothing.
    assert!(topic("*", "#"));
    assert!(topic("*", "*"));
    assert!(!topic("a", "*"));
    assert!(!topic("a.b", "a.#"));
}

#[test]
fn topic_keys_have_at_most_two_hashes() {
    assert_eq!(
        refusal(ExchangeKind::Topic, b"#.a.#.#", &none()),
        "Topic binding key '#.a.#.#' uses 3 '#' wildcards, at most 2 are allowed"
    );
    let mut bindings = Bindings::new(ExchangeKind::Topic);
    assert_eq!(bindings.insert(b"#.a##.#", &none(), ()), Ok(true));
    let mut bindings = Bindings::new(ExchangeKind::Direct);
    assert_eq!(bindings.insert(b"#.#.#", &none(), ()), Ok(true));
}

#[test]
fn binding_keys_are_short_strings() {
    let mut bindings = Bindings::new(ExchangeKind::Topic);
    assert_eq!(bindings.insert(&[b'.'; 255], &none(), ()), Ok(true));
    let error = bindings.insert(&[b'.'; 256], &none(), ());
    assert_eq!(error, Err(BindingError::KeyTooLong { bytes: 256 }));
}

#[test]
fn x_match_is_one_of_four_words() {
    let error = |value| refusal(ExchangeKind::Headers, b"", &table(&[("x-match", value)]));
    let expected = "expected all, any, all-with-x, or any-with-x";
    assert_eq!(
        error(Value::LongStr(b"some")),
        format!("Invalid x-match field value <<\"some\">>; {expected}")
    );
    assert_eq!(
        error(Value::LongStr(b"")),
        format!("Invalid x-match field value <<>>; {expected}")
    );
    assert_eq!(
        error(Value::LongStr(&[1, 255])),
        format!("Invalid x-match field value <<1,255>>; {expected}")
    );
    assert_eq!(
        error(Value::LongStr("\"ü".as_bytes())),
        format!("Invalid x-match field value <<\"\\\"ü\"/utf8>>; {expected}")
    );
    assert_eq!(
        error(Value::SignedInt(1)),
        "Invalid x-match field type signedint (value 1); expected longstr"
    );
    let nested = table(&[("a", Value::Bool(true))]);
    assert_eq!(
        error(Value::Table(nested.view())),
        "Invalid x-match field type table (value [{<<\"a\">>,bool,true}]); expected longstr"
    );
    let mut bindings = Bindings::new(ExchangeKind::Topic);
    let arguments = table(&[("x-match", Value::Void)]);
    assert_eq!(
        bindings.insert(b"", &arguments, ()),
        Ok(true),
        "only headers exchanges look"
    );
}

#[test]
fn headers_all_is_the_default() {
    let (a, b) = (("a", Value::LongStr(b"1")), ("b", Value::Long(2)));
    for arguments in [&[a, b][..], &[("x-match", Value::LongStr(b"all")), a, b]] {
        assert!(headers(arguments, &[b, ("c", Value::Void), a]));
        assert!(!headers(arguments, &[a]));
        assert!(!headers(arguments, &[a, ("b", Value::Long(3))]));
        assert!(!headers(arguments, &[]));
    }
}

#[test]
fn headers_any_is_one_of_them() {
    let (a, b) = (("a", Value::LongStr(b"1")), ("b", Value::Long(2)));
    let any = [("x-match", Value::LongStr(b"any")), a, b];
    assert!(headers(&any, &[a]));
    assert!(headers(&any, &[("a", Value::Void), b]));
    assert!(!headers(&any, &[("c", Value::Void)]));
    assert!(!headers(&any, &[]));
}

#[test]
fn headers_without_criteria() {
    assert!(headers(&[], &[]));
    assert!(headers(
        &[("x-other", Value::Long(1))],
        &[("a", Value::Void)]
    ));
    assert!(headers(&[("x-match", Value::LongStr(b"all-with-x"))], &[]));
    assert!(!headers(
        &[("x-match", Value::LongStr(b"any"))],
        &[("a", Value::Void)]
    ));
    assert!(!headers(
        &[("x-match", Value::LongStr(b"any-with-x"))],
        &[("x-a", Value::Void)]
    ));
}

#[test]
fn headers_that_begin_with_x_count_only_when_asked_for() {
    let x = ("x-a", Value::Long(1));
    assert!(headers(&[("x-match", Value::LongStr(b"all")), x], &[]));
    assert!(!headers(
        &[("x-match", Value::LongStr(b"all-with-x")), x],
        &[]
    ));
    assert!(headers(
        &[("x-match", Value::LongStr(b"all-with-x")), x],
        &[x]
    ));
    assert!(!headers(&[("x-match", Value::LongStr(b"any")), x], &[x]));
    assert!(headers(
        &[("x-match", Value::LongStr(b"any-with-x")), x],
        &[x]
    ));
    assert!(headers(
        &[("x-match", Value::LongStr(b"all")), ("x", x.1)],
        &[("x", x.1)]
    ));
    assert!(!headers(
        &[("x-match", Value::LongStr(b"all")), ("x", x.1)],
        &[]
    ));
}

#[test]
fn headers_void_asks_for_presence() {
    for x_match in ["all", "any"] {
        let arguments = [("x-match", Value::from(x_match)), ("a", Value::Void)];
        assert!(headers(&arguments, &[("a", Value::Long(1))]));
        assert!(headers(&arguments, &[("a", Value::Void)]));
        assert!(!headers(&arguments, &[("b", Value::Long(1))]));
    }
    assert!(!headers(&[("a", Value::Long(1))], &[("a", Value::Void)]));
}

#[test]
fn headers_compare_values_exactly_and_not_wire_types() {
    let same = |ours, theirs| headers(&[("a", ours)], &[("a", theirs)]);
    assert!(same(Value::Byte(1), Value::Long(1)));
    assert!(same(Value::UnsignedInt(1), Value::Timestamp(1)));
    assert!(!same(Value::Long(-1), Value::Timestamp(u64::MAX)));
    assert!(same(Value::Float(0.5), Value::Double(0.5)));
    assert!(same(Value::LongStr(b"a"), Value::Binary(b"a")));
    assert!(!same(Value::Long(1), Value::LongStr(b"1")));
    assert!(!same(Value::Long(1), Value::Double(1.0)));
    assert!(!same(Value::Long(1), Value::Bool(true)));
    assert!(!same(Value::LongStr(b"a"), Value::LongStr(b"A")));
    let (nested, other) = (
        table(&[("n", Value::Long(1))]),
        table(&[("n", Value::Long(2))]),
    );
    assert!(same(
        Value::Table(nested.view()),
        Value::Table(nested.view())
    ));
    assert!(!same(
        Value::Table(nested.view()),
        Value::Table(other.view())
    ));
}

#[test]
fn the_last_of_repeated_headers_counts() {
    let wanted = [("a", Value::Long(2))];
    assert!(headers(
        &wanted,
        &[("a", Value::Long(1)), ("a", Value::Long(2))]
    ));
    assert!(!headers(
        &wanted,
        &[("a", Value::Long(2)), ("a", Value::Long(1))]
    ));
}

#[test]
fn many_headers_are_as_good_as_few() {
    let names: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
    let mut entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Value::Long(1)))
        .collect();
    let all = entries.clone();
    assert!(headers(&all, &all));
    entries.push(("n0", Value::Long(2)));
    assert!(!headers(&all, &entries));
    assert!(headers(
        &[("n0", Value::Long(2)), ("n39", Value::Void)],
        &entries
    ));
}

#[test]
fn a_message_without_headers_has_an_empty_table() {
    let mut bindings = Bindings::new(ExchangeKind::Headers);
    bindings.insert(b"", &none(), 1).expect("good");
    bindings
        .insert(b"", &table(&[("a", Value::Void)]), 2)
        .expect("good");
    let mut found = Vec::new();
    bindings.matches(b"any", None, |to| found.push(*to));
    assert_eq!(found, [1]);
}
