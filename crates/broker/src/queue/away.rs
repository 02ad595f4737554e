//! Messages of a queue that are not in memory, as pieces in the order of their sequence numbers.
//!
//! What is in the log needs no more than the first and the last number: the log knows which of the numbers between are live. What is in no
//! entry of the log goes into chunks of [`CHUNK_BYTES`]; the last one is still in memory while it fills. Once a chunk is filling, what is in
//! the log goes into it too, so that a queue of both sorts stays a list of few pieces.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_message::batch::{Arrivals, Batch};
use leveret_store::entry::Run;
use leveret_store::log::{ChunkId, Log};

use crate::queue::pieces::{Home, Level, Ready, numbered};
use crate::runs::Piece;

/// How long a chunk gets, in bytes, before it leaves memory.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// A piece of what is away.
#[derive(Debug)]
pub(super) enum AwayPiece {
    /// In the log: `count` live messages between two sequence numbers.
    Logged { first: u64, last: u64, count: u64 },
    /// In a chunk.
    Chunk(ChunkId, Content),
    /// In memory, until the chunk is full.
    Filling(Content, Vec<u8>),
}

impl AwayPiece {
    /// How many messages.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Logged { count, .. } => *count,
            Self::Chunk(_, content) | Self::Filling(content, _) => content.count,
        }
    }

    /// The first sequence number: a live message's, once it has been seen.
    pub(super) fn first_seq(&self) -> u64 {
        match self {
            Self::Logged { first, .. } => *first,
            Self::Chunk(_, content) | Self::Filling(content, _) => {
                content.runs.first().map_or(0, |(run, _)| run.first_seq)
            }
        }
    }
}

/// The messages of a chunk in their order, and whether each is in the log as well.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) runs: Vec<(Run, Home)>,
    count: u64,
    arrivals: Arrivals,
    /// Whether the chunk is fetched for somebody who only looks at it, and comes back after that.
    pub(super) is_looked_at: bool,
}

impl Content {
    fn push(&mut self, piece: &Piece<Ready>) {
        let (first_seq, count) = (piece.first, piece.count);
        let Ready {
            batch, index, home, ..
        } = &piece.value;
        let of = (*index, count as u32);
        self.arrivals.copy(self.count as u32, batch.arrivals(), of);
        self.count += count;
        match self.runs.last_mut() {
            Some((run, of)) if of == home && run.first_seq + run.count == first_seq => {
                run.count += count;
            }
            _ => self.runs.push((Run { first_seq, count }, *home)),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Away {
    count: u64,
    /// About how many bytes their records have: what comes back takes its part.
    size: u64,
    /// How many are in the log.
    logged: u64,
    pieces: VecDeque<AwayPiece>,
}

impl Away {
    /// How many messages.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// About how many bytes their records have.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many of them are in the log.
    pub(super) fn logged(&self) -> u64 {
        self.logged
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The bytes of it that are in memory.
    pub(super) fn bytes(&self) -> usize {
        match self.pieces.back() {
            Some(AwayPiece::Filling(_, records)) => records.len(),
            _ => 0,
        }
    }

    pub(super) fn front(&self) -> Option<&AwayPiece> {
        self.pieces.front()
    }

    /// All pieces, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &AwayPiece> {
        self.pieces.iter()
    }

    /// The chunk with this number, wherever it is.
    pub(super) fn chunk_mut(&mut self, id: ChunkId) -> Option<(&mut ChunkId, &mut Content)> {
        self.pieces.iter_mut().find_map(|piece| match piece {
            AwayPiece::Chunk(this, content) if *this == id => Some((this, content)),
            _ => None,
        })
    }

    /// Messages that the log has are behind all others, with about so many bytes; there may be fewer than the numbers between.
    pub(super) fn push_logged(&mut self, (first, last): (u64, u64), count: u64, size: u64) {
        self.count += count;
        self.logged += count;
        self.size += size;
        match self.pieces.back_mut() {
            Some(AwayPiece::Logged {
                last: end,
                count: there,
                ..
            }) => {
                *end = last;
                *there += count;
            }
            _ => self
                .pieces
                .push_back(AwayPiece::Logged { first, last, count }),
        }
    }

    /// Messages are behind all others.
    pub(super) fn push(&mut self, piece: &Piece<Ready>, log: &mut dyn Log) {
        let Ready {
            batch, index, home, ..
        } = &piece.value;
        let size = batch.size(*index, piece.count as u32) as u64;
        let fills = matches!(self.pieces.back(), Some(AwayPiece::Filling(..)));
        if *home == Home::Log && !fills {
            let run = (piece.first, piece.first + (piece.count - 1));
            self.push_logged(run, piece.count, size);
            return;
        }
        if !fills {
            let filling = AwayPiece::Filling(Content::default(), Vec::new());
            self.pieces.push_back(filling);
        }
        self.count += piece.count;
        self.size += size;
        self.logged += if *home == Home::Log { piece.count } else { 0 };
        if let Some(AwayPiece::Filling(content, records)) = self.pieces.back_mut() {
            content.push(piece);
            batch.copy_records(*index, piece.count as u32, records, &mut Vec::new());
            if records.len() >= CHUNK_BYTES {
                self.end_chunk(log);
            }
        }
    }

    /// Puts other messages behind these.
    pub(super) fn append(&mut self, mut behind: Self, log: &mut dyn Log) {
        if behind.is_empty() {
            return;
        }
        self.end_chunk(log);
        if let Some(AwayPiece::Logged { first, last, count }) = behind.pieces.front()
            && let Some(AwayPiece::Logged { .. }) = self.pieces.back()
        {
            let (run, count) = ((*first, *last), *count);
            let size = behind.leave(count, count);
            self.push_logged(run, count, size);
            behind.pieces.pop_front();
        }
        self.count += behind.count;
        self.size += behind.size;
        self.logged += behind.logged;
        self.pieces.append(&mut behind.pieces);
    }

    /// The chunk that is filling leaves memory.
    fn end_chunk(&mut self, log: &mut dyn Log) {
        if let Some(AwayPiece::Filling(..)) = self.pieces.back()
            && let Some(AwayPiece::Filling(content, records)) = self.pieces.pop_back()
        {
            let id = log.put_away(records);
            self.pieces.push_back(AwayPiece::Chunk(id, content));
        }
    }

    /// Takes the first piece out.
    pub(super) fn pop_front(&mut self) -> Option<AwayPiece> {
        let piece = self.pieces.pop_front()?;
        let (count, logged) = match &piece {
            AwayPiece::Logged { count, .. } => (*count, *count),
            AwayPiece::Chunk(_, content) | AwayPiece::Filling(content, _) => {
                let logged = content.runs.iter().filter(|(_, home)| *home == Home::Log);
                (content.count, logged.map(|(run, _)| run.count).sum())
            }
        };
        self.leave(count, logged);
        Some(piece)
    }

    /// So many messages are here no more, of which so many are in the log. Returns about how many bytes that was.
    fn leave(&mut self, count: u64, logged: u64) -> u64 {
        let size = u128::from(self.size) * u128::from(count);
        let size = size.checked_div(u128::from(self.count)).unwrap_or(0) as u64;
        self.count -= count;
        self.logged -= logged;
        self.size -= size;
        size
    }

    /// The first piece is in the log, and so many of its messages, up to before a sequence number, are here or lost.
    pub(super) fn advance_logged(&mut self, next_seq: u64, gone: u64) {
        let Some(AwayPiece::Logged { first, last, count }) = self.pieces.front_mut() else {
            return;
        };
        *first = next_seq;
        let gone = gone.min(*count);
        *count -= gone;
        let is_over = next_seq > *last;
        self.leave(gone, gone);
        if is_over {
            // A count that is left over here is of messages that the log does not have: there are none.
            self.pop_front();
        }
    }
}

/// The messages of a chunk as pieces in memory.
///
/// **Panics** where the records are not those that were put away: chunks do not outlive the process, and come back under a checksum.
pub(super) fn unpack(content: &Content, level: Level, records: Vec<u8>) -> Vec<Piece<Ready>> {
    let mut batch = Batch::read(records).expect("a chunk comes back as it was put away");
    batch.set_arrivals(content.arrivals.clone());
    numbered(&Arc::new(batch), content.runs.iter().copied(), level)
}
