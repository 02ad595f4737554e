//! When messages of a batch arrived in their queues: one time for what was published together, several for what was read back together.

/// See the module. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Of the first messages.
    first_ms: u64,
    /// From which index on there is another time.
    later: Vec<(u32, u64)>,
}

impl Arrivals {
    /// All arrived at once.
    pub fn at(ms: u64) -> Self {
        Self {
            first_ms: ms,
            later: Vec::new(),
        }
    }

    /// Messages from `index` on, which is higher than before, arrived at a time.
    pub fn push(&mut self, index: u32, ms: u64) {
        if index == 0 {
            self.first_ms = ms;
        } else if self.of(index) != ms {
            self.later.push((index, ms));
        }
    }

    /// The `count` messages from `index` on have the times that others have from `from` on.
    pub fn copy(&mut self, index: u32, others: &Self, (from, count): (u32, u32)) {
        let mut at = from;
        while at < from + count {
            self.push(index + (at - from), others.of(at));
            at = others.change_after(at).unwrap_or(from + count);
        }
    }

    /// When a message arrived.
    #[inline]
    pub fn of(&self, index: u32) -> u64 {
        if self.later.is_empty() {
            return self.first_ms;
        }
        let behind = self.later.partition_point(|(first, _)| *first <= index);
        let at = behind.checked_sub(1).and_then(|at| self.later.get(at));
        at.map_or(self.first_ms, |(_, ms)| *ms)
    }

    /// The index from which on messages arrived at another time than the one at `index`; none up to the end.
    pub fn change_after(&self, index: u32) -> Option<u32> {
        let behind = self.later.partition_point(|(first, _)| *first <= index);
        self.later.get(behind).map(|(first, _)| *first)
    }
}
