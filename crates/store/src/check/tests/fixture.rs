//! A data folder with something of everything: messages in segments, in the log before the checkpoint and behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{self, Header};
use crate::disk::{Disk, SimDisk};
use crate::entry::{
    self, Entries, Entry, Lsn, NewEnqueue, Reason, RequeueRun, Run, SegmentId, Stamp, Stream,
    Target, decode,
};
use crate::index::{Index, Location};
use crate::log::{Group, QueueId};
use crate::recovery::{FileLens, WAL_FOLDER, recover};
use crate::segment::{NewMessage, Sealed, SegmentReader, SegmentWriter, Start as Begin};
use crate::wal::{BATCH_HEADER_LEN, Options, Start, Survey, WalWriter};

/// Small files, so that the log has several.
pub(crate) const LENS: FileLens = FileLens {
    first: 16 * 1024,
    full: 32 * 1024,
};

const STAMP: Stamp = Stamp {
    group: Group(1),
    term: 0,
    index: 7,
};

/// Live messages by queue and number: the record, how often it was delivered and when it is ready again.
pub(crate) type Live = BTreeMap<(u64, u64), (Vec<u8>, (u32, u64))>;

/// A data folder, and what is live in it.
pub(crate) struct Fixture {
    pub(crate) disk: SimDisk,
    pub(crate) model: Live,
    /// Ranges of files whose bits matter, by path.
    marked: Vec<(String, u64, u64)>,
}

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    pub(crate) index: Index,
    pub(crate) wal: WalWriter,
    store: u128,
}

/// What each message is: long enough that entries span sectors, and found by its beginning.
pub(crate) fn record(queue: u64, seq: u64) -> Vec<u8> {
    let mut record = format!("queue {queue} number {seq} ").into_bytes();
    record.resize(150, b'.');
    record
}

impl Log {
    /// A log in a new folder.
    pub(crate) fn new(disk: &SimDisk) -> Self {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let recovered = recover(&shared, LENS, 1).unwrap();
        Self {
            disk: shared,
            index: recovered.index,
            wal: recovered.wal,
            store: recovered.folder.store,
        }
    }

    pub(crate) fn batch(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut payload = vec![];
        fill(&mut payload);
        let count = Entries::new(Lsn(0), &payload).count() as u32;
        let lsn = append(&mut self.wal, &payload, count);
        self.wal.sync().unwrap();
        let file_seq = self.wal.files().next_back().unwrap().seq;
        let first = Lsn(lsn.0 + BATCH_HEADER_LEN as u64);
        for decoded in Entries::new(first, &payload) {
            self.index.apply(&decoded.unwrap(), file_seq).unwrap();
        }
    }

    /// Moves what is live in a segment to another one.
    pub(crate) fn compact(&mut self, from: u64, to: u64, queues: &[u64]) {
        let (old, new) = (SegmentId(from), SegmentId(to));
        let sealed = self.write(new, queues);
        self.batch(|out| {
            entry::bundle(out, STAMP, |out| {
                entry::segment_add(out, STAMP, new, sealed.bytes, &sealed.extents)?;
                entry::segment_drop(out, STAMP, old)
            })
            .unwrap();
        });
    }

    /// Writes the live messages of some queues that are in the log to a segment.
    pub(crate) fn page_out(&mut self, id: u64, queues: &[u64]) {
        let id = SegmentId(id);
        let sealed = self.write(id, queues);
        self.batch(|out| {
            entry::segment_add(out, STAMP, id, sealed.bytes, &sealed.extents).unwrap();
        });
    }

    fn write(&mut self, id: SegmentId, queues: &[u64]) -> Sealed {
        let disk = Arc::clone(&self.disk);
        let mut writer = SegmentWriter::new(disk, id, self.store, 1).unwrap();
        for queue in queues {
            writer.begin_extent(QueueId(*queue), Stream(0)).unwrap();
            for run in self.index.live(QueueId(*queue), Stream(0), 0) {
                for seq in run.first_seq..=run.last_seq() {
                    let message = NewMessage {
                        seq,
                        delivery_count: 0,
                        arrived_ms: 1,
                        record: &record(*queue, seq),
                        body: None,
                    };
                    writer.push(message).unwrap();
                }
            }
        }
        writer.finish().unwrap()
    }

    pub(crate) fn checkpoint(&mut self, generation: u64) {
        self.wal.seal(1).unwrap();
        let durable = self.wal.durable();
        let header = Header {
            generation,
            store: self.store,
            applied: durable,
            durable,
        };
        checkpoint::write(&*self.disk, &self.index, &header).unwrap();
    }
}

pub(crate) fn enqueue(out: &mut Vec<u8>, queue: u64, seqs: std::ops::Range<u64>) {
    let (mut starts, mut records) = (vec![], vec![]);
    for seq in seqs.clone() {
        starts.push(records.len() as u32);
        records.extend(record(queue, seq));
    }
    let target = Target {
        queue: QueueId(queue),
        stream: Stream(0),
        first: 0,
        count: starts.len() as u32,
        flags: 0,
        first_seq: seqs.start,
        expires_ms: 0,
    };
    let new = NewEnqueue {
        unix_ms: 1,
        targets: &[target],
        starts: &starts,
        records: &records,
        bodies: &[],
    };
    entry::enqueue(out, STAMP, &new).unwrap();
}

pub(crate) fn settle(out: &mut Vec<u8>, queue: u64, first_seq: u64, count: u64) {
    let runs = [Run { first_seq, count }];
    entry::settle(out, STAMP, (QueueId(queue), Stream(0)), Reason::Ack, runs).unwrap();
}

/// `delivered` says how often, and when the message is ready again.
pub(crate) fn requeue(out: &mut Vec<u8>, queue: u64, first_seq: u64, delivered: (u32, u64)) {
    let runs = [RequeueRun {
        first_seq,
        count: 1,
        delivery_count: delivered.0,
        ready_ms: delivered.1,
    }];
    entry::requeue(
        out,
        STAMP,
        (QueueId(queue), Stream(0)),
        Reason::Reject,
        runs,
    )
    .unwrap();
}

impl Fixture {
    pub(crate) fn build() -> Self {
        Self::with(|_| ())
    }

    /// The same, with something more at the end of the log.
    pub(crate) fn with(more: impl FnOnce(&mut Log)) -> Self {
        let disk = SimDisk::new(1);
        let mut log = Log::new(&disk);
        log.batch(|out| entry::define(out, STAMP, b"key", b"value").unwrap());
        log.batch(|out| enqueue(out, 1, 1..8));
        log.batch(|out| enqueue(out, 2, 1..4));
        log.page_out(1, &[1, 2]);
        log.batch(|out| settle(out, 1, 4, 1));
        log.checkpoint(1);
        // These stay in the log, and the next checkpoint says so.
        log.batch(|out| {
            enqueue(out, 3, 1..3);
            enqueue(out, 4, 5..40);
        });
        log.batch(|out| {
            settle(out, 4, 6, 2);
            requeue(out, 4, 5, (1, 5_000));
        });
        log.batch(|out| enqueue(out, 5, 1..20));
        log.page_out(2, &[5]);
        log.batch(|out| settle(out, 5, 2, 3));
        log.checkpoint(2);
        log.batch(|out| {
            enqueue(out, 2, 4..8);
            enqueue(out, 2, 8..10);
            requeue(out, 3, 2, (4, 0));
        });
        log.batch(|out| {
            enqueue(out, 6, 1..30);
            settle(out, 2, 5, 1);
            enqueue(out, 2, 10..13);
        });
        log.batch(|out| enqueue(out, 7, 1..60));
        log.batch(|out| {
            requeue(out, 1, 6, (2, 0));
            requeue(out, 1, 7, (1, 6_000));
            requeue(out, 7, 40, (3, 7_000));
        });
        more(&mut log);
        log.wal.seal(1).unwrap();
        let resident = [(3, 1), (4, 5)];
        let resident = resident.map(|(queue, seq)| entry_of(&disk, &record(queue, seq)));
        let header = |(path, ..): &(String, u64, u64)| (path.clone(), 0, 4096);
        let marked: Vec<_> = resident
            .iter()
            .map(header)
            .chain(resident.clone())
            .collect();
        drop(log);
        let disk = disk.kill();
        let model = live(&disk);
        Self {
            disk,
            model,
            marked,
        }
    }

    /// The folder with a bit flipped.
    pub(crate) fn flipped(&self, path: &str, at: usize) -> SimDisk {
        let disk = self.disk.kill();
        disk.flip(Path::new(path), at as u64, (at % 8) as u8)
            .unwrap();
        disk
    }

    /// Where bytes are; the last place of them in the log, or else a segment's.
    pub(crate) fn find(&self, bytes: &[u8]) -> (String, usize) {
        find(&self.disk, bytes)
    }

    /// Whether a check has to find a flip.
    pub(crate) fn matters(&self, path: &str, at: usize) -> bool {
        if !path.starts_with("wal/") {
            return true;
        }
        let at = at as u64;
        let is_marked =
            |(marked, from, to): &(String, u64, u64)| marked == path && (*from..*to).contains(&at);
        self.marked.iter().any(is_marked) || self.is_behind_the_checkpoint(path, at)
    }

    /// In the header of a file that is read, or in a batch but not in its padding. The last seal is torn off where it is damaged.
    fn is_behind_the_checkpoint(&self, path: &str, at: u64) -> bool {
        let options = Options::new(WAL_FOLDER, 1, 0);
        let loaded = checkpoint::load_newest(&self.disk, 1).unwrap().unwrap();
        let start = Start {
            from: loaded.header.applied,
            durable: loaded.header.durable,
        };
        let mut ranges = vec![];
        let found = crate::wal::scan(&self.disk, &options, start, |batch| {
            let len = (BATCH_HEADER_LEN + batch.payload.len()) as u64;
            ranges.push((batch.lsn.0, batch.lsn.0 + len));
            Ok(())
        })
        .unwrap();
        ranges.pop();
        let mut files = found.files.iter().filter(|file| file.end() > start.from);
        let Some(file) = files.find(|file| file.path(WAL_FOLDER.as_ref()) == Path::new(path))
        else {
            return false;
        };
        let lsn = file.start.0 + at;
        at < 4096 || ranges.iter().any(|(from, to)| (*from..*to).contains(&lsn))
    }
}

/// How far apart flips are that are tried in a file.
pub(crate) fn step(path: &str) -> usize {
    match path.split_once('/') {
        Some(("ckpt", _)) => 5,
        Some(("seg", _)) => 67,
        _ => 61,
    }
}

/// The file and range of the entry with these bytes, in the log before the last checkpoint.
fn entry_of(disk: &SimDisk, bytes: &[u8]) -> (String, u64, u64) {
    let (path, at) = find(disk, bytes);
    assert!(path.starts_with("wal/"));
    let content = contents(disk).remove(&path).unwrap();
    // The entry begins where one is whose checksum holds and that reaches over the bytes.
    let begins = |from: &usize| {
        entry::verify(Lsn(0), &content[*from..]).is_ok_and(|d| from + d.bytes.len() > at)
    };
    let from = (0..at).rev().find(begins).unwrap();
    let len = entry::verify(Lsn(0), &content[from..]).unwrap().bytes.len();
    (path, from as u64, (from + len) as u64)
}

fn find(disk: &SimDisk, bytes: &[u8]) -> (String, usize) {
    let find = |content: &[u8]| content.windows(bytes.len()).position(|part| part == bytes);
    let places = contents(disk).into_iter();
    let mut places: Vec<_> = places
        .filter_map(|(path, content)| Some((path, find(&content)?)))
        .collect();
    // A segment has it after the log did.
    places.sort_by_key(|(path, _)| path.starts_with("wal/"));
    places.remove(0)
}

/// All files and what is in them.
pub(crate) fn contents(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for folder in ["", "wal", "seg", "ckpt", "quarantine"] {
        for (name, len) in disk.list(Path::new(folder)).unwrap() {
            let path = Path::new(folder).join(name);
            let mut bytes = vec![0; len as usize];
            disk.open(&path).unwrap().read_at(0, &mut bytes).unwrap();
            contents.insert(path.display().to_string(), bytes);
        }
    }
    contents
}

/// Recovers a folder and reads every live message.
pub(crate) fn live(disk: &SimDisk) -> Live {
    let shared: Arc<dyn Disk> = Arc::new(disk.kill());
    let recovered = recover(&shared, LENS, 3).unwrap();
    let options = Options::new(WAL_FOLDER, recovered.folder.store, 0);
    let mut survey = Survey::new(&*shared, options, Start::default()).unwrap();
    let index = &recovered.index;
    let mut live = Live::new();
    for state in index.queues() {
        for run in index.live(state.queue, state.stream, 0) {
            for seq in run.first_seq..=run.last_seq() {
                let number = (seq - run.first_seq) as u32;
                let (record, stored) = match run.location {
                    Location::Wal { lsn, first } => in_log(&mut survey, lsn, first + number),
                    Location::Segment { id, extent } => in_segment(&*shared, id, extent, seq),
                };
                let counted = index.deliveries(state.queue, state.stream, seq).next();
                let counted = counted.filter(|run| run.first_seq == seq);
                let delivered = counted.map(|run| (run.delivery_count, run.ready_ms));
                let delivered = delivered.unwrap_or((stored, 0));
                live.insert((state.queue.0, seq), (record, delivered));
            }
        }
    }
    live
}

fn in_log(survey: &mut Survey, lsn: Lsn, number: u32) -> (Vec<u8>, u32) {
    let bytes = survey.entry_at(lsn).unwrap();
    let Entry::Enqueue(enqueue) = decode(lsn, &bytes).unwrap().entry else {
        panic!("messages are in enqueues");
    };
    (enqueue.messages(number, 1).unwrap().to_vec(), 0)
}

fn in_segment(disk: &dyn Disk, id: SegmentId, extent: u32, seq: u64) -> (Vec<u8>, u32) {
    let reader = SegmentReader::open(disk, id).unwrap();
    let read = reader.read(extent as usize, Begin::Seq(seq), 1).unwrap();
    let stored = &read.list[0];
    assert_eq!(stored.seq, seq);
    (
        read.records[stored.record.clone()].to_vec(),
        stored.delivery_count,
    )
}

/// Appends a batch of so many entries.
pub(crate) fn append(wal: &mut WalWriter, payload: &[u8], entries: u32) -> Lsn {
    let mut batch = vec![0; BATCH_HEADER_LEN];
    batch.extend_from_slice(payload);
    wal.append_batch(&mut batch, entries, 1).unwrap()
}
