//! From batch to batch to the end of the log, and what lies behind it.
//!
//! A batch follows another if it lies where that one ended, or at the beginning of a later file; it names that one and its checksum. The
//! first batch after an opening names itself: everything before it was durable, so it says so, and nothing can be missing.

use std::io;

use super::{Damage, Fault, Start};
use crate::entry::{Lsn, Malformed};
use crate::wal::header::BatchHeader;
use crate::wal::read::{Batch, Found, Reading};
use crate::wal::{BLOCK, Options, WalFile};

/// How far the log was read.
#[derive(Debug)]
pub(super) struct Walk {
    /// The file that the last batch is in.
    pub(super) at: usize,
    /// Where the last batch ended.
    pub(super) cursor: Lsn,
    pub(super) durable: Lsn,
    pub(super) batches: u64,
    /// The last batch and its header's checksum.
    last: Option<(Lsn, u32)>,
}

impl Walk {
    pub(super) fn new(start: Start, readings: &[Reading]) -> Self {
        let first = readings.first().map(|reading| reading.info.first());
        Self {
            at: 0,
            cursor: start.from.max(first.unwrap_or_default()),
            durable: start.durable,
            batches: 0,
            last: None,
        }
    }

    /// Reads up to the end; stops at a batch that `on_batch` cannot read.
    pub(super) fn run(
        &mut self,
        readings: &mut [Reading],
        options: &Options,
        on_batch: &mut dyn FnMut(&Batch<'_>) -> Result<(), Malformed>,
    ) -> io::Result<Option<Damage>> {
        while let Some((place, batch)) = self.next(readings)? {
            let (lsn, end) = (batch.lsn, batch.end);
            let read = on_batch(&batch);
            if let Err(malformed) = read {
                let info = readings.get(place).map(|reading| reading.info);
                return Ok(Some(damage(
                    info,
                    Fault::Entry(malformed),
                    lsn,
                    end,
                    options,
                )));
            }
            self.batches += 1;
            self.cursor = end;
        }
        Ok(None)
    }

    /// The next batch, here or at the beginning of a later file, and the place of its file.
    fn next<'a>(&mut self, readings: &'a mut [Reading]) -> io::Result<Option<(usize, Batch<'a>)>> {
        let (here, cursor) = (self.at, self.cursor);
        for (place, reading) in readings.iter_mut().enumerate().skip(here) {
            let lsn = if place == here {
                cursor
            } else {
                reading.info.first()
            };
            let Found::Batch(header, crc, batch) = reading.find(lsn)? else {
                continue;
            };
            if self.follows(&header) {
                self.at = place;
                self.last = Some((header.lsn, crc));
                self.durable = self.durable.max(header.durable);
                return Ok(Some((place, batch)));
            }
        }
        Ok(None)
    }

    fn follows(&self, header: &BatchHeader) -> bool {
        if header.begins() {
            return header.durable <= self.cursor;
        }
        match self.last {
            Some(last) => last == (header.previous, header.previous_crc),
            None => header.lsn == self.cursor || header.previous < self.cursor,
        }
    }
}

/// What lies behind the end.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The highest durable lsn that is spoken of there.
    pub(super) durable: Lsn,
    /// Where batches begin, or seem to have begun.
    pub(super) stale: Vec<(WalFile, Lsn)>,
    /// The first whole batch.
    whole: Option<Lsn>,
    /// The batch that should have come next, if there is something of it.
    broken: Option<(WalFile, Lsn)>,
}

impl Tail {
    /// Looks at every block behind the end, to the end of the newest file.
    pub(super) fn probe(readings: &mut [Reading], walk: &Walk) -> io::Result<Self> {
        let mut tail = Self::default();
        for (place, reading) in readings.iter_mut().enumerate().skip(walk.at) {
            let first = reading.info.first();
            let next = if place == walk.at { walk.cursor } else { first };
            tail.probe_file(reading, next)?;
        }
        Ok(tail)
    }

    fn probe_file(&mut self, reading: &mut Reading, next: Lsn) -> io::Result<()> {
        let info = reading.info;
        let mut lsn = next;
        while lsn < info.end() {
            let mut following = Lsn(lsn.0 + BLOCK);
            let is_whole = match reading.find(lsn)? {
                Found::Nothing => {
                    lsn = following;
                    continue;
                }
                Found::Remains => false,
                Found::Header(header) | Found::Corrected(header) => {
                    self.durable = self.durable.max(header.durable);
                    false
                }
                Found::Batch(header, _, batch) => {
                    self.durable = self.durable.max(header.durable);
                    following = batch.end;
                    true
                }
            };
            if lsn == next && self.stale.is_empty() {
                self.broken = (!is_whole).then_some((info, lsn));
            }
            if is_whole {
                self.whole = self.whole.or(Some(lsn));
            }
            self.stale.push((info, lsn));
            lsn = following;
        }
        Ok(())
    }

    /// What was durable and is behind the end nevertheless.
    pub(super) fn damage(
        &self,
        readings: &[Reading],
        walk: &Walk,
        options: &Options,
    ) -> Option<Damage> {
        if walk.durable <= walk.cursor {
            return None;
        }
        let end = readings
            .get(walk.at)
            .map(|reading| (reading.info, walk.cursor));
        let (info, from) = self.broken.or(end)?;
        let beyond = Lsn(walk.durable.0.max(from.0 + BLOCK));
        let to = self.whole.unwrap_or(beyond);
        Some(damage(Some(info), Fault::Batch, from, to, options))
    }
}

fn damage(info: Option<WalFile>, fault: Fault, from: Lsn, to: Lsn, options: &Options) -> Damage {
    let file = info.map(|info| info.path(&options.folder));
    Damage {
        file: file.unwrap_or_default(),
        fault,
        from,
        to,
        file_start: info.map(|info| info.start),
    }
}
