//! `leveret store check` and `leveret store repair` as their operator runs them, on a folder of the operating system.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use leveret_store::disk::{Disk, RealDisk};
use leveret_store::entry::{self, Stamp};
use leveret_store::folder::Folder;
use leveret_store::log::Group;
use leveret_store::recovery::{FileLens, Recovered, recover};
use leveret_store::wal::BATCH_HEADER_LEN;
use tempfile::TempDir;

const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 16 * 1024,
};

/// A data folder with some definitions, each in a batch of its own, the last one synced.
fn data_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).expect("it is there"));
    let Recovered { mut wal, .. } = recover(&disk, LENS, 1).expect("it is empty");
    for key in ["a", "b", "c"] {
        let stamp = Stamp {
            group: Group(0),
            term: 0,
            index: 1,
        };
        let mut batch = vec![0; BATCH_HEADER_LEN];
        entry::define(&mut batch, stamp, key.as_bytes(), b"value").expect("it is short");
        wal.append_batch(&mut batch, 1, 1).expect("there is room");
    }
    wal.sync().expect("the disk works");
    wal.seal(1).expect("the disk works");
    folder
}

/// Flips a bit of the second definition, and names its file.
fn damage(folder: &Path) -> PathBuf {
    let file = folder.join("wal/0000000000000001.wal");
    let open = std::fs::File::options().read(true).write(true).open(&file);
    let open = open.expect("the log has a file");
    let mut byte = [0];
    open.read_exact_at(&mut byte, 8192 + 100)
        .expect("it is long enough");
    open.write_all_at(&[byte[0] ^ 1], 8192 + 100)
        .expect("it can be written");
    file
}

fn store(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    command.env_clear().stdin(Stdio::null());
    command
        .arg("store")
        .args(arguments)
        .env("LEVERET_DATA_DIR", folder);
    command.output().expect("the program is built")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_good_folder_is_said_to_be_good_and_repair_does_nothing() {
    let folder = data_folder();
    let output = store(folder.path(), &["check"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(
        text(&output.stdout).ends_with("nothing is damaged\n"),
        "{output:?}"
    );
    let output = store(folder.path(), &["repair"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(
        text(&output.stdout).contains("nothing was done"),
        "{output:?}"
    );
}

#[test]
fn damage_is_printed_refused_accepted_and_gone() {
    let folder = data_folder();
    damage(folder.path());
    let output = store(folder.path(), &["check"]);
    assert_eq!(code(&output), 1, "{output:?}");
    let range = "wal/0000000000000001.wal@8192-12288";
    assert!(text(&output.stdout).contains(range), "{output:?}");

    let output = store(folder.path(), &["check", "--json"]);
    assert_eq!(code(&output), 1, "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(report["good"], false);
    assert_eq!(report["damages"][0]["range"], range);
    assert_eq!(report["damages"][0]["loses_something"], true);

    let other = [
        "repair",
        "--accept-loss",
        "wal/0000000000000001.wal@4096-8192",
    ];
    let output = store(folder.path(), &other);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(text(&output.stderr).contains(range), "{output:?}");

    let output = store(folder.path(), &["repair", "--accept-loss", range]);
    assert_eq!(code(&output), 0, "{output:?}");
    let printed = text(&output.stdout);
    assert!(
        printed.ends_with("the data folder is repaired\n"),
        "{output:?}"
    );
    let copy = format!("quarantine/{}", range.replace('/', "-"));
    assert!(
        printed.contains(&copy) && folder.path().join(copy).exists(),
        "{output:?}"
    );
    assert_eq!(code(&store(folder.path(), &["check"])), 0);

    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).expect("it is there"));
    let index = recover(&disk, LENS, 2).expect("it is repaired").index;
    let keys: Vec<_> = index.definitions().map(|(key, _)| text(key)).collect();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn what_cannot_be_looked_at_is_said_to_be_that() {
    let folder = data_folder();
    let disk = RealDisk::open(folder.path()).expect("it is there");
    let held = Folder::open_existing(&disk).expect("nobody has it");
    for arguments in [&["check"][..], &["repair", "--accept-loss", "all"]] {
        let output = store(folder.path(), arguments);
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(
            text(&output.stderr).contains("in use by another process"),
            "{output:?}"
        );
    }
    drop(held);

    // The flag counts more than the variable; a folder that is not there is not made.
    let nowhere = folder.path().join("nowhere");
    let flag = nowhere.to_str().expect("it is text");
    let output = store(folder.path(), &["check", "--data-dir", flag]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(!nowhere.exists());
    let empty = tempfile::tempdir().expect("there is room for a folder");
    let output = store(empty.path(), &["check"]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(
        text(&output.stderr).contains("there is no data folder"),
        "{output:?}"
    );
    assert_eq!(empty.path().read_dir().expect("it is there").count(), 0);
    let output = store(folder.path(), &["repair", "--accept-loss", "everything"]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(
        text(&output.stderr).contains("as the check prints it"),
        "{output:?}"
    );
}
