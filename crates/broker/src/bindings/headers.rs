//! The headers index: bindings under the headers that can make them match.
//!
//! A binding that needs all its criteria is kept under one of them, the one with the fewest bindings so far, because
//! without this one it cannot match. A binding that needs any is kept under each. A message then meets only bindings
//! that share a header with it: those are candidates, and a candidate's criteria are always looked at before it is
//! reported. So buckets are named by a hash alone, and two criteria in one bucket cost time, never a wrong match. The
//! hash is keyed: nobody can choose headers that collide.
//!
//! Not here: the arguments. They belong to the binding, and `matches` is given a way to look them up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use leveret_message::TableRef;
use rustc_hash::FxBuildHasher;

use super::criteria::{Criterion, Exact, Headers, XMatch};
use super::postings::Postings;

/// The bucket of bindings that need all of no criteria: every message meets it.
const ALWAYS: u64 = 0;

/// Bindings under criteria.
#[derive(Debug, Default)]
pub(super) struct HeadersIndex {
    buckets: HashMap<u64, Postings<Posting>, FxBuildHasher>,
    /// By the number of the binding.
    bindings: Vec<Indexed>,
    hasher: RandomState,
}

/// A binding in a bucket.
#[derive(Clone, Copy, Debug)]
struct Posting {
    binding: u32,
    /// Which of the binding's places this is; if it needs any criterion, also which criterion.
    place: u32,
}

#[derive(Debug, Default)]
struct Indexed {
    x_match: XMatch,
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    bucket: u64,
    position: u32,
}

impl HeadersIndex {
    pub(super) fn insert(&mut self, binding: u32, x_match: XMatch, arguments: TableRef<'_>) {
        let criteria = x_match.criteria(arguments);
        let buckets: Vec<u64> = if x_match.needs_all() {
            let rarest = criteria
                .map(|criterion| (self.bucket(criterion), criterion.wanted == Exact::Void))
                .min_by_key(|(bucket, any_value)| (self.population(*bucket), *any_value));
            vec![rarest.map_or(ALWAYS, |(bucket, _)| bucket)]
        } else {
            criteria.map(|criterion| self.bucket(criterion)).collect()
        };
        let places = (0..).zip(buckets).map(|(place, bucket)| {
            let posting = Posting { binding, place };
            Place {
                bucket,
                position: self.buckets.entry(bucket).or_default().push(posting),
            }
        });
        let indexed = Indexed {
            x_match,
            places: places.collect(),
        };
        let binding = binding as usize;
        if binding >= self.bindings.len() {
            self.bindings.resize_with(binding + 1, Indexed::default);
        }
        self.bindings[binding] = indexed;
    }

    pub(super) fn remove(&mut self, binding: u32) {
        let binding = binding as usize;
        for place in 0..self.bindings[binding].places.len() {
            // Read anew each time: taking one place away can move another of the same binding.
            let Place { bucket, position } = self.bindings[binding].places[place];
            let postings = self
                .buckets
                .get_mut(&bucket)
                .expect("places are in buckets");
            let moved = postings.remove(position).copied();
            if postings.is_empty() {
                self.buckets.remove(&bucket);
            }
            if let Some(moved) = moved {
                let places = &mut self.bindings[moved.binding as usize].places;
                places[moved.place as usize].position = position;
            }
        }
        self.bindings[binding] = Indexed::default();
    }

    /// Calls `each` for every binding that `headers` match; one that needs any criterion can come once for each that is
    /// met. Returns the steps it took, a measure of cost that tests hold to a bound: buckets tried and candidates met.
    pub(super) fn matches<'b>(
        &self,
        headers: TableRef<'_>,
        arguments: impl Fn(u32) -> TableRef<'b>,
        mut each: impl FnMut(u32),
    ) -> usize {
        let headers = Headers::of(headers);
        let mut steps = 0;
        let mut meet = |bucket: u64| {
            steps += 1;
            for posting in self
                .buckets
                .get(&bucket)
                .map_or(&[][..], Postings::as_slice)
            {
                steps += 1;
                if self.is_met(*posting, arguments(posting.binding), &headers) {
                    each(posting.binding);
                }
            }
        };
        meet(ALWAYS);
        headers.for_each(|name, value| {
            meet(self.bucket(Criterion {
                name,
                wanted: Exact::Void,
            }));
            if value != Exact::Void {
                meet(self.bucket(Criterion {
                    name,
                    wanted: value,
                }));
            }
        });
        steps
    }

    fn is_met(&self, posting: Posting, arguments: TableRef<'_>, headers: &Headers<'_>) -> bool {
        let x_match = self.bindings[posting.binding as usize].x_match;
        let mut criteria = x_match.criteria(arguments);
        if x_match.needs_all() {
            return criteria.all(|criterion| criterion.is_met_by(headers));
        }
        let criterion = criteria.nth(posting.place as usize);
        criterion.is_some_and(|criterion| criterion.is_met_by(headers))
    }

    fn bucket(&self, criterion: Criterion<'_>) -> u64 {
        self.hasher.hash_one((criterion.name, criterion.wanted))
    }

    fn population(&self, bucket: u64) -> usize {
        self.buckets.get(&bucket).map_or(0, Postings::len)
    }

    /// Buckets in use.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.buckets.len()
    }
}
