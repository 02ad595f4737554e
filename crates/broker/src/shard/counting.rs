//! Reading messages for nobody but to count their bytes, where their queue has a limit to them: see `queue/uncounted.rs`. Queues take turns, each with a
//! MiB at a time, and what was read is dropped again.

use std::collections::VecDeque;

use leveret_store::log::{QueueId, Read, Wanted};

use crate::queue::Count;
use crate::shard::{Shard, touch};

/// How many questions are open at a time: so many MiB of memory.
const OPEN_MAX: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// Queues that are to be asked for their next messages, each once.
    next: VecDeque<QueueId>,
    /// Of which queue what is read, by its token.
    open: Vec<(QueueId, u64)>,
}

impl Counting {
    /// A queue has messages that are to be counted.
    pub(super) fn push(&mut self, id: QueueId) {
        self.next.push_back(id);
    }
}

impl Shard {
    /// Asks for the messages that are to be counted next.
    pub(super) fn count_on(&mut self) {
        while self.counting.open.len() < OPEN_MAX
            && let Some(id) = self.counting.next.pop_front()
        {
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            match queue.ask_uncounted(&mut *self.log) {
                Count::Done => {}
                Count::NotDurable => _ = self.not_durable.insert(id),
                Count::Asked(token) => {
                    self.reading += 1;
                    self.counting.open.push((id, token));
                }
            }
        }
    }

    /// Counts what was read for that; gives back what was not.
    pub(super) fn arrived_count(&mut self, wanted: Wanted, read: Read) -> Option<(Wanted, Read)> {
        let open = &mut self.counting.open;
        let asked = (wanted.queue, wanted.token);
        let Some(at) = open.iter().position(|open| *open == asked) else {
            return Some((wanted, read));
        };
        open.swap_remove(at);
        if let Some(queue) = self.queues.get_mut(&wanted.queue) {
            queue.count_asked(&wanted, read);
            // There may be too much, or room after all.
            touch(&mut self.touched, queue);
            self.counting.push(wanted.queue);
        }
        None
    }
}
