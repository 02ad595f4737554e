//! A repair loses what was accepted and nothing else, wherever it is cut off; without consent it changes nothing.

mod crash;
mod log;
mod random;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::check::tests::bad_sectors::BadSectors;
use crate::check::tests::fixture::*;
use crate::check::{DamagedRange, How};
use crate::disk::SimDisk;

const MAKING: Making = Making {
    lens: LENS,
    random: 5,
    unix_ms: 9,
};

fn repair_with(disk: &SimDisk, accept: &[Accept]) -> Result<Repaired, RepairError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&disk, accept, MAKING, &|_, _| None)
}

fn report(disk: &SimDisk) -> Report {
    check(disk, &|_, _| None).unwrap()
}

/// What a check prints, as an operator gives it back.
fn all_printed(report: &Report) -> Vec<Accept> {
    let printed = report.findings.iter().map(|finding| finding.at.to_string());
    printed.map(|range| range.parse().unwrap()).collect()
}

/// The live messages that are gone, or have not the bytes they had; every other one is there, and none that was never sent.
fn gone(fixture: &Fixture, disk: &SimDisk) -> Vec<(u64, u64)> {
    let now = live(disk);
    for (of, (bytes, _)) in &now {
        assert_eq!(*bytes, record(of.0, of.1));
    }
    let is_gone = |of: &&(u64, u64)| !now.contains_key(*of);
    fixture.model.keys().filter(is_gone).copied().collect()
}

/// The bytes that a flip was in are in the quarantine as they were found.
fn has_original(disk: &SimDisk, damaged: &[u8]) -> bool {
    let mut kept = contents(disk).into_iter();
    kept.any(|(path, bytes)| path.starts_with("quarantine/") && bytes == damaged)
}

#[test]
fn a_good_folder_is_left_as_it_is() {
    let disk = Fixture::build().disk;
    let before = contents(&disk);
    assert_eq!(
        repair_with(&disk, &[Accept::All]).unwrap(),
        Repaired::default()
    );
    assert_eq!(contents(&disk), before);
}

#[test]
fn without_consent_nothing_is_changed_and_each_damage_is_named() {
    let fixture = Fixture::build();
    let (path, at) = fixture.find(b"queue 2 number 9 ");
    let disk = fixture.flipped(&path, at);
    let (other, at) = fixture.find(b"queue 1 number 3 ");
    disk.flip(Path::new(&other), at as u64, 1).unwrap();
    let before = contents(&disk);
    let printed = all_printed(&report(&disk));
    assert_eq!(printed.len(), 2);
    for accept in [&[][..], &printed[..1], &printed[1..]] {
        let refused = repair_with(&disk, accept).unwrap_err();
        let RepairError::NotAccepted(refused) = refused else {
            panic!("{refused}");
        };
        assert_eq!(refused.len(), 2 - accept.len());
        assert!(
            refused
                .iter()
                .all(|finding| !accept.iter().any(|one| one.covers(&finding.at)))
        );
        assert_eq!(contents(&disk), before);
    }
    repair_with(&disk, &printed).unwrap();
    assert_eq!(gone(&fixture, &disk), [(1, 3), (2, 8), (2, 9)]);
}

#[test]
fn what_is_lost_is_reported_and_its_original_kept() {
    let fixture = Fixture::build();
    let (path, at) = fixture.find(b"queue 2 number 9 ");
    let disk = fixture.flipped(&path, at);
    let found = report(&disk);
    let range = found.findings[0].at.clone();
    let (from, to) = range.bytes.unwrap();
    let damaged = contents(&disk)[&path][from as usize..to as usize].to_vec();
    let repaired = repair_with(&disk, &all_printed(&found)).unwrap();

    // The other entries of the batch are there, by their own checksums.
    assert_eq!(gone(&fixture, &disk), [(2, 8), (2, 9)]);
    assert_eq!(repaired.findings, found.findings);
    let missing = How::Missing {
        first_seq: 8,
        last_seq: 9,
    };
    let concerned = &repaired.findings[0].queues;
    assert!(
        concerned
            .iter()
            .any(|concerned| concerned.queue.0 == 2 && concerned.how == missing)
    );
    assert!(has_original(&disk, &damaged));
    let name = format!("quarantine/{}", range.to_string().replace('/', "-"));
    assert!(repaired.quarantined.contains(&name), "{repaired}");
    assert!(
        repaired.to_string().contains("not accounted for"),
        "{repaired}"
    );

    let now = report(&disk);
    assert!(now.is_good() && now.remarks.is_empty(), "{now}");
    let now = live(&disk);
    let delivered = [(3, 2), (1, 6), (4, 5), (1, 7), (7, 40)].map(|of| now[&of].1);
    let kept = [(4, 0), (2, 0), (1, 5_000), (1, 6_000), (3, 7_000)];
    assert_eq!(delivered, kept, "how often, and until when they wait");
    // What is written now is found behind the repair.
    assert_eq!(repair_with(&disk, &[]).unwrap(), Repaired::default());
}

#[test]
fn whatever_bit_is_flipped_the_folder_opens_again_and_only_what_the_bit_was_in_is_gone() {
    let fixture = Fixture::build();
    for (path, bytes) in contents(&fixture.disk) {
        if !path.contains('/') {
            continue;
        }
        for at in (0..bytes.len()).step_by(step(&path) * 7 + 2) {
            let disk = fixture.flipped(&path, at);
            let found = report(&disk);
            if found.is_good() {
                continue;
            }
            let what = format!("{path} {at}\n{found}");
            let before = contents(&disk);
            if found
                .findings
                .iter()
                .any(|finding| finding.loses == Loses::Something)
            {
                let refused = repair_with(&disk, &[]);
                assert!(
                    matches!(refused, Err(RepairError::NotAccepted(_))),
                    "{what}"
                );
                assert_eq!(contents(&disk), before);
            }
            let repaired = repair_with(&disk, &all_printed(&found));
            let repaired = repaired.unwrap_or_else(|error| panic!("{what}{error}"));
            assert!(!repaired.quarantined.is_empty());
            let lost = gone(&fixture, &disk);
            let accepted = found
                .findings
                .iter()
                .any(|finding| finding.loses == Loses::Something);
            assert!(lost.is_empty() || accepted, "{what}: {lost:?}");
            assert!(
                lost.iter().all(|of| is_near(&bytes, at, *of)),
                "{what}: {lost:?}"
            );
            assert!(report(&disk).is_good(), "{what}");
        }
    }
}

/// Whether a message is in the same entry, or is the message, that a byte belongs to: within as much as the longest entry here takes.
fn is_near(bytes: &[u8], at: usize, of: (u64, u64)) -> bool {
    let message = record(of.0, of.1);
    let around = &bytes[at.saturating_sub(10_000)..bytes.len().min(at + 10_000)];
    around.windows(message.len()).any(|part| part == message)
}

#[test]
fn a_missing_segment_and_a_missing_file_of_the_log_cost_what_was_in_them() {
    let fixture = Fixture::build();
    let disk = fixture.disk.kill();
    disk.remove(Path::new("seg/0000000000000001.seg")).unwrap();
    let repaired = repair_with(&disk, &["seg/0000000000000001.seg".parse().unwrap()]).unwrap();
    let in_it = |of: &&(u64, u64)| of.0 == 1 || of.0 == 2 && of.1 < 4;
    let lost: Vec<_> = fixture.model.keys().filter(in_it).copied().collect();
    assert_eq!(gone(&fixture, &disk), lost);
    assert_eq!(repaired.findings[0].queues.len(), 2, "{repaired}");

    let names = fixture.disk.list(Path::new(WAL_FOLDER)).unwrap();
    for (name, _) in names {
        let disk = fixture.disk.kill();
        let path = Path::new(WAL_FOLDER).join(&name);
        let bytes = contents(&disk).remove(&path.display().to_string()).unwrap();
        disk.remove(&path).unwrap();
        let found = report(&disk);
        repair_with(&disk, &all_printed(&found)).unwrap();
        let lost = gone(&fixture, &disk);
        let was_in = |of: &(u64, u64)| bytes.windows(150).any(|part| part == record(of.0, of.1));
        assert!(lost.iter().all(was_in), "{name}: {lost:?}\n{found}");
        assert!(report(&disk).is_good());
    }
}

#[test]
fn without_any_checkpoint_what_is_left_of_them_and_the_log_are_used() {
    let fixture = Fixture::build();
    let both = ["ckpt/0000000000000001.ckpt", "ckpt/0000000000000002.ckpt"];
    // The trailers: all sections are whole.
    let disk = fixture.disk.kill();
    for path in both {
        let end = contents(&disk)[path].len() as u64;
        disk.flip(Path::new(path), end - 20, 1).unwrap();
    }
    repair_with(&disk, &[]).unwrap();
    assert_eq!(live(&disk), fixture.model);

    // The streams: the log has everything from its beginning on, but the segments' places.
    let disk = fixture.disk.kill();
    for path in both {
        let end = contents(&disk)[path].len() as u64;
        disk.flip(Path::new(path), end - 30, 1).unwrap();
    }
    let accept = both.map(|path| Accept::Range(DamagedRange::whole(path)));
    repair_with(&disk, &accept).unwrap();
    assert!(gone(&fixture, &disk).is_empty());
    assert!(report(&disk).is_good());
}

#[test]
fn several_damages_at_once_are_repaired_at_once() {
    let fixture = Fixture::build();
    let disk = fixture.disk.kill();
    let texts = [
        &b"queue 2 number 9 "[..],
        b"queue 3 number 1 ",
        b"queue 5 number 7 ",
        b"queue 7 number 30 ",
    ];
    for text in texts {
        let (path, at) = fixture.find(text);
        disk.flip(Path::new(&path), at as u64, 2).unwrap();
    }
    disk.flip(Path::new("ckpt/0000000000000002.ckpt"), 70, 2)
        .unwrap();
    disk.flip(Path::new("seg/0000000000000001.seg"), 20, 2)
        .unwrap();
    let found = report(&disk);
    let repaired = repair_with(&disk, &all_printed(&found)).unwrap();
    let lost = gone(&fixture, &disk);
    let expected = |of: &(u64, u64)| matches!(of, (2, 8 | 9) | (3, _) | (5, 7) | (7, _));
    assert!(lost.iter().all(expected), "{lost:?}\n{repaired}");
    assert!(
        lost.contains(&(2, 9)) && lost.contains(&(7, 30)),
        "{lost:?}"
    );
    assert!(report(&disk).is_good());
}

#[test]
fn a_block_that_the_disk_cannot_read_costs_what_was_in_it() {
    let fixture = Fixture::build();
    for (path, bytes) in contents(&fixture.disk) {
        let blocks = (0..bytes.len() as u64).step_by(4096);
        for block in blocks.filter(|_| path.contains('/')) {
            let disk = BadSectors {
                disk: fixture.disk.kill(),
                path: Path::new(&path).to_owned(),
                bad: block..block + 4096,
            };
            let found = check(&disk, &|_, _| None).unwrap();
            let what = format!("{path} {block}\n{found}");
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            repair(&shared, &all_printed(&found), MAKING, &|_, _| None).expect(&what);
            let lost = gone(&fixture, &disk.disk);
            let accepted = found
                .findings
                .iter()
                .any(|finding| finding.loses == Loses::Something);
            assert!(lost.is_empty() || accepted, "{what}: {lost:?}");
            let is_near = |of: &(u64, u64)| is_near(&bytes, block as usize + 2048, *of);
            assert!(lost.iter().all(is_near), "{what}: {lost:?}");
        }
    }
}
