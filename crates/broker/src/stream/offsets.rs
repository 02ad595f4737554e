//! How far readers with a name have come in a stream: kept by the broker, beyond the end of their connections and its own.
//!
//! It is the first message that was not acknowledged. What is written down comes after that is true and after the messages before it are safe, so that what
//! a crash undoes is read once more, and nothing is skipped. An acknowledgement writes nothing: the shard asks now and then for what has changed.
//!
//! A name belongs to the reader that began under it last. An earlier one goes on reading, and what it acknowledges counts no more.

use std::collections::BTreeMap;

use crate::figures::OffsetFigures;
use crate::stream::reader::ReaderId;

/// How many names a stream has at most. Where there is no room for a new one, the name goes of a reader that is not there and of which everything it
/// has not read is gone.
pub const OFFSETS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// The first message that was not acknowledged; none where its reader does not know yet where it begins.
    seq: Option<u64>,
    written: Option<u64>,
    reader: Option<ReaderId>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Offsets(BTreeMap<Box<str>, Kept>);

/// There are as many names as there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was written down before the broker was started.
    pub(super) fn recover(&mut self, name: Box<str>, seq: u64) {
        let kept = Kept {
            seq: Some(seq),
            written: Some(seq),
            reader: None,
        };
        self.0.insert(name, kept);
    }

    /// Makes room for a name. Returns the one that had to go for it, if it was written down.
    ///
    /// **Errors**: where none can go.
    pub(super) fn admit(&mut self, name: &str, first_seq: u64) -> Result<Option<Box<str>>, NoRoom> {
        if self.0.contains_key(name) || self.0.len() < OFFSETS_MAX {
            return Ok(None);
        }
        let is_over = |kept: &Kept| kept.reader.is_none() && kept.seq < Some(first_seq);
        let over = self.0.iter().find(|(_, kept)| is_over(kept));
        let over = over.map(|(name, _)| name.clone()).ok_or(NoRoom)?;
        let kept = self.0.remove(&over);
        Ok(kept.and_then(|kept| kept.written).map(|_| over))
    }

    /// A reader begins under a name: at which message, if that is kept. It is as if it had none where others have taken all the room since it was admitted.
    pub(super) fn begin(&mut self, name: &str, reader: ReaderId) -> Option<u64> {
        if self.0.len() >= OFFSETS_MAX && !self.0.contains_key(name) {
            return None;
        }
        let kept = self.0.entry(name.into()).or_default();
        kept.reader = Some(reader);
        kept.seq
    }

    /// Whether a name belongs to a reader.
    pub(super) fn is_of(&self, name: &str, reader: ReaderId) -> bool {
        self.0
            .get(name)
            .is_some_and(|kept| kept.reader == Some(reader))
    }

    /// A reader has come so far, and ends if that is said.
    pub(super) fn note(&mut self, name: &str, reader: ReaderId, seq: Option<u64>, ends: bool) {
        let kept = self.0.get_mut(name);
        if let Some(kept) = kept.filter(|kept| kept.reader == Some(reader)) {
            kept.seq = seq.or(kept.seq);
            if ends {
                kept.reader = None;
            }
        }
        if ends {
            // It never knew where to begin.
            self.0
                .retain(|_, kept| kept.seq.is_some() || kept.reader.is_some());
        }
    }

    /// What is to be written down, now that messages before `safe_seq` are durable. Whether something is left that is not.
    pub(super) fn write(&mut self, safe_seq: u64, mut write: impl FnMut(&str, u64)) -> bool {
        let mut is_left = false;
        for (name, kept) in &mut self.0 {
            is_left |= kept.seq > Some(safe_seq);
            let seq = kept.seq.map(|seq| seq.min(safe_seq));
            if let Some(seq) = seq.filter(|seq| kept.written.is_none_or(|written| written < *seq)) {
                kept.written = Some(seq);
                write(name, seq);
            }
        }
        is_left
    }

    /// Forgets a name. Whether it was there.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The names that were written down.
    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        let written = self.0.iter().filter(|(_, kept)| kept.written.is_some());
        written.map(|(name, _)| &**name)
    }

    /// All names, in order.
    pub(super) fn figures(&self) -> Vec<OffsetFigures> {
        let known = self.0.iter().filter_map(|(name, kept)| {
            Some(OffsetFigures {
                name: name.clone(),
                offset: kept.seq?.saturating_sub(1),
                kept: kept.written.map(|seq| seq.saturating_sub(1)),
                in_use: kept.reader.is_some(),
            })
        });
        known.collect()
    }
}
