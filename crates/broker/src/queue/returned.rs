//! The messages of a line that were handed out and came back, in the order in which they are served again.
//!
//! A classic queue has them in their old places. In a quorum queue they are served before everything else, whatever their priority, in the order in
//! which they came back (<https://www.rabbitmq.com/docs/quorum-queues>): such a queue has a line of its own for them ([`Level::RETURNED`]).

use std::collections::VecDeque;

use crate::queue::Queue;
use crate::queue::pieces::{Held, Level, Ranking, Taken};
use crate::queue::relief::{forget, forget_one};
use crate::runs::{Piece, Runs, split_front};

/// See the module.
#[derive(Debug)]
pub(super) enum Returned {
    /// By their sequence numbers.
    InPlace(Runs<Held>),
    /// As they came back.
    InTurn(Turns),
}

/// Messages that were lifted off the front, by line.
#[derive(Debug)]
#[must_use = "they are to be put down again"]
pub struct Lifted(Vec<(Level, Vec<Piece<Held>>)>);

/// Pieces in the order in which they came back, of whatever priority.
#[derive(Debug, Default)]
pub(super) struct Turns {
    count: u64,
    pieces: VecDeque<Piece<Held>>,
}

impl Default for Returned {
    fn default() -> Self {
        Self::InPlace(Runs::default())
    }
}

impl Turns {
    fn pop_front(&mut self, most: u64) -> Option<Piece<Held>> {
        let front = self.pieces.front_mut()?;
        let piece = match front.count > most {
            true => split_front(front, most),
            false => self.pieces.pop_front()?,
        };
        self.count -= piece.count;
        Some(piece)
    }
}

impl Returned {
    /// Of a line.
    pub(super) fn of(level: Level) -> Self {
        match level == Level::RETURNED {
            true => Self::InTurn(Turns::default()),
            false => Self::default(),
        }
    }

    /// How many messages.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::InPlace(runs) => runs.count(),
            Self::InTurn(turns) => turns.count,
        }
    }

    /// The first run.
    #[inline]
    pub(super) fn first(&self) -> Option<&Piece<Held>> {
        match self {
            Self::InPlace(runs) => runs.first(),
            Self::InTurn(turns) => turns.pieces.front(),
        }
    }

    /// Takes up to `most` messages from the front of the first run.
    #[inline]
    pub(super) fn pop_front(&mut self, most: u64) -> Option<Piece<Held>> {
        match self {
            Self::InPlace(runs) => runs.pop_front(most),
            Self::InTurn(turns) => turns.pop_front(most),
        }
    }

    /// Messages are back.
    pub(super) fn insert(&mut self, piece: Piece<Held>) {
        match self {
            Self::InPlace(runs) => runs.insert(piece),
            Self::InTurn(turns) => {
                turns.count += piece.count;
                turns.pieces.push_back(piece);
            }
        }
    }

    /// Messages that were taken are there again, in this order: behind the first `place` runs, where that is not told by their numbers.
    pub(super) fn put_there(&mut self, place: usize, pieces: Vec<Piece<Held>>) {
        match self {
            Self::InPlace(runs) => pieces.into_iter().for_each(|piece| runs.insert(piece)),
            Self::InTurn(turns) => {
                turns.count += pieces.iter().map(|piece| piece.count).sum::<u64>();
                let mut behind = turns.pieces.split_off(place.min(turns.pieces.len()));
                turns.pieces.extend(pieces);
                turns.pieces.append(&mut behind);
            }
        }
    }

    /// The runs in the order in which they are served.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece<Held>> {
        let (runs, turns) = match self {
            Self::InPlace(runs) => (Some(runs), None),
            Self::InTurn(turns) => (None, Some(turns)),
        };
        let runs = runs.into_iter().flat_map(Runs::iter);
        runs.chain(turns.into_iter().flat_map(|turns| &turns.pieces))
    }

    /// What is in the log leaves memory. Returns how many bytes that was.
    pub(super) fn forget(&mut self) -> usize {
        match self {
            Self::InPlace(runs) => forget(runs),
            Self::InTurn(turns) => {
                let pieces = turns.pieces.iter_mut();
                pieces
                    .map(|piece| forget_one(&mut piece.value, piece.count))
                    .sum()
            }
        }
    }

    /// Takes out what is not in memory of messages that follow each other, those with sequence numbers from `first` up to before `next`. Returns their
    /// place as well, as [`Returned::put_there`] wants it.
    pub(super) fn take_away(&mut self, first: u64, next: u64) -> (usize, Vec<Piece<Held>>) {
        let (mut place, mut away) = (0, Vec::new());
        match self {
            Self::InPlace(runs) => {
                let mut others = Vec::new();
                runs.take(first..=next.saturating_sub(1), |piece| {
                    match piece.value.batch.is_some() {
                        true => others.push(piece),
                        false => away.push(piece),
                    }
                });
                others.into_iter().for_each(|piece| runs.insert(piece));
            }
            Self::InTurn(turns) => {
                let is_wanted = |piece: &Piece<Held>| {
                    piece.value.batch.is_none() && (first..next).contains(&piece.first)
                };
                place = turns.pieces.iter().take_while(|p| !is_wanted(p)).count();
                let mut before = turns.pieces.drain(..place).collect::<VecDeque<_>>();
                while let Some(front) = turns.pieces.front().filter(|piece| is_wanted(piece)) {
                    let most = next - front.first;
                    away.extend(turns.pop_front(most));
                }
                before.append(&mut turns.pieces);
                turns.pieces = before;
            }
        }
        (place, away)
    }
}

impl Queue {
    /// Messages that were taken one after the other stay: they are where they were, as if they had been handed out.
    pub fn stay(&mut self, staying: Vec<Taken>) {
        let mut first = Vec::new();
        for taken in staying {
            let Taken {
                piece, acquired, ..
            } = taken;
            let piece = Piece {
                first: piece.first,
                count: piece.count,
                value: Held {
                    acquired,
                    ..Held::from(piece.value)
                },
            };
            self.is_drained = false;
            self.count_held(&piece);
            match self.serves_returned_first() && acquired > 0 {
                true => first.push(piece),
                false => self.lines.get_or_add(piece.value.level).put_back(piece),
            }
        }
        if !first.is_empty() {
            self.lines.get_or_add(Level::RETURNED).put_there(0, first);
        }
    }

    /// Lifts up to `most` messages off the front, in memory or not, as far as they were handed out before, to get at those behind them. Until they are
    /// [put down](Queue::put_down) again, nothing but taking and asking may be done with the queue.
    pub fn lift(&mut self, most: u64) -> Lifted {
        let (mut lifted, mut left) = (Vec::new(), most);
        for line in self.lines.iter_mut() {
            let pieces = line.lift(left);
            left -= pieces.iter().map(|piece| piece.count).sum::<u64>();
            lifted.push((line.level, pieces));
            if line.count() > 0 {
                break;
            }
        }
        Lifted(lifted)
    }

    /// Lifted messages are where they were, before all others.
    pub fn put_down(&mut self, lifted: Lifted) {
        for (level, pieces) in lifted.0 {
            if !pieces.is_empty() {
                self.is_drained = false;
                self.lines.get_or_add(level).put_there(0, pieces);
            }
        }
    }

    /// Messages that were handed out are ready again.
    pub(super) fn put_back(&mut self, piece: Piece<Held>) {
        self.is_drained = false;
        self.count_held(&piece);
        let level = match self.serves_returned_first() {
            true => Level::RETURNED,
            false => piece.value.level,
        };
        self.lines.get_or_add(level).put_back(piece);
    }

    /// Whether what comes back is served before everything else, as it came back. Messages of a group are to stay in their order.
    pub(super) fn serves_returned_first(&self) -> bool {
        self.ranking == Ranking::Quorum && self.groups.is_none()
    }
}
