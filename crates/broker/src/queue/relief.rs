//! Messages that are not in memory from the start, and those that leave it: for the log, where they are anyway, or for chunks.

use std::collections::BTreeMap;

use leveret_store::entry::{RequeueRun, Stream};
use leveret_store::log::Log;

use crate::found::{FoundReturned, RecoveredQueue};
use crate::queue::Queue;
use crate::queue::away::{Away, AwayPiece};
use crate::queue::line::Line;
use crate::queue::overdue::Tick;
use crate::queue::pieces::{Held, Home, Level, Ready, deliveries, failures, size};
use crate::runs::{Piece, Runs};

impl Queue {
    /// A queue that was there before the broker was started begins so.
    pub fn recover(&mut self, recovered: RecoveredQueue) {
        let RecoveredQueue {
            messages,
            returned,
            next_seq,
            redelivered_below,
            offsets: _,
        } = recovered;
        // What they say of how long they may stay has to be read.
        self.expires |= !messages.is_empty() || !returned.is_empty();
        self.is_drained &= messages.is_empty() && returned.is_empty();
        for found in &returned {
            self.recover_returned(found);
        }
        for found in messages {
            // Every stream of such a queue is a priority.
            let Some(level) = Level::of(Stream(found.stream)) else {
                continue;
            };
            let line = self.lines.get_or_add(level);
            line.away
                .push_logged((found.first_seq, found.last_seq), found.count, found.bytes);
        }
        self.count_bytes();
        self.next_seq = next_seq.max(1);
        self.first_seq = self.next_seq;
        self.redelivered_below = redelivered_below;
        self.set_durable(self.next_seq - 1);
    }

    /// Messages that were handed out before, and perhaps wait.
    fn recover_returned(&mut self, found: &FoundReturned) {
        let Some(level) = Level::of(Stream(found.stream)) else {
            return;
        };
        let piece = Piece {
            first: found.first_seq,
            count: found.count,
            value: Held {
                batch: None,
                index: 0,
                home: Home::Log,
                level,
                failed: failures(found.deliveries),
                acquired: failures(found.deliveries),
                consumer: None,
                handed_at: Tick(0),
            },
        };
        match found.ready_ms {
            // In its old place: how it came back is not known any more.
            0 => {
                self.is_drained = false;
                self.count_held(&piece);
                self.lines.get_or_add(level).put_back(piece);
            }
            // Where the time has passed, it is over as soon as somebody looks.
            until_ms => self.recover_wait(until_ms, piece),
        }
    }

    /// The messages in the log that were delivered and came back, those included of which that is not known for certain, by priority.
    pub fn returned_runs(&self) -> Vec<(Level, Vec<RequeueRun>)> {
        let marked = self.redelivered_below;
        let in_lines = self.lines.iter();
        let in_lines = in_lines.flat_map(|line| line.returned_runs(marked));
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|(_, piece)| piece.value.home == Home::Log);
        let waiting = waiting.map(|(until_ms, piece)| {
            let run = match until_ms {
                Some(ready_ms) => RequeueRun {
                    ready_ms,
                    ..returned_run(piece)
                },
                None => returned_run(piece),
            };
            (piece.value.level, vec![run])
        });
        in_lines.chain(waiting).collect()
    }

    /// Lets messages leave memory, but for the first `keep` bytes of those that were never handed out. What was handed out stays if it is not
    /// in the log.
    pub fn relieve(&mut self, keep: usize, log: &mut dyn Log) {
        for line in self.lines.iter_mut() {
            line.send_tail_away(log);
            line.send_fresh_away(keep, log);
        }
        self.forget_handed_out();
    }

    /// **Cost**: by the pieces that are handed out or returned, where any could leave memory.
    fn forget_handed_out(&mut self) {
        if !std::mem::take(&mut self.handed_out) {
            return;
        }
        self.waiting.forget();
        for line in self.lines.iter_mut() {
            line.bytes -= line.returned.forget();
        }
        if self.has_dead_letters() || self.length.counts_bytes() || self.groups.is_some() {
            // Whoever holds them may reject them or give them back: then they are needed at once.
            return;
        }
        for held in self.unacked.values_mut() {
            self.unacked_bytes -= forget(held);
        }
    }
}

/// What is in the log leaves memory. Returns how many bytes that was.
pub(super) fn forget(runs: &mut Runs<Held>) -> usize {
    let mut bytes = 0;
    runs.each_value(|held, count| bytes += forget_one(held, count));
    bytes
}

/// As [`forget`].
pub(super) fn forget_one(held: &mut Held, count: u64) -> usize {
    if held.home != Home::Log {
        return 0;
    }
    let bytes = held.size(count);
    held.batch = None;
    bytes
}

fn returned_run(piece: &Piece<Held>) -> RequeueRun {
    RequeueRun {
        first_seq: piece.first,
        count: piece.count,
        delivery_count: deliveries(piece.value.failed),
        ready_ms: 0,
    }
}

impl Line {
    fn returned_runs(&self, marked: u64) -> impl Iterator<Item = (Level, Vec<RequeueRun>)> {
        let mut by_level: BTreeMap<Level, Vec<RequeueRun>> = BTreeMap::new();
        for piece in self.returned.iter() {
            if piece.value.home == Home::Log {
                let of_level = by_level.entry(piece.value.level).or_default();
                of_level.push(returned_run(piece));
            }
        }
        for runs in by_level.values_mut() {
            runs.sort_by_key(|run| run.first_seq);
        }
        let first = match (self.fresh.front(), self.away.front()) {
            (Some(piece), _) => piece.first,
            (None, Some(AwayPiece::Logged { first, .. })) => *first,
            _ => u64::MAX,
        };
        if first < marked {
            by_level.entry(self.level).or_default().push(RequeueRun {
                first_seq: first,
                count: marked - first,
                delivery_count: deliveries(0),
                ready_ms: 0,
            });
        }
        by_level.into_iter()
    }

    /// Messages go behind all that are away.
    pub(super) fn send_away(&mut self, piece: &Piece<Ready>, log: &mut dyn Log) {
        self.bytes -= self.away.bytes();
        self.away.push(piece, log);
        self.bytes += self.away.bytes();
    }

    pub(super) fn send_tail_away(&mut self, log: &mut dyn Log) {
        self.bytes -= std::mem::take(&mut self.tail_bytes);
        self.tail_count = 0;
        for piece in std::mem::take(&mut self.tail) {
            self.send_away(&piece, log);
        }
    }

    fn send_fresh_away(&mut self, keep: usize, log: &mut dyn Log) {
        // What is on its way belongs in front of what is away now.
        if self.is_reading() {
            return;
        }
        let mut kept = 0;
        let first = self.fresh.iter().position(|piece| {
            kept += size(piece);
            kept > keep
        });
        let Some(first) = first else {
            return;
        };
        let mut front = Away::default();
        for piece in self.fresh.split_off(first) {
            self.fresh_count -= piece.count;
            self.bytes -= size(&piece);
            front.push(&piece, log);
        }
        self.bytes -= self.away.bytes();
        let behind = std::mem::replace(&mut self.away, front);
        self.away.append(behind, log);
        self.bytes += self.away.bytes();
    }
}
