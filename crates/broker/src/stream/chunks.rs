//! What a stream has, in chunks: how much it is and until when it came. Sequence numbers may have gaps where messages were lost.
//!
//! A stream has at most [`CHUNKS_MAX`] of them. Where there would be more, each two become one, and retention takes more at a time.

use std::collections::VecDeque;

/// A chunk that has so many bytes is full, where nothing says less.
pub(super) const CHUNK_BYTES: u64 = 256 * 1024;

/// No chunk is full with less.
const CHUNK_BYTES_MIN: u64 = 4096;

/// How many chunks there are at most.
pub(super) const CHUNKS_MAX: usize = 16_384;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    first_seq: u64,
    count: u64,
    bytes: u64,
    last_ms: u64,
}

impl Chunk {
    fn add(&mut self, next: Self) {
        self.count += next.count;
        self.bytes += next.bytes;
        self.last_ms = self.last_ms.max(next.last_ms);
    }
}

/// How much a stream may have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// How many messages.
    pub(super) messages: Option<u64>,
    /// How many bytes.
    pub(super) bytes: Option<u64>,
    /// What came before this time is too old.
    pub(super) oldest_ms: Option<u64>,
}

impl Limits {
    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none() && self.oldest_ms.is_none()
    }
}

/// Where the first message is that came at a time or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// In the chunk that begins with this number; without one, everything came before.
    Known(Option<u64>),
    /// Among those that were not looked at, from the first number up to before the second, or behind them.
    Unknown((u64, u64)),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// What was there when the broker was started, as far as it was not looked at: from the first number up to before the second.
    unknown: Option<(u64, u64)>,
    /// Chunks before and behind what is unknown.
    known: VecDeque<Chunk>,
    behind: VecDeque<Chunk>,
    bytes: u64,
    count: u64,
    /// With how many bytes a chunk is full, where it is less than usual.
    full_bytes: Option<u64>,
}

impl Chunks {
    pub(super) fn recover(&mut self, first_seq: u64, next_seq: u64) {
        self.unknown = (first_seq < next_seq).then_some((first_seq, next_seq));
        self.count = next_seq - first_seq;
    }

    /// Chunks have so many bytes from now on, if that is less than usual.
    pub(super) fn set_full(&mut self, bytes: Option<u64>) {
        self.full_bytes = bytes.map(|bytes| bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES));
    }

    /// The first sequence number there is; `next_seq` where there is none.
    pub(super) fn first_seq(&self, next_seq: u64) -> u64 {
        let known = self.known.front().map(|chunk| chunk.first_seq);
        let unknown = self.unknown.map(|(first, _)| first);
        let behind = self.behind.front().map(|chunk| chunk.first_seq);
        known.or(unknown).or(behind).unwrap_or(next_seq)
    }

    /// Messages were added at the end.
    pub(super) fn push(&mut self, first_seq: u64, count: u64, bytes: u64, last_ms: u64) {
        self.bytes += bytes;
        self.count += count;
        let new = Chunk {
            first_seq,
            count,
            bytes,
            last_ms,
        };
        let full = self.full_bytes.unwrap_or(CHUNK_BYTES);
        match self.behind.back_mut() {
            Some(last) if last.bytes < full => last.add(new),
            _ => push(&mut self.behind, new),
        }
    }

    /// The first and the last number of what is not known.
    pub(super) fn unknown(&self) -> Option<(u64, u64)> {
        self.unknown.map(|(first, next)| (first, next - 1))
    }

    /// The first messages that were not known have been looked at, up to before `next_seq`.
    pub(super) fn learn(&mut self, next_seq: u64, bytes: u64, last_ms: u64) {
        let Some((first_seq, end)) = self.unknown.filter(|(first, _)| *first < next_seq) else {
            return;
        };
        let next_seq = next_seq.min(end);
        self.bytes += bytes;
        let learned = Chunk {
            first_seq,
            count: next_seq - first_seq,
            bytes,
            last_ms,
        };
        push(&mut self.known, learned);
        self.unknown = (next_seq < end).then_some((next_seq, end));
        if self.unknown.is_none() {
            // From now on there is one list.
            self.known.append(&mut self.behind);
            std::mem::swap(&mut self.known, &mut self.behind);
        }
    }

    /// Where the first message is that came at a time or after it.
    pub(super) fn since(&self, unix_ms: u64) -> Found {
        let is_late = |chunk: &&Chunk| chunk.last_ms >= unix_ms;
        match (self.known.iter().find(is_late), self.unknown) {
            (Some(chunk), _) => Found::Known(Some(chunk.first_seq)),
            (None, Some(unknown)) => Found::Unknown(unknown),
            (None, None) => Found::Known(self.since_behind(unix_ms)),
        }
    }

    /// The first number of the chunk it is in, if it is behind what is unknown.
    pub(super) fn since_behind(&self, unix_ms: u64) -> Option<u64> {
        let chunk = self.behind.iter().find(|chunk| chunk.last_ms >= unix_ms);
        chunk.map(|chunk| chunk.first_seq)
    }

    /// Takes out the oldest chunks that are beyond the limits, but for the last one: the first number and how many.
    pub(super) fn retire(&mut self, limits: Limits) -> Option<(u64, u64)> {
        if limits.is_none() {
            return None;
        }
        let mut retired: Option<(u64, u64)> = None;
        loop {
            let has_more = self.known.len() + self.behind.len() > 1 || self.unknown.is_some();
            let chunks = match self.known.is_empty() && self.unknown.is_none() {
                true => &mut self.behind,
                false => &mut self.known,
            };
            let (messages, bytes) = (self.count, self.bytes);
            let is_beyond = |chunk: &mut Chunk| {
                // Without it there would be as much as there may be.
                let too_many = limits
                    .messages
                    .is_some_and(|max| messages - chunk.count >= max);
                let too_large = limits.bytes.is_some_and(|max| bytes > max);
                let too_old = limits.oldest_ms.is_some_and(|ms| chunk.last_ms < ms);
                too_many || too_large || too_old
            };
            let Some(chunk) = has_more.then(|| chunks.pop_front_if(is_beyond)).flatten() else {
                return retired;
            };
            self.bytes -= chunk.bytes;
            self.count -= chunk.count;
            let end = chunk.first_seq + chunk.count;
            let first = retired.map_or(chunk.first_seq, |(first, _)| first);
            retired = Some((first, end - first));
        }
    }

    /// How many messages there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Adds a chunk; where there are too many, each two become one before.
fn push(chunks: &mut VecDeque<Chunk>, new: Chunk) {
    if chunks.len() >= CHUNKS_MAX {
        let mut merged = VecDeque::with_capacity(CHUNKS_MAX / 2 + 1);
        while let Some(mut chunk) = chunks.pop_front() {
            if let Some(next) = chunks.pop_front() {
                chunk.add(next);
            }
            merged.push_back(chunk);
        }
        *chunks = merged;
    }
    chunks.push_back(new);
}
