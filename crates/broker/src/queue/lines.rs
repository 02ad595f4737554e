//! The ready messages of a queue, a line for each priority that has some: levels that nobody uses cost nothing.

use crate::queue::line::Line;
use crate::queue::pieces::{Level, Ranking};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The priority that most messages have: the only one of most queues.
    plain: Line,
    /// The others, the highest first.
    others: Vec<Line>,
    /// How many of them are served before the plain one.
    above: usize,
    ranking: Ranking,
}

impl Lines {
    pub(super) fn new(ranking: Ranking) -> Self {
        Self {
            ranking,
            ..Self::default()
        }
    }

    /// How many messages.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        let plain = self.plain.count();
        if self.others.is_empty() {
            return plain;
        }
        let others: u64 = self.others.iter().map(Line::count).sum();
        plain + others
    }

    /// The memory they stand for, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        if self.others.is_empty() {
            return self.plain.bytes;
        }
        let others: usize = self.others.iter().map(|line| line.bytes).sum();
        self.plain.bytes + others
    }

    /// The one that is served first: the highest that has messages.
    #[inline]
    pub(super) fn first(&self) -> &Line {
        match self.others.is_empty() {
            true => &self.plain,
            false => self
                .first_other()
                .map_or(&self.plain, |at| &self.others[at]),
        }
    }

    /// As [`Lines::first`]. Forgets the others that are empty.
    #[inline]
    pub(super) fn first_mut(&mut self) -> &mut Line {
        if self.others.is_empty() {
            return &mut self.plain;
        }
        self.others.retain(|line| line.count() > 0);
        self.count_above();
        match self.first_other() {
            None => &mut self.plain,
            Some(at) => &mut self.others[at],
        }
    }

    /// Which of the others is served first, where it is not the plain one.
    fn first_other(&self) -> Option<usize> {
        let first = self.others.iter().position(|line| line.count() > 0);
        first.filter(|at| *at < self.above || self.plain.count() == 0)
    }

    fn count_above(&mut self) {
        let is_above = |line: &Line| self.ranking.rank(line.level) > 0;
        self.above = self.others.partition_point(is_above);
    }

    /// The line of a priority; from now on it is there.
    #[inline]
    pub(super) fn get_or_add(&mut self, level: Level) -> &mut Line {
        if level == Level(0) {
            return &mut self.plain;
        }
        let rank = |level| self.ranking.rank(level);
        let at = self
            .others
            .partition_point(|line| rank(line.level) > rank(level));
        if self.others.get(at).is_none_or(|line| line.level != level) {
            self.others.insert(at, Line::new(level));
            self.count_above();
        }
        &mut self.others[at]
    }

    /// All of them, those first that are served first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        let (above, below) = self.others.split_at(self.above);
        above
            .iter()
            .chain(std::iter::once(&self.plain))
            .chain(below)
    }

    /// As [`Lines::iter`].
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        let plain = std::iter::once(&mut self.plain);
        let (above, below) = self.others.split_at_mut(self.above);
        above.iter_mut().chain(plain).chain(below)
    }
}
