//! A folder is made whole or not at all, and is one process's at a time.

use super::*;
use crate::disk::{Faults, SimDisk};

const STORE: u128 = 0x1234_5678_9abc_def0;

#[test]
fn a_folder_keeps_its_number() {
    let disk = SimDisk::new(1);
    let made = Folder::open(&disk, STORE).unwrap();
    assert!(made.is_new && made.store == STORE);
    drop(made);
    let again = Folder::open(&disk, 7).unwrap();
    assert!(!again.is_new && again.store == STORE);
}

#[test]
fn a_folder_in_use_is_refused() {
    let disk = SimDisk::new(1);
    let _held = Folder::open(&disk, STORE).unwrap();
    assert!(matches!(
        Folder::open(&disk, STORE),
        Err(FolderError::InUse)
    ));
}

#[test]
fn cut_off_at_any_call_a_new_folder_is_whole_or_can_be_made() {
    let calls = {
        let disk = SimDisk::new(1);
        Folder::open(&disk, STORE).unwrap();
        disk.calls()
    };
    for at in 1..=calls {
        for seed in 0..8 {
            let disk = SimDisk::new(seed);
            disk.set_faults(Faults {
                crash_at: Some(at),
                ..Faults::default()
            });
            let _ = Folder::open(&disk, STORE);
            let after = disk.crash(seed);
            let folder = Folder::open(&after, 7).unwrap_or_else(|e| panic!("{at} {seed}: {e}"));
            assert!(folder.is_new || folder.store == STORE);
            for name in FOLDERS {
                assert!(after.list(Path::new(name)).unwrap().is_empty());
            }
        }
    }
}

fn with_version(text: &str) -> Result<Folder, FolderError> {
    let disk = SimDisk::new(1);
    let file = disk.create(Path::new(VERSION)).unwrap();
    file.write_at(0, text.as_bytes()).unwrap();
    Folder::open(&disk, 7)
}

#[test]
fn a_version_that_is_not_ours_is_refused() {
    assert_eq!(with_version(&version_text(STORE)).unwrap().store, STORE);
    assert!(matches!(
        with_version("format=2\nanything=else\n"),
        Err(FolderError::Newer(2))
    ));
    for damaged in [
        "",
        "format=1\n",
        "format=x\n",
        "format=1\nstore=12\ncrc=00000000\n",
    ] {
        let refused = with_version(damaged);
        assert!(
            matches!(refused, Err(FolderError::Version(_))),
            "{damaged:?}: {refused:?}"
        );
    }
    let whole = version_text(STORE);
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] ^= 1;
        let text = String::from_utf8(bytes).unwrap();
        assert!(with_version(&text).is_err(), "{text:?}");
    }
}

#[test]
fn files_without_a_version_are_never_taken_for_a_new_folder() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("wal")).unwrap();
    disk.create(Path::new("wal/0000000000000001.wal")).unwrap();
    assert!(matches!(
        Folder::open(&disk, 7),
        Err(FolderError::NoVersion("wal"))
    ));
    assert_eq!(disk.list(Path::new("wal")).unwrap().len(), 1);
}
