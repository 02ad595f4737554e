//! A survey and a scan agree on what is damaged, and what a survey goes on to, or can prove, is what was written.

use super::flips::sealed_log;
use super::model::*;
use crate::disk::SimDisk;
use crate::entry::Lsn;
use crate::wal::*;

/// What a survey gives of each entry: its place and its bytes.
type Read = Vec<(Lsn, Vec<u8>)>;

fn survey(model: &Model, disk: &SimDisk) -> (Survey, Read) {
    let mut survey = Survey::new(disk, options(99), model.start).unwrap();
    let mut read = Read::new();
    survey
        .replay(|seen| {
            match seen {
                Seen::Batch(batch) => {
                    read.extend(batch.entries().flatten().map(|e| (e.lsn, e.bytes.to_vec())));
                }
                Seen::Part(part) => {
                    read.extend(part.entries.iter().map(|e| (e.lsn, e.bytes.to_vec())));
                }
                Seen::Gap(_) | Seen::GapEnd => {}
            }
            Ok(())
        })
        .unwrap();
    (survey, read)
}

fn expected(model: &Model) -> Read {
    let first = |batch: &Written| Lsn(batch.lsn.0 + BATCH_HEADER_LEN as u64);
    let written = model.expected();
    let entries = written
        .iter()
        .flat_map(|batch| crate::entry::Entries::new(first(batch), &batch.payload).flatten());
    entries.map(|e| (e.lsn, e.bytes.to_vec())).collect()
}

/// Whether a scan finds damage is whether a survey does; the scan's range lies in what the survey names.
fn agree(model: &Model, disk: &SimDisk, survey: &Survey, what: &str) {
    let (_, found) = model.read(disk, model.start);
    let mut named = survey
        .gaps()
        .iter()
        .flat_map(|gap| &gap.damages)
        .chain(survey.flaws());
    match found.end {
        End::Clean { .. } => assert!(named.next().is_none() && survey.torn().is_none(), "{what}"),
        End::TornTail { at } => {
            assert!(named.next().is_none(), "{what}");
            assert_eq!(survey.torn(), Some(at), "{what}");
        }
        End::Damaged(damage) => assert!(
            named.any(|named| named.file == damage.file && named.from <= damage.from),
            "{what}: {damage}, {:?}",
            survey.gaps()
        ),
    }
}

#[test]
fn a_whole_log_is_read_as_a_scan_reads_it() {
    let (model, disk, _) = sealed_log();
    let (survey, read) = survey(&model, &disk);
    assert_eq!(read, expected(&model));
    assert!(survey.gaps().is_empty() && survey.flaws().is_empty() && survey.torn().is_none());
    let files: Vec<_> = survey.files().collect();
    assert_eq!(survey.behind(), files[files.len() - 1].end());
}

#[test]
fn a_flip_in_a_batch_costs_no_entry_but_the_one_it_is_in() {
    let (model, disk, files) = sealed_log();
    let all = expected(&model);
    for file in &files {
        let mut offset = BLOCK;
        while offset < file.len {
            let disk = disk.kill();
            disk.flip(&file.path("wal".as_ref()), offset, (offset % 8) as u8)
                .unwrap();
            let what = format!("offset {offset} of {}", file.seq);
            let (survey, read) = survey(&model, &disk);
            agree(&model, &disk, &survey, &what);
            let lsn = Lsn(file.start.0 + offset);
            let hit =
                |(at, bytes): &&(Lsn, Vec<u8>)| *at <= lsn && lsn < Lsn(at.0 + bytes.len() as u64);
            let lost: Vec<_> = all.iter().filter(|entry| !read.contains(entry)).collect();
            assert!(
                lost.iter().all(|entry| hit(entry) || offset % BLOCK < 64),
                "{what}"
            );
            assert!(
                lost.len() <= 1 && read.iter().all(|entry| all.contains(entry)),
                "{what}"
            );
            if !lost.is_empty() && survey.torn().is_none() {
                assert_eq!(survey.gaps().len(), 1, "{what}");
                assert!(survey.gaps()[0].damages.len() == 1, "{what}");
                assert_eq!(survey.gaps()[0].damages[0].file, file.path("wal".as_ref()));
            }
            offset += if offset % BLOCK < 70 { 1 } else { 797 };
        }
    }
}

#[test]
fn a_file_with_a_damaged_header_is_placed_by_its_batches() {
    let (model, disk, files) = sealed_log();
    let all = expected(&model);
    for file in &files {
        let disk = disk.kill();
        disk.flip(&file.path("wal".as_ref()), 33, 2).unwrap();
        let (survey, read) = survey(&model, &disk);
        let what = format!("file {}", file.seq);
        agree(&model, &disk, &survey, &what);
        assert_eq!(read, all, "{what}");
        let has_batches = all.iter().any(|(lsn, _)| file.offset(*lsn).is_some());
        assert_eq!(survey.flaws().len(), usize::from(has_batches), "{what}");
        assert_eq!(survey.gaps().is_empty(), has_batches, "{what}");
    }
}

#[test]
fn a_missing_file_is_a_gap_and_what_lies_behind_is_read() {
    let (model, disk, files) = sealed_log();
    let all = expected(&model);
    for file in &files {
        let disk = disk.kill();
        crate::disk::Disk::remove(&disk, &file.path("wal".as_ref())).unwrap();
        let (survey, read) = survey(&model, &disk);
        agree(&model, &disk, &survey, &format!("file {}", file.seq));
        let left = all.iter().filter(|(lsn, _)| file.offset(*lsn).is_none());
        assert!(read.iter().eq(left), "file {}", file.seq);
        let held = all.iter().any(|(lsn, _)| file.offset(*lsn).is_some());
        // A spare may have been more than that; the last one is missed by nobody.
        let is_behind = all.iter().all(|(lsn, _)| *lsn < file.start);
        let may_have_held = held || (is_behind && file.seq != files[files.len() - 1].seq);
        let lines_up = survey.gaps().iter().all(|gap| gap.lines_up);
        let gaps = survey.gaps();
        assert_eq!(lines_up, !may_have_held, "file {}: {gaps:?}", file.seq);
        assert!(survey.behind() >= files[files.len() - 2].end());
    }
}

#[test]
fn many_damages_are_all_named_and_what_is_between_is_read() {
    let (model, disk, files) = sealed_log();
    let batches = model.expected();
    let hit: Vec<_> = (0..batches.len() - 1).step_by(3).collect();
    for index in &hit {
        let lsn = batches[*index].lsn;
        let file = files
            .iter()
            .find(|file| file.offset(lsn).is_some())
            .unwrap();
        let path = file.path("wal".as_ref());
        let offset = file.offset(lsn).unwrap();
        // Nothing is left of the batch: neither its header nor its entry.
        for at in [8, 16, 70] {
            disk.flip(&path, offset + at, 3).unwrap();
        }
    }
    let (survey, read) = survey(&model, &disk);
    agree(&model, &disk, &survey, "many");
    assert_eq!(survey.gaps().len(), hit.len());
    assert!(survey.gaps().iter().all(|gap| !gap.lines_up));
    assert_eq!(read.len(), batches.len() - hit.len());
}
