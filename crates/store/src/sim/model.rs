//! The model: queues as maps, and which of what was staged is written and durable.
//!
//! It knows nothing of files. It is told what was staged in which staging, and what came of each turn of the commit; so it can say what may
//! be found after a crash.

use std::collections::BTreeMap;

use crate::disk::Chance;
use crate::entry::{RequeueRun, Run};

/// A message that is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What its record follows from.
    pub(super) id: u64,
    /// How often it was delivered, as a requeue has said.
    pub(super) deliveries: (u32, u64),
}

/// A queue that has had messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) next_seq: u64,
    pub(super) live: BTreeMap<u64, Message>,
}

/// What a target of an enqueue takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) queue: u64,
    pub(super) first_seq: u64,
    pub(super) first_id: u64,
    pub(super) count: u64,
}

/// What an entry says.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Enqueue(Vec<Part>),
    Settle(u64, Vec<Run>),
    Requeue(u64, Vec<RequeueRun>),
    Purge(u64, u64),
    Delete(u64),
    Define(Vec<u8>, Vec<u8>),
    Undefine(Vec<u8>),
}

/// An entry, and where it stands in its group's log.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) change: Change,
    pub(super) group: u16,
    pub(super) index: u64,
}

/// What is live at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) queues: BTreeMap<u64, Queue>,
    pub(super) definitions: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The last entry of each group.
    pub(super) last: BTreeMap<u16, u64>,
}

impl State {
    pub(super) fn apply(&mut self, told: &Told) {
        self.last.insert(told.group, told.index);
        match &told.change {
            Change::Enqueue(parts) => parts.iter().for_each(|part| self.enqueue(part)),
            Change::Settle(queue, runs) => {
                for run in runs {
                    self.remove(*queue, run.first_seq, run.first_seq + run.count);
                }
            }
            Change::Requeue(queue, runs) => {
                runs.iter().for_each(|run| self.requeue(*queue, run));
            }
            Change::Purge(queue, upto) => self.remove(*queue, 0, upto + 1),
            Change::Delete(queue) => drop(self.queues.remove(queue)),
            Change::Define(key, value) => {
                self.definitions.insert(key.clone(), value.clone());
            }
            Change::Undefine(key) => drop(self.definitions.remove(key)),
        }
    }

    fn enqueue(&mut self, part: &Part) {
        let queue = self.queues.entry(part.queue).or_default();
        queue.next_seq = part.first_seq + part.count;
        for i in 0..part.count {
            let (id, deliveries) = (part.first_id + i, (0, 0));
            let message = Message { id, deliveries };
            queue.live.insert(part.first_seq + i, message);
        }
    }

    fn requeue(&mut self, queue: u64, run: &RequeueRun) {
        let range = run.first_seq..run.first_seq + run.count;
        let live = self.queues.get_mut(&queue).map(|queue| &mut queue.live);
        for (_, message) in live
            .into_iter()
            .flat_map(|live| live.range_mut(range.clone()))
        {
            let count = run.delivery_count.max(message.deliveries.0);
            message.deliveries = (count, run.ready_ms);
        }
    }

    fn remove(&mut self, queue: u64, first: u64, end: u64) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue
                .live
                .extract_if(first..end, |_, _| true)
                .for_each(drop);
        }
    }

    /// How many messages are live.
    pub(super) fn live(&self) -> usize {
        self.queues.values().map(|queue| queue.live.len()).sum()
    }
}

/// What one turn of the commit has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) told: Vec<Told>,
    /// How far each staging's positions go with it.
    pub(super) positions: Vec<u64>,
    pub(super) urgent: bool,
    pub(super) entries: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// With everything that was staged.
    pub(super) now: State,
    /// With everything that is durable.
    pub(super) durable: State,
    /// How far each staging is durable, and written.
    pub(super) durable_at: Vec<u64>,
    pub(super) written_at: Vec<u64>,
    /// What waits in each staging.
    staged: Vec<Vec<Told>>,
    /// How many entries were staged in each, and whether one of those that wait is urgent.
    positions: Vec<u64>,
    urgent: bool,
    entries: u64,
    /// Batches that are written and not synced.
    pub(super) written: Vec<Batch>,
    /// One that was taken and is not known to be written: there was no room, or the disk failed in the middle.
    pub(super) taken: Option<Batch>,
}

impl Model {
    /// A store that was opened and holds this.
    pub(super) fn new(state: State, stagings: usize) -> Self {
        Self {
            now: state.clone(),
            durable: state,
            durable_at: vec![0; stagings],
            written_at: vec![0; stagings],
            staged: vec![Vec::new(); stagings],
            positions: vec![0; stagings],
            ..Self::default()
        }
    }

    /// An entry was staged. What the keeper stages changes nothing here and is only counted.
    pub(super) fn stage(&mut self, staging: usize, told: Option<Told>, urgent: bool) {
        if let Some(told) = told {
            self.now.apply(&told);
            if let Some(staged) = self.staged.get_mut(staging) {
                staged.push(told);
            }
        }
        if let Some(position) = self.positions.get_mut(staging) {
            *position += 1;
        }
        self.entries += 1;
        self.urgent |= urgent;
    }

    /// Somebody has asked for everything to be durable.
    pub(super) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// A turn begins: unless one waits, it takes what was staged.
    pub(super) fn take(&mut self) {
        if self.taken.is_none() {
            let told = self.staged.iter_mut().flat_map(std::mem::take);
            self.taken = Some(Batch {
                told: told.collect(),
                positions: self.positions.clone(),
                urgent: std::mem::take(&mut self.urgent),
                entries: std::mem::take(&mut self.entries),
            });
        }
    }

    /// Nothing was in what was taken.
    pub(super) fn took_nothing(&mut self) -> Option<Batch> {
        self.taken.take()
    }

    /// What was taken is written.
    pub(super) fn wrote(&mut self) {
        if let Some(batch) = self.taken.take() {
            self.written_at.clone_from(&batch.positions);
            self.written.push(batch);
        }
    }

    /// What is written is durable.
    pub(super) fn synced(&mut self) {
        for batch in self.written.drain(..) {
            batch.told.iter().for_each(|told| self.durable.apply(told));
            self.durable_at = batch.positions;
        }
    }

    /// What may be found after a crash, from what is durable to all that was taken.
    pub(super) fn moments(&self) -> Vec<State> {
        let mut state = self.durable.clone();
        let mut moments = vec![state.clone()];
        for batch in self.written.iter().chain(&self.taken) {
            batch.told.iter().for_each(|told| state.apply(told));
            moments.push(state.clone());
        }
        moments
    }
}

/// The record of a message.
pub(super) fn record(id: u64) -> Vec<u8> {
    let mut chance = Chance::new(id);
    let len = match chance.below(100) {
        0..80 => chance.below(250),
        80..98 => 250 + chance.below(1750),
        _ => 2000 + chance.below(14_000),
    };
    let mut record = id.to_le_bytes().to_vec();
    record.extend((0..len / 8).flat_map(|_| chance.number().to_le_bytes()));
    record
}
