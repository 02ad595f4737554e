//! Each rule of the simulated disk, over many seeds: what may happen does, and what must not never does.

use std::io::ErrorKind;

use super::*;
use crate::disk::{Disk, File};

mod faults;
mod survival;

const SEEDS: std::ops::Range<u64> = 0..300;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A disk with one file, its name and content synced.
fn disk_with(name: &str, content: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(1);
    let file = disk.create(path(name)).unwrap();
    file.write_at(0, content).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("")).unwrap();
    (disk, file)
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = match disk.open(path(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.unwrap(),
    };
    Some(all_of(&*file))
}

fn all_of(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

/// What is found after power cuts of all seeds.
fn found<T: Ord>(disk: &SimDisk, question: impl Fn(&SimDisk) -> T) -> BTreeSet<T> {
    SEEDS.map(|seed| question(&disk.crash(seed))).collect()
}

/// The names among some that find a file.
fn names(disk: &SimDisk) -> String {
    let files = disk.list(path("")).unwrap();
    let names: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn sectors_survive_in_any_subset() {
    let (disk, file) = disk_with("f", &[b'.'; 4 * 512]);
    file.write_at(0, &[b'#'; 4 * 512]).unwrap();
    let found = found(&disk, |disk| {
        let content = content(disk, "f").unwrap();
        let sectors = content.chunks(512).map(|sector| {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "a torn sector"
            );
            char::from(sector[0])
        });
        sectors.collect::<String>()
    });
    assert_eq!(found.len(), 16, "{found:?}");
    assert_eq!(all_of(&*file), [b'#'; 4 * 512], "the cache is not touched");
}

#[test]
fn a_sector_survives_as_any_of_its_versions() {
    let (disk, file) = disk_with("f", b"0");
    for version in [b"1", b"2", b"3"] {
        file.write_at(0, version).unwrap();
    }
    let found = found(&disk, |disk| content(disk, "f").unwrap());
    assert_eq!(
        found,
        BTreeSet::from([*b"0", *b"1", *b"2", *b"3"].map(Vec::from))
    );
}

#[test]
fn lengths_may_regress_and_cuts_may_be_undone() {
    let (disk, file) = disk_with("f", &[7; 1000]);
    file.truncate(10).unwrap();
    file.write_at(2000, &[8; 10]).unwrap();
    let found = found(&disk, |disk| content(disk, "f").unwrap().len());
    assert_eq!(found, BTreeSet::from([1000, 10, 2010]));
}

#[test]
fn what_a_cut_took_may_show_again_behind_a_new_end() {
    let (disk, file) = disk_with("f", &[7; 1024]);
    file.truncate(0).unwrap();
    file.truncate(1024).unwrap();
    assert_eq!(all_of(&*file), [0; 1024]);
    let found = found(&disk, |disk| {
        let content = content(disk, "f").unwrap();
        content
            .chunks(512)
            .map(|sector| sector[0])
            .collect::<Vec<_>>()
    });
    assert!(
        found.contains(&vec![7, 0]) && found.contains(&vec![0, 0]),
        "{found:?}"
    );
    file.sync().unwrap();
    assert_eq!(content(&disk.crash(1), "f").unwrap(), [0; 1024]);
}

#[test]
fn a_sync_keeps_data_and_length_but_not_the_name() {
    let disk = SimDisk::new(1);
    let file = disk.create(path("f")).unwrap();
    file.write_at(0, &[7; 3000]).unwrap();
    file.truncate(2000).unwrap();
    file.sync().unwrap();
    let both = BTreeSet::from([None, Some(vec![7; 2000])]);
    assert_eq!(found(&disk, |disk| content(disk, "f")), both);
    disk.sync_dir(path("")).unwrap();
    let kept = BTreeSet::from([Some(vec![7; 2000])]);
    assert_eq!(found(&disk, |disk| content(disk, "f")), kept);
}

#[test]
fn a_name_that_lasts_says_nothing_of_the_data() {
    let disk = SimDisk::new(1);
    let file = disk.create(path("f")).unwrap();
    disk.sync_dir(path("")).unwrap();
    file.write_at(0, b"data").unwrap();
    let found = found(&disk, |disk| content(disk, "f").unwrap());
    let expected: [&[u8]; 3] = [b"", b"data", &[0; 4]];
    assert_eq!(found, expected.map(Vec::from).into());
}

#[test]
fn unsynced_names_survive_in_any_subset() {
    let (disk, _) = disk_with("old", b"");
    disk.create(path("new")).unwrap();
    disk.remove(path("old")).unwrap();
    assert_eq!(found(&disk, names), set(["", "old", "new", "new old"]));
    disk.sync_dir(path("")).unwrap();
    assert_eq!(found(&disk, names), set(["new"]));
}

#[test]
fn a_rename_in_a_folder_is_seen_whole_or_not_at_all() {
    let (disk, _) = disk_with("a", b"a");
    let other = disk.create(path("b")).unwrap();
    other.write_at(0, b"b").unwrap();
    other.sync().unwrap();
    disk.sync_dir(path("")).unwrap();
    disk.rename(path("a"), path("b")).unwrap();
    let both = |disk: &SimDisk| (content(disk, "a"), content(disk, "b"));
    let (a, b) = (Some(b"a".to_vec()), Some(b"b".to_vec()));
    let either = BTreeSet::from([(a.clone(), b), (None, a.clone())]);
    assert_eq!(found(&disk, both), either);
    disk.sync_dir(path("")).unwrap();
    assert_eq!(found(&disk, both), BTreeSet::from([(None, a)]));
}

#[test]
fn a_rename_between_folders_lasts_when_both_were_synced() {
    let (disk, _) = disk_with("f", b"");
    disk.create_dir(path("d")).unwrap();
    disk.sync_dir(path("")).unwrap();
    disk.rename(path("f"), path("d/f")).unwrap();
    let places = |disk: &SimDisk| {
        let there = |name| content(disk, name).is_some();
        (there("f"), there("d/f"))
    };
    assert_eq!(found(&disk, places), [(true, false), (false, true)].into());
    disk.sync_dir(path("d")).unwrap();
    assert_eq!(found(&disk, places), [(true, true), (false, true)].into());
    disk.sync_dir(path("")).unwrap();
    assert_eq!(found(&disk, places), [(false, true)].into());
}

#[test]
fn a_folder_that_was_not_synced_takes_what_is_in_it_along() {
    let disk = SimDisk::new(1);
    disk.create_dir(path("d")).unwrap();
    disk.create(path("d/f")).unwrap().sync().unwrap();
    disk.sync_dir(path("d")).unwrap();
    let there = |disk: &SimDisk| content(disk, "d/f").is_some();
    assert_eq!(found(&disk, there), [false, true].into());
    disk.sync_dir(path("")).unwrap();
    assert_eq!(found(&disk, there), [true].into());
}

#[test]
fn a_new_folder_has_nothing_of_an_old_one_of_its_name() {
    let disk = SimDisk::new(1);
    disk.create_dir(path("d")).unwrap();
    disk.create(path("d/old")).unwrap();
    disk.sync_dir(path("d")).unwrap();
    disk.sync_dir(path("")).unwrap();
    disk.remove_dir_all(path("d")).unwrap();
    disk.create_dir(path("d")).unwrap();
    disk.create(path("d/new")).unwrap();
    let found = found(&disk, |disk| {
        let there = |name| content(disk, name).is_some();
        (there("d/old"), there("d/new"))
    });
    assert_eq!(found, [(false, false), (true, false), (false, true)].into());
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_gives_its_locks_back() {
    let (disk, file) = disk_with("f", b"0");
    file.write_at(0, b"1").unwrap();
    let lock = disk.lock(path("LOCK")).unwrap();
    let kind = disk.lock(path("LOCK")).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::WouldBlock);
    let left = disk.kill();
    assert_eq!(content(&left, "f").unwrap(), b"1");
    let later = found(&left, |disk| content(disk, "f").unwrap());
    assert_eq!(later, [*b"0", *b"1"].map(Vec::from).into());
    left.lock(path("LOCK")).unwrap();
    disk.crash(3).lock(path("LOCK")).unwrap();
    drop(lock);
    disk.lock(path("LOCK")).unwrap();
}

#[test]
fn space_of_a_removed_file_comes_back_when_it_is_closed() {
    let (disk, file) = disk_with("f", &[0; 100]);
    disk.set_faults(Faults {
        capacity: Some(150),
        ..Faults::default()
    });
    assert_eq!(disk.free_bytes().unwrap(), 50);
    disk.remove(path("f")).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 50);
    drop(file);
    assert_eq!(disk.free_bytes().unwrap(), 150);
    let later = found(&disk, |disk| content(disk, "f").map(|bytes| bytes.len()));
    assert_eq!(
        later,
        [None, Some(100)].into(),
        "the removal was not synced"
    );
}

#[test]
fn what_no_name_leads_to_after_a_crash_takes_no_space() {
    let disk = SimDisk::new(1);
    disk.create_dir(path("d")).unwrap();
    let file = disk.create(path("d/f")).unwrap();
    file.allocate(100).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("d")).unwrap();
    disk.set_faults(Faults {
        capacity: Some(150),
        ..Faults::default()
    });
    let found = found(&disk, |disk| {
        let there = content(disk, "d/f").is_some();
        (there, disk.free_bytes().unwrap())
    });
    assert_eq!(found, [(true, 50), (false, 150)].into());
}
