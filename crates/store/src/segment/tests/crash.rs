//! A power cut or an error at every single call of the disk: there is no segment, or a whole one.

use super::*;
use crate::disk::Faults;

/// What is found after a power cut is nothing, or all of it.
fn check_after(disk: &SimDisk, content: &Content, must_be_there: bool) -> bool {
    let files = disk.list(Path::new(FOLDER)).unwrap();
    let found = files.iter().any(|(name, _)| name.ends_with(".seg"));
    if found {
        check_whole(disk, content);
    }
    assert!(found || !must_be_there);
    found
}

#[test]
fn a_crash_at_any_call_leaves_no_segment_or_a_whole_one() {
    let content = large();
    let disk = new_disk();
    write(&disk, ID, &content).unwrap();
    let calls = disk.calls();
    // The first two make the folder.
    assert!(calls > 8);
    let (mut none, mut whole) = (0, 0);
    for call in 3..=calls + 1 {
        for seed in 0..16 {
            let disk = SimDisk::new(seed);
            make_folder(&disk);
            let faults = Faults {
                crash_at: Some(call),
                garbage: seed % 2 == 0,
                ..Faults::default()
            };
            disk.set_faults(faults);
            let sealed = write(&disk, ID, &content);
            assert_eq!(sealed.is_ok(), call > calls);
            match check_after(&disk.crash(seed), &content, sealed.is_ok()) {
                true => whole += 1,
                false => none += 1,
            }
        }
    }
    assert!(none > 0 && whole > 16, "{none} {whole}");
}

#[test]
fn an_error_at_any_call_is_an_error_of_the_writer_and_leaves_no_half_segment() {
    let content = large();
    let disk = new_disk();
    write(&disk, ID, &content).unwrap();
    let counts = disk.counts();
    let before = new_disk().counts();
    let one = |faults: &dyn Fn(u64) -> Faults, calls: std::ops::RangeInclusive<u64>| {
        assert!(!calls.is_empty());
        for call in calls {
            let disk = SimDisk::new(call);
            make_folder(&disk);
            disk.set_faults(faults(call));
            write(&disk, ID, &content).unwrap_err();
            for seed in 0..10 {
                check_after(&disk.crash(seed), &content, false);
            }
            check_after(&disk.kill(), &content, false);
        }
    };
    let write_fails = |call| Faults {
        fail_write: Some(call),
        short_writes: call % 2 == 0,
        ..Faults::default()
    };
    let sync_fails = |call| Faults {
        fail_sync: Some(call),
        ..Faults::default()
    };
    let change_fails = |call| Faults {
        fail_change: Some(call),
        ..Faults::default()
    };
    one(&write_fails, before.writes + 1..=counts.writes);
    one(&sync_fails, before.syncs + 1..=counts.syncs);
    one(&change_fails, before.changes + 1..=counts.changes);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_segment() {
    let content = large();
    let disk = new_disk();
    let faults = Faults {
        capacity: Some(300_000),
        ..Faults::default()
    };
    disk.set_faults(faults);
    let error = write(&disk, ID, &content).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(!check_after(&disk.kill(), &content, false));
}
