//! Message groups: messages whose header has the same value go to one consumer at a time, in their order (`x-leveret-message-group`).
//!
//! A group belongs to a consumer while that has messages of it unsettled; then the next one may have it. What is in front of the queue and cannot be handed
//! out, since its group belongs to a consumer that can take no more now, is set *aside*, so that other groups pass: no more than [`ASIDE_MAX`] messages,
//! which stay in memory. Of those that are aside the oldest that can go goes first, and before all that is in the queue still; `groups/heads.rs` knows
//! it. They expire where they are.
//!
//! A message without the header is in no group. A consumer that does not acknowledge keeps no group.

use std::collections::{BTreeMap, VecDeque};

use leveret_message::batch::Batch;
use leveret_message::properties::Properties;
use rustc_hash::FxHashMap;

use crate::queue::consumers::ConsumerKey;
use crate::queue::pieces::{Held, Home, Level, Taken};
use crate::runs::Piece;
use crate::stable_hash;

mod heads;

use heads::Heads;

/// How many messages may be aside.
const ASIDE_MAX: usize = 256;

/// A group, by a hash of the header's value: two that share one are one.
pub type Group = u64;

/// Whose a group is.
#[derive(Clone, Copy, Debug)]
struct Owned {
    consumer: ConsumerKey,
    /// How many messages of it the consumer has.
    held: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Groups {
    header: Box<str>,
    owned: FxHashMap<Group, Owned>,
    /// By sequence number.
    aside: BTreeMap<u64, (Option<Group>, Taken)>,
    bytes: usize,
    heads: Heads,
    /// None of those that are aside expires before that, in milliseconds since 1970.
    due_ms: u64,
    /// Which of them had expired when they were last looked through, in order.
    expired: VecDeque<u64>,
}

impl Groups {
    /// By a header.
    pub fn new(header: &str) -> Self {
        Self {
            header: header.into(),
            owned: FxHashMap::default(),
            aside: BTreeMap::new(),
            bytes: 0,
            heads: Heads::default(),
            due_ms: u64::MAX,
            expired: VecDeque::new(),
        }
    }

    /// How many messages are aside.
    pub(super) fn count(&self) -> u64 {
        self.aside.len() as u64
    }

    /// The memory that these stand for, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no more may be set aside.
    pub fn is_full(&self) -> bool {
        self.aside.len() >= ASIDE_MAX
    }

    /// The group of a message.
    pub fn of(&self, batch: &Batch, index: u32) -> Option<Group> {
        let message = batch.message(index)?;
        let headers = Properties::checked(message.properties).headers();
        Some(stable_hash::value(headers?.find(&self.header)?))
    }

    /// Whose a group is now.
    pub fn owner(&self, group: Group) -> Option<ConsumerKey> {
        self.owned.get(&group).map(|owned| owned.consumer)
    }

    /// A consumer that settles has been given a message of a group.
    pub fn note_handed_out(&mut self, group: Group, consumer: ConsumerKey) {
        let before = self.owner(group);
        let owned = self
            .owned
            .entry(group)
            .or_insert(Owned { consumer, held: 0 });
        owned.held += 1;
        if before.is_none() {
            self.heads.pass(group, None, Some(consumer));
        }
    }

    /// Messages were settled, or went back.
    pub(super) fn note_back(&mut self, piece: &Piece<Held>) {
        let (Some(batch), Some(_)) = (&piece.value.batch, piece.value.consumer) else {
            return;
        };
        for index in piece.value.index..piece.value.index + piece.count as u32 {
            let Some(group) = self.of(batch, index) else {
                continue;
            };
            let Some(owned) = self.owned.get_mut(&group) else {
                continue;
            };
            owned.held -= 1;
            if owned.held == 0 {
                let owner = owned.consumer;
                self.owned.remove(&group);
                self.heads.pass(group, Some(owner), None);
            }
        }
    }

    /// Sets a message aside, which expires then.
    pub(super) fn set_aside(&mut self, group: Option<Group>, taken: Taken, expires_ms: u64) {
        let seq = taken.piece.first;
        let owner = group.and_then(|group| self.owner(group));
        self.bytes += taken.bytes;
        self.due_ms = self.due_ms.min(expires_ms);
        self.heads.add(group, seq, owner);
        self.aside.insert(seq, (group, taken));
    }

    /// Takes one out that is aside.
    pub(super) fn take(&mut self, seq: u64) -> Option<Taken> {
        let (group, taken) = self.aside.remove(&seq)?;
        let owner = group.and_then(|group| self.owner(group));
        self.heads.remove(group, seq, owner);
        self.bytes -= taken.bytes;
        Some(taken)
    }

    /// The group of one that is aside.
    pub fn group_aside(&self, seq: u64) -> Option<Group> {
        self.aside.get(&seq).and_then(|(group, _)| *group)
    }

    /// The oldest of those that are aside.
    pub(super) fn first_aside(&self) -> Option<u64> {
        self.aside.keys().next().copied()
    }

    /// Whether messages of a group are aside that are older than one: it has to wait for them.
    pub fn has_older_aside(&self, group: Group, seq: u64) -> bool {
        self.heads.of(group).is_some_and(|first| first < seq)
    }

    /// The oldest message that is aside and may go, and to whom where its group has an owner: one that anybody may take only where `anybody` can.
    pub fn next(&self, anybody: bool) -> Option<(u64, Option<ConsumerKey>)> {
        self.heads.first(anybody)
    }

    /// The owner of groups can take nothing now.
    pub fn block(&mut self, owner: ConsumerKey) {
        self.heads.block(owner);
    }

    /// A consumer may take messages again.
    pub fn unblock(&mut self, consumer: ConsumerKey) {
        self.heads.unblock(consumer);
    }

    /// When the next of those that are aside may expire, in milliseconds since 1970.
    pub(super) fn due_ms(&self) -> Option<u64> {
        Some(self.due_ms).filter(|ms| *ms < u64::MAX && !self.aside.is_empty())
    }

    /// Times to live have changed.
    pub(super) fn look_again(&mut self) {
        self.due_ms = 0;
    }

    /// Takes the oldest one out that has expired; `deadline` says when one does.
    pub(super) fn take_expired(
        &mut self,
        now_ms: u64,
        deadline: impl Fn(&Taken) -> u64,
    ) -> Option<Taken> {
        if self.expired.is_empty() && self.due_ms <= now_ms {
            self.due_ms = u64::MAX;
            for (seq, (_, taken)) in &self.aside {
                let ms = deadline(taken);
                match ms <= now_ms {
                    true => self.expired.push_back(*seq),
                    false => self.due_ms = self.due_ms.min(ms),
                }
            }
        }
        while let Some(seq) = self.expired.pop_front() {
            // One that went meanwhile may have come back, and has expired all the same.
            if let Some(taken) = self.take(seq) {
                return Some(taken);
            }
        }
        None
    }

    /// Whether some may have expired.
    pub(super) fn may_have_expired(&self, now_ms: u64) -> bool {
        !self.aside.is_empty() && (!self.expired.is_empty() || self.due_ms <= now_ms)
    }

    /// Those that are aside.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Taken> {
        self.aside.values().map(|(_, taken)| taken)
    }

    /// Takes all out that are aside; calls `gone` for what is in the log.
    pub(super) fn purge(&mut self, gone: &mut impl FnMut(Level, u64, u64)) {
        while let Some(seq) = self.first_aside()
            && let Some(taken) = self.take(seq)
        {
            let piece = taken.piece;
            if piece.value.home == Home::Log {
                gone(piece.value.level, piece.first, piece.count);
            }
        }
    }
}
