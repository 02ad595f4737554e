//! Transactions are taken whole and in order, whatever comes between their parts; and nothing is left behind once they are complete.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bell::Bell;
use crate::log::Urgency;
use crate::wal::BATCH_HEADER_LEN;

/// How many stagings, and how many transactions at once at the most.
const STAGINGS: usize = 3;
const OPEN_MAX: usize = 5;

struct Rig {
    stagings: Vec<Arc<Staging>>,
    transactions: Transactions,
    spare: Vec<u8>,
    /// What was taken by each take, by staging.
    taken: Vec<[Vec<u8>; STAGINGS]>,
}

impl Rig {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let staging = |_| Arc::new(Staging::new(Arc::clone(&bell), Box::new(|_| {})));
        Self {
            stagings: (0..STAGINGS).map(staging).collect(),
            transactions: Transactions::default(),
            spare: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Stages an entry that is one byte.
    fn push(&self, staging: usize, entry: u8) {
        let push = |out: &mut Vec<u8>| {
            out.push(entry);
            Ok(())
        };
        self.stagings[staging]
            .push(Urgency::Whenever, push)
            .unwrap();
    }

    fn begin(&self, transaction: Transaction, staging: usize) {
        self.transactions
            .begin(transaction, (staging, &self.stagings[staging]));
    }

    fn end(&self, transaction: Transaction, staging: usize) {
        self.transactions.end(transaction, &self.stagings[staging]);
    }

    fn part(&self, transaction: Transaction, staging: usize, entries: &[u8]) {
        self.begin(transaction, staging);
        entries.iter().for_each(|entry| self.push(staging, *entry));
        self.end(transaction, staging);
    }

    fn take(&mut self) -> [Vec<u8>; STAGINGS] {
        let mut by_staging: [Vec<u8>; STAGINGS] = Default::default();
        for buffer in self.transactions.take(&self.stagings, &mut self.spare) {
            let entries = &buffer.batch[BATCH_HEADER_LEN..];
            assert_eq!(buffer.what.entries as usize, entries.len());
            assert_eq!(buffer.what.bytes, entries.len());
            let before = self.taken.iter().map(|taken| taken[buffer.staging].len());
            let position = before.sum::<usize>() + entries.len();
            assert_eq!(buffer.what.position, position as u64);
            by_staging[buffer.staging] = entries.to_vec();
            self.spare = buffer.batch;
        }
        self.taken.push(by_staging.clone());
        by_staging
    }
}

#[test]
fn what_is_behind_a_part_waits_for_the_other_parts_and_what_is_before_it_does_not() {
    let mut rig = Rig::new();
    let transaction = Transaction::new(2);
    rig.push(0, 1);
    rig.part(transaction, 0, &[2, 3]);
    rig.push(0, 4);
    rig.push(1, 5);
    assert_eq!(rig.take(), [vec![1], vec![5], vec![]]);
    assert_eq!(rig.take(), [vec![], vec![], vec![]]);
    rig.begin(transaction, 1);
    rig.push(1, 6);
    assert_eq!(rig.take(), [vec![], vec![], vec![]], "it has not ended");
    rig.push(1, 7);
    rig.end(transaction, 1);
    rig.push(0, 8);
    assert_eq!(rig.take(), [vec![2, 3, 4, 8], vec![6, 7], vec![]]);
    assert!(rig.transactions.open.lock().is_empty());
}

#[test]
fn two_that_begin_at_the_same_place_are_taken_together() {
    let mut rig = Rig::new();
    let (one, other) = (Transaction::new(2), Transaction::new(2));
    rig.push(0, 1);
    rig.begin(one, 0);
    assert_eq!(rig.take(), [vec![1], vec![], vec![]]);
    rig.begin(other, 0);
    rig.push(0, 2);
    rig.end(one, 0);
    rig.part(one, 1, &[3]);
    assert_eq!(rig.take(), [vec![], vec![], vec![]], "one is complete");
    rig.end(other, 0);
    assert_eq!(rig.take(), [vec![], vec![], vec![]], "a part is missing");
    rig.part(other, 2, &[4]);
    assert_eq!(rig.take(), [vec![2], vec![3], vec![4]]);
    assert!(rig.transactions.open.lock().is_empty());
}

#[test]
fn a_complete_transaction_waits_behind_one_that_is_not() {
    let mut rig = Rig::new();
    let (first, second, third) = (
        Transaction::new(2),
        Transaction::new(2),
        Transaction::new(2),
    );
    rig.part(first, 0, &[1]);
    rig.part(second, 0, &[2]);
    rig.part(second, 1, &[3]);
    rig.part(third, 1, &[4]);
    rig.part(third, 2, &[5]);
    rig.push(2, 6);
    assert_eq!(rig.take(), [vec![], vec![], vec![]]);
    rig.part(first, 2, &[7]);
    assert_eq!(rig.take(), [vec![1, 2], vec![3, 4], vec![5, 6, 7]]);
}

#[test]
fn parts_without_entries_leave_nothing_behind() {
    let mut rig = Rig::new();
    for _ in 0..1000 {
        let transaction = Transaction::new(2);
        rig.part(transaction, 0, &[]);
        rig.take();
        rig.part(transaction, 1, &[]);
        rig.take();
    }
    assert!(rig.transactions.open.lock().is_empty());
    rig.push(0, 1);
    assert_eq!(rig.take(), [vec![1], vec![], vec![]]);
}

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// An entry of no transaction.
    Push(usize),
    /// A transaction begins that has a part in each staging of a bit.
    New(u8),
    /// The next part of an open transaction in one of its stagings begins or ends.
    Part(usize, usize),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..STAGINGS).prop_map(Step::Push),
        2 => (1..1u8 << STAGINGS).prop_map(Step::New),
        6 => (0..OPEN_MAX, 0..STAGINGS).prop_map(|(of, part)| Step::Part(of, part)),
        2 => Just(Step::Take),
    ]
}

/// A transaction of a run, and where it still has parts.
struct Running {
    number: u8,
    transaction: Transaction,
    stagings: Vec<usize>,
}

proptest! {
    #[test]
    fn every_transaction_is_in_one_take(steps in vec(step(), 0..120)) {
        let mut rig = Rig::new();
        let mut running: Vec<Running> = Vec::new();
        // What was staged where, as numbers of transactions; 0 for none.
        let mut staged: [Vec<u8>; STAGINGS] = Default::default();
        // A shard does one part at a time.
        let mut busy: [Option<Transaction>; STAGINGS] = Default::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Push(staging) if busy[staging].is_none() => {
                    rig.push(staging, 0);
                    staged[staging].push(0);
                }
                Step::New(bits) if running.len() < OPEN_MAX && number < u8::MAX => {
                    number += 1;
                    let stagings: Vec<usize> = (0..STAGINGS).filter(|s| bits & (1 << s) != 0).collect();
                    let transaction = Transaction::new(stagings.len());
                    running.push(Running { number, transaction, stagings });
                }
                Step::Part(of, part) if of < running.len() => {
                    step_part(&rig, &mut running[of], part, &mut busy, &mut staged);
                    running.retain(|of| !of.stagings.is_empty());
                }
                Step::Take => drop(rig.take()),
                _ => {}
            }
        }
        while !running.is_empty() {
            for of in &mut running {
                (0..of.stagings.len()).rev().for_each(|part| step_part(&rig, of, part, &mut busy, &mut staged));
            }
            running.retain(|of| !of.stagings.is_empty());
        }
        rig.take();
        check(&rig, &staged);
    }
}

/// Begins a part, with an entry, or ends the one that was begun.
fn step_part(
    rig: &Rig,
    of: &mut Running,
    part: usize,
    busy: &mut [Option<Transaction>; STAGINGS],
    staged: &mut [Vec<u8>; STAGINGS],
) {
    let part = part % of.stagings.len();
    let staging = of.stagings[part];
    match busy[staging].take() {
        None => {
            busy[staging] = Some(of.transaction);
            rig.begin(of.transaction, staging);
            rig.push(staging, of.number);
            staged[staging].push(of.number);
        }
        Some(begun) if begun.id == of.transaction.id => {
            rig.push(staging, of.number);
            staged[staging].push(of.number);
            rig.end(of.transaction, staging);
            of.stagings.swap_remove(part);
        }
        other => busy[staging] = other,
    }
}

/// Everything was taken in order, and each transaction by one take.
fn check(rig: &Rig, staged: &[Vec<u8>; STAGINGS]) {
    let mut takes: BTreeMap<u8, usize> = BTreeMap::new();
    for (take, by_staging) in rig.taken.iter().enumerate() {
        for number in by_staging.iter().flatten().filter(|number| **number > 0) {
            assert_eq!(*takes.entry(*number).or_insert(take), take);
        }
    }
    for (staging, staged) in staged.iter().enumerate() {
        let taken = rig.taken.iter().flat_map(|taken| &taken[staging]);
        assert!(taken.eq(staged), "staging {staging}");
    }
    assert!(rig.transactions.open.lock().is_empty());
}
