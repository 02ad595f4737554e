//! Message groups: messages whose header has the same value go to one consumer at a time, in their order (`x-leveret-message-group`).
//!
//! A group belongs to a consumer while that has messages of it unsettled; then the next one may have it. What is in front of the queue and cannot be handed
//! out, since its group belongs to a consumer that can take no more now, is set *aside*, so that other groups pass: no more than [`ASIDE_MAX`] messages,
//! which stay in memory. Of those that are aside the oldest that can go goes first, and before all that is in the queue still.
//!
//! A message without the header is in no group. A consumer that does not acknowledge keeps no group.

use std::collections::BTreeMap;

use leveret_message::batch::Batch;
use leveret_message::properties::Properties;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::queue::consumers::ConsumerKey;
use crate::queue::pieces::{Held, Home, Level, Taken};
use crate::runs::Piece;
use crate::stable_hash;

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
}

impl Groups {
    /// By a header.
    pub fn new(header: &str) -> Self {
        Self {
            header: header.into(),
            owned: FxHashMap::default(),
            aside: BTreeMap::new(),
            bytes: 0,
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
        let owned = self
            .owned
            .entry(group)
            .or_insert(Owned { consumer, held: 0 });
        owned.held += 1;
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
            if let Some(owned) = self.owned.get_mut(&group) {
                owned.held -= 1;
                if owned.held == 0 {
                    self.owned.remove(&group);
                }
            }
        }
    }

    /// Sets a message aside.
    pub fn set_aside(&mut self, group: Option<Group>, taken: Taken) {
        self.bytes += taken.bytes;
        self.aside.insert(taken.piece.first, (group, taken));
    }

    /// Whether messages of a group are aside: those behind them have to wait for them.
    pub fn has_aside(&self, group: Group) -> bool {
        self.aside.values().any(|(of, _)| *of == Some(group))
    }

    /// The oldest messages that are aside, each of another group: sequence numbers, and what they are of.
    pub fn firsts(&self) -> Vec<(u64, Option<Group>)> {
        let mut seen = FxHashSet::default();
        let all = self.aside.iter().map(|(seq, (group, _))| (*seq, *group));
        all.filter(|(_, group)| group.is_none_or(|group| seen.insert(group)))
            .collect()
    }

    /// Those that are aside.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Taken> {
        self.aside.values().map(|(_, taken)| taken)
    }

    /// Takes one out that is aside.
    pub fn take(&mut self, seq: u64) -> Option<Taken> {
        let (_, taken) = self.aside.remove(&seq)?;
        self.bytes -= taken.bytes;
        Some(taken)
    }

    /// Takes all out that are aside; calls `gone` for what is in the log.
    pub(super) fn purge(&mut self, gone: &mut impl FnMut(Level, u64, u64)) {
        self.bytes = 0;
        for (_, taken) in std::mem::take(&mut self.aside).into_values() {
            let piece = taken.piece;
            if piece.value.home == Home::Log {
                gone(piece.value.level, piece.first, piece.count);
            }
        }
    }
}
