//! What was written to a log, so that what is read from it can be judged.

use std::io;
use std::sync::Arc;

use super::batch_of;
use crate::disk::{Disk, SimDisk};
use crate::entry::{self, Entry, Lsn, Stamp};
use crate::log::Group;
use crate::wal::*;

/// Small files: rotation every few batches.
pub(super) fn options(salt_seed: u64) -> Options {
    Options {
        file_len_first: 16 << 10,
        file_len_full: 64 << 10,
        ..Options::new("wal", 0x1234_5678_9abc_def0_0fed_cba9_8765_4321, salt_seed)
    }
}

/// Something that is done to a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A batch with so many bytes in its entry.
    Append(usize),
    Sync,
    Seal,
    /// A file made ahead, if one is wanted.
    Blank,
    /// A checkpoint past the oldest file, if it is finished and durable, and the file given back.
    Recycle,
}

/// Rotation, sync, seals, spares and recycling in some fixed order.
pub(super) fn script() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..9 {
        steps.push(Step::Append(900 * round));
        steps.push(Step::Append(20));
        steps.push(Step::Sync);
        steps.push(Step::Append(6000));
        steps.push(Step::Append(3000));
        match round % 3 {
            0 => steps.push(Step::Blank),
            1 => steps.push(Step::Seal),
            _ => steps.push(Step::Append(20_000)),
        }
        if round > 3 {
            steps.extend([
                Step::Recycle,
                Step::Append(12_000),
                Step::Append(10),
                Step::Blank,
            ]);
        }
    }
    steps
}

/// A batch that was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    pub(super) lsn: Lsn,
    pub(super) end: Lsn,
    pub(super) payload: Vec<u8>,
}

/// What was written, and what was promised of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) batches: Vec<Written>,
    /// What was being appended when the disk stopped.
    in_flight: Option<Vec<u8>>,
    pub(super) durable: Lsn,
    pub(super) start: Start,
    openings: u64,
}

impl Model {
    /// Opens a log on an empty disk.
    pub(super) fn begin(disk: &SimDisk) -> (Self, WalWriter) {
        let mut model = Self::default();
        let log = model.open(disk).unwrap();
        (model, log)
    }

    /// Scans, repairs and opens.
    pub(super) fn open(&mut self, disk: &SimDisk) -> io::Result<WalWriter> {
        self.openings += 1;
        let options = options(self.openings);
        let mut found = scan(disk, &options, self.start, |_| Ok(()))?;
        repair_tail(disk, &options, &mut found)?;
        WalWriter::open_at(Arc::new(disk.clone()), options, &found)
    }

    pub(super) fn run(&mut self, log: &mut WalWriter, steps: &[Step]) -> io::Result<()> {
        steps.iter().try_for_each(|step| self.step(log, *step))
    }

    pub(super) fn step(&mut self, log: &mut WalWriter, step: Step) -> io::Result<()> {
        let done = match step {
            Step::Append(len) => self.append(log, len),
            Step::Sync => log.sync(),
            Step::Seal => self.seal(log),
            Step::Blank => match log.order_blank() {
                Some(order) => {
                    let made = order.make(self.disk_of(log).as_ref());
                    log.take_blank(made)
                }
                None => Ok(()),
            },
            Step::Recycle => self.recycle(log),
        };
        assert!(log.durable() >= self.durable, "what is durable stays so");
        self.durable = log.durable();
        done
    }

    fn disk_of(&self, log: &WalWriter) -> Arc<dyn Disk> {
        log.disk.clone()
    }

    fn append(&mut self, log: &mut WalWriter, len: usize) -> io::Result<()> {
        let number = self.batches.len() as u64;
        let payload = payload(number, len);
        self.in_flight = Some(payload.clone());
        let lsn = log.append_batch(&mut batch_of(&payload), 1, number)?;
        self.written(log, lsn, payload);
        Ok(())
    }

    fn seal(&mut self, log: &mut WalWriter) -> io::Result<()> {
        let mut payload = Vec::new();
        entry::seal(&mut payload, stamp(0)).unwrap();
        self.in_flight = Some(payload.clone());
        let before = log.next_lsn();
        log.seal(1)?;
        if log.next_lsn() > before {
            let lsn = Lsn(log.next_lsn().0 - padded(payload.len()));
            self.written(log, lsn, payload);
        }
        Ok(())
    }

    fn written(&mut self, log: &WalWriter, lsn: Lsn, payload: Vec<u8>) {
        self.in_flight = None;
        let end = log.next_lsn();
        self.batches.push(Written { lsn, end, payload });
    }

    fn recycle(&mut self, log: &mut WalWriter) -> io::Result<()> {
        let files: Vec<WalFile> = log.files().copied().collect();
        if let [oldest, next, ..] = files.as_slice() {
            self.start.from = next.start;
            return log.recycle(oldest.seq);
        }
        Ok(())
    }

    /// Does not care for what was written so far.
    pub(super) fn forget(&mut self) {
        self.batches.clear();
    }

    /// Every batch that a scan of this disk gives, and how it ends.
    pub(super) fn read(&self, disk: &SimDisk, start: Start) -> (Vec<Written>, Scan) {
        let mut batches = Vec::new();
        let found = scan(disk, &options(0), start, |batch| {
            for decoded in batch.entries() {
                let decoded = decoded?;
                assert!(matches!(decoded.entry, Entry::Define { .. } | Entry::Seal));
                assert_eq!(decoded.lsn.0, batch.lsn.0 + BATCH_HEADER_LEN as u64);
            }
            batches.push(Written {
                lsn: batch.lsn,
                end: batch.end,
                payload: batch.payload.to_vec(),
            });
            Ok(())
        })
        .unwrap();
        (batches, found)
    }

    /// The batches that a scan should give, if everything is there.
    pub(super) fn expected(&self) -> Vec<Written> {
        let from = self.start.from;
        self.batches
            .iter()
            .filter(|batch| batch.lsn >= from)
            .cloned()
            .collect()
    }

    /// Reads a disk and holds it against what was written: all that was durable is there, in order, and nothing that was not written.
    pub(super) fn check(&self, disk: &SimDisk) -> Vec<Written> {
        let (found, scanned) = self.read(disk, self.start);
        assert!(!matches!(scanned.end, End::Damaged(_)), "{:?}", scanned.end);
        assert_eq!(scanned.strays, Vec::<String>::new());
        let expected = self.expected();
        let promised = expected
            .iter()
            .filter(|batch| batch.end <= self.durable)
            .count();
        assert!(
            found.len() >= promised,
            "{} of {promised} durable batches",
            found.len()
        );
        for (index, batch) in found.iter().enumerate() {
            match expected.get(index) {
                Some(written) => assert_eq!(batch, written),
                None => {
                    assert_eq!(Some(&batch.payload), self.in_flight.as_ref());
                    assert_eq!(index, expected.len());
                }
            }
        }
        found
    }

    /// Reads a disk that must have exactly some batches.
    pub(super) fn check_found(&self, disk: &SimDisk, batches: &[Written]) {
        let (found, scanned) = self.read(disk, self.start);
        assert!(!matches!(scanned.end, End::Damaged(_)), "{:?}", scanned.end);
        assert_eq!(found, batches);
    }

    /// Opens the log after a check, to go on with what was found.
    pub(super) fn reopen(&mut self, disk: &SimDisk, found: Vec<Written>) -> WalWriter {
        let log = self.open(disk).unwrap();
        self.batches = found;
        self.in_flight = None;
        self.durable = log.durable();
        log
    }
}

fn stamp(index: u64) -> Stamp {
    Stamp {
        group: Group(0),
        term: 0,
        index,
    }
}

/// An entry that no other batch has.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let value: Vec<u8> = (0..len as u64)
        .map(|at| (number * 31 + at * 7) as u8)
        .collect();
    entry::define(&mut out, stamp(number), &number.to_le_bytes(), &value).unwrap();
    out
}
