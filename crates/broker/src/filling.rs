//! Batches that are being filled for the shards.

use std::sync::Arc;

use bytes::Bytes;
use leveret_message::batch::{Batch, BatchBuilder, Body, NewMessage};

use crate::command::{Run, RunQueues, Shards};
use crate::ids::ShardId;
use crate::mailbox::take_gathered;
use crate::queue_handle::QueueHandle;

/// The body of a message that is being published.
#[derive(Clone, Debug)]
pub enum NewBody<'a> {
    /// Copied into the batch.
    Copied(&'a [u8]),
    /// Shared by reference.
    Shared(Bytes),
}

impl<'a> From<Body<'a>> for NewBody<'a> {
    /// That of a message which is published again.
    fn from(body: Body<'a>) -> Self {
        match body {
            Body::Inline(body) => Self::Copied(body),
            Body::Shared(body) => Self::Shared(body.clone()),
        }
    }
}

/// A batch that is being filled, and which of its messages goes where.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    pub(super) builder: BatchBuilder,
    runs: Vec<Run>,
}

impl Filling {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Ends the batch and begins the next one.
    pub(crate) fn seal(&mut self) -> (Arc<Batch>, Vec<Run>) {
        (self.builder.seal(), take_gathered(&mut self.runs))
    }

    /// Adds a message; whether it begins a run.
    #[inline(always)]
    pub(crate) fn add(
        &mut self,
        queues: &RunQueues,
        message: NewMessage<'_>,
        body: &NewBody<'_>,
    ) -> bool {
        match body {
            NewBody::Copied(body) => self.builder.push(message, body),
            NewBody::Shared(body) => self.builder.push_shared(message, body.clone()),
        }
        match self.runs.last_mut() {
            Some(run) if run.queues.is_same(queues) => {
                run.count += 1;
                false
            }
            _ => {
                let first = self.builder.len() - 1;
                self.runs.push(Run {
                    queues: queues.clone(),
                    first,
                    count: 1,
                });
                true
            }
        }
    }
}

/// An empty batch for each shard.
pub(crate) fn lanes(shards: &Shards) -> Vec<Filling> {
    (0..shards.count()).map(|_| Filling::default()).collect()
}

/// What a message that was published before has from then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// Whether it has died in a queue, of which its headers tell.
    pub(crate) died: bool,
    /// Its blind keys.
    pub(crate) blind: &'a [u8],
}

/// Adds a message that was published before to the batches of the shards that its queues are in.
pub(crate) fn add_moved(
    lanes: &mut [Filling],
    queues: &mut [Arc<QueueHandle>],
    message: NewMessage<'_>,
    body: &NewBody<'_>,
    kept: Kept<'_>,
) {
    for (shard, queues) in by_shard(queues) {
        if let Some(lane) = lanes.get_mut(usize::from(shard.0)) {
            lane.add(&queues, message, body);
            kept.mark(&mut lane.builder);
        }
    }
}

impl Kept<'_> {
    /// The message that was added last has all this.
    pub(crate) fn mark(self, builder: &mut BatchBuilder) {
        if self.died {
            builder.mark_died();
        }
        builder.mark_blind(self.blind);
    }
}

/// The queues that a message goes to, by the shards that they are in.
pub(crate) fn by_shard(
    queues: &mut [Arc<QueueHandle>],
) -> impl Iterator<Item = (ShardId, RunQueues)> {
    queues.sort_by_key(|queue| queue.shard);
    let by_shard = queues.chunk_by(|a, b| a.shard == b.shard);
    by_shard.filter_map(|of| Some((of.first()?.shard, of.iter().map(|queue| queue.id).collect())))
}
