//! The log on the simulated disk: rotation, spares, recycling, errors, reading.
//!
//! `model` holds what was written against what is read; `crash` stops the machine at every call; `flips` flips bits everywhere.

use std::io;
use std::sync::Arc;

use self::model::*;
use super::*;
use crate::disk::{Disk, Faults, SimDisk};

mod crash;
mod flips;
mod model;
mod survey;

/// A batch as the writer is given it.
fn batch_of(payload: &[u8]) -> Vec<u8> {
    [&[0; BATCH_HEADER_LEN], payload].concat()
}

/// Appends until the log uses another file than now.
fn fill_file(model: &mut Model, log: &mut WalWriter) {
    let files = log.files().count();
    while log.files().count() == files {
        model.step(log, Step::Append(5000)).unwrap();
    }
}

#[test]
fn files_double_until_they_have_their_length_unless_some_are_given_back() {
    let disk = SimDisk::new(1);
    let (mut model, mut log) = Model::begin(&disk);
    for _ in 0..4 {
        fill_file(&mut model, &mut log);
    }
    let lens: Vec<u64> = log.files().map(|file| file.len / 1024).collect();
    assert_eq!(lens, [16, 32, 64, 64, 64]);
    let starts: Vec<(Lsn, Lsn)> = log.files().map(|file| (file.start, file.end())).collect();
    assert!(starts.windows(2).all(|pair| pair[0].1 == pair[1].0));

    let disk = SimDisk::new(1);
    let (mut model, mut log) = Model::begin(&disk);
    fill_file(&mut model, &mut log);
    fill_file(&mut model, &mut log);
    model.step(&mut log, Step::Recycle).unwrap();
    assert_eq!(log.spares(), 0, "shorter than the current one: removed");
    fill_file(&mut model, &mut log);
    for _ in 0..5 {
        model.step(&mut log, Step::Recycle).unwrap();
        fill_file(&mut model, &mut log);
    }
    assert!(log.files().all(|file| file.len == 64 << 10));
    assert_eq!(
        disk.list("wal".as_ref()).unwrap().len(),
        log.files().count() + log.spares()
    );
    model.check(&disk);
}

#[test]
fn full_files_have_two_spares_in_reserve_and_small_ones_one_in_time() {
    let disk = SimDisk::new(2);
    let (mut model, mut log) = Model::begin(&disk);
    assert!(log.order_blank().is_none());
    model.step(&mut log, Step::Append(5000)).unwrap();
    model.step(&mut log, Step::Append(10)).unwrap();
    let order = log.order_blank().unwrap();
    assert!(log.order_blank().is_none(), "one is on its way");
    log.take_blank(order.make(&disk)).unwrap();
    assert_eq!(log.spares(), 1);
    while log.files().next_back().unwrap().len < 64 << 10 {
        model.step(&mut log, Step::Append(5000)).unwrap();
    }
    while let Some(order) = log.order_blank() {
        log.take_blank(order.make(&disk)).unwrap();
    }
    assert_eq!(log.spares(), 2);
    model.check(&disk);
}

#[test]
fn a_batch_longer_than_a_file_gets_one_that_holds_it() {
    let disk = SimDisk::new(3);
    let (mut model, mut log) = Model::begin(&disk);
    for len in [100, 300_000, 100, 70_000, 5000] {
        model.step(&mut log, Step::Blank).unwrap();
        model.step(&mut log, Step::Append(len)).unwrap();
    }
    model.step(&mut log, Step::Sync).unwrap();
    model.check(&disk);
    model.check(&disk.crash(5));
}

#[test]
fn an_opening_behind_a_full_file_is_read_from_before_it_too() {
    let disk = SimDisk::new(8);
    let (mut model, mut log) = Model::begin(&disk);
    model.step(&mut log, Step::Append(11_000)).unwrap();
    let first_file = *log.files().next_back().unwrap();
    assert_eq!(log.next_lsn(), first_file.end(), "full to the last block");
    model.step(&mut log, Step::Sync).unwrap();
    let full = log.durable();
    model.step(&mut log, Step::Blank).unwrap();
    drop(log);

    // A checkpoint covers the full file, so that the scan begins behind it, at the header of the next one.
    let older = model.start;
    model.start = Start {
        from: full,
        durable: full,
    };
    let mut log = model.open(&disk).unwrap();
    model.step(&mut log, Step::Append(10)).unwrap();
    model.step(&mut log, Step::Sync).unwrap();
    drop(log);
    // The checkpoint before that one reads both.
    let (batches, scan) = model.read(&disk, older);
    assert_eq!(batches.len(), 2, "{:?}", scan.end);
    assert!(matches!(scan.end, End::Clean { .. }), "{:?}", scan.end);
}

#[test]
fn a_full_disk_is_no_end_while_nothing_was_written() {
    let disk = SimDisk::new(4);
    let (mut model, mut log) = Model::begin(&disk);
    disk.set_faults(Faults {
        capacity: Some(20 << 10),
        ..Faults::default()
    });
    let mut batch = batch_of(&[9; 3000]);
    let error = loop {
        if let Err(error) = log.append_batch(&mut batch, 0, 1) {
            break error;
        }
        model.forget();
    };
    assert_eq!(batch.get(BATCH_HEADER_LEN..), Some([9; 3000].as_slice()));
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    log.sync().unwrap();
    assert_eq!(disk.list("wal".as_ref()).unwrap().len(), 1);
    disk.set_faults(Faults::default());
    log.append_batch(&mut batch, 0, 1).unwrap();
    let roomless = log.append_batch(&mut vec![0; BATCH_HEADER_LEN - 1], 0, 1);
    assert_eq!(roomless.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(batch.get(BATCH_HEADER_LEN..), Some([9; 3000].as_slice()));
    log.sync().unwrap();
}

#[test]
fn the_reserve_takes_batches_while_the_disk_is_full() {
    let disk = SimDisk::new(5);
    let (mut model, mut log) = Model::begin(&disk);
    while log.files().next_back().unwrap().len < 64 << 10 {
        model.step(&mut log, Step::Append(5000)).unwrap();
    }
    model.step(&mut log, Step::Blank).unwrap();
    model.step(&mut log, Step::Blank).unwrap();
    let full = Faults {
        capacity: Some(0),
        ..Faults::default()
    };
    disk.set_faults(full);
    let last = log.files().next_back().unwrap().seq;
    while log.append_batch(&mut batch_of(&[0; 5000]), 0, 1).is_ok() {}
    assert_eq!(log.files().next_back().unwrap().seq, last + 2);
    log.sync().unwrap();
}

/// Runs the script on a disk with a fault, and goes on after it; says whether the fault struck.
fn survives(fault: Faults, seed: u64) -> bool {
    let disk = SimDisk::new(seed);
    disk.set_faults(fault);
    let mut model = Model::default();
    if let Ok(mut log) = model.open(&disk) {
        if model.run(&mut log, &script()).is_ok() {
            return false;
        }
        refuses_everything(&disk, &mut log);
    }
    // What the next process reads, it may build upon: no later power cut takes it away.
    let next = disk.kill();
    let found = model.check(&next);
    let mut log = model.reopen(&next, found.clone());
    for seed in 0..4 {
        model.check_found(&next.crash(seed), &found);
    }
    // No recycling: the file that the error struck stays in use.
    model.run(&mut log, &script()[..12]).unwrap();
    for seed in 0..4 {
        model.check(&next.crash(seed));
    }
    true
}

#[test]
fn after_the_first_error_nothing_is_tried_again() {
    let sync = |n| Faults {
        fail_sync: Some(n),
        ..Faults::default()
    };
    let write = |n| Faults {
        fail_write: Some(n),
        short_writes: true,
        ..Faults::default()
    };
    let change = |n| Faults {
        fail_change: Some(n),
        ..Faults::default()
    };
    let faults: [fn(u64) -> Faults; 3] = [sync, write, change];
    for fault in faults {
        for seed in 0..4 {
            let last = (1..).take_while(|n| survives(fault(*n), seed)).count();
            assert!(last > 10, "{last} calls can fail");
        }
    }
}

fn refuses_everything(disk: &SimDisk, log: &mut WalWriter) {
    let before = (disk.calls(), log.durable());
    let seq = log.files().next().unwrap().seq;
    let answers = [
        log.append_batch(&mut batch_of(b""), 0, 0).map(|_| ()),
        log.sync(),
        log.seal(0),
        log.recycle(seq),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().raw_os_error(), Some(5));
    }
    assert!(log.order_blank().is_none());
    assert_eq!((disk.calls(), log.durable()), before);
}

#[test]
fn a_torn_tail_is_cleared_and_does_not_come_back() {
    let disk = SimDisk::new(12);
    let (mut model, mut log) = Model::begin(&disk);
    model
        .run(&mut log, &[Step::Append(100), Step::Sync])
        .unwrap();
    let torn = log.next_lsn();
    for _ in 0..2 {
        // As long as what will be written in the place of the first.
        log.append_batch(&mut batch_of(&[3; 50]), 0, 1).unwrap();
    }
    let disk = disk.kill();
    let first = WalFile {
        ..*log.files().next().unwrap()
    };
    let path = first.path("wal".as_ref());
    disk.flip(&path, first.offset(torn).unwrap() + 80, 1)
        .unwrap();
    let (_, mut found) = model.read(&disk, model.start);
    assert_eq!(found.end, End::TornTail { at: torn });
    let torn_still = WalWriter::open_at(Arc::new(disk.clone()), options(5), &found);
    assert_eq!(torn_still.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    repair_tail(&disk, &options(5), &mut found).unwrap();
    let disk = disk.crash(1);
    let (_, found) = model.read(&disk, model.start);
    assert_eq!(found.end, End::Clean { next_lsn: torn });
    let found = model.check(&disk);
    let mut log = model.reopen(&disk, found);
    model
        .run(&mut log, &[Step::Append(50), Step::Sync])
        .unwrap();
    assert_eq!(model.check(&disk).len(), 2);
}

#[test]
fn nothing_is_synced_where_nothing_shall_be() {
    let disk = SimDisk::new(6);
    let options = Options {
        syncing: Syncing::Off,
        ..options(1)
    };
    let scanned = scan(&disk, &options, Start::default(), |_| Ok(())).unwrap();
    let mut log = WalWriter::open_at(Arc::new(disk.clone()), options, &scanned).unwrap();
    for _ in 0..20 {
        log.append_batch(&mut batch_of(&[1; 9000]), 0, 1).unwrap();
        log.sync().unwrap();
        assert_eq!(log.durable(), log.next_lsn());
    }
    log.recycle(1).unwrap();
    assert_eq!(disk.counts().syncs, 0);
}

#[test]
fn a_seal_is_written_once() {
    let disk = SimDisk::new(7);
    let (mut model, mut log) = Model::begin(&disk);
    log.seal(1).unwrap();
    assert_eq!(log.next_lsn(), Lsn(BLOCK));
    model.step(&mut log, Step::Append(10)).unwrap();
    model.step(&mut log, Step::Seal).unwrap();
    let next = log.next_lsn();
    assert_eq!((next, log.durable()), (Lsn(3 * BLOCK), next));
    log.seal(1).unwrap();
    assert_eq!(log.next_lsn(), next);
}

#[test]
fn the_log_is_read_in_large_pieces() {
    let disk = SimDisk::new(8);
    let options = Options {
        file_len_first: 4 << 20,
        file_len_full: 4 << 20,
        ..options(1)
    };
    let start = Start::default();
    let scanned = scan(&disk, &options, start, |_| Ok(())).unwrap();
    let mut log = WalWriter::open_at(Arc::new(disk.clone()), options.clone(), &scanned).unwrap();
    while log.next_lsn() < Lsn(40 << 20) {
        log.append_batch(&mut batch_of(&[7; 30_000]), 1, 1).unwrap();
    }
    let disk = disk.kill();
    let scanned = scan(&disk, &options, start, |_| Ok(())).unwrap();
    assert!(scanned.batches > 1000);
    let files = scanned.files.len() as u64;
    let reads = disk.counts().reads;
    // Open and header of each file; 1 MiB at a time; at the end of a file, and behind the last batch, once more.
    assert!(
        reads <= 1 + files * (2 + 4 + 2),
        "{reads} reads of {files} files"
    );
}

#[test]
fn files_of_other_folders_and_newer_programs_are_refused() {
    let disk = SimDisk::new(9);
    let (mut model, mut log) = Model::begin(&disk);
    model.step(&mut log, Step::Append(10)).unwrap();
    let other = Options {
        store: 77,
        ..options(2)
    };
    let found = scan(&disk, &other, Start::default(), |_| Ok(())).unwrap();
    let End::Damaged(damage) = &found.end else {
        panic!("{:?}", found.end);
    };
    assert_eq!(damage.fault, Fault::ForeignFile);
    assert!(WalWriter::open_at(Arc::new(disk), other, &found).is_err());
}

#[test]
fn missing_files_are_damage() {
    let disk = SimDisk::new(10);
    let (mut model, mut log) = Model::begin(&disk);
    for _ in 0..4 {
        fill_file(&mut model, &mut log);
    }
    log.seal(1).unwrap();
    let files: Vec<WalFile> = log.files().copied().collect();
    let scan_without = |gone: &[usize], from: Lsn| {
        let disk = disk.kill();
        for index in gone {
            disk.remove(&files[*index].path("wal".as_ref())).unwrap();
        }
        let start = Start {
            from,
            durable: Lsn(0),
        };
        scan(&disk, &options(3), start, |_| Ok(())).unwrap().end
    };
    let missing = |index: usize, from: Lsn, to: usize| {
        End::Damaged(Damage {
            file: files[index].path("wal".as_ref()),
            fault: Fault::MissingFile,
            from,
            to: files[to].start,
            file_start: Some(files[to].start),
        })
    };
    assert_eq!(scan_without(&[0], Lsn(0)), missing(1, Lsn(0), 1));
    assert_eq!(scan_without(&[1, 2], Lsn(0)), missing(3, files[1].start, 3));
    assert_eq!(
        scan_without(&[2], files[1].first()),
        missing(3, files[2].start, 3)
    );
    let whole = End::Clean {
        next_lsn: log.next_lsn(),
    };
    assert_eq!(scan_without(&[], Lsn(0)), whole);
    assert_eq!(scan_without(&[0], files[1].start), whole);
    let End::Damaged(damage) = scan_without(&[0, 1, 2, 3, 4], files[1].start) else {
        panic!("all files are gone");
    };
    assert_eq!(damage.fault, Fault::MissingEnd);
}

#[test]
fn two_files_with_one_range_are_damage() {
    let disk = SimDisk::new(11);
    let (mut model, mut log) = Model::begin(&disk);
    fill_file(&mut model, &mut log);
    fill_file(&mut model, &mut log);
    let file = log.files().nth(1).unwrap();
    let copy = WalFile { seq: 99, ..*file };
    let path = copy.path("wal".as_ref());
    let made = disk.create(&path).unwrap();
    made.allocate(copy.len).unwrap();
    made.write_at(0, &header::file_header(&copy, options(1).store, 1))
        .unwrap();
    let End::Damaged(damage) = scan(&disk, &options(1), Start::default(), |_| Ok(()))
        .unwrap()
        .end
    else {
        panic!("a file was copied");
    };
    assert_eq!((damage.fault, damage.file), (Fault::Overlap, path));
}

#[test]
fn names_of_files() {
    assert_eq!(seq_of("00000000000000ff.wal"), Some(255));
    for name in [
        "ff.wal",
        "00000000000000FF.wal",
        "00000000000000ff.new",
        "+0000000000000ff.wal",
        "0000000000000 ff.wal",
    ] {
        assert_eq!(seq_of(name), None, "{name}");
    }
}
