//! Settling what was handed out: it is gone, goes back to its place, or dies.

use std::sync::Arc;

use crate::command::{Holder, Outcome, Settle};
use crate::dead_letter::Reason;
use crate::link::ConnectionId;
use crate::shard::bury::Dead;
use crate::shard::{Shard, touch};

impl Shard {
    /// Settles, and moves what is not wanted to where dead letters go.
    pub(super) fn settle_now(&mut self, connection: ConnectionId, settles: &[Settle]) {
        self.settle(connection, settles);
        self.bury();
    }

    /// What is rejected is left for [`Shard::bury`].
    pub(super) fn settle(&mut self, connection: ConnectionId, settles: &[Settle]) {
        for settle in settles {
            let Some(queue) = self.queues.get_mut(&settle.queue) else {
                continue;
            };
            let holder = Holder {
                connection,
                channel: settle.channel,
            };
            let (settled, id) = (&mut self.settled, settle.queue);
            let before = queue.held_bytes();
            let run = (settle.first_seq, settle.count);
            if settle.outcome == Outcome::Discard && queue.has_dead_letters() {
                let (dead, of) = (&mut self.dead, Arc::clone(&queue.handle));
                let settings = queue.settings.clone();
                queue.discard(holder, run, |piece| {
                    dead.push(Dead {
                        queue: Arc::clone(&of),
                        settings: settings.clone(),
                        piece,
                        reason: Reason::Rejected,
                    });
                });
            } else {
                let gone = |level, first, count| settled.push(id, level, first, count);
                queue.settle(holder, run, settle.outcome, gone);
            }
            self.held_bytes -= before as i64 - queue.held_bytes() as i64;
            if queue.ready_count() > 0 {
                touch(&mut self.touched, queue);
            }
        }
    }
}
