//! Postings: an unordered list that is nearly always one entry long.
//!
//! An index keeps one such list per key, trie node or header criterion. What an entry says is up to the index; the list
//! only promises that adding and removing cost the same however long it is. Removal fills the hole with the last
//! entry, so whoever remembers positions has to be told which entry moved: `remove` returns it.
//!
//! Invariant: an empty list holds no memory beyond itself, and one entry holds none either.

/// The number of a binding beside its destination, so that a lookup need not go and find it.
#[derive(Debug)]
pub(super) struct Bound<D> {
    pub(super) number: u32,
    pub(super) destination: D,
}

/// An unordered list of small entries, addressed by position.
#[derive(Debug)]
pub(super) enum Postings<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Default for Postings<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Postings<T> {
    /// All entries, in no particular order.
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Adds an entry and returns its position, which holds until a `remove` reports that the entry moved.
    pub(super) fn push(&mut self, entry: T) -> u32 {
        let position = self.len();
        *self = match std::mem::take(self) {
            Self::Many(entries) if entries.is_empty() => Self::One(entry),
            Self::Many(mut entries) => {
                entries.push(entry);
                Self::Many(entries)
            }
            Self::One(first) => Self::Many(vec![first, entry]),
        };
        u32::try_from(position).expect("fewer entries than bindings, which are numbered by u32")
    }

    /// Removes the entry at `position` and returns the entry that has taken this position, if one has.
    pub(super) fn remove(&mut self, position: u32) -> Option<&T> {
        let position = position as usize;
        match self {
            Self::One(_) => {
                debug_assert_eq!(position, 0);
                *self = Self::default();
                None
            }
            Self::Many(entries) => {
                entries.swap_remove(position);
                if entries.capacity() > 4 * entries.len().max(2) {
                    entries.shrink_to(2 * entries.len());
                }
                entries.get(position)
            }
        }
    }
}
