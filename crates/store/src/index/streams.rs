//! The streams of the index: found by a hash, told in order.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Messages;
use crate::entry::Stream;
use crate::log::QueueId;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    by_id: FxHashMap<(QueueId, Stream), Messages>,
    /// Those of `by_id` with another number than 0, of which most queues have none.
    further: BTreeSet<(QueueId, Stream)>,
}

impl Streams {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// A stream.
    pub(super) fn get(&self, id: (QueueId, Stream)) -> Option<&Messages> {
        self.by_id.get(&id)
    }

    /// A stream, to be changed.
    pub(super) fn get_mut(&mut self, id: (QueueId, Stream)) -> Option<&mut Messages> {
        self.by_id.get_mut(&id)
    }

    /// A stream, which `make` makes where there is none.
    pub(super) fn get_or_make(
        &mut self,
        id: (QueueId, Stream),
        make: impl FnOnce() -> Messages,
    ) -> &mut Messages {
        let further = &mut self.further;
        self.by_id.entry(id).or_insert_with(|| {
            if id.1 != Stream(0) {
                further.insert(id);
            }
            make()
        })
    }

    /// Takes a stream out that has another number than 0.
    pub(super) fn remove(&mut self, id: (QueueId, Stream)) -> Option<Messages> {
        self.further.remove(&id);
        self.by_id.remove(&id)
    }

    /// Takes all streams of a queue out. **Cost**: by their number.
    pub(super) fn remove_queue(&mut self, queue: QueueId) -> Vec<Messages> {
        let whole = (queue, Stream(0))..=(queue, Stream(u32::MAX));
        let further = self.further.extract_if(whole, |_| true);
        let ids = std::iter::once((queue, Stream(0))).chain(further);
        ids.filter_map(|id| self.by_id.remove(&id)).collect()
    }

    /// All of them, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Messages> {
        self.by_id.values()
    }

    /// All of them, by rising queue and number. **Cost**: a sort.
    pub(super) fn in_order(&self) -> impl ExactSizeIterator<Item = ((QueueId, Stream), &Messages)> {
        let mut streams: Vec<_> = self.by_id.iter().map(|(id, of)| (*id, of)).collect();
        streams.sort_unstable_by_key(|(id, _)| *id);
        streams.into_iter()
    }
}
