//! Flipped bits: each is found where it matters, named with file and range, and takes nothing but what it is in.

use super::batch_of;
use super::model::*;
use crate::disk::SimDisk;
use crate::entry::Lsn;
use crate::wal::*;

/// A log of several files, one of them recycled, with spares, that ends with a seal.
fn sealed_log() -> (Model, SimDisk, Vec<WalFile>) {
    let disk = SimDisk::new(1);
    let (mut model, mut log) = Model::begin(&disk);
    model.run(&mut log, &script()).unwrap();
    // A second opening, after which the first batch goes to the next file.
    model
        .run(&mut log, &[Step::Append(10), Step::Seal])
        .unwrap();
    let found = model.check(&disk);
    drop(log);
    let mut log = model.reopen(&disk, found);
    let files = log.files().count();
    model.step(&mut log, Step::Append(60_000)).unwrap();
    assert!(log.files().count() > files);
    model.step(&mut log, Step::Append(100)).unwrap();
    model.step(&mut log, Step::Blank).unwrap();
    model.step(&mut log, Step::Seal).unwrap();
    assert!(log.spares() > 0);
    let mut files: Vec<WalFile> = log.files().copied().collect();
    files.extend(log.spares.iter().map(|spare| spare.info));
    assert!(files.len() > 3);
    (model, disk, files)
}

/// The batch that covers a byte of the log, and whether the byte is checked: not in the padding.
fn covering(model: &Model, lsn: Lsn) -> Option<(usize, bool)> {
    let batches = model.expected();
    let index = batches
        .iter()
        .position(|batch| batch.lsn <= lsn && lsn < batch.end)?;
    let batch = &batches[index];
    Some((
        index,
        lsn.0 < batch.lsn.0 + (BATCH_HEADER_LEN + batch.payload.len()) as u64,
    ))
}

/// Reads on behind damage until the log ends without any.
fn read_on(model: &Model, disk: &SimDisk, mut from: Lsn) -> Vec<Written> {
    loop {
        let start = Start {
            from,
            durable: Lsn(0),
        };
        let (batches, found) = model.read(disk, start);
        match found.end {
            End::Damaged(damage) => {
                assert!(damage.to > from, "{damage}");
                from = damage.to;
            }
            _ => return batches,
        }
    }
}

fn flip_in_batches(model: &Model, disk: &SimDisk, file: &WalFile, offset: u64) {
    let expected = model.expected();
    let seal = expected.len() - 1;
    let lsn = Lsn(file.start.0 + offset);
    let disk = disk.kill();
    disk.flip(&file.path("wal".as_ref()), offset, (offset % 8) as u8)
        .unwrap();
    let (batches, found) = model.read(&disk, model.start);
    let what = format!("offset {offset} of {}: {:?}", file.seq, found.end);
    let (index, is_checked) = covering(model, lsn).unwrap_or((seal, false));
    if !is_checked {
        assert_eq!(batches, expected, "{what}");
        assert!(matches!(found.end, End::Clean { .. }), "{what}");
    } else if index == seal {
        assert_eq!(batches, expected[..seal], "{what}");
        assert!(
            matches!(found.end, End::TornTail { at } if at == expected[seal].lsn),
            "{what}"
        );
    } else {
        let End::Damaged(damage) = found.end else {
            panic!("{what}");
        };
        assert_eq!(batches, expected[..index], "{what}");
        assert_eq!(damage.file, file.path("wal".as_ref()), "{what}");
        assert_eq!(
            (damage.fault, damage.from),
            (Fault::Batch, expected[index].lsn),
            "{what}"
        );
        assert_eq!(damage.to, expected[index + 1].lsn, "{what}");
        assert_eq!(
            read_on(model, &disk, damage.to),
            expected[index + 1..],
            "{what}"
        );
    }
}

#[test]
fn in_batches_are_found_and_cost_that_batch_alone() {
    let (model, disk, files) = sealed_log();
    for file in &files {
        let mut offset = BLOCK;
        while offset < file.len {
            // All of the batch headers, and some of the rest.
            let step = if offset % BLOCK < 70 { 1 } else { 397 };
            flip_in_batches(&model, &disk, file, offset);
            offset += step;
        }
    }
}

#[test]
fn in_the_header_of_a_file_are_found() {
    let (model, disk, files) = sealed_log();
    for (place, file) in files.iter().enumerate() {
        for offset in
            (0..BLOCK).filter(|offset| *offset < 80 || offset % 61 == 0 || *offset > BLOCK - 6)
        {
            let disk = disk.kill();
            disk.flip(&file.path("wal".as_ref()), offset, (offset % 8) as u8)
                .unwrap();
            let (batches, found) = model.read(&disk, model.start);
            let End::Damaged(damage) = &found.end else {
                panic!("offset {offset} of {}", file.seq);
            };
            assert_eq!(
                (&damage.file, damage.fault),
                (&file.path("wal".as_ref()), Fault::FileHeader)
            );
            let expected = model.expected();
            let before = expected
                .iter()
                .filter(|batch| batch.lsn < file.start)
                .count();
            assert_eq!(batches, expected[..before]);
            assert_eq!(damage.from, file.start);
            let to = file.end();
            assert_eq!(damage.to, to);
            if place + 1 < files.len() {
                let rest: Vec<_> = expected
                    .into_iter()
                    .filter(|batch| batch.lsn >= to)
                    .collect();
                assert_eq!(read_on(&model, &disk, to), rest);
            }
        }
    }
}

#[test]
fn two_in_different_batches_are_reported_one_after_the_other() {
    let (model, disk, files) = sealed_log();
    let expected = model.expected();
    for index in [0, 3, expected.len() - 4] {
        let disk = disk.kill();
        for lsn in [expected[index].lsn, expected[index + 2].lsn] {
            let file = files
                .iter()
                .find(|file| file.offset(lsn).is_some())
                .unwrap();
            disk.flip(
                &file.path("wal".as_ref()),
                file.offset(lsn).unwrap() + 70,
                3,
            )
            .unwrap();
        }
        let (batches, _) = model.read(&disk, model.start);
        assert_eq!(batches, expected[..index]);
        assert_eq!(
            read_on(&model, &disk, model.start.from),
            expected[index + 3..]
        );
    }
}

#[test]
fn what_the_header_of_a_damaged_batch_says_is_durable_is_durable() {
    let (model, disk, files) = sealed_log();
    let expected = model.expected();
    let [.., last, seal] = expected.as_slice() else {
        panic!("there are many batches");
    };
    for lsn in [last.lsn, seal.lsn] {
        let file = files
            .iter()
            .find(|file| file.offset(lsn).is_some())
            .unwrap();
        disk.flip(
            &file.path("wal".as_ref()),
            file.offset(lsn).unwrap() + 70,
            3,
        )
        .unwrap();
    }
    let (_, found) = model.read(&disk, model.start);
    let End::Damaged(damage) = found.end else {
        panic!("{:?}", found.end);
    };
    assert_eq!((damage.from, damage.to), (last.lsn, seal.lsn));
}

#[test]
fn an_entry_that_is_not_known_is_damage_and_not_skipped() {
    let disk = SimDisk::new(2);
    let (mut model, mut log) = Model::begin(&disk);
    model.step(&mut log, Step::Append(10)).unwrap();
    let lsn = log.append_batch(&mut batch_of(&[0xff; 40]), 1, 1).unwrap();
    model.step(&mut log, Step::Append(10)).unwrap();
    let (batches, found) = model.read(&disk, model.start);
    let End::Damaged(damage) = found.end else {
        panic!("{:?}", found.end);
    };
    assert!(matches!(damage.fault, Fault::Entry(_)));
    assert_eq!((damage.from, damage.to), (lsn, Lsn(lsn.0 + BLOCK)));
    assert_eq!(batches.len(), 1);
}
