//! A repair that is cut off at any call, and the next one at any call, lose nothing that the first would have kept.

use super::*;
use crate::disk::Faults;

/// Damages of every sort, and the messages that a repair cannot save.
fn damaged(fixture: &Fixture) -> (SimDisk, Vec<(u64, u64)>) {
    let disk = fixture.disk.kill();
    for text in [
        &b"queue 2 number 9 "[..],
        b"queue 3 number 1 ",
        b"queue 5 number 7 ",
    ] {
        let (path, at) = fixture.find(text);
        disk.flip(Path::new(&path), at as u64, 2).unwrap();
    }
    disk.flip(Path::new("ckpt/0000000000000002.ckpt"), 70, 2)
        .unwrap();
    let repaired = disk.kill();
    repair_with(&repaired, &[Accept::All]).unwrap();
    let lost = gone(fixture, &repaired);
    (disk, lost)
}

/// After a crash the folder is as damaged as before, or repaired; in the end it is repaired, and no more is lost than without a crash.
fn check_after(fixture: &Fixture, disk: &SimDisk, accept: &[Accept], lost: &[(u64, u64)]) -> bool {
    let found = report(disk);
    let loses = found
        .findings
        .iter()
        .any(|finding| finding.loses == Loses::Something);
    let is_repaired = !loses;
    if loses {
        let before = contents(disk);
        let refused = repair_with(disk, &[]);
        assert!(
            matches!(refused, Err(RepairError::NotAccepted(_))),
            "{found}"
        );
        assert_eq!(contents(disk), before);
    }
    repair_with(disk, accept).unwrap();
    assert_eq!(gone(fixture, disk), lost, "{found}");
    assert!(report(disk).is_good());
    is_repaired
}

#[test]
fn at_any_call() {
    let fixture = Fixture::build();
    let (disk, lost) = damaged(&fixture);
    let accept = all_printed(&report(&disk));
    let calls = {
        let disk = disk.kill();
        repair_with(&disk, &accept).unwrap();
        disk.calls()
    };
    assert!(calls > 100, "{calls}");
    let (mut before, mut after) = (0, 0);
    for call in 1..=calls {
        let disk = disk.kill();
        disk.set_faults(Faults {
            crash_at: Some(call),
            garbage: true,
            ..Faults::default()
        });
        repair_with(&disk, &accept).unwrap_err();
        match check_after(&fixture, &disk.crash(call), &accept, &lost) {
            true => after += 1,
            false => before += 1,
        }
    }
    assert!(before > 20 && after > 5, "{before} {after}");
}

#[test]
fn at_any_call_and_again() {
    let fixture = Fixture::build();
    let (disk, lost) = damaged(&fixture);
    let accept = all_printed(&report(&disk));
    let cut_off = |disk: &SimDisk, call: u64| {
        disk.set_faults(Faults {
            crash_at: Some(call),
            ..Faults::default()
        });
        _ = repair_with(disk, &accept);
        disk.crash(call)
    };
    for first in (30..300).step_by(23) {
        for second in (20..300).step_by(31) {
            let disk = cut_off(&cut_off(&disk.kill(), first), second);
            check_after(&fixture, &disk, &accept, &lost);
        }
    }
}

#[test]
fn an_error_of_the_disk_at_any_call_is_told_and_harms_nothing() {
    let fixture = Fixture::build();
    let (disk, lost) = damaged(&fixture);
    let accept = all_printed(&report(&disk));
    let counts = {
        let disk = disk.kill();
        repair_with(&disk, &accept).unwrap();
        disk.counts()
    };
    let mut faults = vec![];
    for sync in 1..=counts.syncs {
        faults.push(Faults {
            fail_sync: Some(sync),
            ..Faults::default()
        });
    }
    for write in 1..=counts.writes {
        faults.push(Faults {
            fail_write: Some(write),
            short_writes: true,
            ..Faults::default()
        });
    }
    for faults in faults {
        let disk = disk.kill();
        disk.set_faults(faults.clone());
        assert!(repair_with(&disk, &accept).is_err(), "{faults:?}");
        check_after(&fixture, &disk.crash(1), &accept, &lost);
        check_after(&fixture, &disk.kill(), &accept, &lost);
    }
}
