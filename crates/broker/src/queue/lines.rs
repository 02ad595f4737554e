//! The ready messages of a queue, a line for each priority that has some: levels that nobody uses cost nothing.

use crate::queue::line::Line;
use crate::queue::pieces::Level;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The lowest priority: the only one of most queues.
    plain: Line,
    /// The others, the highest first.
    higher: Vec<Line>,
}

impl Lines {
    /// How many messages.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        let higher: u64 = self.higher.iter().map(Line::count).sum();
        self.plain.count() + higher
    }

    /// The memory they stand for, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        let higher: usize = self.higher.iter().map(|line| line.bytes).sum();
        self.plain.bytes + higher
    }

    /// The one that is served first: the highest that has messages.
    #[inline]
    pub(super) fn first(&self) -> &Line {
        let filled = self.higher.iter().find(|line| line.count() > 0);
        filled.unwrap_or(&self.plain)
    }

    /// As [`Lines::first`]. Forgets those above that are empty.
    #[inline]
    pub(super) fn first_mut(&mut self) -> &mut Line {
        if self.higher.is_empty() {
            return &mut self.plain;
        }
        self.higher.retain(|line| line.count() > 0);
        self.higher.first_mut().unwrap_or(&mut self.plain)
    }

    /// The line of a priority; from now on it is there.
    #[inline]
    pub(super) fn get_or_add(&mut self, level: Level) -> &mut Line {
        if level == Level(0) {
            return &mut self.plain;
        }
        let at = self.higher.partition_point(|line| line.level > level);
        if self.higher.get(at).is_none_or(|line| line.level != level) {
            self.higher.insert(at, Line::new(level));
        }
        &mut self.higher[at]
    }

    /// All of them, those first that are served first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.higher.iter().chain(std::iter::once(&self.plain))
    }

    /// As [`Lines::iter`].
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        let plain = std::iter::once(&mut self.plain);
        self.higher.iter_mut().chain(plain)
    }
}
