//! Looking at messages of a stream without consuming: as of a queue, by their position from the first one that is there.

use std::sync::Arc;

use leveret_store::log::{Log, Read};

use crate::queue::{Home, Level, Look, Ready, Seen};
use crate::runs::Piece;
use crate::stream::asking::READ_BYTES;
use crate::stream::run::runs_of;
use crate::stream::{Run, Stream};

impl Stream {
    /// Looks at up to `most` messages from a position on.
    pub fn look(&mut self, position: u64, most: u64, log: &mut dyn Log) -> Look {
        let first = self.chunks.first_seq(self.next_seq);
        let seq = first.saturating_add(position);
        if seq >= self.next_seq || most == 0 {
            return Look::Here(Vec::new());
        }
        let tail_seq = self.tail_seq();
        if seq >= tail_seq {
            return Look::Here(seen(self.tail.following(seq), seq, most));
        }
        if seq > self.durable.upto() {
            log.hurry();
            return Look::Later;
        }
        let last_seq = (tail_seq - 1).min(self.durable.upto());
        Look::Read(self.put_question(log, (seq, last_seq), READ_BYTES))
    }

    /// What was read for a look.
    pub fn looked(&self, read: Read, most: u64) -> Vec<Seen> {
        seen(runs_of(read).iter(), 0, most)
    }
}

/// Messages of runs from a sequence number on.
fn seen<'r>(runs: impl Iterator<Item = &'r Run>, seq: u64, most: u64) -> Vec<Seen> {
    let (mut left, mut all) = (most, Vec::new());
    for run in runs {
        let Some(run) = run.from(seq.max(run.first_seq), left) else {
            continue;
        };
        left -= u64::from(run.count);
        let value = Ready {
            batch: Arc::clone(&run.batch),
            index: run.index,
            home: Home::Log,
            level: Level(0),
            failed: 0,
        };
        let piece = Piece {
            first: run.first_seq,
            count: u64::from(run.count),
            value,
        };
        all.push(Seen {
            piece,
            redelivered: false,
        });
        if left == 0 {
            break;
        }
    }
    all
}
