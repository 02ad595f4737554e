//! Looking at ready messages without taking them, wherever they are: in memory, in the log or in chunks.
//!
//! A look begins at a position, counted from the front over all lines, and gives what is in one place from there on. Whoever wants more looks again.

use leveret_store::log::{ChunkId, Log, Read, Wanted};

use crate::queue::away::{AwayPiece, unpack};
use crate::queue::pieces::{Level, Ready, in_memory};
use crate::queue::reading::{Asked, READ_BYTES, pieces};
use crate::queue::{Queue, Taken};
use crate::runs::{Piece, split_front};

/// Messages that are looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// They are alike in whether they were handed out before.
    pub piece: Piece<Ready>,
    /// Whether they were.
    pub redelivered: bool,
}

/// What a look gives.
#[derive(Debug)]
pub enum Look {
    /// These messages; none where there is nothing at that position.
    Here(Vec<Seen>),
    /// They have to be read; the token is this one's alone.
    Read(Wanted),
    /// They have to be fetched, and so many of the chunk are passed over.
    Fetch(ChunkId, u64),
    /// They are on their way to somebody else, or not durable yet.
    Later,
}

/// Messages that are together in one place.
enum Part<'q> {
    Here(Piece<Ready>, bool),
    Away(Away),
    Filling(Level, &'q AwayPiece),
}

/// Messages that are not in memory.
enum Away {
    /// In the log, between two sequence numbers.
    Log(Level, u64, u64),
    /// In a chunk, which may be on its way to somebody.
    Chunk(ChunkId, bool),
}

/// What is gathered of those in memory.
struct Gathered {
    skip: u64,
    left: u64,
    seen: Vec<Seen>,
}

impl Gathered {
    fn add(&mut self, mut piece: Piece<Ready>, redelivered: bool) {
        if self.skip > 0 {
            let skipped = self.skip.min(piece.count);
            split_front(&mut piece, skipped);
            self.skip -= skipped;
        }
        let count = piece.count.min(self.left);
        if count > 0 {
            self.left -= count;
            let piece = split_front(&mut piece, count);
            self.seen.push(Seen { piece, redelivered });
        }
    }
}

impl Queue {
    /// Looks at up to `most` ready messages from a position on. Nothing becomes of them.
    pub fn look(&mut self, position: u64, most: u64, log: &mut dyn Log) -> Look {
        let marked = self.redelivered_below;
        let mut gathered = Gathered {
            skip: position,
            left: most,
            seen: Vec::new(),
        };
        let mut away = None;
        for (count, part) in self.parts() {
            if gathered.left == 0 {
                break;
            }
            if gathered.skip >= count {
                gathered.skip -= count;
                continue;
            }
            match part {
                Part::Here(piece, redelivered) => gathered.add(piece, redelivered),
                Part::Filling(level, AwayPiece::Filling(content, records)) => {
                    for piece in unpack(content, level, records.clone()) {
                        gathered.add(piece, false);
                    }
                }
                Part::Filling(..) => {}
                Part::Away(part) => {
                    away = Some(part);
                    break;
                }
            }
        }
        for seen in &mut gathered.seen {
            seen.redelivered |= seen.piece.first < marked;
        }
        match away.filter(|_| gathered.seen.is_empty()) {
            None => Look::Here(gathered.seen),
            Some(Away::Log(level, first, last)) => {
                self.look_in_log((level, first, last), gathered.skip, log)
            }
            Some(Away::Chunk(_, true)) => Look::Later,
            Some(Away::Chunk(id, false)) => {
                let mut lines = self.lines.iter_mut();
                if let Some((_, content)) = lines.find_map(|line| line.away.chunk_mut(id)) {
                    content.is_looked_at = true;
                }
                log.fetch(id);
                Look::Fetch(id, gathered.skip)
            }
        }
    }

    /// Everything that is ready, in the order in which it is served, with how many messages each part has.
    fn parts(&self) -> impl Iterator<Item = (u64, Part<'_>)> {
        let aside = self.groups.iter().flat_map(|groups| groups.aside());
        let aside = aside.map(|taken: &Taken| {
            let part = Part::Here(taken.piece.clone(), taken.redelivered);
            (taken.piece.count, part)
        });
        let lines = self.lines.iter().flat_map(|line| {
            let level = line.level;
            let returned = line.returned.iter().map(|piece| {
                let part = match in_memory(piece.clone()) {
                    Some(piece) => Part::Here(piece, true),
                    None => Part::Away(Away::Log(
                        piece.value.level,
                        piece.first,
                        piece.first + (piece.count - 1),
                    )),
                };
                (piece.count, part)
            });
            let here = |piece: &Piece<Ready>| (piece.count, Part::Here(piece.clone(), false));
            let away = line.away.iter().map(move |piece| {
                let part = match piece {
                    AwayPiece::Logged { first, last, .. } => {
                        Part::Away(Away::Log(level, *first, *last))
                    }
                    AwayPiece::Chunk(id, content) => {
                        let is_coming = content.is_looked_at || line.asked == Asked::Chunk(*id);
                        Part::Away(Away::Chunk(*id, is_coming))
                    }
                    AwayPiece::Filling(..) => Part::Filling(level, piece),
                };
                (piece.count(), part)
            });
            let fresh = line.fresh.iter().map(here);
            returned
                .chain(fresh)
                .chain(away)
                .chain(line.tail.iter().map(here))
        });
        aside.chain(lines)
    }

    fn look_in_log(
        &mut self,
        (level, first_seq, last_seq): (Level, u64, u64),
        skip: u64,
        log: &mut dyn Log,
    ) -> Look {
        if !self.reach.reaches(log, first_seq, self.next_seq) {
            log.hurry();
            return Look::Later;
        }
        let wanted = Wanted {
            queue: self.id,
            stream: level.stream(),
            token: self.reach.next_token(),
            first_seq,
            skip,
            last_seq: last_seq.min(self.reach.durable_seq()),
            bytes_max: READ_BYTES,
        };
        log.read(wanted);
        Look::Read(wanted)
    }

    /// What was read for a look.
    pub fn looked(&self, wanted: &Wanted, read: Read, most: u64) -> Vec<Seen> {
        let Some(level) = Level::of(wanted.stream) else {
            return Vec::new();
        };
        let was_returned = |seq| {
            let mut returned = self.lines.iter().flat_map(|line| line.returned.iter());
            returned.any(|piece| piece.first <= seq && seq < piece.first + piece.count)
        };
        let mut gathered = Gathered {
            skip: 0,
            left: most,
            seen: Vec::new(),
        };
        for piece in pieces(read, level) {
            let redelivered = piece.first < self.redelivered_below || was_returned(piece.first);
            gathered.add(piece, redelivered);
        }
        gathered.seen
    }

    /// What was fetched for a look: it goes back, or into memory where it is needed there by now.
    pub fn looked_at_chunk(
        &mut self,
        id: ChunkId,
        records: Vec<u8>,
        (skip, most): (u64, u64),
        log: &mut dyn Log,
    ) -> Vec<Seen> {
        let mut gathered = Gathered {
            skip,
            left: most,
            seen: Vec::new(),
        };
        let mut lines = self.lines.iter_mut();
        let found = lines.find_map(|line| {
            let (level, asked) = (line.level, line.asked);
            line.away.chunk_mut(id).map(|chunk| (level, asked, chunk))
        });
        // Where it is no more, its messages have been removed.
        let Some((level, asked, (place, content))) = found else {
            return Vec::new();
        };
        content.is_looked_at = false;
        for piece in unpack(content, level, records.clone()) {
            gathered.add(piece, false);
        }
        if asked != Asked::Chunk(id) {
            *place = log.put_away(records);
            return gathered.seen;
        }
        drop(lines);
        self.arrived_chunk(id, records);
        gathered.seen
    }
}
