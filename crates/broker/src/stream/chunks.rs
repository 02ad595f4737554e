//! What a stream has, in chunks: how much it is and until when it came. Sequence numbers may have gaps where messages were lost.

use std::collections::VecDeque;

/// A chunk that has so many bytes is full.
const CHUNK_BYTES: u64 = 256 * 1024;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    first_seq: u64,
    count: u64,
    bytes: u64,
    last_ms: u64,
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
}

impl Chunks {
    pub(super) fn recover(&mut self, first_seq: u64, next_seq: u64) {
        self.unknown = (first_seq < next_seq).then_some((first_seq, next_seq));
    }

    /// The first sequence number there is; `next_seq` where there is none.
    pub(super) fn first_seq(&self, next_seq: u64) -> u64 {
        let known = self.known.front().map(|chunk| chunk.first_seq);
        let unknown = self.unknown.map(|(first, _)| first);
        let behind = self.behind.front().map(|chunk| chunk.first_seq);
        known.or(unknown).or(behind).unwrap_or(next_seq)
    }

    /// Messages were added at the end.
    pub(super) fn push(&mut self, first_seq: u64, count: u64, bytes: u64, arrived_ms: u64) {
        self.bytes += bytes;
        match self.behind.back_mut() {
            Some(last) if last.bytes < CHUNK_BYTES => {
                last.count += count;
                last.bytes += bytes;
                last.last_ms = arrived_ms;
            }
            _ => self.behind.push_back(Chunk {
                first_seq,
                count,
                bytes,
                last_ms: arrived_ms,
            }),
        }
    }

    /// The first and the last number of what is not known.
    pub(super) fn unknown(&self) -> Option<(u64, u64)> {
        self.unknown.map(|(first, next)| (first, next - 1))
    }

    /// The first messages that were not known have been looked at, up to before `next_seq`.
    pub(super) fn learn(&mut self, next_seq: u64, bytes: u64, last_ms: u64) {
        let Some((first_seq, end)) = self.unknown else {
            return;
        };
        if next_seq <= first_seq {
            return;
        }
        let next_seq = next_seq.min(end);
        self.bytes += bytes;
        self.known.push_back(Chunk {
            first_seq,
            count: next_seq - first_seq,
            bytes,
            last_ms,
        });
        self.unknown = (next_seq < end).then_some((next_seq, end));
        if self.unknown.is_none() {
            // From now on there is one list.
            self.known.append(&mut self.behind);
            std::mem::swap(&mut self.known, &mut self.behind);
        }
    }

    /// The first sequence number of the chunk that has what came at a time, or next after it.
    pub(super) fn since(&self, unix_ms: u64, next_seq: u64) -> u64 {
        let is_late = |chunk: &&Chunk| chunk.last_ms >= unix_ms;
        if let Some(chunk) = self.known.iter().find(is_late) {
            return chunk.first_seq;
        }
        if let Some((first, _)) = self.unknown {
            return first;
        }
        let chunk = self.behind.iter().find(is_late);
        chunk.map_or(next_seq, |chunk| chunk.first_seq)
    }

    /// Takes out the oldest chunks that are beyond the limits, but for the last one: the first number and how many.
    pub(super) fn retire(
        &mut self,
        messages_max: Option<u64>,
        bytes_max: Option<u64>,
        oldest_ms: Option<u64>,
    ) -> Option<(u64, u64)> {
        let mut retired: Option<(u64, u64)> = None;
        let mut messages = self.count();
        loop {
            let has_more = self.known.len() + self.behind.len() > 1 || self.unknown.is_some();
            let chunks = match self.known.is_empty() && self.unknown.is_none() {
                true => &mut self.behind,
                false => &mut self.known,
            };
            let is_beyond = |chunk: &mut Chunk| {
                // Without it there would be as much as there may be.
                let too_many = messages_max.is_some_and(|max| messages - chunk.count >= max);
                let too_large = bytes_max.is_some_and(|max| self.bytes > max);
                too_many || too_large || oldest_ms.is_some_and(|oldest| chunk.last_ms < oldest)
            };
            let Some(chunk) = has_more.then(|| chunks.pop_front_if(is_beyond)).flatten() else {
                return retired;
            };
            self.bytes -= chunk.bytes;
            messages -= chunk.count;
            let end = chunk.first_seq + chunk.count;
            let first = retired.map_or(chunk.first_seq, |(first, _)| first);
            retired = Some((first, end - first));
        }
    }

    fn count(&self) -> u64 {
        let chunks = self.known.iter().chain(&self.behind);
        let unknown = self.unknown.map_or(0, |(first, next)| next - first);
        chunks.map(|chunk| chunk.count).sum::<u64>() + unknown
    }
}
