//! What a queue tells messages of a batch apart by: whether they are to survive a restart, and their priority.

use super::{Batch, FLAGS_AT, HEAD, PERSISTENT};

/// Where the length of "exchange and key" is in a record.
const KEY_LEN_AT: usize = 10;

/// In the first byte of properties: there is a `priority` among them.
const PRIORITY_FLAG: u8 = 8;

/// What decides where a message goes in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Whether it is to survive a restart in a durable queue; `false` where that is not told apart.
    pub persistent: bool,
    /// The `priority` property; 0 where that is not told apart.
    pub priority: u8,
}

/// Which differences between messages matter to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldApart {
    /// Persistent ones and others.
    pub persistence: bool,
    /// Priorities.
    pub priority: ToldPriority,
}

/// How priorities are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldPriority {
    /// They are not.
    No,
    /// A message without the property has 0.
    OrZero,
    /// A message without the property has this one, and is another one than a message with 0.
    Or(u8),
}

impl Batch {
    /// Cuts `count` messages from `first` on where their kind changes, as far as it is told apart: `(first, count, kind)` each. One piece, in
    /// constant time, where all messages of the batch are alike in that.
    #[inline]
    pub fn by_kind(
        &self,
        first: u32,
        count: u32,
        told_apart: ToldApart,
    ) -> impl Iterator<Item = (u32, u32, Kind)> {
        let common = self.common_kind(told_apart);
        let end = first + count;
        let mut at = first;
        std::iter::from_fn(move || {
            let from = at;
            if from >= end {
                return None;
            }
            let kind = match common {
                Some(kind) => {
                    at = end;
                    kind
                }
                None => {
                    let kind = self.kind(from, told_apart)?;
                    let differs = |index: &u32| self.kind(*index, told_apart) != Some(kind);
                    at = (from..end).find(differs).unwrap_or(end);
                    kind
                }
            };
            Some((from, at - from, kind))
        })
    }

    /// The kind of all messages, where that is known without a look at each.
    #[inline]
    fn common_kind(&self, told_apart: ToldApart) -> Option<Kind> {
        let of = |persistent| Kind {
            persistent,
            priority: 0,
        };
        if told_apart.priority != ToldPriority::No {
            return None;
        }
        if !told_apart.persistence || self.persistent == 0 {
            return Some(of(false));
        }
        (self.persistent == self.len()).then(|| of(true))
    }

    fn kind(&self, index: u32, told_apart: ToldApart) -> Option<Kind> {
        let start = *self.starts.get(index as usize)? as usize;
        let record = self.bytes.get(start + FLAGS_AT..)?;
        let [flags, priority] = *record.first_chunk()?;
        Some(Kind {
            persistent: told_apart.persistence && flags & PERSISTENT != 0,
            priority: match told_apart.priority {
                ToldPriority::No => 0,
                ToldPriority::OrZero => priority,
                ToldPriority::Or(without) => match priority {
                    0 if !self.says_priority(start) => without,
                    priority => priority,
                },
            },
        })
    }

    /// Whether the message of the record that begins there has the property `priority`.
    fn says_priority(&self, start: usize) -> bool {
        let record = self.bytes.get(start..).unwrap_or_default();
        let key_len = record.get(KEY_LEN_AT..).and_then(|len| len.first_chunk());
        let key_len = key_len.map_or(0, |len| usize::from(u16::from_le_bytes(*len)));
        let flags = record.get(HEAD + key_len);
        flags.is_some_and(|flags| flags & PRIORITY_FLAG != 0)
    }
}
