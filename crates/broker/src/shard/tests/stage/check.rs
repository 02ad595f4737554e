//! What has to be true between two turns, and at the end, when everyone lets go of everything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{CHANNEL_CREDIT, CLIENTS, Connection, Stage, Step};
use crate::command::Outcome;
use crate::queue::Queue;

impl Stage {
    /// What can be counted, between two turns.
    pub(super) fn compare(&self) {
        let (shard, model) = (&self.fixture.shard, &self.model);
        assert_eq!(shard.queues.len(), model.queues().len());
        for (id, queue) in model.queues() {
            let there = &shard.queues[id];
            let counts = (
                there.ready_count(),
                there.unacked_count(),
                there.consumers.len(),
            );
            assert_eq!(counts, queue.counts(), "{}", there.handle.name());
        }
        let held: usize = shard.queues.values().map(Queue::held_bytes).sum();
        assert_eq!(self.fixture.queued.held(), held as i64);
        if !self.scene.is_of_little_memory() {
            assert_eq!(held, model.bytes());
        }
        for Connection { client, .. } in &self.connections {
            let waiting = client.link.waiting_bytes();
            if !self.scene.is_of_little_memory() {
                assert_eq!(waiting, model.waiting(client.id()));
            }
        }
        for handle in self.queues.values() {
            let lives = model.queues().contains_key(&handle.id);
            assert_eq!(handle.is_deleted(), !lives);
            let found = self.fixture.vhost.find_queue(handle.name());
            assert_eq!(found.is_some(), lives, "{}", handle.name());
        }
    }

    /// Everyone writes and settles until nothing comes any more; then nothing may be left but what nobody consumes, and after a purge nothing.
    pub(in crate::shard::tests) fn finish(&mut self) {
        let lines = |stage: &Self| {
            stage
                .transcript
                .iter()
                .filter(|l| l.contains("Delivery"))
                .count()
        };
        loop {
            let before = lines(self);
            for _ in 0..2 {
                let all = (0..CLIENTS).flat_map(|who| {
                    let all = Step::Settle(0, usize::MAX / 2, Outcome::Ack);
                    [(who, Step::Write(4)), (who, all)]
                });
                self.turn(&all.collect::<Vec<_>>());
            }
            if lines(self) == before {
                break;
            }
        }
        for (id, queue) in self.model.queues() {
            let (ready, unacked, consumers) = queue.counts();
            assert!(ready == 0 || consumers == 0, "{id:?}: stuck with {ready}");
            assert_eq!(unacked, 0, "{id:?}");
        }
        self.turn(&[0, 1, 2, 3].map(|queue| (0, Step::Purge(queue))));
        assert_eq!(self.fixture.queued.held(), 0);
        assert_eq!(self.fixture.log.kept_count(), (0, 0));
        self.fixture.now += Duration::from_millis(100);
        self.turn(&[]);
        for (who, of) in self.connections.iter().enumerate() {
            assert_eq!(of.returned, of.taken, "allowance of client {who}");
            assert_eq!(of.client.link.waiting_bytes(), 0);
            let left = of.credit.load(Ordering::SeqCst);
            assert_eq!(left, CHANNEL_CREDIT, "channel credit of client {who}");
        }
    }
}
