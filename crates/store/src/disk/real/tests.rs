//! What only the operating system's disk does. What both disks do alike is tested beside the traits.

use std::process::{Command, Stdio};

use super::super::FilesystemKind;
use super::*;

fn disk() -> (tempfile::TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    (folder, disk)
}

#[test]
fn a_lock_is_held_against_this_process_and_others_until_dropped() {
    let (folder, disk) = disk();
    let path = Path::new("LOCK");
    let other_process_gets_it = || {
        let status = Command::new("flock")
            .args(["--nonblock", "LOCK", "true"])
            .current_dir(folder.path())
            .stderr(Stdio::inherit())
            .status()
            .unwrap();
        status.success()
    };
    let lock = disk.lock(path).unwrap();
    assert_eq!(disk.lock(path).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!other_process_gets_it());
    drop(lock);
    assert!(other_process_gets_it());
    disk.lock(path).unwrap();
}

#[test]
fn opening_needs_a_folder() {
    let (folder, disk) = disk();
    disk.create(Path::new("file")).unwrap();
    let kind = |name: &str| {
        RealDisk::open(&folder.path().join(name))
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind("file"), ErrorKind::NotADirectory);
    assert_eq!(kind("missing"), ErrorKind::NotFound);
}

#[test]
fn allocate_reserves_blocks() {
    use std::os::unix::fs::MetadataExt;
    let (folder, disk) = disk();
    let file = disk.create(Path::new("file")).unwrap();
    file.allocate(300_000).unwrap();
    file.sync().unwrap();
    let metadata = fs::metadata(folder.path().join("file")).unwrap();
    assert_eq!(metadata.len(), 300_000);
    assert!(metadata.blocks() * 512 >= 300_000);
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let (folder, disk) = disk();
    disk.create(Path::new("file")).unwrap();
    let mode = fs::metadata(folder.path().join("file")).unwrap().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn free_bytes_are_what_the_system_says() {
    let (folder, disk) = disk();
    let output = Command::new("df")
        .args(["--output=avail", "--block-size=1"])
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: u64 = text.lines().nth(1).unwrap().trim().parse().unwrap();
    // Others write to the same disk meanwhile.
    assert!(disk.free_bytes().unwrap().abs_diff(said) < said / 2);
}

#[test]
fn filesystems_are_told_apart() {
    let (_folder, disk) = disk();
    disk.filesystem().unwrap();
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        let filesystem = RealDisk::open(shared_memory).unwrap().filesystem().unwrap();
        assert_eq!(
            (filesystem.kind, filesystem.name),
            (FilesystemKind::Memory, "tmpfs")
        );
    }
    assert_eq!(filesystem::by_number(0x6969).kind, FilesystemKind::Network);
    assert_eq!(
        filesystem::by_number(0x9123_683e).kind,
        FilesystemKind::CopyOnWrite
    );
    assert_eq!(filesystem::by_number(1).kind, FilesystemKind::Unknown);
}
