//! What a shard tells its log is written at once, or when there is more.

use std::time::{Duration, Instant};

use super::*;
use crate::bell::{Bell, Woken};

/// So long the commit gives others time to say something as well, here.
const PAUSE: Duration = Duration::from_secs(20);

fn log(bell: &Arc<Bell>) -> ShardLog {
    ShardLog {
        number: 0,
        staging: Arc::new(Staging::new(Arc::clone(bell), Box::new(|_| {}))),
        transactions: Arc::default(),
        before_part: Position::default(),
        inbox: Arc::new(Inbox::new(Box::new(|| {}))),
        readers: Arc::default(),
        chunks: Arc::default(),
        waiting_chunks: Arc::default(),
        indexes: vec![0; usize::from(GROUPS) + 1],
        next_chunk: 0,
        chunk_step: 1,
    }
}

#[test]
fn that_messages_wait_is_written_without_a_pause_and_a_failure_alone_is_not() {
    for (ready_ms, pause, is_at_once) in [(9_000, PAUSE, true), (0, PAUSE / 1_000, false)] {
        let bell = Arc::default();
        let mut log = log(&bell);
        let run = RequeueRun {
            first_seq: 1,
            count: 1,
            delivery_count: 2,
            ready_ms,
        };
        log.requeue(Group(1), (QueueId(64), Stream(0)), &[run]);
        let began = Instant::now();
        assert_eq!(bell.wait(None, pause), Woken::Rung);
        assert_eq!(began.elapsed() < pause, is_at_once);
    }
}
