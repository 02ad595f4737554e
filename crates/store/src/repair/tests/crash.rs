//! A repair that is cut off at any call, and the next one at any call, lose nothing that the first would have kept.

use super::*;
use crate::disk::Faults;

/// Damages of every sort, and what a repair of them comes to.
struct Damaged {
    fixture: Fixture,
    disk: SimDisk,
    accept: Vec<Accept>,
    /// The messages that it cannot save.
    lost: Vec<(u64, u64)>,
    /// What is damaged, as it was found.
    originals: Vec<Vec<u8>>,
}

fn damaged() -> Damaged {
    let fixture = Fixture::build();
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
    let lost = gone(&fixture, &repaired);
    let found = report(&disk);
    let contents = contents(&disk);
    let original = |finding: &Finding| {
        let whole = &contents[&finding.at.file];
        let (from, to) = finding.at.bytes.unwrap_or((0, whole.len() as u64));
        whole[from as usize..to as usize].to_vec()
    };
    Damaged {
        fixture,
        accept: all_printed(&found),
        lost,
        originals: found.findings.iter().map(original).collect(),
        disk,
    }
}

impl Damaged {
    /// After a crash the folder is as damaged as before, or repaired; in the end it is repaired, no more is lost than without a crash, and
    /// nothing that was damaged is gone. Says whether it was repaired.
    fn check_after(&self, disk: &SimDisk) -> bool {
        let found = report(disk);
        let loses = |finding: &Finding| finding.loses == Loses::Something;
        let is_damaged = found.findings.iter().any(loses);
        if is_damaged {
            let before = contents(disk);
            let refused = repair_with(disk, &[]);
            assert!(
                matches!(refused, Err(RepairError::NotAccepted(_))),
                "{found}"
            );
            assert_eq!(contents(disk), before);
        }
        repair_with(disk, &self.accept).unwrap();
        assert_eq!(gone(&self.fixture, disk), self.lost, "{found}");
        assert!(report(disk).is_good());
        let contents = contents(disk);
        let is_kept = |original: &Vec<u8>| {
            let len = original.len();
            contents
                .values()
                .any(|bytes| bytes.windows(len).any(|part| part == original))
        };
        assert!(self.originals.iter().all(is_kept), "{found}");
        !is_damaged
    }
}

#[test]
fn at_any_call() {
    let damaged = damaged();
    let (disk, accept) = (&damaged.disk, &damaged.accept);
    let calls = {
        let disk = disk.kill();
        repair_with(&disk, accept).unwrap();
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
        repair_with(&disk, accept).unwrap_err();
        // The last calls give names up.
        let seeds = if call + 20 > calls { 8 } else { 1 };
        for seed in 0..seeds {
            match damaged.check_after(&disk.crash(call * 8 + seed)) {
                true => after += 1,
                false => before += 1,
            }
        }
    }
    assert!(before > 20 && after > 5, "{before} {after}");
}

#[test]
fn at_any_call_and_again() {
    let damaged = damaged();
    let (disk, accept) = (&damaged.disk, &damaged.accept);
    let cut_off = |disk: &SimDisk, call: u64| {
        disk.set_faults(Faults {
            crash_at: Some(call),
            ..Faults::default()
        });
        _ = repair_with(disk, accept);
        disk.crash(call)
    };
    for first in (30..300).step_by(23) {
        for second in (20..300).step_by(31) {
            let disk = cut_off(&cut_off(&disk.kill(), first), second);
            damaged.check_after(&disk);
        }
    }
}

#[test]
fn an_error_of_the_disk_at_any_call_is_told_and_harms_nothing() {
    let damaged = damaged();
    let (disk, accept) = (&damaged.disk, &damaged.accept);
    let counts = {
        let disk = disk.kill();
        repair_with(&disk, accept).unwrap();
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
        assert!(repair_with(&disk, accept).is_err(), "{faults:?}");
        damaged.check_after(&disk.crash(1));
        damaged.check_after(&disk.kill());
    }
}
