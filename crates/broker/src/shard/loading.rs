//! Keys are read back before anything else is done: until then it is not known what is a duplicate. What comes meanwhile waits, in order.

use std::collections::VecDeque;

use leveret_store::entry::Stream;
use leveret_store::log::{Arrived, QueueId, Read, Wanted};

use crate::command::Command;
use crate::deduplication::Key;
use crate::found::{FoundMessages, batch_of};
use crate::queue::KEYS;
use crate::shard::Shard;
use crate::window;

/// How many bytes are read at a time.
const READ_BYTES: usize = 1 << 20;

/// How many questions are open at a time.
const QUESTIONS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// What is not asked for yet.
    left: VecDeque<Wanted>,
    /// How many questions are open.
    open: usize,
    /// What has come meanwhile.
    commands: Vec<Command>,
}

impl Shard {
    /// The keys that the log has of a queue are to be read before the first turn is over.
    pub(super) fn load_later(&mut self, queue: QueueId, found: &[FoundMessages]) {
        let keys = found.iter().filter(|found| found.stream >= KEYS);
        for found in keys {
            let loading = self.loading.get_or_insert_default();
            loading.left.push_back(Wanted {
                queue,
                stream: Stream(found.stream),
                token: 0,
                first_seq: found.first_seq,
                skip: 0,
                last_seq: found.last_seq,
                bytes_max: READ_BYTES,
            });
        }
    }

    /// Reads on. When everything is there, returns what has come meanwhile, and these `commands` behind it.
    pub(super) fn load_keys(
        &mut self,
        commands: impl Iterator<Item = Command>,
    ) -> Option<Vec<Command>> {
        let mut loading = self.loading.take().unwrap_or_default();
        loading.commands.extend(commands);
        self.log.take_arrived(&mut self.arrived);
        for arrived in std::mem::take(&mut self.arrived) {
            // Nobody else has asked for anything.
            let Arrived::Read(wanted, read) = arrived else {
                continue;
            };
            loading.open -= 1;
            let next_seq = read.next_seq;
            self.keys_arrived(wanted.queue, read);
            if next_seq <= wanted.last_seq {
                loading.left.push_front(Wanted {
                    first_seq: next_seq,
                    ..wanted
                });
            }
        }
        while loading.open < QUESTIONS_MAX
            && let Some(wanted) = loading.left.pop_front()
        {
            loading.open += 1;
            self.log.read(wanted);
        }
        if loading.open == 0 {
            return Some(loading.commands);
        }
        self.loading = Some(loading);
        None
    }

    fn keys_arrived(&mut self, id: QueueId, read: Read) {
        let runs = read.runs.clone();
        let seqs = runs
            .iter()
            .flat_map(|run| run.first_seq..run.first_seq + run.count);
        let batch = batch_of(read);
        for (index, seq) in (0..).zip(seqs) {
            let record = batch.message(index).map(|message| message.body);
            let Some(record) = record.as_ref().map(|body| body.as_bytes()) else {
                continue;
            };
            if let Some(window) = self.windows.get_mut(&id)
                && let Some((key, until_ms)) = window::read(record)
            {
                window.put_back(key, until_ms, seq);
            }
            if let Some(queue) = self.queues.get_mut(&id)
                && let Some(keys) = &mut queue.keys
                && let Some(key) = Key::read(record)
            {
                keys.add(key, seq);
            }
        }
        self.note_over(id);
    }
}
