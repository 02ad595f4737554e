//! What shards and the door of definitions stage, in the store and in the model.

use std::collections::BTreeMap;

use super::Held;
use super::model::{Change, Part, Told, record};
use super::world::World;
use crate::entry::{
    self, NewEnqueue, QueueRun, Reason, RequeueRun, Run, Stamp, Stream, Target, TooLong,
};
use crate::log::{GROUPS, Group, QueueId, Urgency};

/// With more live messages than this, more are settled than come.
const LIVE_MANY: usize = 250;

/// How many groups have queues, and how many queues there are at most.
const GROUPS_USED: usize = 4;
const QUEUES_MAX: usize = 14;

impl World {
    /// Stages something.
    pub(super) fn stage(&mut self) -> Held {
        let many = self.model.now.live() > LIVE_MANY;
        match self.chance.below(100) {
            0..40 if !many => self.enqueue(),
            0..78 => self.settle(),
            78..88 => self.requeue(),
            88..92 => self.delete_queue(),
            92..94 => self.purge(),
            94..97 => self.redefine(),
            _ => {
                let staging = self.chance.below(self.rig.stagings.len());
                let waits = self.rig.stagings[staging].waiting_bytes() > 0;
                self.rig.stagings[staging].hurry();
                if waits {
                    self.model.hurry();
                }
                Ok(())
            }
        }
    }

    fn urgency(&mut self) -> Urgency {
        match self.chance.below(4) {
            0 => Urgency::Written,
            1 => Urgency::Whenever,
            _ => Urgency::Synced,
        }
    }

    /// Stages an entry of a group, in its shard's staging or in that of the definitions.
    fn push(
        &mut self,
        group: Group,
        urgency: Urgency,
        change: Change,
        encode: impl FnOnce(&mut Vec<u8>, Stamp) -> Result<(), TooLong>,
    ) -> Held {
        let staging = match group {
            Group::DEFINITIONS => self.setup.definitions(),
            _ => usize::from(group.0) % self.setup.shards,
        };
        let index = self.model.now.last.get(&group.0).map_or(1, |last| last + 1);
        let stamp = Stamp {
            group,
            term: 0,
            index,
        };
        self.rig.stagings[staging]
            .push(urgency, |out| encode(out, stamp))
            .map_err(|error| error.to_string())?;
        let group = group.0;
        let told = Told {
            change,
            group,
            index,
        };
        self.figures.entries += 1;
        self.model
            .stage(staging, Some(told), urgency == Urgency::Synced);
        Ok(())
    }

    fn enqueue(&mut self) -> Held {
        let queues = self.some_queues()?;
        let count = match self.chance.below(10) {
            0 => 1 + self.chance.below(40),
            _ => 1 + self.chance.below(8),
        } as u64;
        let first_id = self.next_id;
        self.next_id += count;
        let (mut records, mut starts) = (Vec::new(), Vec::new());
        for id in first_id..first_id + count {
            starts.push(records.len() as u32);
            records.extend(record(id));
        }
        let (mut targets, mut parts) = (Vec::new(), Vec::new());
        for queue in queues {
            let skipped = self.chance.below(count as usize) as u64;
            let taken = 1 + self.chance.below((count - skipped) as usize) as u64;
            let known = self.model.now.queues.get(&queue);
            let next_seq = known.map_or(1, |queue| queue.next_seq);
            // Numbers rise, and may have gaps.
            let first_seq = next_seq + u64::from(self.chance.below(8) == 0) * 3;
            targets.push(Target {
                queue: QueueId(queue),
                stream: Stream(0),
                first: skipped as u32,
                count: taken as u32,
                flags: 0,
                first_seq,
                expires_ms: 0,
            });
            parts.push(Part {
                queue,
                first_seq,
                first_id: first_id + skipped,
                count: taken,
            });
        }
        let Some(group) = targets.first().map(|target| Group::of(target.queue)) else {
            return Ok(());
        };
        let (urgency, unix_ms) = (self.urgency(), self.now_ms);
        self.figures.messages += count;
        self.push(group, urgency, Change::Enqueue(parts), |out, stamp| {
            let new = NewEnqueue {
                unix_ms,
                targets: &targets,
                starts: &starts,
                records: &records,
                bodies: &[],
            };
            entry::enqueue(out, stamp, &new)
        })
    }

    /// One or more queues of one group, that are defined, or are now.
    fn some_queues(&mut self) -> Held<Vec<u64>> {
        let group = self.chance.below(GROUPS_USED) as u64;
        let is_of = |queue: &&u64| **queue % u64::from(GROUPS) == group;
        let mut queues: Vec<u64> = self.queues.iter().filter(is_of).copied().collect();
        let room = self.queues.len() < QUEUES_MAX;
        if queues.is_empty() || (room && self.chance.below(12) == 0) {
            let queue = self.next_queue * u64::from(GROUPS) + group;
            self.next_queue += 1;
            self.queues.insert(queue);
            self.define(format!("queue {queue}"))?;
            queues.push(queue);
        }
        let most = 1 + self.chance.below(queues.len());
        while queues.len() > most {
            queues.swap_remove(self.chance.below(queues.len()));
        }
        Ok(queues)
    }

    fn define(&mut self, key: String) -> Held {
        let (key, value) = (key.into_bytes(), record(self.chance.number() % 50));
        let change = Change::Define(key.clone(), value.clone());
        self.push(Group::DEFINITIONS, Urgency::Synced, change, |out, stamp| {
            entry::define(out, stamp, &key, &value)
        })
    }

    fn undefine(&mut self, key: Vec<u8>) -> Held {
        let change = Change::Undefine(key.clone());
        self.push(Group::DEFINITIONS, Urgency::Synced, change, |out, stamp| {
            entry::undefine(out, stamp, &key)
        })
    }

    /// Defines something else than a queue.
    pub(super) fn redefine_something(&mut self) -> Held {
        self.define("exchange 0".to_owned())
    }

    /// Gives something else that is defined another value, or none.
    fn redefine(&mut self) -> Held {
        let key = format!("exchange {}", self.chance.below(10));
        match self.chance.coin() {
            true => self.define(key),
            false => self.undefine(key.into_bytes()),
        }
    }

    /// A queue with live messages, and their numbers.
    fn live_queue(&mut self) -> Option<(u64, Vec<u64>)> {
        let queues = &self.model.now.queues;
        let live: BTreeMap<u64, Vec<u64>> = queues
            .iter()
            .filter(|(_, queue)| !queue.live.is_empty())
            .map(|(id, queue)| (*id, queue.live.keys().copied().collect()))
            .collect();
        let at = self.chance.below(live.len().max(1));
        live.into_iter().nth(at)
    }

    /// Some of these numbers as runs: from the front, at random, or a range with what is not live any more in it.
    fn some_runs(&mut self, live: &[u64]) -> Vec<Run> {
        let most = 1 + self.chance.below(live.len());
        match self.chance.below(3) {
            0 => together(live.iter().take(most).copied()),
            1 => {
                let chance = &mut self.chance;
                together(live.iter().copied().filter(|_| chance.below(3) == 0))
            }
            _ => {
                let first = live[self.chance.below(live.len())];
                let count = 1 + self.chance.below(20) as u64;
                vec![Run {
                    first_seq: first,
                    count,
                }]
            }
        }
    }

    fn settle(&mut self) -> Held {
        let Some((queue, live)) = self.live_queue() else {
            return Ok(());
        };
        let runs = self.some_runs(&live);
        match runs.is_empty() {
            true => Ok(()),
            false => self.settle_runs(queue, runs),
        }
    }

    pub(super) fn settle_runs(&mut self, queue: u64, runs: Vec<Run>) -> Held {
        let (of, change) = (QueueId(queue), Change::Settle(queue, runs.clone()));
        let urgency = self.urgency();
        let is_each = self.chance.below(2) == 0;
        let of_queue = |run: &Run| QueueRun {
            queue: of,
            stream: Stream(0),
            run: *run,
        };
        let each: Vec<QueueRun> = runs.iter().map(of_queue).collect();
        self.push(Group::of(of), urgency, change, |out, stamp| match is_each {
            true => entry::settle_each(out, stamp, Reason::Ack, &each),
            false => entry::settle(out, stamp, (of, Stream(0)), Reason::Ack, runs),
        })
    }

    fn requeue(&mut self) -> Held {
        let Some((queue, live)) = self.live_queue() else {
            return Ok(());
        };
        let delivery_count = self.chance.below(5) as u32;
        let ready_ms = match delivery_count {
            4 => 1_900_000_000_000,
            _ => 0,
        };
        let runs = self.some_runs(&live).into_iter();
        let runs = runs.map(|run| RequeueRun {
            first_seq: run.first_seq,
            count: run.count,
            delivery_count,
            ready_ms,
        });
        let runs: Vec<RequeueRun> = runs.collect();
        if runs.is_empty() {
            return Ok(());
        }
        let (of, change) = (QueueId(queue), Change::Requeue(queue, runs.clone()));
        self.push(Group::of(of), Urgency::Whenever, change, |out, stamp| {
            entry::requeue(out, stamp, (of, Stream(0)), Reason::ConsumerGone, runs)
        })
    }

    fn purge(&mut self) -> Held {
        let Some((queue, live)) = self.live_queue() else {
            return Ok(());
        };
        let upto = live[self.chance.below(live.len())];
        let (of, change) = (QueueId(queue), Change::Purge(queue, upto));
        let urgency = self.urgency();
        self.push(Group::of(of), urgency, change, |out, stamp| {
            entry::purge(out, stamp, of, Stream(0), upto)
        })
    }

    fn delete_queue(&mut self) -> Held {
        let at = self.chance.below(self.queues.len().max(1));
        let Some(queue) = self.queues.iter().nth(at).copied() else {
            return Ok(());
        };
        self.queues.remove(&queue);
        self.undefine(format!("queue {queue}").into_bytes())?;
        let (of, urgency) = (QueueId(queue), self.urgency());
        let change = Change::Delete(queue);
        self.push(Group::of(of), urgency, change, |out, stamp| {
            entry::queue_delete(out, stamp, of)
        })
    }
}

/// Rising numbers as runs.
pub(super) fn together(seqs: impl Iterator<Item = u64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for seq in seqs {
        match runs.last_mut() {
            Some(run) if run.first_seq + run.count == seq => run.count += 1,
            _ => runs.push(Run {
                first_seq: seq,
                count: 1,
            }),
        }
    }
    runs
}
