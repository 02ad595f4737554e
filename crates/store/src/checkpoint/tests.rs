//! Checkpoints there and back, damaged in every way, and written while the machine stops.

use proptest::prelude::*;
use std::path::{Path, PathBuf};

use super::*;
use crate::disk::{Disk, Faults, SimDisk};
use crate::entry;
use crate::index::tests::script::{Log, enqueue, group, steps, target};

const STORE: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;

fn header(generation: u64) -> Header {
    Header {
        generation,
        store: STORE,
        applied: Lsn(generation * 100),
        durable: Lsn(generation * 100 + 50),
    }
}

/// An index with something of everything.
fn small() -> Index {
    let mut log = Log::default();
    log.write(|out| entry::define(out, group(0), b"key", b"value"))
        .unwrap();
    log.write(|out| enqueue(out, group(0), &[target(0, 0, 0, 40), target(2, 3, 7, 5)]))
        .unwrap();
    log.step(&crate::index::tests::script::Step::SettleEvery(
        0, 0, 0, 2, true,
    ));
    log.step(&crate::index::tests::script::Step::Requeue(2, 3, 8, 2, 4));
    log.page_out(0, 1, 1);
    log.write(|out| enqueue(out, group(0), &[target(0, 0, 40, 3)]))
        .unwrap();
    log.index
}

/// Definitions tell indexes apart.
fn numbered(number: u64) -> Index {
    let mut log = Log::default();
    log.write(|out| entry::define(out, group(0), b"number", &number.to_le_bytes()))
        .unwrap();
    log.index
}

fn number(index: &Index) -> u64 {
    let (_, value) = index.definitions().next().unwrap();
    u64::from_le_bytes(value.try_into().unwrap())
}

fn path(generation: u64) -> PathBuf {
    format!("{FOLDER}/{generation:016x}.ckpt").into()
}

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new(FOLDER)).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn comes_back_as_it_was(steps in steps(60)) {
        let mut log = Log::default();
        steps.iter().for_each(|step| log.step(step));
        let bytes = encode(&log.index, &header(7));
        let (read, index) = decode(&bytes).unwrap();
        prop_assert_eq!(read, header(7));
        prop_assert_eq!(encode(&index, &header(7)), bytes);
        let live = |index: &Index| -> Vec<_> {
            index.queues().flat_map(|state| index.live(state.queue, state.stream, 0).map(move |run| (state, run))).collect()
        };
        prop_assert_eq!(live(&index), live(&log.index));
        prop_assert_eq!(index.segments().collect::<Vec<_>>(), log.index.segments().collect::<Vec<_>>());
        let files = |index: &Index| -> Vec<_> {
            index.wal_files().iter().map(|file| (file.file_seq, file.live, index.runs_in_wal_file(file.file_seq).collect::<Vec<_>>())).collect()
        };
        prop_assert_eq!(files(&index), files(&log.index));
    }

    /// Right checksums over wrong content: the sections alone, with a byte changed, and again under the right checksums.
    #[test]
    fn content_that_cannot_be_never_panics(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4), cut in any::<Option<usize>>()) {
        let mut bytes = encode(&small(), &header(1));
        let end = bytes.len() - TRAILER_LEN;
        for (at, byte) in changes {
            bytes[HEADER_LEN + at % (end - HEADER_LEN)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(HEADER_LEN + cut % (end - HEADER_LEN));
            bytes.extend_from_slice(&[0; TRAILER_LEN]);
        }
        seal_again(&mut bytes);
        if let Ok((header, index)) = decode(&bytes) {
            let again = encode(&index, &header);
            prop_assert!(decode(&again).is_ok());
            index.segments().for_each(|(id, _)| { index.runs_in_segment(id).count(); });
            index.wal_files().iter().for_each(|file| { index.runs_in_wal_file(file.file_seq).count(); });
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes).is_err());
    }
}

/// Makes all checksums and the whole length right, as far as the sections can be found.
fn seal_again(bytes: &mut [u8]) {
    let (mut at, end) = (HEADER_LEN, bytes.len() - TRAILER_LEN);
    for kind in 1..=SECTIONS.len() as u32 {
        let Some(head) = bytes[at..end].first_chunk::<SECTION_HEADER_LEN>() else {
            break;
        };
        let len = (u128::from_le_bytes(*head) >> 64) as usize;
        let Some(content) = bytes[at..end]
            .get(SECTION_HEADER_LEN..)
            .and_then(|rest| rest.get(..len))
        else {
            break;
        };
        let head = section_header(kind, content);
        bytes[at..at + SECTION_HEADER_LEN].copy_from_slice(&head);
        at += SECTION_HEADER_LEN + len;
    }
    let len = bytes.len() as u64;
    bytes[end..end + 8].copy_from_slice(END_MAGIC);
    bytes[end + 8..end + 16].copy_from_slice(&len.to_le_bytes());
    bytes[end + 16..end + 20].copy_from_slice(&[0; 4]);
    let crc = crc32c(&bytes[..end + 20]);
    bytes[end + 20..].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn sealing_again_changes_nothing_that_was_right() {
    let bytes = encode(&small(), &header(1));
    let mut again = bytes.clone();
    seal_again(&mut again);
    assert_eq!(again, bytes);
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let mut bytes = encode(&small(), &header(1));
    assert!(decode(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes).is_err(), "byte {at} bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
    bytes.push(0);
    assert!(decode(&bytes).is_err(), "a byte too many");
}

#[test]
fn the_format_is_what_is_written_down() {
    let bytes = encode(&numbered(0x0102_0304_0506_0708), &header(2));
    assert_eq!(&bytes[..8], b"LVRTCKP1");
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(bytes[16..24], 2u64.to_le_bytes());
    assert_eq!(bytes[24..40], STORE.to_le_bytes());
    assert_eq!(
        bytes[40..56],
        [200u64.to_le_bytes(), 250u64.to_le_bytes()].concat()
    );
    assert_eq!(bytes[64..68], [1, 0, 0, 0]);
    assert_eq!(bytes[72..80], 17u64.to_le_bytes());
    let definitions = [&[1, 6][..], b"number", &[8, 8, 7, 6, 5, 4, 3, 2, 1]].concat();
    assert_eq!(bytes[80..97], definitions);
    // One group: 0, term 0, index 0; no files, segments, streams.
    assert_eq!(bytes[97 + 16..97 + 16 + 4], [1, 0, 0, 0]);
    assert_eq!(bytes.len(), 64 + 16 * 5 + 17 + 4 + 3 + 24);
    assert_eq!(&bytes[bytes.len() - 24..][..8], b"LVRTCKPE");
}

#[test]
fn a_hundred_thousand_queues_take_less_than_12_mb() {
    let mut log = Log::default();
    for queue in 0..100_000 {
        let (empty, used) = (
            target(queue, 0, 1_000_000_000, 20),
            target(queue, 1, 5_000_000, 100),
        );
        log.write(|out| enqueue(out, group(queue), &[empty, used]))
            .unwrap();
        log.write(|out| entry::purge(out, group(queue), empty.queue, empty.stream, u64::MAX - 1))
            .unwrap();
        log.entries.clear();
    }
    let bytes = encode(&log.index, &header(1));
    println!("200,000 streams, half of them empty: {} bytes", bytes.len());
    assert_eq!(log.index.queues().len(), 200_000);
    assert!(bytes.len() < 12_000_000, "{}", bytes.len());
    assert_eq!(encode(&decode(&bytes).unwrap().1, &header(1)), bytes);
}

#[test]
fn two_are_kept_and_the_newest_is_read() {
    let disk = disk();
    assert!(load_newest(&disk, STORE).unwrap().is_none());
    for generation in 1..=4 {
        write(&disk, &numbered(generation), &header(generation)).unwrap();
    }
    let names: Vec<_> = disk
        .list(Path::new(FOLDER))
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["0000000000000003.ckpt", "0000000000000004.ckpt"]);
    let loaded = load_newest(&disk, STORE).unwrap().unwrap();
    assert_eq!((loaded.header, number(&loaded.index)), (header(4), 4));
    assert!(loaded.damaged.is_empty());
}

#[test]
fn a_damaged_one_is_named_and_the_one_before_is_read() {
    let disk = disk();
    (1..=2)
        .for_each(|generation| write(&disk, &numbered(generation), &header(generation)).unwrap());
    disk.flip(&path(2), 90, 3).unwrap();
    let loaded = load_newest(&disk, STORE).unwrap().unwrap();
    assert_eq!((loaded.header, number(&loaded.index)), (header(1), 1));
    assert_eq!(loaded.damaged.len(), 1);
    assert_eq!(loaded.damaged[0].0, path(2).to_str().unwrap());

    disk.flip(&path(1), 90, 3).unwrap();
    let error = load_newest(&disk, STORE).unwrap_err().to_string();
    assert!(
        error.contains("0000000000000001.ckpt") && error.contains("0000000000000002.ckpt"),
        "{error}"
    );
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn one_that_cannot_be_read_is_as_good_as_damaged() {
    let disk = disk();
    (1..=2)
        .for_each(|generation| write(&disk, &numbered(generation), &header(generation)).unwrap());
    // The listing, then the opening of the newest.
    let fail_read = Some(disk.counts().reads + 2);
    disk.set_faults(Faults {
        fail_read,
        ..Faults::default()
    });
    let loaded = load_newest(&disk, STORE).unwrap().unwrap();
    assert_eq!(loaded.header.generation, 1);
    assert!(matches!(loaded.damaged[..], [(_, Damage::Unreadable(_))]));
}

#[test]
fn another_folders_or_a_renamed_one_is_not_believed() {
    let disk = disk();
    write(&disk, &numbered(1), &header(1)).unwrap();
    assert!(matches!(
        load_newest(&disk, 9),
        Err(LoadError::NoneValid(_))
    ));
    disk.rename(&path(1), &path(5)).unwrap();
    let Err(LoadError::NoneValid(damaged)) = load_newest(&disk, STORE) else {
        panic!("a renamed checkpoint was believed");
    };
    assert!(matches!(damaged[..], [(_, Damage::OtherGeneration(1))]));
}

/// Writes two generations behind two others and says which number is the newest that was finished.
fn write_until_it_fails(disk: &SimDisk) -> u64 {
    for generation in 3..=4 {
        if write(disk, &numbered(generation), &header(generation)).is_err() {
            return generation - 1;
        }
    }
    4
}

#[test]
fn a_crash_at_every_call_leaves_the_newest_or_the_one_in_the_making() {
    let prepared = || {
        let disk = disk();
        (1..=2).for_each(|generation| {
            write(&disk, &numbered(generation), &header(generation)).unwrap()
        });
        disk
    };
    let (first, last) = {
        let disk = prepared();
        let first = disk.calls() + 1;
        assert_eq!(write_until_it_fails(&disk), 4);
        (first, disk.calls())
    };
    assert!(last - first > 12, "{}", last - first);
    for crash_at in first..=last {
        for seed in 0..60 {
            let disk = prepared();
            disk.set_faults(Faults {
                crash_at: Some(crash_at),
                garbage: seed % 2 == 0,
                ..Faults::default()
            });
            let finished = write_until_it_fails(&disk);
            let left = disk.crash(seed);
            let loaded = load_newest(&left, STORE).unwrap().unwrap();
            let found = number(&loaded.index);
            assert!(
                loaded.damaged.is_empty(),
                "call {crash_at} seed {seed}: {:?}",
                loaded.damaged
            );
            assert!(
                (finished..=finished + 1).contains(&found),
                "call {crash_at} seed {seed}: {found}, not {finished}"
            );
            assert_eq!(loaded.header, header(found));
            // What was left does not stand in the way of the next.
            write(&left, &numbered(found + 1), &header(found + 1)).unwrap();
            assert_eq!(
                number(&load_newest(&left, STORE).unwrap().unwrap().index),
                found + 1
            );
            let kept = left.list(Path::new(FOLDER)).unwrap();
            assert!(
                kept.len() <= 2 && kept.iter().all(|(name, _)| name.ends_with(".ckpt")),
                "{kept:?}"
            );
        }
    }
}

#[test]
fn a_failed_sync_or_a_full_disk_leaves_the_ones_before() {
    for fault in 0..3 {
        let disk = disk();
        write(&disk, &numbered(1), &header(1)).unwrap();
        let counts = disk.counts();
        disk.set_faults(match fault {
            0 => Faults {
                fail_sync: Some(counts.syncs + 1),
                ..Faults::default()
            },
            1 => Faults {
                fail_write: Some(counts.writes + 1),
                short_writes: true,
                ..Faults::default()
            },
            _ => Faults {
                capacity: Some(300),
                ..Faults::default()
            },
        });
        assert!(
            write(&disk, &numbered(2), &header(2)).is_err(),
            "fault {fault}"
        );
        let loaded = load_newest(&disk.crash(3), STORE).unwrap().unwrap();
        assert_eq!(loaded.header.generation, 1);
    }
}

#[test]
fn a_full_disk_leaves_nothing_of_a_checkpoint() {
    let disk = disk();
    write(&disk, &numbered(1), &header(1)).unwrap();
    let before = disk.list(Path::new(FOLDER)).unwrap();
    let used = before.iter().map(|(_, len)| len).sum::<u64>();
    disk.set_faults(Faults {
        capacity: Some(used + 20),
        ..Faults::default()
    });
    let error = write(&disk, &small(), &header(2)).expect_err("there is no room");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), before);
}
