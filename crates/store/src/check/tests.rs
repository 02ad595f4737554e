//! Whatever bit is flipped, a check finds it where it matters, names it, and changes nothing.

pub(crate) mod bad_sectors;
pub(crate) mod fixture;

use std::path::Path;

use self::fixture::*;
use super::*;
use crate::disk::{Disk, SimDisk};

fn checked(disk: &SimDisk) -> Report {
    check(disk, &|_, queue| Some(format!("'q{}'", queue.0))).unwrap()
}

fn named(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|finding| finding.at.to_string())
        .collect()
}

#[test]
fn a_whole_folder_is_good_and_stays_as_it_is() {
    let Fixture { disk, model, .. } = Fixture::build();
    let before = contents(&disk);
    let report = checked(&disk);
    assert!(report.is_good(), "{report}");
    assert!(report.remarks.is_empty(), "{report}");
    assert_eq!(report.counts.messages, model.len() as u64, "{report}");
    assert_eq!((report.counts.definitions, report.counts.segments), (1, 2));
    assert!(
        report.to_string().ends_with("nothing is damaged\n"),
        "{report}"
    );
    assert_eq!(contents(&disk), before);
}

#[test]
fn a_folder_in_use_is_refused_and_one_that_is_not_there_not_made() {
    let disk = Fixture::build().disk;
    let held = Folder::open_existing(&disk).unwrap();
    let refused = check(&disk, &|_, _| None).unwrap_err();
    assert!(
        matches!(refused, CheckError::Folder(FolderError::InUse)),
        "{refused}"
    );
    drop(held);
    assert!(checked(&disk).is_good());

    let empty = SimDisk::new(1);
    let refused = check(&empty, &|_, _| None).unwrap_err();
    assert!(
        matches!(refused, CheckError::Folder(FolderError::None)),
        "{refused}"
    );
    assert!(empty.list(Path::new("")).unwrap().is_empty());
}

#[test]
fn every_flip_is_found_and_named_or_does_not_matter_and_nothing_is_changed() {
    let fixture = Fixture::build();
    for (path, bytes) in contents(&fixture.disk) {
        if !path.contains('/') {
            continue;
        }
        for at in (0..bytes.len()).step_by(fixture::step(&path)) {
            let disk = fixture.flipped(&path, at);
            let before = contents(&disk);
            let report = checked(&disk);
            assert_eq!(contents(&disk), before);
            // Nothing reads what lies before the checkpoint and is not live, nor zeros behind batches.
            let matters = fixture.matters(&path, at);
            assert_eq!(!report.is_good(), matters, "{path} {at}\n{report}");
            let names_it = named(&report).iter().any(|name| name.starts_with(&path));
            assert!(report.is_good() || names_it, "{path} {at}\n{report}");
        }
    }
}

#[test]
fn the_queue_of_a_damaged_message_is_named_with_its_numbers() {
    let fixture = Fixture::build();
    // The last byte of the records of queue 2 in a batch behind the checkpoint.
    let (path, at) = fixture.find(b"queue 2 number 9 ");
    let report = checked(&fixture.flipped(&path, at));
    let [finding] = report.findings.as_slice() else {
        panic!("{report}");
    };
    assert_eq!(finding.loses, Loses::Something);
    let text = report.to_string();
    assert!(
        text.contains("queue 'q2': messages 8 to 9 are not accounted for"),
        "{text}"
    );

    // One before it, that still lives in the log.
    let (path, at) = fixture.find(b"queue 3 number 1 ");
    let text = checked(&fixture.flipped(&path, at)).to_string();
    assert!(
        text.contains("queue 'q3': 2 messages are lost, numbers 1 to 2"),
        "{text}"
    );

    // One in a segment.
    let (path, at) = fixture.find(b"queue 1 number 3 ");
    assert!(path.starts_with("seg/"), "{path}");
    let text = checked(&fixture.flipped(&path, at)).to_string();
    assert!(
        text.contains("queue 'q1': 1 message is lost, number 3"),
        "{text}"
    );
}

#[test]
fn what_is_missing_or_nobodys_is_told() {
    let fixture = Fixture::build();
    let disk = fixture.disk.kill();
    let segment = Path::new("seg/0000000000000001.seg");
    disk.rename(segment, Path::new("seg/00000000000000aa.seg"))
        .unwrap();
    disk.create(Path::new("seg/00000000000000ab.tmp")).unwrap();
    disk.create(Path::new("wal/readme")).unwrap();
    disk.create(Path::new("quarantine/old")).unwrap();
    let report = checked(&disk);
    assert_eq!(named(&report), ["seg/0000000000000001.seg"]);
    assert_eq!(report.findings[0].loses, Loses::Something);
    assert_eq!(report.quarantine, [("old".to_owned(), 0)]);
    let text = report.to_string();
    for told in [
        "the segment is missing",
        "remark: seg/00000000000000aa.seg belongs to nobody",
        "remark: seg/00000000000000ab.tmp was never finished",
        "remark: wal/readme is no file of the log",
        "in quarantine: old, 0 bytes",
    ] {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn one_damaged_checkpoint_loses_nothing_and_two_do() {
    let fixture = Fixture::build();
    let both = ["ckpt/0000000000000001.ckpt", "ckpt/0000000000000002.ckpt"];
    for path in both {
        let report = checked(&fixture.flipped(path, 100));
        assert_eq!(named(&report), [path]);
        assert_eq!(report.findings[0].loses, Loses::Nothing, "{report}");
    }
    let disk = fixture.flipped(both[0], 100);
    disk.flip(Path::new(both[1]), 20, 1).unwrap();
    let report = checked(&disk);
    assert!(
        both.iter()
            .all(|path| named(&report).contains(&(*path).to_owned())),
        "{report}"
    );
    let loses = report
        .findings
        .iter()
        .all(|finding| finding.loses == Loses::Something);
    assert!(loses, "{report}");
}

#[test]
fn what_is_accepted_is_read_as_it_is_printed() {
    for text in [
        "all",
        "wal/0000000000000002.wal@8192-12288",
        "seg/0000000000000007.seg",
        "wal@1-2",
    ] {
        let accept: Accept = text.parse().unwrap();
        let printed = match &accept {
            Accept::All => "all".to_owned(),
            Accept::Range(range) => range.to_string(),
        };
        assert_eq!(printed, text);
    }
    for text in [
        "",
        "everything",
        "wal/1.wal@",
        "wal/1.wal@2-1",
        "wal/1.wal@-1",
        "@1-2",
    ] {
        assert!(text.parse::<Accept>().is_err(), "{text}");
    }
    let covers = |accepted: &str, damaged: &str| {
        let Accept::Range(damaged) = damaged.parse().unwrap() else {
            panic!("{damaged}");
        };
        accepted.parse::<Accept>().unwrap().covers(&damaged)
    };
    assert!(covers("all", "wal/a@1-5") && covers("wal/a@1-5", "wal/a@1-5"));
    assert!(covers("wal/a@0-9", "wal/a@1-5") && covers("wal/a", "wal/a@1-5"));
    assert!(!covers("wal/a@1-4", "wal/a@1-5") && !covers("wal/b@1-5", "wal/a@1-5"));
    assert!(!covers("wal/a@1-5", "wal/a"));
}
