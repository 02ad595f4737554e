//! Chunks come back once, as they were, and leave no more behind than a few files.

use std::path::Path;

use super::*;
use crate::disk::SimDisk;

const FILE_LEN: u64 = 1000;

fn chunks() -> (Arc<SimDisk>, Chunks) {
    let disk = Arc::new(SimDisk::new(1));
    let chunks = Chunks::new(Arc::clone(&disk) as Arc<dyn Disk>, "tmp".into(), FILE_LEN);
    (disk, chunks.unwrap())
}

fn bytes(id: u64) -> Vec<u8> {
    vec![id as u8; 100 + id as usize % 7]
}

fn files(disk: &SimDisk) -> usize {
    disk.list(Path::new("tmp")).unwrap().len()
}

#[test]
fn chunks_come_back_once_in_any_order() {
    let (disk, mut chunks) = chunks();
    for id in 0..100 {
        chunks.put(ChunkId(id), &bytes(id)).unwrap();
    }
    for id in (0..100).rev() {
        assert_eq!(chunks.take(ChunkId(id)).unwrap(), bytes(id));
        let again = chunks.take(ChunkId(id)).map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::NotFound));
    }
    assert_eq!((files(&disk), chunks.disk_bytes()), (0, 0));
}

#[test]
fn a_few_that_stay_keep_a_few_files() {
    let (disk, mut chunks) = chunks();
    for id in 0..1000 {
        chunks.put(ChunkId(id), &bytes(id)).unwrap();
    }
    assert!(files(&disk) > 90);
    for id in (0..1000).filter(|id| id % 50 != 0) {
        chunks.forget(ChunkId(id)).unwrap();
    }
    assert!(files(&disk) <= 8, "{} files for 20 chunks", files(&disk));
    for id in (0..1000).step_by(50) {
        assert_eq!(chunks.take(ChunkId(id)).unwrap(), bytes(id));
    }
    assert_eq!(files(&disk), 0);
}

#[test]
fn what_is_not_what_was_written_does_not_come_back() {
    let (disk, mut chunks) = chunks();
    chunks.put(ChunkId(1), &bytes(1)).unwrap();
    let file = disk.open(Path::new("tmp/0000000000000001.chunks")).unwrap();
    file.write_at(50, b"x").unwrap();
    let error = chunks.take(ChunkId(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(
        error
            .to_string()
            .contains("0000000000000001.chunks: bytes 0 to 101")
    );
}

#[test]
fn the_folder_is_emptied_at_the_start() {
    let (disk, mut chunks) = chunks();
    chunks.put(ChunkId(1), &bytes(1)).unwrap();
    let again = Chunks::new(Arc::clone(&disk) as Arc<dyn Disk>, "tmp".into(), FILE_LEN).unwrap();
    assert_eq!((files(&disk), again.disk_bytes()), (0, 0));
}
