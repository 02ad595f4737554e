//! Power cuts and kills at every call of a script, again while the log is being recovered, and random scripts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::*;
use crate::disk::{Faults, SimDisk};

fn crashing_at(call: u64) -> Faults {
    Faults {
        crash_at: Some(call),
        garbage: true,
        ..Faults::default()
    }
}

/// Runs steps up to a crash in a call; says whether it came to that.
fn run_until(disk: &SimDisk, steps: &[Step], call: u64) -> (Model, bool) {
    disk.set_faults(crashing_at(call));
    let mut model = Model::default();
    let ended = model
        .open(disk)
        .and_then(|mut log| model.run(&mut log, steps));
    (model, ended.is_err())
}

/// Recovers with a second crash in a call of the recovery; then wholly, goes on, and loses nothing in a third.
fn recover_twice(mut model: Model, disk: &SimDisk, call: u64, seed: u64) {
    let survivors = model.check(disk);
    disk.set_faults(crashing_at(call));
    let opened = model.clone().open(disk);
    let disk = disk.crash(seed);
    let found = match opened {
        // Once the log was opened, what it was opened with is durable.
        Ok(_) => {
            model.check_found(&disk, &survivors);
            survivors
        }
        Err(_) => model.check(&disk),
    };
    let mut log = model.reopen(&disk, found);
    model
        .run(
            &mut log,
            &[
                Step::Append(5000),
                Step::Append(1),
                Step::Sync,
                Step::Append(9000),
            ],
        )
        .unwrap();
    let disk = disk.crash(seed + 1);
    let found = model.check(&disk);
    let mut log = model.reopen(&disk, found);
    model.run(&mut log, &script()[..12]).unwrap();
    model.check(&disk);
}

#[test]
fn a_power_cut_at_any_call_takes_nothing_that_was_synced() {
    let mut call = 1;
    loop {
        let mut crashed = false;
        for seed in 0..3 {
            let disk = SimDisk::new(seed);
            let (model, stopped) = run_until(&disk, &script(), call);
            crashed |= stopped;
            for cut in 0..2 {
                let found = disk.crash(call * 100 + seed * 10 + cut);
                recover_twice(model.clone(), &found, 1 + (call * 3 + cut) % 25, call);
            }
        }
        if !crashed {
            break;
        }
        call += 1;
    }
    assert!(call > 140, "the script makes {call} calls");
}

#[test]
fn a_second_power_cut_at_any_call_of_the_recovery_takes_nothing_either() {
    for call in [40, 77, 120, 145] {
        for seed in 0..3 {
            let disk = SimDisk::new(seed);
            let (model, stopped) = run_until(&disk, &script(), call);
            assert!(stopped);
            for second in 1..40 {
                let found = disk.crash(seed * 7 + second);
                recover_twice(model.clone(), &found, second, seed * 1000 + second);
            }
        }
    }
}

#[test]
fn a_killed_process_leaves_all_it_wrote_and_the_next_makes_it_durable() {
    let disk = SimDisk::new(0);
    assert!(!run_until(&disk, &script(), u64::MAX).1);
    for call in (1..disk.calls()).step_by(3) {
        let disk = SimDisk::new(call);
        let mut model = Model::default();
        let mut log = model.open(&disk).unwrap();
        let mut steps = script().into_iter();
        while disk.calls() < call {
            model.step(&mut log, steps.next().unwrap()).unwrap();
        }
        let disk = disk.kill();
        let found = model.check(&disk);
        assert_eq!(found, model.expected());
        model.reopen(&disk, found.clone());
        for seed in 0..3 {
            model.check_found(&disk.crash(seed), &found);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..15_000usize).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => Just(Step::Seal),
        1 => Just(Step::Blank),
        2 => Just(Step::Recycle),
    ]
}

proptest! {
    #[test]
    fn random_scripts_with_three_power_cuts(
        steps in vec(step(), 1..60), call in 1..150u64, second in 1..40u64, seed in any::<u32>(),
    ) {
        let seed = u64::from(seed);
        let disk = SimDisk::new(seed);
        let (model, _) = run_until(&disk, &steps, call);
        recover_twice(model, &disk.crash(seed), second, seed);
    }
}
