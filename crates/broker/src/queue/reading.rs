//! Bringing messages back that are not in memory: what a queue asks for next, and taking in what has come.
//!
//! Each line of a queue has one question open at a time, and a queue asks only while somebody would take the messages, or to know when the first one
//! expires. What was returned is asked for first, since it is served first. The log is asked only for what is durable: the queue remembers up to
//! which sequence number that is sure.

use leveret_store::log::{ChunkId, Log, QueueId, Read, Wanted};

use crate::found::batch_of;
use crate::queue::Queue;
use crate::queue::away::{AwayPiece, unpack};
use crate::queue::line::Line;
use crate::queue::pieces::{Held, Home, Level, Ready, failures, numbered, size};
use crate::reach::Reach;
use crate::runs::{Piece, split_front};

/// How many bytes are read from the log at a time.
pub(super) const READ_BYTES: usize = 1 << 20;

/// How many bytes are read where only the first message is to be seen: most often that one alone.
const LOOK_BYTES: usize = 4096;

/// How many pieces of what was returned are asked for at once.
const RETURNED_PIECES: usize = 4096;

/// What a line has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    #[default]
    No,
    /// What was returned, or the first piece of what is away, from the log.
    Log { token: u64, returned: bool },
    /// The first piece of what is away.
    Chunk(ChunkId),
}

/// Why messages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Somebody takes them.
    Taken {
        /// With so many bytes in memory there are enough.
        max: usize,
    },
    /// Nobody takes them, but they have to leave the queue: they have expired, or are too many.
    LetGo,
    /// The first one is to be looked at.
    Look,
}

/// What comes of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Nothing is asked, or something has been for longer.
    Idle,
    /// Asked now; the answer comes through the log, and names the chunk where it is one.
    Asked(Option<ChunkId>),
    /// What was to be asked for is in memory already.
    Arrived,
    /// It can be asked for once the log is durable further.
    NotDurable,
}

/// What a question to the log needs besides the line.
struct Question<'a> {
    queue: QueueId,
    reach: &'a mut Reach,
    next_seq: u64,
    log: &'a mut dyn Log,
    bytes_max: usize,
}

impl Queue {
    /// Everything up to a sequence number is durable: what a recovered queue begins with.
    pub fn set_durable(&mut self, seq: u64) {
        self.reach.set_durable(seq);
    }

    /// Asks for the messages that are away and come next, if there is room for them.
    pub fn ask(&mut self, log: &mut dyn Log, need: Need) -> Asking {
        let line = self.lines.first_mut();
        let (max, bytes_max) = match need {
            Need::Taken { max } => (max, READ_BYTES),
            Need::LetGo => (READ_BYTES, READ_BYTES),
            Need::Look => (READ_BYTES, LOOK_BYTES),
        };
        let question = Question {
            queue: self.id,
            reach: &mut self.reach,
            next_seq: self.next_seq,
            log,
            bytes_max,
        };
        line.ask(question, max)
    }

    /// Takes in an answer of the log. Returns how many messages are lost for good. **Panics** as [`batch_of`].
    pub fn arrived(&mut self, wanted: Wanted, read: Read) -> u64 {
        let mut lines = self.lines.iter_mut();
        let asked = lines.find_map(|line| match line.asked {
            Asked::Log { token, returned } if token == wanted.token => Some((line, returned)),
            _ => None,
        });
        let Some(((line, returned), level)) = asked.zip(Level::of(wanted.stream)) else {
            return 0;
        };
        line.asked = Asked::No;
        let (next_seq, lost, count) = (read.next_seq, read.lost, read.count);
        let pieces = pieces(read, level);
        if returned {
            line.put_back_in_memory(wanted.first_seq, next_seq, pieces.clone());
            drop(lines);
            self.handed_out |= !pieces.is_empty();
            self.count_read(level, (wanted.first_seq, next_seq), &pieces);
        } else {
            line.away.advance_logged(next_seq, u64::from(count) + lost);
            drop(lines);
            self.count_read(level, (wanted.first_seq, next_seq), &pieces);
            self.lines.get_or_add(level).take_in(pieces);
        }
        lost
    }

    /// Takes in a chunk.
    pub fn arrived_chunk(&mut self, id: ChunkId, records: Vec<u8>) {
        let asked = Asked::Chunk(id);
        let Some(line) = self.lines.iter_mut().find(|line| line.asked == asked) else {
            return;
        };
        line.asked = Asked::No;
        if let Some(AwayPiece::Chunk(_, content)) = line.away.pop_front() {
            let level = line.level;
            let pieces = unpack(&content, level, records);
            if let Some((first, last)) = pieces.first().zip(pieces.last()) {
                self.count_read(level, (first.first, last.first + last.count), &pieces);
            }
            self.lines.get_or_add(level).take_in(pieces);
        }
    }
}

impl Line {
    /// Whether a question is open.
    pub(super) fn is_reading(&self) -> bool {
        self.asked != Asked::No
    }

    /// Forgets the open question: its answer, when it comes, is dropped.
    pub(super) fn stop_reading(&mut self) {
        self.asked = Asked::No;
    }

    fn ask(&mut self, question: Question<'_>, max: usize) -> Asking {
        if self.is_reading() {
            return Asking::Idle;
        }
        if let Some((level, first, last)) = self.first_returned_away() {
            return self.ask_log(question, (level, first, last), true);
        }
        // What is behind them takes no room from them: it waits for them.
        let in_front = self.bytes - self.tail_bytes - self.away.bytes();
        if in_front > max.min(READ_BYTES) / 2 {
            return Asking::Idle;
        }
        match self.away.front() {
            None => Asking::Idle,
            Some(AwayPiece::Logged { first, last, .. }) => {
                let run = (self.level, *first, *last);
                self.ask_log(question, run, false)
            }
            Some(AwayPiece::Chunk(id, content)) => {
                self.asked = Asked::Chunk(*id);
                if content.is_looked_at {
                    // It is on its way.
                    return Asking::Idle;
                }
                question.log.fetch(*id);
                Asking::Asked(Some(*id))
            }
            Some(AwayPiece::Filling(..)) => {
                self.bytes -= self.away.bytes();
                if let Some(AwayPiece::Filling(content, records)) = self.away.pop_front() {
                    self.take_in(unpack(&content, self.level, records));
                }
                Asking::Arrived
            }
        }
    }

    /// The first messages that were returned, as far as they follow each other, if they are not in memory.
    fn first_returned_away(&self) -> Option<(Level, u64, u64)> {
        let mut away: Option<(Level, u64, u64)> = None;
        for piece in self.returned.iter().take(RETURNED_PIECES) {
            let (level, last) = (piece.value.level, piece.first + (piece.count - 1));
            let first = match away {
                _ if piece.value.batch.is_some() => break,
                None => piece.first,
                Some((of, first, before)) if (of, before + 1) == (level, piece.first) => first,
                Some(_) => break,
            };
            away = Some((level, first, last));
        }
        away
    }

    fn ask_log(
        &mut self,
        question: Question<'_>,
        (level, first, last): (Level, u64, u64),
        returned: bool,
    ) -> Asking {
        let Question {
            queue,
            reach,
            next_seq,
            log,
            bytes_max,
        } = question;
        if !reach.reaches(log, first, next_seq) {
            log.hurry();
            return Asking::NotDurable;
        }
        let token = reach.next_token();
        self.asked = Asked::Log { token, returned };
        log.read(Wanted {
            queue,
            stream: level.stream(),
            token,
            first_seq: first,
            skip: 0,
            last_seq: last.min(reach.durable_seq()),
            bytes_max,
        });
        Asking::Asked(None)
    }

    /// The first messages that were away are in memory.
    fn take_in(&mut self, pieces: Vec<Piece<Ready>>) {
        for piece in pieces {
            self.fresh_count += piece.count;
            self.bytes += size(&piece);
            self.fresh.push_back(piece);
        }
        if self.away.is_empty() {
            self.fresh.append(&mut self.tail);
            self.fresh_count += std::mem::take(&mut self.tail_count);
            self.tail_bytes = 0;
        }
    }

    /// Messages that were returned are in memory again; those up to before `next_seq` that did not come are lost.
    fn put_back_in_memory(&mut self, first: u64, next_seq: u64, pieces: Vec<Piece<Ready>>) {
        let (place, away) = self.returned.take_away(first, next_seq);
        let count_of = |piece: &Piece<Held>| {
            let Held {
                failed, acquired, ..
            } = piece.value;
            (piece.first, piece.count, (failed, acquired))
        };
        let counts: Vec<_> = away.iter().map(count_of).collect();
        let mut here = Vec::new();
        for (piece, (failed, acquired)) in counted(pieces, &counts) {
            self.bytes += size(&piece);
            here.push(Piece {
                first: piece.first,
                count: piece.count,
                value: Held {
                    failed,
                    acquired,
                    ..Held::from(piece.value)
                },
            });
        }
        self.returned.put_there(place, here);
    }
}

/// What was read from the log, as pieces.
pub(super) fn pieces(mut read: Read, level: Level) -> Vec<Piece<Ready>> {
    let (runs, returned) = (
        std::mem::take(&mut read.runs),
        std::mem::take(&mut read.returned),
    );
    let batch = batch_of(read);
    let runs = runs.into_iter().map(|run| (run, Home::Log));
    let pieces = numbered(&batch, runs, level);
    let failed = returned
        .iter()
        .map(|run| (run.first_seq, run.count, failures(run.delivery_count)));
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        return pieces;
    }
    let with_failures = counted(pieces, &failed).into_iter();
    let with_failures = with_failures.map(|(mut piece, failed)| {
        piece.value.failed = failed;
        piece
    });
    with_failures.collect()
}

/// Cuts messages where a count of them changes: `counts` has runs of sequence numbers, rising, with what is counted of each; it is nothing for all others.
fn counted<T: Copy + Default>(
    pieces: Vec<Piece<Ready>>,
    counts: &[(u64, u64, T)],
) -> Vec<(Piece<Ready>, T)> {
    let mut cut = Vec::with_capacity(pieces.len());
    for mut rest in pieces {
        while rest.count > 0 {
            let at = counts.partition_point(|(first, count, _)| first + count <= rest.first);
            let (count, of) = match counts.get(at) {
                None => (rest.count, T::default()),
                Some((first, ..)) if *first > rest.first => (first - rest.first, T::default()),
                Some((first, count, of)) => (first + count - rest.first, *of),
            };
            cut.push((split_front(&mut rest, count), of));
        }
    }
    cut
}
