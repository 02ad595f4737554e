//! What the bindings of an exchange mean, written as plainly as possible: the model that the indexes are tested against.

use std::collections::BTreeSet;

use leveret_message::{Table, TableRef, Value};

use crate::bindings::{ExchangeKind, canonical_arguments};

/// A destination in these tests.
pub(super) type Destination = u8;

/// Bindings as a list.
pub(super) struct Model {
    kind: ExchangeKind,
    bindings: Vec<(Vec<u8>, Table, Destination)>,
}

impl Model {
    pub(super) fn new(kind: ExchangeKind) -> Self {
        Self {
            kind,
            bindings: Vec::new(),
        }
    }

    /// Whether the binding is new, or nothing if it is refused.
    pub(super) fn insert(
        &mut self,
        key: &[u8],
        arguments: &Table,
        to: Destination,
    ) -> Option<bool> {
        let hashes = split(key).iter().filter(|word| **word == b"#").count();
        let bad_match = arguments.view().find("x-match").is_some_and(|value| {
            !["all", "any", "all-with-x", "any-with-x"]
                .map(Some)
                .contains(&value.as_str())
        });
        match self.kind {
            ExchangeKind::Topic if hashes > 2 => return None,
            ExchangeKind::Headers if bad_match => return None,
            _ => {}
        }
        let binding = (key.to_vec(), canonical_arguments(arguments), to);
        let new = !self.bindings.contains(&binding);
        if new {
            self.bindings.push(binding);
        }
        Some(new)
    }

    pub(super) fn remove(&mut self, key: &[u8], arguments: &Table, to: Destination) -> bool {
        let before = self.bindings.len();
        let binding = (key.to_vec(), canonical_arguments(arguments), to);
        self.bindings.retain(|other| *other != binding);
        self.bindings.len() < before
    }

    pub(super) fn bindings(&self) -> &[(Vec<u8>, Table, Destination)] {
        &self.bindings
    }

    pub(super) fn matches(&self, key: &[u8], headers: TableRef<'_>) -> BTreeSet<Destination> {
        let matching = self
            .bindings
            .iter()
            .filter(|(pattern, arguments, _)| match self.kind {
                ExchangeKind::Direct => pattern == key,
                ExchangeKind::Fanout => true,
                ExchangeKind::Topic => topic(&split(pattern), &split(key)),
                ExchangeKind::Headers => headers_match(arguments.view(), headers),
                other => panic!("{other:?} picks one, or is a fanout exchange"),
            });
        matching.map(|(.., to)| *to).collect()
    }
}

fn split(key: &[u8]) -> Vec<&[u8]> {
    if key.is_empty() {
        Vec::new()
    } else {
        key.split(|byte| *byte == b'.').collect()
    }
}

/// Whether the words match the pattern: for every beginning of both, from the shortest on.
fn topic(pattern: &[&[u8]], words: &[&[u8]]) -> bool {
    let mut matched = vec![vec![false; words.len() + 1]; pattern.len() + 1];
    matched[0][0] = true;
    for (p, part) in pattern.iter().enumerate() {
        for w in 0..=words.len() {
            matched[p + 1][w] = match *part {
                b"#" => matched[p][w] || w > 0 && matched[p + 1][w - 1],
                b"*" => w > 0 && matched[p][w - 1],
                literal => w > 0 && matched[p][w - 1] && words[w - 1] == literal,
            };
        }
    }
    matched[pattern.len()][words.len()]
}

fn headers_match(arguments: TableRef<'_>, headers: TableRef<'_>) -> bool {
    let x_match = arguments
        .find("x-match")
        .and_then(|value| value.as_str())
        .unwrap_or("all");
    let mut criteria = arguments.iter().filter(|(name, _)| {
        if x_match.ends_with("-with-x") {
            *name != "x-match"
        } else {
            !name.starts_with("x-")
        }
    });
    let met = |(name, wanted): (&str, Value<'_>)| {
        let header = headers.iter().filter(|(other, _)| *other == name).last();
        header.is_some_and(|(_, value)| wanted == Value::Void || same(&wanted, &value))
    };
    if x_match.starts_with("all") {
        criteria.all(met)
    } else {
        criteria.any(met)
    }
}

fn same(ours: &Value<'_>, theirs: &Value<'_>) -> bool {
    fn number(value: &Value<'_>) -> Option<i128> {
        match value {
            Value::Timestamp(seconds) => Some((*seconds).into()),
            other => other.as_integer().map(i128::from),
        }
    }
    fn float(value: &Value<'_>) -> Option<f64> {
        match value {
            Value::Float(float) => Some(f64::from(*float)),
            Value::Double(float) => Some(*float),
            _ => None,
        }
    }
    fn bytes<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
        match value {
            Value::LongStr(bytes) | Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }
    number(ours)
        .zip(number(theirs))
        .is_some_and(|(ours, theirs)| ours == theirs)
        || float(ours)
            .zip(float(theirs))
            .is_some_and(|(ours, theirs)| ours == theirs)
        || bytes(ours)
            .zip(bytes(theirs))
            .is_some_and(|(ours, theirs)| ours == theirs)
        || ours == theirs
}
