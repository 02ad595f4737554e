//! The index of an `x-modulus-hash` exchange: bindings in an order that does not depend on when they came, of which a number picks one by its
//! remainder.
//!
//! A destination that is bound several times stands here as often. Unlike the other indexes, adding and removing move what stands behind: 16 bytes for
//! each binding.

/// Bindings by what they lead to.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// The identity of a destination, and the number of the binding. Only the first decides where a message goes.
    entries: Vec<(u64, u32)>,
}

impl Sorted {
    pub(super) fn insert(&mut self, identity: u64, binding: u32) {
        let entry = (identity, binding);
        if let Err(at) = self.entries.binary_search(&entry) {
            self.entries.insert(at, entry);
        }
    }

    pub(super) fn remove(&mut self, identity: u64, binding: u32) {
        if let Ok(at) = self.entries.binary_search(&(identity, binding)) {
            self.entries.remove(at);
        }
    }

    /// The binding that a number picks.
    pub(super) fn pick(&self, number: u64) -> Option<u32> {
        let at = number.checked_rem(self.entries.len() as u64)?;
        self.entries.get(at as usize).map(|(_, binding)| *binding)
    }
}
