//! The index of an `x-consistent-hash` exchange: destinations with weights, of which a number picks one.
//!
//! Every destination makes a score of the number and of its own identity, and the highest one wins: rendezvous hashing. Nothing else plays a part:
//! not the order in which destinations came, not who else is there. So a number goes to the same destination after a restart, a destination that
//! comes takes its share from each of the others and moves nothing among them, and one that goes leaves its own share to all. A score grows
//! with the weight such that shares are proportional to weights exactly, not only on average over points of a ring.
//!
//! Destinations of one weight are compared by their hashes alone; only the best of each weight makes a score. A destination that is bound
//! several times has the sum of the weights.
//!
//! Invariant: `weighted` says where each destination stands in `classes`; no class is empty.

use std::collections::{BTreeMap, HashMap};

use super::Target;
use crate::stable_hash::mix;

/// Destinations under their weights.
#[derive(Debug)]
pub(super) struct Rendezvous<D> {
    /// The destinations of each weight.
    classes: BTreeMap<u64, Vec<Member<D>>>,
    weighted: HashMap<D, Weighted>,
}

#[derive(Debug)]
struct Member<D> {
    identity: u64,
    destination: D,
}

#[derive(Clone, Copy, Debug)]
struct Weighted {
    weight: u64,
    /// Where it is in the class of its weight.
    position: usize,
}

impl<D> Default for Rendezvous<D> {
    fn default() -> Self {
        Self {
            classes: BTreeMap::new(),
            weighted: HashMap::new(),
        }
    }
}

impl<D: Target> Rendezvous<D> {
    /// Adds to the weight of a destination.
    pub(super) fn add(&mut self, destination: &D, weight: u32) {
        let weight = u64::from(weight) + self.take(destination);
        self.put(destination.clone(), weight);
    }

    /// Takes from the weight of a destination what was added before.
    pub(super) fn remove(&mut self, destination: &D, weight: u32) {
        let left = self.take(destination).saturating_sub(weight.into());
        if left > 0 {
            self.put(destination.clone(), left);
        }
    }

    fn put(&mut self, destination: D, weight: u64) {
        let class = self.classes.entry(weight).or_default();
        let position = class.len();
        let weighted = Weighted { weight, position };
        class.push(Member {
            identity: destination.identity(),
            destination: destination.clone(),
        });
        self.weighted.insert(destination, weighted);
    }

    /// Takes a destination out; the weight that it had.
    fn take(&mut self, destination: &D) -> u64 {
        let Some(Weighted { weight, position }) = self.weighted.remove(destination) else {
            return 0;
        };
        let class = self.classes.get_mut(&weight).expect("weights have classes");
        class.swap_remove(position);
        if let Some(moved) = class.get(position) {
            let moved = self.weighted.get_mut(&moved.destination);
            moved.expect("members are weighted").position = position;
        }
        if class.is_empty() {
            self.classes.remove(&weight);
        }
        weight
    }

    /// The destination that a number goes to.
    ///
    /// **Cost**: a hash for each destination, about two nanoseconds, and a logarithm for each different weight.
    pub(super) fn pick(&self, number: u64) -> Option<&D> {
        let best_of = |(weight, members): (&u64, &'_ Vec<Member<D>>)| {
            let hashes = members.iter().map(|member| mix(number ^ member.identity));
            let best = hashes.enumerate().max_by_key(|(_, hash)| *hash)?;
            Some((score(*weight, best.1), best.1, (*weight, best.0)))
        };
        let best = self.classes.iter().filter_map(best_of);
        let best = best.max_by(|one, other| {
            let scores = one.0.total_cmp(&other.0);
            scores.then(one.1.cmp(&other.1))
        });
        let (_, _, (weight, position)) = best?;
        let member = self.classes.get(&weight)?.get(position)?;
        Some(&member.destination)
    }
}

/// The score of the highest hash among destinations of a weight: the hash as a number between 0 and 1, to the power of one by the weight, but for
/// what does not change the order.
fn score(weight: u64, hash: u64) -> f64 {
    let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // Nothing is above the score of the highest hash, whose logarithm is rounded to zero.
    weight as f64 / unit.ln().abs()
}
