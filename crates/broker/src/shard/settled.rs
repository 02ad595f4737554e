//! What is settled for good in a turn, gathered for the log: one entry for each queue, with as few runs as there can be.

use leveret_store::entry::{Reason, Run};
use leveret_store::log::{GROUPS, Group, Log, QueueId};

/// See the module.
#[derive(Debug)]
pub(super) struct Settled {
    /// For each group of queues.
    by_group: Vec<Vec<(QueueId, Run)>>,
    /// The groups that have some.
    groups: Vec<Group>,
    of_queue: Vec<Run>,
}

impl Default for Settled {
    fn default() -> Self {
        Self {
            by_group: (0..=GROUPS).map(|_| Vec::new()).collect(),
            groups: Vec::new(),
            of_queue: Vec::new(),
        }
    }
}

impl Settled {
    /// Messages that are in the log are settled.
    pub(super) fn push(&mut self, queue: QueueId, first_seq: u64, count: u64) {
        let group = Group::of(queue);
        let Some(runs) = self.by_group.get_mut(usize::from(group.0)) else {
            return;
        };
        match runs.last_mut() {
            Some((last_queue, run))
                if *last_queue == queue && run.first_seq + run.count == first_seq =>
            {
                run.count += count;
                return;
            }
            Some(_) => {}
            None => self.groups.push(group),
        }
        runs.push((queue, Run { first_seq, count }));
    }

    /// Tells the log. To be called before anything is said of a queue that must not come before its settled messages: its end.
    pub(super) fn tell(&mut self, log: &mut dyn Log) {
        for group in self.groups.drain(..) {
            let Some(runs) = self.by_group.get_mut(usize::from(group.0)) else {
                continue;
            };
            let key = |(queue, run): &(QueueId, Run)| (*queue, run.first_seq);
            if !runs.is_sorted_by_key(key) {
                runs.sort_unstable_by_key(key);
            }
            for runs in runs.chunk_by(|one, other| one.0 == other.0) {
                let Some((queue, _)) = runs.first() else {
                    continue;
                };
                join(runs, &mut self.of_queue);
                log.settle(group, *queue, Reason::Ack, &self.of_queue);
            }
            runs.clear();
        }
    }
}

/// Joins the runs of a queue, which are in order, where they continue each other.
fn join(runs: &[(QueueId, Run)], joined: &mut Vec<Run>) {
    joined.clear();
    for (_, run) in runs {
        match joined.last_mut() {
            Some(last) if last.first_seq + last.count == run.first_seq => last.count += run.count,
            _ => joined.push(*run),
        }
    }
}
