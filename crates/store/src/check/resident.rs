//! Live messages in the log before the place where replay begins: nothing has read them yet, and no scan will.

use std::collections::{BTreeMap, BTreeSet};

use super::range::DamagedRange;
use super::report::{Concerned, Finding, How, Loses};
use super::{Look, LostRun};
use crate::entry::{Entry, Lsn, decode};
use crate::index::Location;
use crate::recovery::WAL_FOLDER;
use crate::wal::{BLOCK, Unreadable};

/// The live runs of an entry, each with the index of its first message.
type Held = Vec<(LostRun, u32)>;

impl Look {
    /// Reads every entry before `from` that has live messages.
    pub(super) fn check_resident(&mut self, from: Lsn) {
        let mut damages: BTreeMap<DamagedRange, (String, Vec<LostRun>)> = BTreeMap::new();
        let mut headless = BTreeSet::new();
        for (lsn, held) in self.resident(from) {
            let (at, what, lost) = match self.survey.entry_at(lsn) {
                Ok(bytes) => match holds_all(lsn, &bytes, &held) {
                    true => {
                        headless.extend(self.headless(lsn));
                        continue;
                    }
                    false => {
                        let what = "the log has other messages than the index says";
                        (self.file_of(lsn), what.to_owned(), held)
                    }
                },
                Err(unreadable) => {
                    let what = unreadable.to_string();
                    let at = match unreadable {
                        Unreadable::NoFile => self.file_of(lsn),
                        Unreadable::Damaged { file, range, .. } => {
                            DamagedRange::of(file.display().to_string(), range.0..range.1)
                        }
                    };
                    (at, what, held)
                }
            };
            let damage = damages.entry(at).or_insert_with(|| (what, vec![]));
            damage.1.extend(lost.into_iter().map(|(run, _)| run));
        }
        for (at, (what, runs)) in damages {
            let mut finding = Finding::new(at, what, Loses::Something);
            finding.queues = concerned(&runs);
            self.report.findings.push(finding);
            self.lost.extend(runs);
        }
        for file in headless {
            let at = DamagedRange::of(file, 0..BLOCK);
            let what = "the header of the file is damaged; its messages are there";
            self.report
                .findings
                .push(Finding::new(at, what, Loses::Nothing));
        }
    }

    /// The file of a place, if it has no header that could be read.
    fn headless(&self, lsn: Lsn) -> Option<String> {
        let file = self.file_of(lsn).file;
        let is_it = |name: &String| file.ends_with(name.as_str());
        self.survey.strays().iter().any(is_it).then_some(file)
    }

    fn resident(&self, from: Lsn) -> BTreeMap<Lsn, Held> {
        let mut entries: BTreeMap<Lsn, Held> = BTreeMap::new();
        for state in self.index.queues() {
            for run in self.index.live(state.queue, state.stream, 0) {
                if let Location::Wal { lsn, first } = run.location
                    && lsn < from
                {
                    let lost = LostRun {
                        queue: state.queue,
                        stream: state.stream,
                        first_seq: run.first_seq,
                        count: run.count,
                    };
                    entries.entry(lsn).or_default().push((lost, first));
                }
            }
        }
        entries
    }

    /// The file that the index says a place of the log is in.
    fn file_of(&self, lsn: Lsn) -> DamagedRange {
        let files = self.index.wal_files();
        let file = files.iter().rfind(|file| file.first_lsn <= lsn);
        let seq = file.map_or(0, |file| file.file_seq);
        DamagedRange::whole(format!("{WAL_FOLDER}/{seq:016x}.wal"))
    }
}

fn holds_all(lsn: Lsn, bytes: &[u8], held: &Held) -> bool {
    let Ok(Entry::Enqueue(enqueue)) = decode(lsn, bytes).map(|decoded| decoded.entry) else {
        return false;
    };
    held.iter().all(|(run, first)| {
        let count = u32::try_from(run.count).ok();
        count.is_some_and(|count| enqueue.messages(*first, count).is_some())
    })
}

/// Lost runs by stream.
pub(super) fn concerned(runs: &[LostRun]) -> Vec<Concerned> {
    let mut by_stream: BTreeMap<_, (u64, u64, u64)> = BTreeMap::new();
    for run in runs {
        let last = run.first_seq + (run.count - 1);
        let sum = by_stream
            .entry((run.queue, run.stream))
            .or_insert((run.first_seq, last, 0));
        *sum = (sum.0.min(run.first_seq), sum.1.max(last), sum.2 + run.count);
    }
    let concerned = by_stream.into_iter();
    let concerned = concerned.map(
        |((queue, stream), (first_seq, last_seq, count))| Concerned {
            queue,
            name: None,
            stream,
            how: How::Lost {
                first_seq,
                last_seq,
                count,
            },
        },
    );
    concerned.collect()
}
