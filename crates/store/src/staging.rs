//! Staging: where those who have something for the log put it, encoded, for the commit to take.
//!
//! Each producer has one of its own, so that producers never wait for each other, nor for the disk: a push is a copy under a lock that is
//! otherwise held only to swap buffers. A *position* counts the entries that were staged; the commit tells how far they are durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::bell::Bell;
use crate::entry::TooLong;
use crate::log::{Position, Urgency};
use crate::wal::BATCH_HEADER_LEN;

/// Buffers above this are not kept.
const BUFFER_KEPT_MAX: usize = 8 << 20;

/// With so many bytes, entries are written at once though nobody waits.
const HURRY_BYTES: usize = 256 * 1024;

/// See the module.
pub struct Staging {
    staged: Mutex<Staged>,
    last: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    /// Bytes that were staged and are not written.
    waiting: AtomicUsize,
    bell: Arc<Bell>,
    on_progress: Box<dyn Fn(Position) + Send + Sync>,
}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging")
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

/// Entries that wait for the commit.
#[derive(Debug, Default)]
struct Staged {
    /// A batch as the log takes it, or nothing at all.
    batch: Vec<u8>,
    what: Taken,
    /// Where it may have to be cut, in order.
    marks: VecDeque<Mark>,
    /// Whether the bell was rung for them to be written at once.
    hurries: bool,
    /// Up to which position somebody has asked for durability.
    hurried: u64,
}

/// A place between two entries, see [`Staging::mark`].
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The entry before it.
    position: u64,
    /// How much of the buffer is before it, and how many entries of it.
    batch_len: usize,
    entries: u32,
}

/// What was taken, beside the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) entries: u32,
    pub(crate) bytes: usize,
    pub(crate) urgent: bool,
    /// Whether somebody waits for it to be written, or it is so much that its room is waited for.
    pub(crate) awaited: bool,
    /// How many were staged since the start, these included.
    pub(crate) position: u64,
}

/// A batch without entries, in a buffer that was used before: there is the room for the header that the log fills in.
pub(crate) fn empty_batch(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > BUFFER_KEPT_MAX {
        buffer = Vec::new();
    }
    buffer.clear();
    buffer.resize(BATCH_HEADER_LEN, 0);
    buffer
}

impl Staged {
    /// Moves what is before a mark into a buffer, and the rest to the front.
    fn cut(&mut self, at: Mark, into: &mut Vec<u8>) {
        self.marks.retain_mut(|mark| {
            let is_left = mark.position >= at.position;
            if is_left {
                mark.batch_len -= at.batch_len - BATCH_HEADER_LEN;
                mark.entries -= at.entries;
            }
            is_left
        });
        if at.entries == 0 {
            return;
        }
        let is_all = at.entries == self.what.entries;
        let rest = self.batch.get(at.batch_len..).unwrap_or_default();
        let mut left = std::mem::take(into);
        left.clear();
        if !is_all {
            left.resize(BATCH_HEADER_LEN, 0);
            left.extend_from_slice(rest);
        }
        *into = std::mem::replace(&mut self.batch, left);
        into.truncate(at.batch_len);
        self.what.entries -= at.entries;
        self.what.bytes -= at.batch_len - BATCH_HEADER_LEN;
        if is_all {
            self.what.urgent = false;
            self.what.awaited = false;
            self.hurries = false;
        }
    }
}

impl Staging {
    /// An empty one. `on_progress` is called, by the commit, whenever [`Staging::durable`] has moved, and [`Staging::written`] where that is waited for, with
    /// the latter; it must not wait.
    pub fn new(bell: Arc<Bell>, on_progress: Box<dyn Fn(Position) + Send + Sync>) -> Self {
        Self {
            staged: Mutex::default(),
            last: AtomicU64::new(0),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            bell,
            on_progress,
        }
    }

    /// Stages one entry, which `encode` appends to the buffer it is given, and gives its position.
    ///
    /// **Effect**: in memory. **Order**: entries of one staging reach the log in the order of their positions. **Waits**: never for the disk.
    /// **Errors**: those of `encode`; nothing is staged then.
    pub fn push(
        &self,
        urgency: Urgency,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
    ) -> Result<Position, TooLong> {
        let mut staged = self.staged.lock();
        let Staged { batch, what, .. } = &mut *staged;
        if batch.is_empty() {
            batch.resize(BATCH_HEADER_LEN, 0);
        }
        let before = batch.len();
        if let Err(error) = encode(batch) {
            batch.truncate(before);
            return Err(error);
        }
        let (bytes, is_long) = (batch.len() - before, batch.len() >= HURRY_BYTES);
        what.entries += 1;
        what.bytes += bytes;
        what.position += 1;
        what.urgent |= urgency == Urgency::Synced;
        what.awaited |= urgency == Urgency::Written || is_long;
        let (first, position) = (what.entries == 1, Position(what.position));
        let hurries = urgency != Urgency::Whenever || is_long;
        let rings = first || (hurries && !staged.hurries);
        staged.hurries |= hurries;
        self.last.store(position.0, Ordering::Release);
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        drop(staged);
        if rings {
            self.bell.ring(hurries);
        }
        Ok(position)
    }

    /// Remembers this place, as one up to which it may be taken; the position of the entry before it.
    pub(crate) fn mark(&self) -> u64 {
        let mut staged = self.staged.lock();
        let mark = Mark {
            position: staged.what.position,
            batch_len: staged.batch.len().max(BATCH_HEADER_LEN),
            entries: staged.what.entries,
        };
        if staged.marks.back().map(|last| last.position) != Some(mark.position) {
            staged.marks.push_back(mark);
        }
        mark.position
    }

    /// Tells the commit that there is something for it.
    pub(crate) fn ring(&self) {
        self.bell.ring(true);
    }

    /// Asks for everything that was staged to be made durable.
    pub fn hurry(&self) {
        let mut staged = self.staged.lock();
        if staged.hurried < staged.what.position {
            staged.hurried = staged.what.position;
            staged.what.urgent = true;
            drop(staged);
            self.bell.ring(true);
        }
    }

    /// The position of the last entry.
    pub fn last(&self) -> Position {
        Position(self.last.load(Ordering::Acquire))
    }

    /// How many bytes were staged that are not written yet.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Everything at or before this position is written.
    pub fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    /// Everything at or before this position is durable.
    pub fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Swaps what waits for `spare`, up to a mark's position or all of it, and says how many entries these are, how far positions go with them, and
    /// whether they are urgent. Without any, nothing is swapped.
    ///
    /// **Cost**: where it is cut, a copy of what is left; otherwise none by bytes.
    pub(crate) fn take(&self, upto: Option<Position>, spare: &mut Vec<u8>) -> Taken {
        let mut staged = self.staged.lock();
        let end = Mark {
            position: staged.what.position,
            batch_len: staged.batch.len().max(BATCH_HEADER_LEN),
            entries: staged.what.entries,
        };
        let cut = match upto {
            Some(upto) if upto.0 < end.position => {
                let cut = staged.marks.iter().find(|mark| mark.position == upto.0);
                debug_assert!(cut.is_some(), "it is cut where a part begins");
                cut.copied().unwrap_or(end)
            }
            _ => end,
        };
        let taken = Taken {
            entries: cut.entries,
            bytes: cut.batch_len - BATCH_HEADER_LEN,
            urgent: staged.what.urgent,
            awaited: staged.what.awaited,
            position: cut.position,
        };
        staged.cut(cut, spare);
        taken
    }

    /// Gives a buffer back to be used again, unless there is another by now.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let buffer = empty_batch(buffer);
        let mut staged = self.staged.lock();
        if staged.batch.is_empty() {
            staged.batch = buffer;
        }
    }

    /// Everything up to a position is written now: so many bytes more. `tells` says whether that is told at once, or with the next progress.
    pub(crate) fn made_written(&self, position: u64, bytes: usize, tells: bool) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.written.store(position, Ordering::Release);
        if tells {
            (self.on_progress)(self.durable());
        }
    }

    /// Everything up to a position is durable now.
    pub(crate) fn made_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
        (self.on_progress)(Position(position));
    }
}
