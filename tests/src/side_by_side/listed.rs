//! The differences that are meant.
//!
//! The list is checked in both directions: a difference that is not listed is a mistake, and an entry that nothing differs by is stale.

use std::collections::HashSet;

use serde::Deserialize;

use super::compare::{Difference, Kind};

/// Differences for one reason. Patterns may have `*`, for anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Patterns of requests, as the script has them; of all where there is none.
    #[serde(default)]
    requests: Vec<String>,
    /// Patterns of places in their answers.
    at: Vec<String>,
    /// What differs there.
    kinds: Vec<Kind>,
    /// Why.
    why: String,
    /// It depends on when things happen whether there is a difference.
    #[serde(default)]
    sometimes: bool,
}

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The version of RabbitMQ that the list is about.
    pub rabbitmq_version: String,
    difference: Vec<Entry>,
}

impl Accepted {
    /// The list of this crate.
    pub fn read() -> Self {
        Self::parse(include_str!("../../management-differences.toml"))
    }

    /// A list.
    ///
    /// # Panics
    ///
    /// Where it is none, or an entry gives no reason.
    pub fn parse(text: &str) -> Self {
        let list: Self = toml::from_str(text).expect("management-differences.toml is well formed");
        assert!(list.difference.iter().all(|entry| !entry.why.is_empty()));
        list
    }

    /// A sentence for each difference that is not listed, and for each place in the list where nothing differs.
    pub fn disagreements(&self, found: &[Difference]) -> Vec<String> {
        let mut used = HashSet::new();
        let mut sentences = Vec::new();
        for difference in found {
            let places = self.places_of(difference);
            if places.is_empty() {
                sentences.push(sentence(difference));
            }
            used.extend(places);
        }
        for (number, entry) in self.difference.iter().enumerate() {
            let places = entry.at.iter().enumerate();
            for (place, at) in places.filter(|_| !entry.sometimes) {
                if !used.contains(&(number, place)) {
                    let why = &entry.why;
                    sentences.push(format!("{at} is listed ({why}), and nothing differs there"));
                }
            }
        }
        sentences
    }

    /// Where the list has a difference: numbers of entries and of places in them.
    fn places_of(&self, difference: &Difference) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        for (number, entry) in self.difference.iter().enumerate() {
            let mut requests = entry.requests.iter();
            let is_meant = entry.requests.is_empty()
                || requests.any(|pattern| matches(pattern, &difference.request));
            if !is_meant || !entry.kinds.contains(&difference.kind) {
                continue;
            }
            let of_entry = entry.at.iter().enumerate();
            let of_entry = of_entry.filter(|(_, pattern)| matches(pattern, &difference.at));
            places.extend(of_entry.map(|(place, _)| (number, place)));
        }
        places
    }
}

fn sentence(difference: &Difference) -> String {
    let Difference {
        request,
        at,
        kind,
        rabbitmq,
        leveret,
    } = difference;
    format!("{request}\n  {kind:?} at {at:?}\n  RabbitMQ: {rabbitmq}\n  Leveret:  {leveret}")
}

/// Whether a text is as a pattern has it, whose `*` stand for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, behind)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.into_iter().any(|at| matches(behind, &rest[at..]))
}
