//! The log behind the checkpoint: applied to the index as far as it can be read, and what is told of the gaps.

use std::collections::BTreeSet;
use std::io;

use super::Look;
use super::range::DamagedRange;
use super::report::{Concerned, Finding, How, Loses};
use crate::entry::{Decoded, Entry, Lsn, Stream};
use crate::index::Index;
use crate::log::QueueId;
use crate::recovery::WAL_FOLDER;
use crate::wal::{Batch, Fault, Gap, Part, Seen};

type Streams = BTreeSet<(QueueId, Stream)>;

/// Replays the log onto an index.
struct Replay<'a> {
    index: &'a mut Index,
    findings: Vec<Finding>,
    batches: u64,
    /// The streams that the last batch was about.
    last: Streams,
    /// The gap that is being read, or was read last.
    gap: Option<OpenGap>,
    /// Entries that could not be applied or read: where they lie, and why.
    refused: Vec<(Lsn, u64, String)>,
}

/// A gap and what is found out about it.
struct OpenGap {
    /// Its findings, as a range of the list.
    findings: std::ops::Range<usize>,
    lost: bool,
    /// Whether the next batch is the first behind it.
    is_open: bool,
    queues: BTreeSet<(QueueId, Stream, How)>,
}

impl Look {
    /// Applies the log to the index.
    pub(super) fn replay(&mut self) -> io::Result<()> {
        for flaw in self.survey.flaws() {
            let what = match flaw.fault {
                Fault::Unreadable => flaw.fault.to_string(),
                fault => format!("{fault}; its batches are there"),
            };
            let at = DamagedRange::in_log(flaw, WAL_FOLDER);
            self.report
                .findings
                .push(Finding::new(at, what, Loses::Nothing));
        }
        let mut replay = Replay {
            index: &mut self.index,
            findings: vec![],
            batches: 0,
            last: Streams::new(),
            gap: None,
            refused: vec![],
        };
        self.survey.replay(|seen| {
            match seen {
                Seen::Batch(batch) => replay.batch(batch),
                Seen::Gap(gap) => replay.gap(gap),
                Seen::Part(part) => replay.part(part),
                Seen::GapEnd => replay.end_gap(),
            }
            Ok(())
        })?;
        replay.close_gap();
        let (mut findings, refused) = (replay.findings, replay.refused);
        self.report.counts.batches = replay.batches;
        for (lsn, len, what) in refused {
            let at = self.place(lsn, len);
            findings.push(Finding::new(at, what, Loses::Something));
        }
        let loses = |finding: &Finding| finding.loses == Loses::Something;
        self.log_is_lossy = findings.iter().any(loses);
        self.report.findings.append(&mut findings);
        if self.survey.torn().is_some() {
            let remark = "the log ends with what never became durable; the next start removes it";
            self.report.remarks.push(remark.to_owned());
        }
        Ok(())
    }

    /// The name of bytes of the log that are in a file.
    fn place(&self, lsn: Lsn, len: u64) -> DamagedRange {
        let file = self.survey.files().find_map(|file| {
            let offset = file.offset(lsn)?;
            let path = file.path(WAL_FOLDER.as_ref()).display().to_string();
            Some(DamagedRange::of(path, offset..offset + len))
        });
        file.unwrap_or_else(|| DamagedRange::of(WAL_FOLDER, lsn.0..lsn.0 + len))
    }
}

impl Replay<'_> {
    fn batch(&mut self, batch: &Batch<'_>) {
        self.batches += 1;
        self.last.clear();
        for decoded in batch.entries() {
            match decoded {
                Ok(decoded) => self.apply(&decoded, batch.file_seq),
                Err(malformed) => {
                    let len = batch.end.0 - batch.lsn.0;
                    self.refused.push((batch.lsn, len, malformed.to_string()));
                }
            }
        }
        if let Some(gap) = self.gap.as_mut().filter(|gap| gap.is_open) {
            gap.is_open = false;
            gap.is_near(&self.last);
        }
    }

    fn gap(&mut self, gap: &Gap) {
        self.close_gap();
        let first = self.findings.len();
        for damage in &gap.damages {
            let at = DamagedRange::in_log(damage, WAL_FOLDER);
            let what = damage.fault.to_string();
            self.findings.push(Finding::new(at, what, Loses::Nothing));
        }
        let mut open = OpenGap {
            findings: first..self.findings.len(),
            lost: !gap.lines_up,
            is_open: true,
            queues: BTreeSet::new(),
        };
        open.is_near(&self.last);
        self.gap = Some(open);
    }

    fn part(&mut self, part: &Part<'_>) {
        self.last.clear();
        for decoded in &part.entries {
            self.apply(decoded, part.file_seq);
        }
        if let Some(gap) = self.gap.as_mut() {
            gap.lost |= part.lost > 0;
            gap.is_near(&self.last);
        }
    }

    fn end_gap(&mut self) {
        if let Some(gap) = self.gap.as_mut() {
            gap.is_open = true;
        }
    }

    /// Nothing more will be learned of the last gap.
    fn close_gap(&mut self) {
        let Some(gap) = self.gap.take().filter(|gap| gap.lost) else {
            return;
        };
        let mut told = Streams::new();
        for (queue, stream, how) in &gap.queues {
            if matches!(how, How::Missing { .. }) {
                told.insert((*queue, *stream));
            }
        }
        // What is missing of a queue says more than that it is near.
        let says_more = |(queue, stream, how): &(QueueId, Stream, How)| {
            *how != How::Near || !told.contains(&(*queue, *stream))
        };
        let queues = gap
            .queues
            .into_iter()
            .filter(says_more)
            .map(|(queue, stream, how)| Concerned {
                queue,
                name: None,
                stream,
                how,
            });
        let queues: Vec<_> = queues.collect();
        for finding in self.findings.get_mut(gap.findings).unwrap_or_default() {
            finding.loses = Loses::Something;
            finding.queues.clone_from(&queues);
        }
    }

    fn apply(&mut self, decoded: &Decoded<'_>, file_seq: u64) {
        match decoded.entry {
            Entry::Bundle(entries) => entries.flatten().for_each(|nested| self.note(&nested)),
            _ => self.note(decoded),
        }
        if let Err(inconsistent) = self.index.apply(decoded, file_seq) {
            let what = format!("the log says what cannot be: {inconsistent}");
            self.refused
                .push((decoded.lsn, decoded.bytes.len() as u64, what));
        }
    }

    /// Notes which streams an entry is about, and which numbers it shows to be missing.
    fn note(&mut self, decoded: &Decoded<'_>) {
        match decoded.entry {
            Entry::Enqueue(enqueue) => {
                for target in enqueue.targets {
                    self.last.insert((target.queue, target.stream));
                    self.note_missing(target.queue, target.stream, target.first_seq);
                }
            }
            Entry::Settle { queue, stream, .. }
            | Entry::Requeue { queue, stream, .. }
            | Entry::Purge { queue, stream, .. } => _ = self.last.insert((queue, stream)),
            Entry::SettleEach { runs, .. } => {
                self.last.extend(runs.map(|of| (of.queue, of.stream)));
            }
            Entry::QueueDelete { queue } => _ = self.last.insert((queue, Stream(0))),
            _ => {}
        }
    }

    /// Numbers of a stream are never left out for long: those between the last one before a gap and the first one behind it were in it.
    fn note_missing(&mut self, queue: QueueId, stream: Stream, found: u64) {
        let Some(gap) = self.gap.as_mut().filter(|gap| gap.lost) else {
            return;
        };
        let first_seq = self.index.next_seq(queue, stream);
        if found > first_seq && first_seq > 0 {
            let last_seq = found - 1;
            let how = How::Missing {
                first_seq,
                last_seq,
            };
            gap.queues.insert((queue, stream, how));
        }
    }
}

impl OpenGap {
    fn is_near(&mut self, streams: &Streams) {
        let near = streams.iter();
        self.queues
            .extend(near.map(|(queue, stream)| (*queue, *stream, How::Near)));
    }
}
