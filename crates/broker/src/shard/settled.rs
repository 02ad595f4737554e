//! What is settled for good in a turn, gathered for the log: one entry for each group, with as few runs as there can be.

use leveret_store::entry::{QueueRun, Reason, Run, Stream};
use leveret_store::log::{GROUPS, Group, Log, QueueId};
use rustc_hash::FxHashSet;

use crate::queue::Level;

/// See the module.
#[derive(Debug)]
pub(super) struct Settled {
    /// For each group of queues.
    by_group: Vec<Vec<QueueRun>>,
    /// The groups that have some.
    groups: Vec<Group>,
    /// Queues whose messages have keys beside them, which go with them.
    keyed: FxHashSet<QueueId>,
}

impl Default for Settled {
    fn default() -> Self {
        Self {
            by_group: (0..=GROUPS).map(|_| Vec::new()).collect(),
            groups: Vec::new(),
            keyed: FxHashSet::default(),
        }
    }
}

impl Settled {
    /// Messages that are in the log are settled.
    pub(super) fn push(&mut self, queue: QueueId, stream: Stream, first_seq: u64, count: u64) {
        let group = Group::of(queue);
        let Some(runs) = self.by_group.get_mut(usize::from(group.0)) else {
            return;
        };
        let new = QueueRun {
            queue,
            stream,
            run: Run { first_seq, count },
        };
        if runs.is_empty() {
            self.groups.push(group);
        }
        if !runs.last_mut().is_some_and(|last| join(last, &new)) {
            runs.push(new);
        }
    }

    /// What is settled of a queue goes with the keys beside it from now on, or no more.
    pub(super) fn set_keyed(&mut self, queue: QueueId, is_keyed: bool) {
        match is_keyed {
            true => self.keyed.insert(queue),
            false => self.keyed.remove(&queue),
        };
    }

    /// Tells the log. To be called before anything is said of a queue that must not come before its settled messages: its end.
    pub(super) fn tell(&mut self, log: &mut dyn Log) {
        for group in self.groups.drain(..) {
            let Some(runs) = self.by_group.get_mut(usize::from(group.0)) else {
                continue;
            };
            let key = |of: &QueueRun| u128::from(of.queue.0) << 64 | u128::from(of.run.first_seq);
            if !runs.is_sorted_by_key(key) {
                runs.sort_unstable_by_key(key);
            }
            runs.dedup_by(|next, last| join(last, next));
            if !self.keyed.is_empty() {
                add_keys(runs, &self.keyed);
            }
            log.settle(group, Reason::Ack, runs);
            runs.clear();
        }
    }
}

/// Adds the keys of messages to these.
fn add_keys(runs: &mut Vec<QueueRun>, keyed: &FxHashSet<QueueId>) {
    let of = runs.iter().filter(|of| keyed.contains(&of.queue));
    let keys = of.filter_map(|of| {
        let stream = Level::of(of.stream)?.keys();
        Some(QueueRun { stream, ..*of })
    });
    let keys: Vec<QueueRun> = keys.collect();
    runs.extend(keys);
}

/// Adds a run to one that it continues, if it does.
fn join(last: &mut QueueRun, next: &QueueRun) -> bool {
    let continues = last.queue == next.queue
        && last.stream == next.stream
        && last.run.first_seq + last.run.count == next.run.first_seq;
    if continues {
        last.run.count += next.run.count;
    }
    continues
}
