//! What the oldest message of a queue says of its time: looked for when somebody asks, and only in memory.

use leveret_message::batch::Batch;
use leveret_message::properties::Properties;

use crate::queue::Queue;
use crate::queue::pieces::Held;
use crate::runs::Piece;

impl Queue {
    /// The `timestamp` property, in seconds since 1970, of the message that is ready first, or of the first one that is unacked where that is
    /// earlier. None where neither has one, or neither is in memory.
    ///
    /// **Cost**: by the channels that hold messages.
    pub(super) fn oldest_timestamp(&self) -> Option<u64> {
        let ready = self.lines.first().first_place();
        let ready = ready.and_then(|(_, batch, index)| timestamp(batch, index));
        let unacked = self.first_unacked().and_then(|piece| {
            let Held { batch, index, .. } = &piece.value;
            timestamp(batch.as_ref()?, *index)
        });
        ready.into_iter().chain(unacked).min()
    }

    fn first_unacked(&self) -> Option<&Piece<Held>> {
        let firsts = self.unacked.values().filter_map(|held| held.first());
        firsts.min_by_key(|piece| piece.first)
    }
}

fn timestamp(batch: &Batch, index: u32) -> Option<u64> {
    let message = batch.message(index)?;
    Properties::checked(message.properties).timestamp()
}
