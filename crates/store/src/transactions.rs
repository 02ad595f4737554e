//! Transactions: what several shards stage, and what goes into one batch of the log, whole, so that it is replayed whole or not at all.
//!
//! Each shard stages its part when it comes to it, and waits for no other. As long as a part is missing, the commit leaves behind what was staged from
//! the beginning of the other parts on: a staging is taken up to there. So a group's entries stay in order, and what is left behind waits for as long
//! as a shard takes to get to a command. A transaction that is complete is left behind as well where, in one of its stagings, it comes after the
//! part of another one that is. Two that begin at the same place of a staging are taken together: neither is before the other there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::log::Position;
use crate::staging::{Staging, Taken};

#[cfg(test)]
mod tests;

/// A transaction that begins, as all who have a part in it know it.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    id: u64,
    parts: usize,
}

impl Transaction {
    /// One with so many parts, each in another log. All of them have to be told, or what comes behind the others never becomes durable.
    pub fn new(parts: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            parts,
        }
    }
}

/// A transaction of which a part was begun.
#[derive(Debug)]
struct Open {
    /// How many parts are not complete.
    missing: usize,
    /// In which stagings there are parts, by their numbers, and how many entries are before each.
    parts: Vec<(usize, u64)>,
}

/// Those that were begun and not taken. Shared by all who stage and the commit; held only to note something, and to swap buffers.
#[derive(Debug, Default)]
pub struct Transactions {
    open: Mutex<BTreeMap<u64, Open>>,
}

/// What was taken of a staging.
#[derive(Debug)]
pub(crate) struct TakenBuffer {
    /// The staging's number.
    pub(crate) staging: usize,
    pub(crate) what: Taken,
    /// A batch as the log takes it.
    pub(crate) batch: Vec<u8>,
}

impl Transactions {
    /// What is staged from here on in the staging of a number is a part of a transaction, up to [`Transactions::end`].
    ///
    /// **Waits**: for no shard, and never for the disk.
    pub fn begin(&self, transaction: Transaction, (number, staging): (usize, &Staging)) {
        let mut open = self.open.lock();
        let Transaction { id, parts } = transaction;
        let of = open.entry(id).or_insert_with(|| Open {
            missing: parts,
            parts: Vec::with_capacity(parts),
        });
        of.parts.push((number, staging.mark()));
    }

    /// The part is complete. With the last one, the commit hears that it may take them.
    pub fn end(&self, transaction: Transaction, staging: &Staging) {
        let mut open = self.open.lock();
        if let Some(of) = open.get_mut(&transaction.id) {
            of.missing = of.missing.saturating_sub(1);
            let is_complete = of.missing == 0;
            drop(open);
            if is_complete {
                staging.ring();
            }
        }
    }

    /// Takes what may be taken of each staging, in their order; the first buffer is swapped for `spare`. Transactions are taken whole.
    pub(crate) fn take(&self, stagings: &[Arc<Staging>], spare: &mut Vec<u8>) -> Vec<TakenBuffer> {
        let mut open = self.open.lock();
        let limits = limits(&open, stagings.len());
        open.retain(|_, of| is_held(of, &limits));
        let mut taken = Vec::new();
        // Under the lock: no part may begin between two stagings.
        for (number, staging) in stagings.iter().enumerate() {
            let upto = limits.get(number).copied().flatten();
            let mut batch = std::mem::take(spare);
            let what = staging.take(upto, &mut batch);
            if what.entries > 0 {
                taken.push(TakenBuffer {
                    staging: number,
                    what,
                    batch,
                });
            } else {
                *spare = batch;
            }
        }
        taken
    }
}

/// Up to which position each staging may be taken; to its end where there is none.
fn limits(open: &BTreeMap<u64, Open>, stagings: usize) -> Vec<Option<Position>> {
    let mut limits = vec![None; stagings];
    let mut has_changed = true;
    // Each round pulls in what the last one has held; nearly always the first one holds nothing.
    while std::mem::take(&mut has_changed) {
        for of in open.values() {
            if !is_held(of, &limits) {
                continue;
            }
            for (staging, before) in &of.parts {
                let Some(limit) = limits.get_mut(*staging) else {
                    continue;
                };
                if limit.is_none_or(|limit: Position| *before < limit.0) {
                    *limit = Some(Position(*before));
                    has_changed = true;
                }
            }
        }
    }
    limits
}

/// Whether a transaction cannot be taken as a whole.
fn is_held(of: &Open, limits: &[Option<Position>]) -> bool {
    let is_behind = |(staging, before): &(usize, u64)| {
        let limit = limits.get(*staging).copied().flatten();
        limit.is_some_and(|limit| *before >= limit.0)
    };
    of.missing > 0 || of.parts.iter().any(is_behind)
}
