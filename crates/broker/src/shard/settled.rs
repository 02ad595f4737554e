//! What is settled for good in a turn, gathered for the log: one entry for each queue, with as few runs as there can be.

use leveret_store::entry::{Reason, Run};
use leveret_store::log::{Group, Log, QueueId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settled {
    runs: Vec<(QueueId, Run)>,
    of_queue: Vec<Run>,
}

impl Settled {
    /// Messages that are in the log are settled.
    pub(super) fn push(&mut self, queue: QueueId, first_seq: u64, count: u64) {
        if let Some((last_queue, run)) = self.runs.last_mut()
            && *last_queue == queue
            && run.first_seq + run.count == first_seq
        {
            run.count += count;
            return;
        }
        self.runs.push((queue, Run { first_seq, count }));
    }

    /// Tells the log. To be called before anything is said of a queue that must not come before its settled messages: its end.
    pub(super) fn tell(&mut self, log: &mut dyn Log) {
        if self.runs.is_empty() {
            return;
        }
        let key = |(queue, run): &(QueueId, Run)| (*queue, run.first_seq);
        if !self.runs.is_sorted_by_key(key) {
            self.runs.sort_unstable_by_key(key);
        }
        for runs in self.runs.chunk_by(|one, other| one.0 == other.0) {
            let Some((queue, _)) = runs.first() else {
                continue;
            };
            self.of_queue.clear();
            for (_, run) in runs {
                match self.of_queue.last_mut() {
                    Some(last) if last.first_seq + last.count == run.first_seq => {
                        last.count += run.count;
                    }
                    _ => self.of_queue.push(*run),
                }
            }
            log.settle(Group::of(*queue), *queue, Reason::Ack, &self.of_queue);
        }
        self.runs.clear();
    }
}
