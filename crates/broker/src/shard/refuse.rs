//! Messages that a full queue does not take: `x-overflow` of `reject-publish` and `reject-publish-dlx`. Their publisher hears which these are
//! before it hears that their batch is done.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::log::QueueId;

use crate::arguments::Overflow;
use crate::dead_letter::Reason;
use crate::queue::{Home, Level, Ready};
use crate::runs::Piece;
use crate::shard::Shard;
use crate::shard::bury::Dead;

/// Messages of a batch that a queue has refused: the first one's index, and how many.
pub(super) type Refused = (u32, u32);

impl Shard {
    /// Puts those messages of a batch into a queue for which there is room. Whether its publishers should be slowed to the pace of its consumers.
    pub(super) fn enqueue_fitting(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) -> bool {
        let (mut at, end) = (first, first + count);
        let mut is_slow = false;
        while let Some(queue) = self.queues.get(&id).filter(|_| at < end) {
            let fitting = queue.fitting(batch, at, end - at);
            if fitting == 0 {
                self.refuse(id, batch, at);
                at += 1;
            } else {
                is_slow |= self.put(id, batch, (at, fitting), false);
                at += fitting;
            }
        }
        is_slow
    }

    fn refuse(&mut self, id: QueueId, batch: &Arc<Batch>, index: u32) {
        match self.refused.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => self.refused.push((index, 1)),
        }
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        let overflow = queue.settings.length.overflow;
        if overflow == Some(Overflow::RejectPublishDlx) && queue.has_dead_letters() {
            let value = Ready {
                batch: Arc::clone(batch),
                index,
                home: Home::Memory,
                level: Level::default(),
                failed: 0,
            };
            // It was never in the queue, and so has no number there.
            let piece = Piece {
                first: 0,
                count: 1,
                value,
            };
            self.dead.push(Dead::of(queue, piece, Reason::MaxLength));
        }
    }
}
