//! Messages come back from wherever they are; damaged ones do not, and nothing else is lost with them.

use std::path::Path;

use super::*;
use crate::bell::Bell;
use crate::commit::{Commit, Turn};
use crate::disk::SimDisk;
use crate::entry::{self, NewEnqueue, Reason, Run, Stamp, Stream, Target};
use crate::keeper::{Aims, Done, Keeper, KeeperParts};
use crate::log::{Group, QueueId, Urgency};
use crate::orders::Orders;
use crate::recovery::{FileLens, WAL_FOLDER, recover};
use crate::segment;
use crate::staging::Staging;

const QUEUE: QueueId = QueueId(7);

/// Files so small that a few entries fill one.
const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 16 * 1024,
};

const STAMP: Stamp = Stamp {
    group: Group(8),
    term: 0,
    index: 0,
};

struct Rig {
    disk: SimDisk,
    commit: Commit,
    keeper: Keeper,
    staging: Arc<Staging>,
    reader: Reader,
    next_seq: u64,
    now_ms: u64,
}

impl Rig {
    fn new() -> Self {
        let sim = SimDisk::new(1);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let found = recover(&disk, LENS, 1).expect("a new folder");
        let upto = found.wal.durable();
        let index = found.index;
        let applied = Arc::new(RwLock::new(Applied { index, upto }));
        let bell = Arc::new(Bell::default());
        let staging = || Arc::new(Staging::new(Arc::clone(&bell), Box::new(|_| {})));
        let stagings = vec![staging(), staging()];
        let files = Arc::new(WalFiles::new(WAL_FOLDER.into()));
        let orders = Arc::new(Orders::default());
        let keeper = Keeper::new(KeeperParts {
            disk: Arc::clone(&disk),
            store: found.folder.store,
            aims: Aims {
                log_bytes: 0,
                segment_bytes: 64 * 1024,
                checkpoint_bytes: 1,
                reserve_bytes: 0,
                checkpoint_ms: 0,
            },
            applied: Arc::clone(&applied),
            files: Arc::clone(&files),
            orders: Arc::clone(&orders),
            staging: Arc::clone(&stagings[1]),
            checkpoint: None,
            next_segment: 1,
            dropped: vec![],
        });
        Self {
            reader: Reader::new(disk, Arc::clone(&applied), Arc::clone(&files)),
            staging: Arc::clone(&stagings[0]),
            commit: Commit::new(
                found.wal,
                applied,
                files,
                orders,
                (stagings, Arc::default()),
            ),
            keeper,
            disk: sim,
            next_seq: 1,
            now_ms: 0,
        }
    }

    /// An entry of so many messages, durable.
    fn enqueue(&mut self, count: u32) {
        let mut records = vec![];
        let mut starts = vec![];
        for i in 0..u64::from(count) {
            starts.push(records.len() as u32);
            records.extend(record(self.next_seq + i));
        }
        let target = Target {
            queue: QUEUE,
            stream: Stream(0),
            first: 0,
            count,
            flags: 0,
            first_seq: self.next_seq,
            expires_ms: 0,
        };
        self.next_seq += u64::from(count);
        let new = NewEnqueue {
            unix_ms: 5,
            targets: &[target],
            starts: &starts,
            records: &records,
            bodies: &[],
        };
        let encode = |out: &mut Vec<u8>| entry::enqueue(out, STAMP, &new);
        self.staging.push(Urgency::Synced, encode).expect("short");
        assert_eq!(self.commit.turn(1).expect("a good disk"), Turn::Wrote);
    }

    fn settle(&mut self, first_seq: u64, count: u64) {
        let run = Run { first_seq, count };
        let of = (QUEUE, Stream(0));
        let encode = |out: &mut Vec<u8>| entry::settle(out, STAMP, of, Reason::Ack, [run]);
        self.staging.push(Urgency::Synced, encode).expect("short");
        self.commit.turn(1).expect("a good disk");
    }

    /// Lets the keeper do what it has to do, which is to page everything out that is in finished files.
    fn keep(&mut self) {
        for _ in 0..200 {
            self.now_ms += 1;
            let done = self.keeper.turn(self.now_ms).expect("a good disk");
            self.commit.turn(1).expect("a good disk");
            if done == Done::Nothing {
                return;
            }
        }
        panic!("the keeper does not come to an end");
    }

    fn read(&mut self, first_seq: u64, last_seq: u64, bytes_max: usize) -> (Read, Vec<Lost>) {
        let wanted = Wanted {
            queue: QUEUE,
            stream: Stream(0),
            token: 0,
            first_seq,
            skip: 0,
            last_seq,
            bytes_max,
        };
        let mut lost = vec![];
        let read = self.reader.read(&wanted, &mut |l| lost.push(l));
        (read.expect("a good disk"), lost)
    }

    /// Reads everything in small pieces, and checks each record.
    fn read_all(&mut self, bytes_max: usize) -> (Vec<u64>, Vec<Lost>) {
        let (mut seqs, mut losts, mut from) = (vec![], vec![], 1);
        let last = self.next_seq - 1;
        while from <= last {
            let (read, lost) = self.read(from, last, bytes_max);
            assert!(read.next_seq > from, "it goes on");
            let mut records = vec![];
            for seq in read
                .runs
                .iter()
                .flat_map(|r| r.first_seq..r.first_seq + r.count)
            {
                seqs.push(seq);
                records.extend(record(seq));
            }
            assert_eq!(read.records, records);
            from = read.next_seq;
            losts.extend(lost);
        }
        (seqs, losts)
    }

    fn segments(&self) -> Vec<(String, u64)> {
        self.disk
            .list(Path::new(segment::FOLDER))
            .expect("it is there")
    }
}

/// The record of a message: its number, as often as its length says.
fn record(seq: u64) -> Vec<u8> {
    seq.to_le_bytes().repeat(1 + seq as usize % 40)
}

#[test]
fn messages_come_back_from_log_and_segments_in_order() {
    let mut rig = Rig::new();
    for count in [1, 30, 2, 100, 7, 60, 60, 60, 3] {
        rig.enqueue(count);
    }
    let all: Vec<u64> = (1..rig.next_seq).collect();
    for bytes_max in [1, 500, 1 << 20] {
        assert_eq!(rig.read_all(bytes_max), (all.clone(), vec![]), "in the log");
    }
    rig.keep();
    assert!(!rig.segments().is_empty(), "finished files are paged out");
    rig.enqueue(10);
    let all: Vec<u64> = (1..rig.next_seq).collect();
    for bytes_max in [1, 500, 1 << 20] {
        assert_eq!(rig.read_all(bytes_max), (all.clone(), vec![]), "in both");
    }
    let (read, _) = rig.read(50, 60, 1 << 20);
    assert_eq!(
        (read.runs.len(), read.runs[0].first_seq, read.next_seq),
        (1, 50, 61)
    );
}

#[test]
fn what_is_settled_does_not_come_back() {
    let mut rig = Rig::new();
    for _ in 0..6 {
        rig.enqueue(60);
    }
    rig.settle(10, 5);
    rig.keep();
    for seq in (20..300).step_by(3) {
        rig.settle(seq, 1);
    }
    let is_third = |seq: &u64| (20..300).contains(seq) && (seq - 20).is_multiple_of(3);
    let is_live = |seq: &u64| !(10..15).contains(seq) && !is_third(seq);
    let live: Vec<u64> = (1..rig.next_seq).filter(is_live).collect();
    for bytes_max in [1, 700, 1 << 20] {
        assert_eq!(rig.read_all(bytes_max), (live.clone(), vec![]));
    }
    let (read, _) = rig.read(10, 14, 1 << 20);
    assert_eq!((read.runs.len(), read.next_seq), (0, 15));
}

#[test]
fn a_damaged_message_of_a_segment_costs_itself_alone() {
    let mut rig = Rig::new();
    for _ in 0..6 {
        rig.enqueue(60);
    }
    rig.keep();
    let (name, len) = rig.segments().remove(0);
    let path = Path::new(segment::FOLDER).join(name);
    rig.disk.flip(&path, len / 3, 2).expect("it is there");
    let (seqs, lost) = rig.read_all(1 << 20);
    assert_eq!(lost.len(), 1, "{lost:?}");
    let gone = lost[0].first_seq..=lost[0].last_seq;
    assert!(lost[0].what.contains(".seg, bytes "), "{}", lost[0].what);
    assert_eq!(gone.clone().count(), 1, "one message is damaged: {gone:?}");
    let others: Vec<u64> = (1..rig.next_seq)
        .filter(|seq| !gone.contains(seq))
        .collect();
    assert_eq!(seqs, others);
}

#[test]
fn a_damaged_entry_of_the_log_costs_its_messages_alone() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.enqueue(20);
    }
    let (name, _) = rig
        .disk
        .list(Path::new(WAL_FOLDER))
        .expect("it is there")
        .remove(0);
    // The second batch is in the second block behind the header, or a later one.
    let path = Path::new(WAL_FOLDER).join(name);
    rig.disk.flip(&path, 4096 + 200, 2).expect("it is there");
    let (seqs, lost) = rig.read_all(1 << 20);
    let (first, last) = (lost[0].first_seq, lost[0].last_seq);
    assert_eq!((lost.len(), first, last), (1, 1, 20), "{lost:?}");
    assert!(lost[0].what.contains(".wal, byte "), "{}", lost[0].what);
    assert_eq!(seqs, (21..=60).collect::<Vec<_>>());
}
