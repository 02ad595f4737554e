//! Pieces alone: that cutting makes bits, and that bits never reach over what lies between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::entry::{Lsn, SegmentId};

const LOG: Location = Location::Wal {
    lsn: Lsn(4096),
    first: 3,
};

fn live(count: u64) -> Live {
    let mut live = Live::default();
    live.push(&LiveRun {
        first_seq: 0,
        count,
        location: LOG,
    });
    live
}

fn segment(id: u64) -> Location {
    Location::Segment {
        id: SegmentId(id),
        extent: 0,
    }
}

fn blocks(live: &Live) -> usize {
    live.pieces()
        .filter(|(_, piece)| matches!(piece, Piece::Block(_)))
        .count()
}

#[test]
fn a_piece_stays_small() {
    assert_eq!(size_of::<(u64, Piece)>(), 32);
}

#[test]
fn eight_runs_near_each_other_become_bits() {
    let mut live = live(100);
    for seq in [10, 20, 30, 40, 50, 60] {
        live.remove(seq..=seq, |_, _| {});
    }
    assert_eq!((blocks(&live), live.pieces_count()), (0, 7));
    live.remove(70..=70, |_, _| {});
    assert_eq!((blocks(&live), live.pieces_count()), (1, 1));
    assert_eq!(live.count(), 93);
    let runs: Vec<_> = live
        .runs_from(65)
        .map(|run| (run.first_seq, run.count, run.location))
        .collect();
    assert_eq!(runs, [(65, 5, LOG.skip(65)), (71, 29, LOG.skip(71))]);
}

#[test]
fn runs_far_from_each_other_stay_runs() {
    let mut live = live(2048 * 20);
    for seq in (500..2048 * 20).step_by(500) {
        live.remove(seq..=seq, |_, _| {});
    }
    assert_eq!(blocks(&live), 0);
}

proptest! {
    /// Removes and moves at random, against a map; numbers of both kinds interleave, so that bits of one place meet bits of another.
    #[test]
    fn behaves_like_a_map(
        changes in proptest::collection::vec((0..6000u64, 1..40u64, 0..6u64, any::<bool>()), 1..200),
    ) {
        let mut live = live(6000);
        let mut model: BTreeMap<u64, Location> = (0..6000).map(|seq| (seq, LOG.skip(seq))).collect();
        for (number, (first, len, step, every)) in changes.into_iter().enumerate() {
            let last = if every { (first + len * 40).min(5999) } else { first + len };
            if step < 4 {
                // One of a few, or all.
                let step = if every { step + 2 } else { 1 };
                for seq in (first..=last).step_by(step as usize) {
                    let mut removed = 0;
                    live.remove(seq..=seq, |_, count| removed += count);
                    prop_assert_eq!(removed > 0, model.remove(&seq).is_some());
                }
                continue;
            }
            let to = segment(number as u64);
            let is_moved = |place: &Location| match place {
                Location::Wal { .. } => step == 4,
                Location::Segment { id, .. } => step == 5 && id.0 % 2 == 0,
            };
            let mut left: BTreeMap<Location, u64> = BTreeMap::new();
            live.relocate(first..=last, to, is_moved, |place, count| {
                let place = if matches!(place, Location::Wal { .. }) { LOG } else { place };
                *left.entry(place).or_default() += count;
            });
            let mut expected: BTreeMap<Location, u64> = BTreeMap::new();
            for (_, location) in model.range_mut(first..=last).filter(|(_, location)| is_moved(location)) {
                let place = if matches!(location, Location::Wal { .. }) { LOG } else { *location };
                *expected.entry(place).or_default() += 1;
                *location = to;
            }
            prop_assert_eq!(left, expected);
        }
        let found: Vec<_> = live
            .runs_from(0)
            .flat_map(|run| (0..run.count).map(move |i| (run.first_seq + i, run.location.skip(i))))
            .collect();
        prop_assert_eq!(live.count(), model.len() as u64);
        prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        let counted: u64 = live.places().map(|(_, _, count)| count).sum();
        prop_assert_eq!(counted, live.count());
    }
}
