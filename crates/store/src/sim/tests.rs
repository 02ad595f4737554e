//! A handful of runs, that they are the same again, and that a store on a disk that breaks its promises is found out.
//!
//! `found` has what the simulation found, each as small as it gets; `liar` the disks that break a promise.

use super::*;

mod found;
mod liar;

/// How many steps the runs here have.
const SHORT: u64 = 120;

#[test]
fn some_seeds_hold() {
    let mut figures = Figures::default();
    for seed in 1..=8 {
        match run(&Plan::new(seed, SHORT)) {
            Ok(outcome) => figures.add(&outcome.figures),
            Err(failure) => panic!("{failure}"),
        }
    }
    // They hold something only if all of this has happened.
    let happened = [
        figures.rotations,
        figures.recycles,
        figures.page_outs,
        figures.compactions,
        figures.drops,
        figures.unlinks,
        figures.checkpoints,
        figures.torn_tails,
        figures.crashes,
        figures.second_crashes,
        figures.older,
        figures.errors,
        figures.full_turns,
        figures.refused,
        figures.lossy,
    ];
    assert!(happened.iter().all(|count| *count > 0), "{figures}");
}

#[test]
fn the_same_seed_makes_the_same_calls() {
    let of = |seed| run(&Plan::new(seed, SHORT / 2)).unwrap();
    let (once, again, other) = (of(5), of(5), of(6));
    assert_eq!(once, again);
    assert_ne!(once.calls, other.calls);
}

/// How many of some seeds fail on a disk.
fn found_out(disk: fn(&SimDisk) -> Arc<dyn Disk>) -> usize {
    let plans = (1..=3).map(|seed| Plan {
        disk,
        ..Plan::new(seed, SHORT)
    });
    plans.filter(|plan| run(plan).is_err()).count()
}

#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    assert_eq!(found_out(liar::without_sync), 3);
}

#[test]
fn a_disk_that_does_not_sync_names_is_found_out() {
    assert_eq!(found_out(liar::without_sync_dir), 3);
}

#[test]
fn a_disk_that_forgets_the_end_of_writes_is_found_out() {
    assert_eq!(found_out(liar::with_short_writes), 3);
}
