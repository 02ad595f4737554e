//! Ready messages whose bodies are not counted yet, of queues with `x-max-length-bytes`: what the log had when the broker was started, when a policy
//! brought the limit, or when a message came back that had left memory.
//!
//! They are counted when they are read for somebody, and before that a MiB at a time for nobody else's sake (`shard/counting.rs`). Until then what they
//! take in the log is an estimate of their bodies, on which a message may be refused and none is dropped.

use std::collections::BTreeMap;

use leveret_store::log::{Log, Read, Wanted};

use crate::queue::Queue;
use crate::queue::pieces::{Home, Level, Ready};
use crate::queue::reading::{READ_BYTES, pieces};
use crate::runs::Piece;

/// Messages of a line between two sequence numbers; all of them that are live are ready, and not in memory.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    last: u64,
    /// About how many messages.
    count: u64,
    /// About how many bytes they take in the log.
    bytes: u64,
    /// Where they are: those in chunks are counted when they come back.
    home: Home,
}

/// See the module. Stretches of a line never overlap; each is under its line and its first sequence number.
#[derive(Debug, Default)]
pub(super) struct Uncounted {
    stretches: BTreeMap<(Level, u64), Stretch>,
    bytes: u64,
    /// Whether the queue is in its shard's list of those that are counted.
    is_listed: bool,
}

impl Uncounted {
    /// About how many bytes their bodies have, together.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets them: they are not there any more, or are looked for anew.
    pub(super) fn clear(&mut self) {
        self.stretches.clear();
        self.bytes = 0;
    }

    /// So many messages with about so many bytes are ready between two sequence numbers.
    pub(super) fn add(
        &mut self,
        level: Level,
        (first, last): (u64, u64),
        (count, bytes): (u64, u64),
        home: Home,
    ) {
        let stretch = Stretch {
            last,
            count,
            bytes,
            home,
        };
        if count > 0 && first <= last {
            self.bytes = self.bytes.saturating_add(bytes);
            self.stretches.insert((level, first), stretch);
        }
    }

    /// Everything of a line from `first` up to before `next` has been read: it counts no more as not counted. Calls `each` with the sequence numbers of
    /// what had not been counted.
    fn take(&mut self, level: Level, (first, next): (u64, u64), mut each: impl FnMut(u64, u64)) {
        while let Some((&key, &stretch)) = self
            .stretches
            .range((level, 0)..(level, next))
            .next_back()
            .filter(|(_, stretch)| stretch.last >= first)
        {
            self.stretches.remove(&key);
            self.bytes -= stretch.bytes;
            let whole = (key.1, stretch.last);
            each(whole.0.max(first), whole.1.min(next - 1));
            let before = (whole.0 < first).then(|| (whole.0, first - 1));
            let behind = (whole.1 >= next).then_some((next, whole.1));
            for part in before.into_iter().chain(behind) {
                self.add(level, part, stretch.share(whole, part), stretch.home);
            }
        }
    }

    /// Lists the queue, if there are some in the log and it is not listed. Whether it was done.
    fn list(&mut self) -> bool {
        if self.stretches.is_empty() || self.is_listed {
            return false;
        }
        self.is_listed = self.first_logged().is_some();
        self.is_listed
    }

    /// The first of them that are in the log: their line, and the numbers that they are between.
    fn first_logged(&self) -> Option<(Level, u64, u64)> {
        let mut stretches = self.stretches.iter();
        let logged = stretches.find(|(_, stretch)| stretch.home == Home::Log);
        logged.map(|((level, first), stretch)| (*level, *first, stretch.last))
    }
}

impl Stretch {
    /// About how many messages and bytes a part of it has, by their sequence numbers.
    fn share(&self, whole: (u64, u64), part: (u64, u64)) -> (u64, u64) {
        let span = |(first, last): (u64, u64)| u128::from(last - first) + 1;
        let share = |of: u64| (u128::from(of) * span(part)).div_ceil(span(whole)) as u64;
        (share(self.count), share(self.bytes))
    }
}

/// What comes of asking for messages to count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// They are read; the token is this question's alone.
    Asked(u64),
    /// It can be asked for once the log is durable further.
    NotDurable,
    /// All are counted.
    Done,
}

impl Queue {
    /// Whether messages are to be read to be counted, and the queue is not listed for it; from now on it is.
    #[inline]
    pub fn is_to_be_counted(&mut self) -> bool {
        // Where nothing is counted, what is far away is not looked at.
        self.length.counts_bytes() && self.body_bytes.uncounted.list()
    }

    /// How many bytes of bodies are counted, and how many messages are not.
    #[cfg(test)]
    pub fn counted(&self) -> (u64, u64) {
        let uncounted = &self.body_bytes.uncounted;
        let count = uncounted.stretches.values().map(|stretch| stretch.count);
        (self.body_bytes.counted, count.sum())
    }

    /// Asks for the next messages that are to be counted. The queue stays listed while there are some.
    pub fn ask_uncounted(&mut self, log: &mut dyn Log) -> Count {
        self.body_bytes.uncounted.is_listed = false;
        let next = self.body_bytes.uncounted.first_logged();
        let Some((level, first_seq, last)) = next.filter(|_| self.length.counts_bytes()) else {
            return Count::Done;
        };
        if !self.reach.reaches(log, first_seq, self.next_seq) {
            log.hurry();
            return Count::NotDurable;
        }
        self.body_bytes.uncounted.is_listed = true;
        let token = self.reach.next_token();
        log.read(Wanted {
            queue: self.id,
            stream: level.stream(),
            token,
            first_seq,
            skip: 0,
            last_seq: last.min(self.reach.durable_seq()),
            bytes_max: READ_BYTES,
        });
        Count::Asked(token)
    }

    /// Counts what was read for that.
    pub fn count_asked(&mut self, wanted: &Wanted, read: Read) {
        let next_seq = read.next_seq;
        if let Some(level) = Level::of(wanted.stream) {
            let pieces = pieces(read, level);
            self.count_read(level, (wanted.first_seq, next_seq), &pieces);
        }
    }

    /// Messages of a line have been read, all there were from one sequence number up to before another: those that were not counted are.
    pub(super) fn count_read(&mut self, level: Level, range: (u64, u64), pieces: &[Piece<Ready>]) {
        let body_bytes = &mut self.body_bytes;
        if body_bytes.uncounted.stretches.is_empty() {
            return;
        }
        let counted = &mut body_bytes.counted;
        body_bytes.uncounted.take(level, range, |first, last| {
            let from = pieces.partition_point(|piece| piece.first + piece.count <= first);
            let pieces = pieces.get(from..).unwrap_or_default();
            for piece in pieces.iter().take_while(|piece| piece.first <= last) {
                let skipped = first.saturating_sub(piece.first);
                let count = piece.count.min(last - piece.first + 1) - skipped;
                let index = piece.value.index + skipped as u32;
                *counted += piece
                    .value
                    .batch
                    .body_lens(index, count as u32)
                    .sum::<u64>();
            }
        });
    }
}
