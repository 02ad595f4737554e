//! Failures strike where they were set, once, and leave what they may leave.

use rustix::io::Errno;

use super::*;

const EIO: Option<i32> = Some(Errno::IO.raw_os_error());

fn set(disk: &SimDisk, change: impl FnOnce(&mut Faults, Counts)) {
    let mut faults = Faults::default();
    change(&mut faults, disk.counts());
    disk.set_faults(faults);
}

#[test]
fn the_nth_read_write_and_change_fail_once_and_do_nothing() {
    let (disk, file) = disk_with("f", b"before");
    set(&disk, |faults, counts| {
        faults.fail_read = Some(counts.reads + 2);
        faults.fail_write = Some(counts.writes + 2);
        faults.fail_change = Some(counts.changes + 2);
    });
    let mut byte = [0];
    assert_eq!(file.read_at(0, &mut byte).unwrap(), 1);
    let error = file.read_at(0, &mut byte).unwrap_err();
    assert_eq!(error.raw_os_error(), EIO);
    assert_eq!(file.read_at(0, &mut byte).unwrap(), 1);

    file.write_at(0, b"first.").unwrap();
    let error = file.write_at(0, b"failed").unwrap_err();
    assert_eq!(error.raw_os_error(), EIO);
    assert_eq!(all_of(&*file), b"first.");
    file.write_at(0, b"later.").unwrap();

    disk.create(path("a")).unwrap();
    let error = disk.remove(path("a")).unwrap_err();
    assert_eq!(error.raw_os_error(), EIO);
    assert_eq!(names(&disk), "a f");
    disk.remove(path("a")).unwrap();
}

#[test]
fn a_short_write_leaves_a_part_from_the_start() {
    let mut lengths = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create(path("f")).unwrap();
        set(&disk, |faults, _| {
            faults.fail_write = Some(1);
            faults.short_writes = true;
        });
        file.write_at(0, b"123").unwrap_err();
        let left = all_of(&*file);
        assert!(b"123".starts_with(&left));
        lengths.insert(left.len());
    }
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn what_a_failed_sync_did_not_write_is_lost_though_later_syncs_succeed() {
    let mut lost = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create(path("f")).unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync().unwrap();
        disk.sync_dir(path("")).unwrap();
        file.write_at(0, &[2; 1024]).unwrap();
        set(&disk, |faults, counts| {
            faults.fail_sync = Some(counts.syncs + 1)
        });
        let error = file.sync().unwrap_err();
        assert_eq!(error.raw_os_error(), EIO);
        file.sync().unwrap();
        assert_eq!(all_of(&*file), [2; 1024], "reads go on showing it");
        let left = content(&disk.crash(seed), "f").unwrap();
        assert_eq!(content(&disk.crash(seed + 1), "f").unwrap(), left);
        lost.insert((left[0], left[512]));
    }
    assert_eq!(lost, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn what_is_written_again_after_a_failed_sync_can_be_synced() {
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create(path("f")).unwrap();
        disk.sync_dir(path("")).unwrap();
        file.write_at(0, &[1; 700]).unwrap();
        set(&disk, |faults, counts| {
            faults.fail_sync = Some(counts.syncs + 1)
        });
        file.sync().unwrap_err();
        file.write_at(0, &[2; 700]).unwrap();
        file.sync().unwrap();
        assert_eq!(content(&disk.crash(seed), "f").unwrap(), [2; 700]);
    }
}

#[test]
fn names_that_a_failed_sync_did_not_write_are_lost() {
    let mut found = BTreeSet::new();
    for seed in SEEDS {
        let disk = SimDisk::new(seed);
        disk.create(path("f")).unwrap();
        set(&disk, |faults, _| faults.fail_sync = Some(1));
        let error = disk.sync_dir(path("")).unwrap_err();
        assert_eq!(error.raw_os_error(), EIO);
        disk.sync_dir(path("")).unwrap();
        found.insert(names(&disk.crash(seed)));
    }
    assert_eq!(found, super::set(["", "f"]));
}

#[test]
fn a_full_disk_takes_what_fits_and_what_was_reserved() {
    let disk = SimDisk::new(1);
    let file = disk.create(path("f")).unwrap();
    set(&disk, |faults, _| faults.capacity = Some(1000));
    file.allocate(600).unwrap();
    let other = disk.create(path("g")).unwrap();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(other.allocate(401)), ErrorKind::StorageFull);
    assert_eq!(other.len().unwrap(), 0);
    assert_eq!(kind(other.write_at(0, &[1; 401])), ErrorKind::StorageFull);
    assert_eq!(all_of(&*other), [1; 400]);
    assert_eq!(disk.free_bytes().unwrap(), 0);
    file.write_at(0, &[2; 600]).unwrap();
    other.truncate(0).unwrap();
    file.write_at(600, &[2; 400]).unwrap();
    let kept = disk.crash(1).create(path("h")).unwrap();
    assert_eq!(kind(kept.allocate(1001)), ErrorKind::StorageFull);
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let (disk, file) = disk_with("f", &[0; 1024]);
    file.write_at(512, &[0; 512]).unwrap();
    disk.flip(path("f"), 3, 0).unwrap();
    disk.flip(path("f"), 600, 7).unwrap();
    let mut expected = [0; 1024];
    (expected[3], expected[600]) = (1, 128);
    assert_eq!(all_of(&*file), expected);
    assert_eq!(
        found(&disk, |disk| content(disk, "f").unwrap()),
        [expected.to_vec()].into()
    );
}

#[test]
fn garbage_is_what_lay_on_the_disk_before_and_only_in_new_unsynced_blocks() {
    let (disk, file) = disk_with("old", &[9; 4096]);
    set(&disk, |faults, _| faults.garbage = true);
    disk.remove(path("old")).unwrap();
    drop(file);
    disk.sync_dir(path("")).unwrap();
    let file = disk.create(path("new")).unwrap();
    disk.sync_dir(path("")).unwrap();
    file.write_at(0, &[1; 4096]).unwrap();
    file.sync().unwrap();
    file.allocate(8192).unwrap();
    assert_eq!(all_of(&*file)[4096..], [0; 4096]);
    let seen = found(&disk, |disk| {
        let content = content(disk, "new").unwrap();
        assert_eq!(content[..4096], [1; 4096]);
        content[4096..].iter().copied().collect::<BTreeSet<u8>>()
    });
    assert!(
        seen.contains(&BTreeSet::from([0, 9])),
        "zeros and what was removed"
    );
    assert!(seen.contains(&BTreeSet::from([0])));
    assert!(seen.iter().any(|bytes| bytes.len() > 100), "nonsense");
    file.sync().unwrap();
    let kept = found(&disk, |disk| {
        content(disk, "new").unwrap()[4096..] == [0; 4096]
    });
    assert_eq!(kept, [true].into());
}

/// Does something of every sort, and stops at the first error.
fn script(disk: &SimDisk) -> io::Result<()> {
    let _lock = disk.lock(path("LOCK"))?;
    disk.create_dir(path("d"))?;
    disk.sync_dir(path(""))?;
    let file = disk.create(path("d/a"))?;
    file.allocate(5000)?;
    file.write_at(100, &[3; 2000])?;
    file.sync()?;
    disk.rename(path("d/a"), path("d/b"))?;
    disk.sync_dir(path("d"))?;
    disk.open(path("d/b"))?.read_at(0, &mut [0; 10])?;
    file.truncate(7)?;
    disk.list(path("d"))?;
    disk.remove(path("d/b"))?;
    disk.remove_dir_all(path("d"))
}

#[test]
fn the_machine_stops_in_any_call_and_answers_none_after_it() {
    let whole = SimDisk::new(5);
    script(&whole).unwrap();
    let counts = whole.counts();
    let sorts = counts.reads + counts.writes + counts.syncs + counts.changes;
    assert_eq!((counts.calls, sorts), (15, 15));
    for call in 1..=whole.calls() {
        let disk = SimDisk::new(5);
        set(&disk, |faults, _| faults.crash_at = Some(call));
        script(&disk).unwrap_err();
        assert_eq!((disk.calls(), disk.crashed()), (call, true));
        disk.list(path("")).unwrap_err();
        disk.sync_dir(path("")).unwrap_err();
        disk.free_bytes().unwrap_err();
        disk.kill().list(path("")).unwrap_err();
        let after = disk.crash(call);
        assert_eq!(after.calls(), 0);
        after.list(path("")).unwrap();
    }
}

#[test]
fn a_call_that_was_cut_short_may_or_may_not_have_happened() {
    let (disk, file) = disk_with("f", b"0");
    set(&disk, |faults, counts| {
        faults.crash_at = Some(counts.calls + 2)
    });
    file.write_at(0, b"1").unwrap();
    file.sync().unwrap_err();
    let written = found(&disk, |disk| content(disk, "f").unwrap());
    assert_eq!(written, [*b"0", *b"1"].map(Vec::from).into());

    let (disk, _) = disk_with("f", b"");
    set(&disk, |faults, counts| {
        faults.crash_at = Some(counts.calls + 1)
    });
    disk.rename(path("f"), path("g")).unwrap_err();
    assert_eq!(found(&disk, names), super::set(["f", "g"]));
}

#[test]
fn the_same_seed_gives_the_same_log_and_the_same_crash() {
    let run = |seed, crash_seed| {
        let disk = SimDisk::new(seed);
        set(&disk, |faults, _| {
            faults.fail_write = Some(2);
            faults.fail_sync = Some(4);
            faults.short_writes = true;
            faults.garbage = true;
        });
        let file = disk.create(path("f")).unwrap();
        disk.sync_dir(path("")).unwrap();
        file.write_at(0, &[1; 20_000]).unwrap();
        file.write_at(20_000, &[2; 20_000]).unwrap_err();
        file.write_at(file.len().unwrap(), &[3; 5_000]).unwrap();
        script(&disk).unwrap_err();
        let after = disk.crash(crash_seed);
        let left = content(&after, "f").unwrap();
        (disk.log() + &after.log(), left)
    };
    assert_eq!(run(1, 2), run(1, 2));
    assert_ne!(run(1, 2).1, run(1, 3).1);
    assert_ne!(
        run(1, 2).0,
        run(4, 2).0,
        "the length after a short write differs"
    );
}

#[test]
fn the_log_names_call_place_and_outcome() {
    let disk = SimDisk::new(1);
    let file = disk.create(path("f")).unwrap();
    file.write_at(4, b"data").unwrap();
    disk.create(path("f")).unwrap_err();
    file.sync().unwrap();
    let log = disk.log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "1 create f = ok");
    assert_eq!(lines[1], "2 write #1 4+4 855b556730a34a05 = ok");
    assert_eq!(lines[2], "3 create f = entity already exists");
    assert_eq!(lines[3], "4 sync #1 = ok");
}
