//! Bringing messages back that are not in memory: what a queue asks for next, and taking in what has come.
//!
//! A queue has one question open at a time, and asks only while somebody would take the messages. What was returned to it is asked for
//! first, since it is served first. The log is asked only for what is durable: the queue remembers up to which sequence number that is sure.

use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::log::{ChunkId, Log, Position, Read, Wanted};

use crate::queue::away::{AwayPiece, unpack};
use crate::queue::{Held, Home, Queue, Ready, size};
use crate::runs::Piece;

/// How many bytes are read from the log at a time.
pub(super) const READ_BYTES: usize = 1 << 20;

/// How many pieces of what was returned are asked for at once.
const RETURNED_PIECES: usize = 4096;

/// What a queue has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing.
    No,
    /// What was returned, or the first piece of what is away, from the log.
    Log { token: u64, returned: bool },
    /// The first piece of what is away.
    Chunk(ChunkId),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reading {
    asked: Asked,
    last_token: u64,
    /// Everything up to this sequence number that is in the log is durable.
    durable_seq: u64,
    /// Everything up to this sequence number will be when the log is durable at this position.
    mark: Option<(Position, u64)>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            asked: Asked::No,
            last_token: 0,
            durable_seq: 0,
            mark: None,
        }
    }
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

impl Queue {
    /// Everything up to a sequence number is durable: what a recovered queue begins with.
    pub fn set_durable(&mut self, seq: u64) {
        self.reading.durable_seq = seq;
    }

    /// Whether a question is open.
    pub fn is_reading(&self) -> bool {
        self.reading.asked != Asked::No
    }

    /// Forgets the open question: its answer, when it comes, is dropped.
    pub(super) fn stop_reading(&mut self) {
        self.reading.asked = Asked::No;
    }

    /// Asks for the next messages that are away, if there is room for them below `max` bytes of ready messages in memory.
    pub fn ask(&mut self, log: &mut dyn Log, max: usize) -> Asking {
        if self.reading.asked != Asked::No {
            return Asking::Idle;
        }
        if let Some((first, last)) = self.first_returned_away() {
            return self.ask_log(log, first, last, true);
        }
        // What is behind them takes no room from them: it waits for them.
        let in_front = self.ready_bytes - self.tail_bytes - self.away.bytes();
        if in_front > max.min(READ_BYTES) / 2 {
            return Asking::Idle;
        }
        match self.away.front() {
            None => Asking::Idle,
            Some(AwayPiece::Logged { first, last, .. }) => {
                let (first, last) = (*first, *last);
                self.ask_log(log, first, last, false)
            }
            Some(AwayPiece::Chunk(id, _)) => {
                self.reading.asked = Asked::Chunk(*id);
                log.fetch(*id);
                Asking::Asked(Some(*id))
            }
            Some(AwayPiece::Filling(..)) => {
                self.ready_bytes -= self.away.bytes();
                if let Some(AwayPiece::Filling(content, records)) = self.away.pop_front() {
                    self.take_in(unpack(&content, records));
                }
                Asking::Arrived
            }
        }
    }

    /// The first messages that were returned, as far as they follow each other, if they are not in memory.
    fn first_returned_away(&self) -> Option<(u64, u64)> {
        let mut away: Option<(u64, u64)> = None;
        for piece in self.returned.iter().take(RETURNED_PIECES) {
            let first = away.map_or(piece.first, |(first, _)| first);
            if piece.value.batch.is_some() || away.is_some_and(|(_, last)| last + 1 != piece.first)
            {
                break;
            }
            away = Some((first, piece.first + (piece.count - 1)));
        }
        away
    }

    fn ask_log(&mut self, log: &mut dyn Log, first: u64, last: u64, returned: bool) -> Asking {
        if !self.reaches(log, first) {
            log.hurry();
            return Asking::NotDurable;
        }
        self.reading.last_token += 1;
        let token = self.reading.last_token;
        self.reading.asked = Asked::Log { token, returned };
        log.read(Wanted {
            queue: self.id,
            token,
            first_seq: first,
            last_seq: last.min(self.reading.durable_seq),
            bytes_max: READ_BYTES,
        });
        Asking::Asked(None)
    }

    /// Whether what is in the log up to a sequence number is durable.
    fn reaches(&mut self, log: &dyn Log, seq: u64) -> bool {
        let next_seq = self.next_seq;
        let reading = &mut self.reading;
        for _ in 0..2 {
            if seq <= reading.durable_seq {
                return true;
            }
            let (position, upto) = *reading
                .mark
                .get_or_insert_with(|| (log.last(), next_seq - 1));
            if log.durable() < position {
                return false;
            }
            reading.durable_seq = upto;
            reading.mark = None;
        }
        seq <= reading.durable_seq
    }

    /// Takes in an answer of the log. Returns how many messages are lost for good.
    ///
    /// **Panics** where what passed the log's checksums are no records: another program wrote the data folder.
    pub fn arrived(&mut self, wanted: Wanted, read: Read) -> u64 {
        let token = wanted.token;
        let returned = match self.reading.asked {
            Asked::Log {
                token: of,
                returned,
            } if of == token => returned,
            _ => return 0,
        };
        self.reading.asked = Asked::No;
        let batch = Batch::read(read.records).expect("the log gives back what it was given");
        let batch = Arc::new(batch);
        let (mut index, mut pieces) = (0, Vec::with_capacity(read.runs.len()));
        for run in &read.runs {
            pieces.push(Piece {
                first: run.first_seq,
                count: run.count,
                value: Ready {
                    batch: Arc::clone(&batch),
                    index,
                    home: Home::Log,
                },
            });
            index += run.count as u32;
        }
        if returned {
            self.put_back_in_memory(wanted.first_seq, read.next_seq, pieces);
        } else {
            let count = u64::from(index) + read.lost;
            self.away.advance_logged(read.next_seq, count);
            self.take_in(pieces);
        }
        read.lost
    }

    /// Takes in a chunk.
    pub fn arrived_chunk(&mut self, id: ChunkId, records: Vec<u8>) {
        if self.reading.asked != Asked::Chunk(id) {
            return;
        }
        self.reading.asked = Asked::No;
        if let Some(AwayPiece::Chunk(_, content)) = self.away.pop_front() {
            self.take_in(unpack(&content, records));
        }
    }

    /// The first messages that were away are in memory.
    fn take_in(&mut self, pieces: Vec<Piece<Ready>>) {
        for piece in pieces {
            self.fresh_count += piece.count;
            self.ready_bytes += size(&piece);
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
        let mut others = Vec::new();
        self.returned
            .take(first..=next_seq.saturating_sub(1), |piece| {
                if piece.value.batch.is_some() {
                    others.push(piece);
                }
            });
        for piece in others {
            self.returned.insert(piece);
        }
        self.handed_out |= !pieces.is_empty();
        for piece in pieces {
            self.ready_bytes += size(&piece);
            let Piece {
                first,
                count,
                value,
            } = piece;
            self.returned.insert(Piece {
                first,
                count,
                value: Held::from(value),
            });
        }
    }
}
