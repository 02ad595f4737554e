//! What each channel holds of a queue's messages.
//!
//! The first channel has its place here itself: most queues know no other, and a thousand queues are then that much nearer.

use rustc_hash::FxHashMap;

use crate::ids::Holder;
use crate::queue::Held;
use crate::runs::{Piece, Runs};

/// See the module. A channel stays in it, with nothing perhaps, until it is removed.
#[derive(Debug, Default)]
pub(super) struct Holders {
    first: Option<(Holder, Runs<Held>)>,
    others: FxHashMap<Holder, Runs<Held>>,
}

impl Holders {
    /// What a channel holds, if it ever held something.
    #[inline]
    pub(super) fn get_mut(&mut self, holder: Holder) -> Option<&mut Runs<Held>> {
        match &mut self.first {
            Some((first, runs)) if *first == holder => Some(runs),
            _ => self.others.get_mut(&holder),
        }
    }

    /// What a channel holds; from now on it is here.
    #[inline]
    pub(super) fn get_or_add(&mut self, holder: Holder) -> &mut Runs<Held> {
        if self.first.is_none() && !self.others.contains_key(&holder) {
            self.first = Some((holder, Runs::default()));
        }
        match &mut self.first {
            Some((first, runs)) if *first == holder => runs,
            _ => self.others.entry(holder).or_default(),
        }
    }

    /// Takes out what a channel holds.
    pub(super) fn remove(&mut self, holder: Holder) -> Option<Runs<Held>> {
        match self.first.take_if(|(first, _)| *first == holder) {
            Some((_, runs)) => Some(runs),
            None => self.others.remove(&holder),
        }
    }

    /// Calls `each` with every piece, and who holds it.
    pub(super) fn each(&self, mut each: impl FnMut(Holder, &Piece<Held>)) {
        let first = self.first.iter().map(|(holder, runs)| (holder, runs));
        for (holder, runs) in first.chain(&self.others) {
            runs.iter().for_each(|piece| each(*holder, piece));
        }
    }

    /// The channels that hold something, in no order.
    pub(super) fn holders(&self) -> impl Iterator<Item = Holder> {
        let first = self.first.iter().map(|(holder, runs)| (holder, runs));
        let all = first.chain(&self.others);
        all.filter(|(_, runs)| !runs.is_empty())
            .map(|(holder, _)| *holder)
    }

    /// What all of them hold, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Runs<Held>> {
        let first = self.first.iter().map(|(_, runs)| runs);
        first.chain(self.others.values())
    }

    /// As [`Holders::values`].
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Runs<Held>> {
        let first = self.first.iter_mut().map(|(_, runs)| runs);
        first.chain(self.others.values_mut())
    }
}
