//! The first message of each group among those that are aside, and by whom it waits to be taken: found without a look at the others.
//!
//! A head is *free* where nobody has its group, or it is in none; else it waits for the owner of its group. Of each owner only the oldest of its heads is
//! *open*, and none while it is *blocked*: it could take nothing when it was last asked, and nobody has said since that it can.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use crate::queue::consumers::ConsumerKey;
use crate::queue::groups::Group;

/// See the module. Messages are named by their sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// All that are aside and in a group.
    by_group: BTreeSet<(Group, u64)>,
    free: BTreeSet<u64>,
    owned: BTreeSet<(ConsumerKey, u64)>,
    open: BTreeMap<u64, ConsumerKey>,
    blocked: FxHashSet<ConsumerKey>,
}

impl Heads {
    /// The oldest message of a group.
    pub(super) fn of(&self, group: Group) -> Option<u64> {
        let mut all = self.by_group.range((group, 0)..=(group, u64::MAX));
        all.next().map(|(_, seq)| *seq)
    }

    /// A message is aside; its group belongs to `owner`.
    pub(super) fn add(&mut self, group: Option<Group>, seq: u64, owner: Option<ConsumerKey>) {
        let Some(group) = group else {
            self.free.insert(seq);
            return;
        };
        let before = self.of(group);
        self.by_group.insert((group, seq));
        self.replace(owner, before, self.of(group));
    }

    /// A message is not aside any more; its group belongs to `owner`.
    pub(super) fn remove(&mut self, group: Option<Group>, seq: u64, owner: Option<ConsumerKey>) {
        let Some(group) = group else {
            self.free.remove(&seq);
            return;
        };
        let before = self.of(group);
        self.by_group.remove(&(group, seq));
        self.replace(owner, before, self.of(group));
    }

    /// A group has another owner than before.
    pub(super) fn pass(
        &mut self,
        group: Group,
        from: Option<ConsumerKey>,
        to: Option<ConsumerKey>,
    ) {
        let head = self.of(group);
        self.replace(from, head, None);
        self.replace(to, None, head);
    }

    fn replace(&mut self, owner: Option<ConsumerKey>, before: Option<u64>, now: Option<u64>) {
        if before == now {
            return;
        }
        let Some(owner) = owner else {
            before.map(|seq| self.free.remove(&seq));
            self.free.extend(now);
            return;
        };
        self.close(owner);
        before.map(|seq| self.owned.remove(&(owner, seq)));
        self.owned.extend(now.map(|seq| (owner, seq)));
        self.reopen(owner);
    }

    fn first_of(&self, owner: ConsumerKey) -> Option<u64> {
        let mut all = self.owned.range((owner, 0)..=(owner, u64::MAX));
        all.next().map(|(_, seq)| *seq)
    }

    fn close(&mut self, owner: ConsumerKey) {
        if let Some(first) = self.first_of(owner) {
            self.open.remove(&first);
        }
    }

    fn reopen(&mut self, owner: ConsumerKey) {
        match self.first_of(owner) {
            // Whoever has nothing here is asked when it has.
            None => _ = self.blocked.remove(&owner),
            Some(first) if !self.blocked.contains(&owner) => _ = self.open.insert(first, owner),
            Some(_) => {}
        }
    }

    /// A consumer can take nothing now.
    pub(super) fn block(&mut self, owner: ConsumerKey) {
        self.close(owner);
        self.blocked.insert(owner);
        self.reopen(owner);
    }

    /// A consumer may take messages again.
    pub(super) fn unblock(&mut self, owner: ConsumerKey) {
        if self.blocked.remove(&owner) {
            self.reopen(owner);
        }
    }

    /// The oldest head that may go, and to whom where it has an owner: one that is `free` only where it is said that these may.
    pub(super) fn first(&self, free: bool) -> Option<(u64, Option<ConsumerKey>)> {
        let free = self.free.first().filter(|_| free);
        let free = free.map(|seq| (*seq, None));
        let open = self.open.first_key_value();
        let open = open.map(|(seq, owner)| (*seq, Some(*owner)));
        free.into_iter().chain(open).min_by_key(|(seq, _)| *seq)
    }
}
