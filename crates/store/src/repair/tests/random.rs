//! Random folders with random damages: what a check calls good opens, and what it does not is repaired, with every message that it did not
//! give up.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::entry::Lsn;
use crate::recovery::recover;
use crate::wal::BLOCK;

const QUEUES: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Messages for queues, each an entry of one batch.
    Enqueue(Vec<(u64, u64)>),
    Settle(u64, u64, u64),
    /// One message waits, after so many failures, until a time.
    Requeue(u64, u64, u32, u64),
    PageOut,
    /// Of one of the segments that are there.
    Compact(usize),
    Checkpoint,
    Seal,
    /// The log is closed and opened again.
    Reopen,
}

#[derive(Clone, Debug)]
enum Harm {
    /// In one of the files, somewhere.
    Flip(usize, u64, u8),
    Cut(usize, u64),
    /// Blocks are zeros from some place on, but not in the newest file of the log, whose end nothing else knows.
    Zero(usize, u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec((0..QUEUES, 1..30u64), 1..4).prop_map(Step::Enqueue),
        4 => (0..QUEUES, 0..100u64, 1..20u64).prop_map(|(q, from, n)| Step::Settle(q, from, n)),
        2 => (0..QUEUES, 0..100u64, 0..4u32, 0..3u64).prop_map(|(q, seq, n, ms)| Step::Requeue(q, seq, n, ms)),
        1 => Just(Step::PageOut),
        1 => (0..9usize).prop_map(Step::Compact),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Seal),
        1 => Just(Step::Reopen),
    ]
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        8 => (any::<usize>(), any::<u64>(), 0..8u8).prop_map(|(f, at, bit)| Harm::Flip(f, at, bit)),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(f, len)| Harm::Cut(f, len)),
        2 => (any::<usize>(), any::<u64>(), 1..4u64).prop_map(|(f, at, n)| Harm::Zero(f, at, n)),
    ]
}

/// What is done to a folder, beside its log.
struct Work {
    disk: SimDisk,
    log: Log,
    next_segment: u64,
    /// Where the kept checkpoints begin.
    applied: Vec<Lsn>,
}

impl Work {
    fn step(&mut self, step: &Step) {
        let queues: Vec<u64> = (0..QUEUES).collect();
        let next_seq = |log: &Log, queue: u64| {
            let next = log
                .index
                .next_seq(crate::log::QueueId(queue), crate::entry::Stream(0));
            next.max(1)
        };
        match step {
            Step::Enqueue(entries) => {
                let mut payload = vec![];
                let mut next: Vec<_> = queues.iter().map(|q| next_seq(&self.log, *q)).collect();
                for (queue, count) in entries {
                    let first = next[*queue as usize];
                    enqueue(&mut payload, *queue, first..first + count);
                    next[*queue as usize] += count;
                }
                self.log.batch(|out| out.extend_from_slice(&payload));
            }
            Step::Settle(queue, from, count) => {
                let first = (from % next_seq(&self.log, *queue)).max(1);
                self.log.batch(|out| settle(out, *queue, first, *count));
            }
            Step::Requeue(queue, seq, count, ready_ms) => {
                let seq = (seq % next_seq(&self.log, *queue)).max(1);
                self.log
                    .batch(|out| requeue(out, *queue, seq, (*count, *ready_ms)));
            }
            Step::PageOut => {
                self.next_segment += 1;
                self.log.page_out(self.next_segment, &queues);
            }
            Step::Compact(place) => {
                let segments: Vec<_> = self.log.index.segments().map(|(id, _)| id.0).collect();
                if let Some(id) = segments.get(*place) {
                    self.next_segment += 1;
                    self.log.compact(*id, self.next_segment, &queues);
                }
            }
            Step::Checkpoint => self.checkpoint(),
            Step::Seal => self.log.wal.seal(1).unwrap(),
            Step::Reopen => self.log = Log::new(&self.disk),
        }
    }

    /// Writes a checkpoint, and gives back the files that neither it nor the one before needs.
    fn checkpoint(&mut self) {
        self.log.checkpoint(self.applied.len() as u64 + 1);
        let before = self.applied.last().copied().unwrap_or_default();
        self.applied.push(self.log.wal.durable());
        let files: Vec<_> = self.log.wal.files().copied().collect();
        for file in files
            .iter()
            .rev()
            .skip(1)
            .filter(|file| file.end() <= before)
        {
            let states = self.log.index.wal_files();
            if states
                .iter()
                .all(|state| state.file_seq != file.seq || state.live == 0)
            {
                self.log.wal.recycle(file.seq).unwrap();
            }
        }
    }
}

/// The files that mean something.
fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = contents(disk).into_iter();
    files
        .filter(|(path, bytes)| path.contains('/') && !bytes.is_empty())
        .collect()
}

fn harm_folder(disk: &SimDisk, harm: &Harm, newest: &Path) {
    let files = files(disk);
    let pick = |number: &usize| &files[number % files.len()];
    match harm {
        Harm::Flip(file, at, bit) => {
            let (path, bytes) = pick(file);
            disk.flip(Path::new(path), at % bytes.len() as u64, *bit)
                .unwrap();
        }
        Harm::Cut(file, len) => {
            let (path, bytes) = pick(file);
            let open = disk.open(Path::new(path)).unwrap();
            open.truncate(len % bytes.len() as u64).unwrap();
        }
        Harm::Zero(file, at, blocks) => {
            let (path, bytes) = pick(file);
            let from = at % bytes.len() as u64 / BLOCK * BLOCK;
            let len = (blocks * BLOCK).min(bytes.len() as u64 - from);
            if Path::new(path) != newest {
                let open = disk.open(Path::new(path)).unwrap();
                open.write_at(from, &vec![0; len as usize]).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn are_good_or_repaired(steps in vec(step(), 1..40), harms in vec(harm(), 0..5), gone in any::<Option<usize>>()) {
        let disk = SimDisk::new(1);
        let mut work = Work { disk: disk.clone(), log: Log::new(&disk), next_segment: 0, applied: vec![] };
        // Without any checkpoint a folder whose log is gone is as good as new.
        work.step(&Step::Checkpoint);
        steps.iter().for_each(|step| work.step(step));
        work.log.wal.seal(1).unwrap();
        let newest = work.log.wal.files().next_back().unwrap().path(WAL_FOLDER.as_ref());
        drop(work);
        let disk = disk.kill();
        prop_assert!(report(&disk).is_good(), "{}", report(&disk));
        let model = live(&disk);
        harms.iter().for_each(|harm| harm_folder(&disk, harm, &newest));
        if let Some(number) = gone {
            // Of the newest file of the log nothing else knows.
            let files: Vec<_> = files(&disk).into_iter().map(|(path, _)| path).collect();
            let known = files.iter().filter(|path| !path.starts_with("wal/") || Path::new(path) < newest);
            let known: Vec<_> = known.collect();
            disk.remove(Path::new(known[number % known.len()])).unwrap();
        }

        let found = report(&disk);
        let shared: Arc<dyn Disk> = Arc::new(disk.kill());
        let opens = recover(&shared, LENS, 3);
        prop_assert!(opens.is_ok() || !found.is_good(), "{:?}\n{}", opens.err(), found);
        let accept = all_printed(&found);
        let repaired = repair_with(&disk, &accept);
        prop_assert!(repaired.is_ok(), "{}\n{}", repaired.unwrap_err(), found);
        let now = live(&disk);
        prop_assert!(now.iter().all(|(of, (bytes, _))| *bytes == record(of.0, of.1)));
        let accepted = found.findings.iter().any(|finding| finding.loses == Loses::Something);
        let all_there = model.keys().all(|of| now.contains_key(of));
        prop_assert!(all_there || accepted, "{}", found);
        let more = now.keys().any(|of| !model.contains_key(of));
        prop_assert!(!more || accepted, "{}", found);
        // Without a loss everything is as it was, counts and waits included.
        prop_assert!(accepted || now == model, "{}", found);
        prop_assert!(report(&disk).is_good());
    }
}
