//! The keeper on a disk that is full: what makes room is done, and nothing is left behind.

use std::path::Path;

use super::*;
use crate::bell::Bell;
use crate::commit::Commit;
use crate::disk::{Faults, SimDisk};
use crate::entry::{self, NewEnqueue, Reason, Run, Stream, Target};
use crate::log::QueueId;
use crate::recovery::{FileLens, Recovered, WAL_FOLDER, recover};

const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 16 * 1024,
};

const AIMS: Aims = Aims {
    log_bytes: 64 * 1024,
    segment_bytes: 32 * 1024,
    checkpoint_bytes: 1 << 20,
    reserve_bytes: 0,
    checkpoint_ms: 1,
};

/// Messages of a queue in one entry, of 100 bytes each.
const COUNT: u32 = 20;

struct Rig {
    commit: Commit,
    keeper: Keeper,
    orders: Arc<Orders>,
    staging: Arc<Staging>,
    now_ms: u64,
}

fn rig(disk: &SimDisk) -> Rig {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Recovered {
        folder, index, wal, ..
    } = recover(&disk, LENS, 7).unwrap();
    let upto = wal.durable();
    let applied = Arc::new(RwLock::new(Applied { index, upto }));
    let bell = Arc::new(Bell::default());
    let staging = || Arc::new(Staging::new(Arc::clone(&bell), Box::new(|_| {})));
    let (shard, own) = (staging(), staging());
    let files = Arc::new(WalFiles::new(WAL_FOLDER.into()));
    let orders = Arc::new(Orders::default());
    let commit = Commit::new(
        wal,
        Arc::clone(&applied),
        Arc::clone(&files),
        Arc::clone(&orders),
        (vec![Arc::clone(&shard), Arc::clone(&own)], Arc::default()),
    );
    let keeper = Keeper::new(KeeperParts {
        disk,
        store: folder.store,
        aims: AIMS,
        applied,
        files,
        orders: Arc::clone(&orders),
        staging: own,
        checkpoint: None,
        next_segment: 1,
        dropped: Vec::new(),
    });
    Rig {
        commit,
        keeper,
        orders,
        staging: shard,
        now_ms: 1,
    }
}

impl Rig {
    fn enqueue(&mut self, first_seq: u64) {
        let starts: Vec<u32> = (0..COUNT).map(|i| i * 100).collect();
        let target = Target {
            queue: QueueId(1),
            stream: Stream(0),
            first: 0,
            count: COUNT,
            flags: 0,
            first_seq,
            expires_ms: 0,
        };
        let new = NewEnqueue {
            unix_ms: 1,
            targets: &[target],
            starts: &starts,
            records: &vec![7; COUNT as usize * 100],
            bodies: &[],
        };
        self.stage(|out, stamp| entry::enqueue(out, stamp, &new));
    }

    fn settle(&mut self, first_seq: u64, count: u64) {
        let of = (QueueId(1), Stream(0));
        let runs = [Run { first_seq, count }];
        self.stage(|out, stamp| entry::settle(out, stamp, of, Reason::Ack, runs));
    }

    fn stage(&mut self, encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), TooLong>) {
        let stamp = Stamp {
            group: Group(1),
            term: 0,
            index: 0,
        };
        let encode = |out: &mut Vec<u8>| encode(out, stamp);
        self.staging.push(Urgency::Synced, encode).unwrap();
        self.commit.turn(self.now_ms).unwrap();
    }

    /// Time goes by, and both do what there is to do.
    fn turn(&mut self) -> Done {
        self.now_ms += 1000;
        let done = self.keeper.turn(self.now_ms).unwrap();
        self.commit.turn(self.now_ms).unwrap();
        done
    }

    fn log_bytes(&mut self) -> u64 {
        self.commit.wal().files().map(|file| file.len).sum()
    }
}

fn used(disk: &SimDisk) -> u64 {
    let folders = ["", "wal", "seg", "ckpt"];
    let files = folders.map(|folder| disk.list(Path::new(folder)).unwrap());
    files.iter().flatten().map(|(_, len)| len).sum()
}

#[test]
fn where_there_is_no_room_for_a_segment_files_without_live_messages_still_go() {
    let disk = SimDisk::new(1);
    let mut rig = rig(&disk);
    let mut seq = 1;
    while rig.log_bytes() < AIMS.log_bytes + 3 * LENS.full {
        rig.enqueue(seq);
        seq += u64::from(COUNT);
    }
    // Room for a checkpoint, not for what is live in a file of the log.
    disk.set_faults(Faults {
        capacity: Some(used(&disk) + 2048),
        ..Faults::default()
    });
    // What the commit has ordered comes first.
    let mut done = rig.turn();
    while done == Done::Step {
        done = rig.turn();
    }
    assert_eq!(done, Done::Full);
    assert!(rig.orders.is_full());
    assert_eq!(disk.list(Path::new("seg")).unwrap(), [], "nothing is left");

    // All are acked but the oldest.
    let first = u64::from(COUNT) + 1;
    rig.settle(first, seq - first);
    let full = rig.log_bytes();
    for _ in 0..20 {
        rig.turn();
    }
    assert!(
        rig.log_bytes() < full / 2,
        "of {full} bytes of the log, {} are left",
        rig.log_bytes()
    );
    assert!(!rig.orders.is_full(), "there is nothing to do");
}

#[test]
fn no_segment_takes_the_room_that_is_left_to_the_log() {
    let disk = SimDisk::new(2);
    let mut rig = rig(&disk);
    rig.keeper.aims.reserve_bytes = 1 << 20;
    let mut seq = 1;
    while rig.log_bytes() < AIMS.log_bytes + 3 * LENS.full {
        rig.enqueue(seq);
        seq += u64::from(COUNT);
    }
    let room = |bytes: u64| {
        let capacity = Some(used(&disk) + bytes);
        disk.set_faults(Faults {
            capacity,
            ..Faults::default()
        });
    };
    room(1 << 20);
    let mut done = rig.turn();
    while done == Done::Step {
        done = rig.turn();
    }
    assert_eq!(done, Done::Full);
    assert_eq!(disk.list(Path::new("seg")).unwrap(), []);
    room(2 << 20);
    rig.turn();
    assert_eq!(disk.list(Path::new("seg")).unwrap().len(), 1);
}
