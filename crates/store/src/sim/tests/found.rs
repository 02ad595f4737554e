//! What the simulation found in the store, each as small as it gets.

use std::path::Path;

use super::super::rig::{Rig, Setup};
use super::*;
use crate::disk::{Chance, Faults};
use crate::entry::{self, NewEnqueue, Reason, Run, Stamp, Stream, Target};
use crate::keeper::Done;
use crate::log::{Group, QueueId, Urgency};
use crate::recovery::RecoveryError;

const QUEUE: QueueId = QueueId(64);
const CAPACITY: u64 = 1 << 30;

/// A store with a queue of messages of 3000 bytes.
struct Store {
    disk: SimDisk,
    rig: Rig,
    now_ms: u64,
}

fn setup(log_bytes: u64) -> Setup {
    let mut setup = Setup::new(&mut Chance::new(1));
    setup.aims.log_bytes = log_bytes;
    setup.aims.reserve_bytes = 0;
    setup.lens.full = setup.lens.first;
    setup.shards = 1;
    setup
}

fn capacity(bytes: u64) -> Faults {
    Faults {
        capacity: Some(bytes),
        ..Faults::default()
    }
}

impl Store {
    fn new(log_bytes: u64) -> Self {
        let disk = SimDisk::new(1);
        disk.set_faults(capacity(CAPACITY));
        let rig = open(&disk, log_bytes).unwrap();
        let now_ms = 1000;
        Self { disk, rig, now_ms }
    }

    /// Numbers of entries do not matter here.
    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), entry::TooLong>) {
        let stamp = Stamp {
            group: Group::of(QUEUE),
            term: 0,
            index: 1,
        };
        let pushed = self.rig.stagings[0].push(Urgency::Synced, |out| encode(out, stamp));
        pushed.unwrap();
        self.rig.commit.turn(self.now_ms).unwrap();
    }

    fn enqueue(&mut self, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            let target = Target {
                queue: QUEUE,
                stream: Stream(0),
                first: 0,
                count: 1,
                flags: 0,
                first_seq: seq,
                expires_ms: 0,
            };
            let new = NewEnqueue {
                unix_ms: 0,
                targets: &[target],
                starts: &[0],
                records: &[seq as u8; 3000],
                bodies: &[],
            };
            self.push(|out, stamp| entry::enqueue(out, stamp, &new));
        }
    }

    fn settle(&mut self, first_seq: u64, count: u64) {
        let runs = [Run { first_seq, count }];
        let of = (QUEUE, Stream(0));
        self.push(|out, stamp| entry::settle(out, stamp, of, Reason::Ack, runs));
    }

    /// Turns of keeper and commit, as long as there is anything to do.
    fn keep(&mut self) {
        for _ in 0..100 {
            self.now_ms += 100;
            let done = self.rig.keeper.turn(self.now_ms).unwrap();
            self.rig.commit.turn(self.now_ms).unwrap();
            let closed = self.rig.keeper.take_closed().into_iter();
            closed.for_each(|closed| self.rig.reader.close(closed));
            if done == Done::Nothing && !self.rig.keeper.has_plans() {
                return;
            }
        }
    }

    fn files(&self, folder: &str) -> Vec<(String, u64)> {
        self.disk.list(Path::new(folder)).unwrap()
    }

    fn live(&self) -> u64 {
        let applied = self.rig.applied.read();
        applied.index.count(QUEUE, Stream(0))
    }
}

fn open(disk: &SimDisk, log_bytes: u64) -> Result<Rig, RecoveryError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Rig::open(&disk, &setup(log_bytes), 9)
}

#[test]
fn page_out_leaves_a_damaged_file_of_the_log_alone() {
    let mut store = Store::new(0);
    store.enqueue(1..12);
    let oldest = store.rig.files.list()[0];
    let path = oldest.path(Path::new("wal"));
    // The second message of three: there are good ones on both sides.
    store.disk.flip(&path, 2 * 4096 + 500, 1).unwrap();
    store.keep();
    let lost = store.rig.keeper.take_lost();
    assert_eq!((lost.len(), lost[0].first_seq, lost[0].last_seq), (1, 2, 2));
    assert_eq!(store.live(), 11);
    let still_there = store.rig.files.list().contains(&oldest);
    assert!(still_there, "its other messages are live");
    store.rig.commit.rest(store.now_ms).unwrap();
    store.rig.keeper.checkpoint(store.now_ms).unwrap();
    open(&store.disk.kill(), 0).unwrap();
}

#[test]
fn recovery_misses_a_file_of_the_log_from_before_the_checkpoint() {
    let mut store = Store::new(CAPACITY);
    store.enqueue(1..12);
    store.rig.commit.rest(store.now_ms).unwrap();
    store.rig.keeper.checkpoint(store.now_ms).unwrap();
    let path = store.rig.files.list()[0].path(Path::new("wal"));

    let disk = store.disk.kill();
    disk.flip(&path, 40, 0).unwrap();
    let refused = open(&disk, CAPACITY).expect_err("its header is damaged");
    assert!(matches!(&refused, RecoveryError::LogFile(file) if *file == path));

    let disk = store.disk.kill();
    disk.remove(&path).unwrap();
    let refused = open(&disk, CAPACITY).expect_err("it is missing");
    assert!(matches!(&refused, RecoveryError::Missing(file) if *file == path));
}

#[test]
fn dead_segments_go_though_there_is_no_room_to_page_out() {
    let mut store = Store::new(0);
    store.enqueue(1..7);
    store.keep();
    assert!(!store.files("seg").is_empty());
    store.enqueue(7..13);
    store.settle(1, 6);
    store.settle(8, 1);
    let used = CAPACITY - store.disk.free_bytes().unwrap();
    store.disk.set_faults(capacity(used + 4096));
    // A page-out is due and has no room; the checkpoints have.
    store.keep();
    let applied = store.rig.applied.read();
    let mut segments = applied.index.segments();
    assert!(segments.all(|(_, segment)| segment.live > 0));
    assert!(!store.rig.keeper.has_plans());
}

#[test]
fn what_was_removed_is_open_nowhere() {
    let mut store = Store::new(0);
    store.enqueue(1..40);
    store.keep();
    store.settle(1, 39);
    store.keep();
    let folders = ["", "wal", "seg", "ckpt"];
    let files = folders.iter().flat_map(|folder| store.files(folder));
    let named: u64 = files.map(|(_, len)| len).sum();
    let used = CAPACITY - store.disk.free_bytes().unwrap();
    assert_eq!(used, named, "files without names take space");
}

#[test]
fn a_checkpoint_whose_name_may_be_lost_lets_nothing_go() {
    let mut store = Store::new(CAPACITY);
    store.enqueue(1..12);
    store.rig.commit.rest(store.now_ms).unwrap();
    store.rig.keeper.checkpoint(store.now_ms).unwrap();
    store.enqueue(12..24);
    store.settle(1, 23);
    store.rig.commit.rest(store.now_ms).unwrap();
    // The next one is written, and its name is not.
    let syncs = store.disk.counts().syncs;
    store.disk.set_faults(Faults {
        fail_sync: Some(syncs + 2),
        ..capacity(CAPACITY)
    });
    store.rig.keeper.checkpoint(store.now_ms).unwrap_err();

    // The next process sees it, and writes another one.
    store.disk = store.disk.kill();
    store.rig = open(&store.disk, CAPACITY).unwrap();
    store.enqueue(24..26);
    store.rig.keeper.checkpoint(store.now_ms).unwrap();
    for _ in 0..4 {
        store.rig.keeper.turn(store.now_ms).unwrap();
        store.rig.commit.turn(store.now_ms).unwrap();
    }
    // A power cut takes the name; from the one before it everything must be found.
    for seed in 0..16 {
        let disk = store.disk.crash(seed);
        let names = disk.list(Path::new("ckpt")).unwrap();
        let newest = Path::new("ckpt").join(&names.last().unwrap().0);
        disk.remove(&newest).unwrap();
        let rig = open(&disk, CAPACITY).unwrap();
        let live = rig.applied.read().index.count(QUEUE, Stream(0));
        assert_eq!(live, 2, "seed {seed}");
    }
}

#[test]
fn folders_whose_names_may_be_lost_are_made_anew() {
    let disk = SimDisk::new(1);
    disk.set_faults(Faults {
        fail_sync: Some(1),
        ..capacity(CAPACITY)
    });
    open(&disk, CAPACITY).expect_err("the folders cannot be synced");
    // The next process finds them; what it confirms must last.
    let disk = disk.kill();
    let rig = open(&disk, CAPACITY).unwrap();
    let now_ms = 1000;
    let mut store = Store { disk, rig, now_ms };
    store.enqueue(1..3);
    for seed in 0..16 {
        let rig = open(&store.disk.crash(seed), CAPACITY).unwrap();
        let live = rig.applied.read().index.count(QUEUE, Stream(0));
        assert_eq!(live, 2, "seed {seed}");
    }
}
