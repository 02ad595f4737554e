//! What a turn of the commit costs by entry: figures for whoever changes it. Ignored, for they say nothing on a machine that is busy.
//!
//! `cargo test --release -p leveret-store commit::tests::cost -- --ignored --nocapture`

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::disk::RealDisk;

const TURNS: u64 = 200;
/// Small entries in one turn, each of another queue.
const SMALL: u64 = 1000;

/// A rig on a disk that never syncs, in memory where there is such a folder.
fn quick_rig() -> (tempfile::TempDir, Arc<dyn Disk>, Rig) {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open_unsynced(folder.path()).unwrap());
    let lens = FileLens {
        first: 64 << 20,
        full: 64 << 20,
    };
    let rig = rig_on(Arc::clone(&disk), lens, 5).unwrap();
    (folder, disk, rig)
}

/// Times turns, each of what `stage` stages, and says what an entry costs; `stage` gives how many it staged.
fn measure(what: &str, (rig, disk): (&mut Rig, &dyn Disk), stage: impl Fn(&Staging, u64) -> u64) {
    let (mut time, mut entries) = (Duration::ZERO, 0);
    for turn in 0..TURNS {
        entries += stage(&rig.stagings[0], turn);
        let begin = Instant::now();
        rig.commit.turn(turn).unwrap();
        rig.commit.sync().unwrap();
        time += begin.elapsed();
        have_spares(rig.commit.wal(), disk);
    }
    let each = time.as_nanos() as f64 / entries as f64;
    println!("{what}: {each:.0} ns for each of {entries} entries");
}

/// Gives back what is behind and makes what will be needed, so that no turn does.
fn have_spares(wal: &mut WalWriter, disk: &dyn Disk) {
    let mut files: Vec<u64> = wal.files().map(|file| file.seq).collect();
    files.pop();
    files
        .into_iter()
        .for_each(|file| wal.recycle(file).unwrap());
    while let Some(order) = wal.order_blank() {
        let made = order.make(disk);
        wal.take_blank(made).unwrap();
    }
}

#[test]
#[ignore = "figures, not a test"]
fn of_large_enqueues() {
    let (_folder, disk, mut rig) = quick_rig();
    measure(
        "1000 records of 100 B",
        (&mut rig, &*disk),
        |staging, turn| {
            enqueue(staging, Urgency::Synced, 1, turn * 1000 + 1, 1000);
            1
        },
    );
}

#[test]
#[ignore = "figures, not a test"]
fn of_small_entries() {
    let (_folder, disk, mut rig) = quick_rig();
    measure("1 record of 100 B", (&mut rig, &*disk), |staging, turn| {
        for queue in 0..SMALL {
            enqueue(staging, Urgency::Synced, queue, turn + 1, 1);
        }
        SMALL
    });
    measure(
        "settle of 1 message",
        (&mut rig, &*disk),
        |staging, turn| {
            for queue in 0..SMALL {
                settle(staging, queue, turn + 1, 1);
            }
            SMALL
        },
    );
}
