//! When queues are to be looked at for one reason. A queue has at most one entry, and knows when that is due.

use std::collections::BTreeSet;
use std::time::Instant;

use leveret_store::log::QueueId;

/// See the module. `noted` is where a queue keeps when its entry is due.
#[derive(Debug, Default)]
pub(super) struct Due(BTreeSet<(Instant, QueueId)>);

impl Due {
    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    /// A queue is to be looked at then, or when it was already, if that is earlier.
    pub(super) fn add(&mut self, queue: QueueId, noted: &mut Option<Instant>, due: Instant) {
        if noted.is_some_and(|noted| noted <= due) {
            return;
        }
        self.forget(queue, *noted);
        *noted = Some(due);
        self.0.insert((due, queue));
    }

    /// A queue need not be looked at.
    pub(super) fn forget(&mut self, queue: QueueId, noted: Option<Instant>) {
        if let Some(due) = noted {
            self.0.remove(&(due, queue));
        }
    }

    /// Takes out the next one that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<QueueId> {
        let first = *self.0.first()?;
        (first.0 <= now).then(|| {
            self.0.remove(&first);
            first.1
        })
    }
}
