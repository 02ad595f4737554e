//! Damages of the log that a flipped bit does not make, and what follows from a damage further on in the log.

use super::*;
use crate::disk::File;
use crate::recovery::recover;

/// The messages of a queue that are live.
fn numbers(disk: &SimDisk, queue: u64) -> Vec<u64> {
    let live = live(disk);
    let of = live.keys().filter(|(of, _)| *of == queue);
    of.map(|(_, seq)| *seq).collect()
}

/// Damages what begins with a text in the log, though a segment has it too.
fn flip_in_log(disk: &SimDisk, text: &[u8]) {
    for (path, bytes) in contents(disk) {
        let at = bytes.windows(text.len()).position(|part| part == text);
        if let (true, Some(at)) = (path.starts_with("wal/"), at) {
            disk.flip(Path::new(&path), at as u64, 3).unwrap();
        }
    }
}

fn open(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path)).unwrap()
}

/// The files of the log, and for each the messages in it.
fn log_files(disk: &SimDisk) -> Vec<String> {
    let names = disk.list(Path::new(WAL_FOLDER)).unwrap();
    names
        .into_iter()
        .map(|(name, _)| format!("{WAL_FOLDER}/{name}"))
        .collect()
}

#[test]
fn a_segment_that_was_added_behind_a_damage_may_be_refused_and_nothing_is_lost_by_that() {
    let fixture = Fixture::with(|log| {
        log.batch(|out| enqueue(out, 8, 1..5));
        log.batch(|out| enqueue(out, 8, 5..9));
        log.page_out(3, &[8]);
        log.batch(|out| settle(out, 8, 1, 1));
        log.compact(3, 4, &[8]);
        log.batch(|out| enqueue(out, 9, 1..5));
    });
    let disk = fixture.disk.kill();
    flip_in_log(&disk, b"queue 8 number 6 ");
    let found = report(&disk);
    // The batch; that the segment is added; that it is dropped for another one.
    assert_eq!(found.findings.len(), 3, "{found}");
    let repaired = repair_with(&disk, &all_printed(&found)).unwrap();
    assert_eq!(numbers(&disk, 8), [2, 3, 4]);
    assert_eq!(gone(&fixture, &disk), [(8, 5), (8, 6), (8, 7), (8, 8)]);
    let kept = "quarantine/seg-0000000000000004.seg".to_owned();
    assert!(repaired.quarantined.contains(&kept), "{repaired}");
    assert!(report(&disk).is_good());
}

#[test]
fn settling_that_is_lost_makes_messages_live_again_and_nothing_else() {
    let fixture = Fixture::with(|log| {
        log.batch(|out| settle(out, 7, 10, 5));
        log.batch(|out| settle(out, 7, 20, 5));
        log.batch(|out| enqueue(out, 9, 1..5));
    });
    let disk = fixture.disk.kill();
    let settled = {
        let mut bytes = vec![];
        settle(&mut bytes, 7, 10, 5);
        bytes
    };
    flip_in_log(&disk, &settled);
    let found = report(&disk);
    assert!(
        found
            .to_string()
            .contains("queue number 7: has entries beside the damage"),
        "{found}"
    );
    repair_with(&disk, &all_printed(&found)).unwrap();
    assert!(gone(&fixture, &disk).is_empty());
    let again: Vec<_> = live(&disk)
        .into_keys()
        .filter(|of| !fixture.model.contains_key(of))
        .collect();
    assert_eq!(again, [(7, 10), (7, 11), (7, 12), (7, 13), (7, 14)]);
}

#[test]
fn what_a_later_segment_does_not_have_was_settled_though_its_settling_is_lost() {
    let fixture = Fixture::with(|log| {
        log.batch(|out| enqueue(out, 8, 1..9));
        log.batch(|out| settle(out, 8, 3, 2));
        log.batch(|out| enqueue(out, 8, 9..12));
        log.batch(|out| enqueue(out, 8, 12..14));
        log.page_out(3, &[8]);
    });
    let disk = fixture.disk.kill();
    let mut settled = vec![];
    settle(&mut settled, 8, 3, 2);
    flip_in_log(&disk, &settled);
    // Without these the segment seems to have as many messages as move to it.
    flip_in_log(&disk, b"queue 8 number 10 ");
    let found = report(&disk);
    let text = found.to_string();
    assert!(text.contains("2 messages whose settling is lost"), "{text}");
    repair_with(&disk, &all_printed(&found)).unwrap();
    assert_eq!(numbers(&disk, 8), [1, 2, 5, 6, 7, 8, 12, 13]);
    assert!(report(&disk).is_good());
}

#[test]
fn a_file_without_any_header_left_is_given_up_as_a_whole() {
    let fixture = Fixture::build();
    for path in log_files(&fixture.disk) {
        let disk = fixture.disk.kill();
        let content = contents(&disk).remove(&path).unwrap();
        open(&disk, &path)
            .write_at(0, &vec![0xee; content.len()])
            .unwrap();
        let found = report(&disk);
        let accept = all_printed(&found);
        repair_with(&disk, &accept).unwrap_or_else(|error| panic!("{found}{error}"));
        let was_in = |of: &(u64, u64)| content.windows(150).any(|part| part == record(of.0, of.1));
        let lost = gone(&fixture, &disk);
        assert!(lost.iter().all(was_in), "{lost:?} {found}");
        assert!(report(&disk).is_good());
    }
}

#[test]
fn a_file_that_was_cut_off_keeps_what_is_before_the_cut() {
    let fixture = Fixture::build();
    for path in log_files(&fixture.disk) {
        for blocks in [1, 2, 3] {
            let disk = fixture.disk.kill();
            let content = contents(&disk).remove(&path).unwrap();
            let cut = content.len() - blocks * 4096;
            open(&disk, &path).truncate(cut as u64).unwrap();
            let found = report(&disk);
            repair_with(&disk, &all_printed(&found))
                .unwrap_or_else(|error| panic!("{found}{error}"));
            let was_cut = |of: &(u64, u64)| {
                content[cut..]
                    .windows(150)
                    .any(|part| part == record(of.0, of.1))
            };
            let lost = gone(&fixture, &disk);
            // The batch that the cut goes through loses the entry that it is in.
            let is_near = |of: &(u64, u64)| is_near(&content, cut, *of);
            assert!(
                lost.iter().all(|of| was_cut(of) || is_near(of)),
                "{lost:?} {found}"
            );
            assert!(report(&disk).is_good());
        }
    }
}

#[test]
fn a_log_that_ends_too_early_is_damaged_and_begun_anew_behind_what_it_had() {
    let fixture = Fixture::build();
    let disk = fixture.disk.kill();
    for path in log_files(&fixture.disk) {
        disk.remove(Path::new(&path)).unwrap();
    }
    let found = report(&disk);
    let [finding, ..] = found.findings.as_slice() else {
        panic!("{found}");
    };
    assert!(
        finding.what.contains("ends before the newest checkpoint"),
        "{found}"
    );
    repair_with(&disk, &all_printed(&found)).unwrap();
    // What was in segments is there.
    assert_eq!(numbers(&disk, 1), [1, 2, 3, 5, 6, 7]);
    assert!(report(&disk).is_good());
}

#[test]
fn entries_that_cannot_be_read_or_cannot_follow_are_named_and_the_others_kept() {
    let fixture = Fixture::build();
    let disk = fixture.disk.kill();
    {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut wal = crate::recovery::recover(&shared, LENS, 9).unwrap().wal;
        let mut readable = vec![];
        enqueue(&mut readable, 8, 1..4);
        let unreadable = [&readable[..], &[0xff; 40]].concat();
        append(&mut wal, &unreadable, 2);
        let mut twice = vec![];
        enqueue(&mut twice, 7, 5..9);
        enqueue(&mut twice, 9, 1..4);
        append(&mut wal, &twice, 2);
        wal.seal(1).unwrap();
    }
    let disk = disk.kill();
    let found = report(&disk);
    let whats: Vec<_> = found
        .findings
        .iter()
        .map(|finding| &finding.what[..])
        .collect();
    let [unknown, again] = whats.as_slice() else {
        panic!("{found}");
    };
    assert!(unknown.contains("not an entry of the log"), "{found}");
    assert!(
        again.contains("queue 7 stream 0 gives sequence number 5 again"),
        "{found}"
    );
    repair_with(&disk, &all_printed(&found)).unwrap();
    assert!(gone(&fixture, &disk).is_empty());
    assert_eq!(
        (numbers(&disk, 8), numbers(&disk, 9)),
        (vec![1, 2, 3], vec![1, 2, 3])
    );
    assert!(report(&disk).is_good());
}

/// A folder whose second file of the log ends with queue 1 and whose third begins with queue 2, and where that one begins.
fn two_files() -> (SimDisk, Live, [&'static str; 2]) {
    let disk = SimDisk::new(1);
    let mut log = Log::new(&disk);
    log.batch(|out| enqueue(out, 9, 1..2));
    log.batch(|out| enqueue(out, 9, 2..28));
    log.checkpoint(1);
    for first in [1, 27, 53] {
        log.batch(|out| enqueue(out, 1, first..first + 26));
    }
    log.batch(|out| enqueue(out, 2, 1..2));
    log.wal.seal(1).unwrap();
    drop(log);
    let disk = disk.kill();
    let model = live(&disk);
    let files = ["wal/0000000000000002.wal", "wal/0000000000000003.wal"];
    let starts_with = |path: &str, text: &[u8]| {
        let content = contents(&disk).remove(path).unwrap();
        content[4096..8192].windows(text.len()).any(|at| at == text)
    };
    assert!(starts_with(files[1], b"queue 2 number 1 "));
    (disk, model, files)
}

#[test]
fn a_batch_with_a_damaged_header_does_not_hide_what_is_gone_before_it() {
    for bit in (0..64 * 8).step_by(11) {
        for whole_file in [true, false] {
            let (disk, model, [second, third]) = two_files();
            let content = contents(&disk).remove(second).unwrap();
            let last = b"queue 1 number 53 ";
            let at = content.windows(last.len()).position(|part| part == last);
            let at = at.unwrap() / 4096 * 4096;
            match whole_file {
                true => open(&disk, second).truncate(0).unwrap(),
                // Nothing is left of the batch, as where the disk gives zeros.
                false => {
                    let zeros = vec![0; content.len() - at];
                    open(&disk, second).write_at(at as u64, &zeros).unwrap();
                }
            }
            disk.flip(Path::new(third), 4096 + bit / 8, (bit % 8) as u8)
                .unwrap();
            let found = report(&disk);
            let shared: Arc<dyn Disk> = Arc::new(disk.kill());
            assert!(recover(&shared, LENS, 3).is_err(), "{bit}: {found}");
            let refused = repair_with(&disk, &[]);
            assert!(
                matches!(refused, Err(RepairError::NotAccepted(_))),
                "{bit}: {found}"
            );
            repair_with(&disk, &all_printed(&found)).unwrap();
            let first_lost = if whole_file { 1 } else { 53 };
            let is_gone = |of: &(u64, u64)| of.0 == 1 && of.1 >= first_lost;
            let left: Vec<_> = model.keys().filter(|of| !is_gone(of)).collect();
            assert!(live(&disk).keys().eq(left), "{bit}: {found}");
            assert!(report(&disk).is_good());
        }
    }
}

#[test]
fn a_flipped_bit_in_the_header_of_a_batch_loses_nothing() {
    for bit in (0..64 * 8).step_by(3) {
        let (disk, model, [_, third]) = two_files();
        disk.flip(Path::new(third), 4096 + bit / 8, (bit % 8) as u8)
            .unwrap();
        let found = report(&disk);
        assert!(!found.is_good(), "{bit}");
        repair_with(&disk, &[]).unwrap_or_else(|error| panic!("{bit}: {error}"));
        assert_eq!(live(&disk), model, "{bit}: {found}");
    }
}

#[test]
fn a_missing_first_file_is_lost_though_the_next_one_begins_after_an_opening() {
    let disk = SimDisk::new(1);
    let mut log = Log::new(&disk);
    log.batch(|out| enqueue(out, 1, 1..2));
    log.batch(|out| enqueue(out, 1, 2..28));
    drop(log);
    let mut log = Log::new(&disk);
    log.batch(|out| enqueue(out, 2, 1..2));
    log.wal.seal(1).unwrap();
    drop(log);
    let disk = disk.kill();
    disk.remove(Path::new("wal/0000000000000001.wal")).unwrap();
    let found = report(&disk);
    let [finding] = found.findings.as_slice() else {
        panic!("{found}");
    };
    assert_eq!(finding.loses, Loses::Something, "{found}");
    repair_with(&disk, &all_printed(&found)).unwrap();
    assert_eq!(numbers(&disk, 2), [1]);
}

#[test]
fn a_damaged_last_batch_is_no_torn_tail_though_the_seal_behind_it_is_damaged_too() {
    for bit in (0..64 * 8).step_by(11) {
        let (disk, model, [_, third]) = two_files();
        let content = contents(&disk).remove(third).unwrap();
        assert!(content[8192..].starts_with(b"BTCH"), "the seal");
        let last = b"queue 2 number 1 ";
        let at = content.windows(last.len()).position(|part| part == last);
        disk.flip(Path::new(third), at.unwrap() as u64, 1).unwrap();
        disk.flip(Path::new(third), 8192 + bit / 8, (bit % 8) as u8)
            .unwrap();
        let found = report(&disk);
        let shared: Arc<dyn Disk> = Arc::new(disk.kill());
        assert!(recover(&shared, LENS, 3).is_err(), "{bit}: {found}");
        assert!(repair_with(&disk, &[]).is_err(), "{bit}: {found}");
        repair_with(&disk, &all_printed(&found)).unwrap();
        let left = model.keys().filter(|of| **of != (2, 1));
        assert!(live(&disk).keys().eq(left), "{bit}: {found}");
    }
}

#[test]
fn an_entry_that_is_not_known_is_lost_though_only_the_header_of_its_batch_is_damaged() {
    let disk = Fixture::build().disk.kill();
    let batch = {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut wal = recover(&shared, LENS, 9).unwrap().wal;
        let mut payload = vec![];
        enqueue(&mut payload, 8, 1..4);
        payload.extend([0xff; 40]);
        let lsn = append(&mut wal, &payload, 2);
        wal.seal(1).unwrap();
        let files: Vec<_> = wal.files().copied().collect();
        let place =
            |file: &crate::wal::WalFile| Some((file.path(WAL_FOLDER.as_ref()), file.offset(lsn)?));
        files.iter().find_map(place).unwrap()
    };
    let disk = disk.kill();
    disk.flip(&batch.0, batch.1 + 9, 1).unwrap();
    let found = report(&disk);
    assert!(repair_with(&disk, &[]).is_err(), "{found}");
    repair_with(&disk, &all_printed(&found)).unwrap();
    assert_eq!(numbers(&disk, 8), [1, 2, 3]);
}
