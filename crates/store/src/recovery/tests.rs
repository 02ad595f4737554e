//! What recovery refuses, and what it only remarks on. That it loses nothing is tested with the commit.

use super::*;
use crate::disk::SimDisk;
use crate::entry::{self, Stamp};
use crate::log::Group;
use crate::wal::BATCH_HEADER_LEN;

const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 16 * 1024,
};

fn define(out: &mut Vec<u8>, key: &str) {
    let stamp = Stamp {
        group: Group(0),
        term: 0,
        index: 0,
    };
    entry::define(out, stamp, key.as_bytes(), b"value").unwrap();
}

/// A folder with these definitions, each in a batch of its own.
fn folder(keys: &[&str]) -> SimDisk {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut recovered = recover(&disk, LENS, 1).unwrap();
    for key in keys {
        let mut batch = vec![0; BATCH_HEADER_LEN];
        define(&mut batch, key);
        recovered.wal.append_batch(&mut batch, 1, 1).unwrap();
        recovered.wal.sync().unwrap();
    }
    sim.kill()
}

fn keys(recovered: &Recovered) -> Vec<String> {
    let keys = recovered.index.definitions().map(|(key, _)| key.to_vec());
    keys.map(|key| String::from_utf8(key).unwrap()).collect()
}

fn recover_again(sim: &SimDisk) -> Result<Recovered, RecoveryError> {
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    recover(&disk, LENS, 2)
}

#[test]
fn what_the_log_says_is_there_again() {
    let recovered = recover_again(&folder(&["a", "b", "c"])).unwrap();
    assert_eq!(keys(&recovered), ["a", "b", "c"]);
    assert!(recovered.remarks.is_empty(), "{:?}", recovered.remarks);
    assert!(!recovered.folder.is_new);
}

#[test]
fn a_flipped_bit_in_confirmed_data_is_told_with_file_and_range() {
    let sim = folder(&["a", "b", "c"]);
    let (name, _) = sim.list(Path::new(WAL_FOLDER)).unwrap().remove(0);
    sim.flip(&Path::new(WAL_FOLDER).join(&name), 4096 + 100, 3)
        .unwrap();
    let refused = recover_again(&sim).expect_err("a confirmed batch is damaged");
    let text = refused.to_string();
    assert!(matches!(refused, RecoveryError::Damaged(_)), "{text}");
    assert!(
        text.contains(&name) && text.contains("bytes 4096 to 8192"),
        "{text}"
    );
    // It stays as it was, for the operator to look at.
    assert!(matches!(
        recover_again(&sim),
        Err(RecoveryError::Damaged(_))
    ));
}

#[test]
fn strangers_are_remarked_on_and_left_alone() {
    let sim = folder(&["a"]);
    sim.create(Path::new("seg/00000000000000aa.seg")).unwrap();
    sim.create(Path::new("seg/00000000000000ab.tmp")).unwrap();
    let recovered = recover_again(&sim).unwrap();
    assert_eq!(
        recovered.remarks,
        ["seg/00000000000000aa.seg belongs to nobody"]
    );
    let names = sim.list(Path::new("seg")).unwrap();
    assert_eq!(names.len(), 1, "what was never finished goes: {names:?}");
}
