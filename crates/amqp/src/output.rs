//! What waits to be written to the socket: a buffer of frames, with large bodies spliced in by reference.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

#[cfg(test)]
mod tests;

/// Buffers larger than this are not kept by an idle connection.
const KEPT_CAPACITY: usize = 1024;

/// What was written stays in the buffer while it is less than this, or less than what waits behind it.
const WRITTEN_KEPT: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` is written.
    written: usize,
    /// Pieces that come when `bytes` is written up to the offset.
    shared: VecDeque<(usize, Bytes)>,
    shared_len: usize,
}

impl Output {
    /// Where frames are appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends bytes without copying them.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        self.shared_len += bytes.len();
        self.shared.push_back((self.bytes.len(), bytes));
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written + self.shared_len
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` with what comes next; returns how many there are.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut at = self.written;
        let mut shared = self.shared.iter();
        while let Some(slice) = slices.get_mut(used) {
            let next = shared.next();
            let end = next.map_or(self.bytes.len(), |(offset, _)| *offset);
            if end > at {
                *slice = IoSlice::new(&self.bytes[at..end]);
                at = end;
                used += 1;
            }
            let Some((_, bytes)) = next else { break };
            let Some(slice) = slices.get_mut(used) else {
                break;
            };
            *slice = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// The socket took `count` bytes.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let end = self
                .shared
                .front()
                .map_or(self.bytes.len(), |(offset, _)| *offset);
            let plain = (end - self.written).min(count);
            self.written += plain;
            count -= plain;
            if count == 0 {
                break;
            }
            let Some((_, bytes)) = self.shared.front_mut() else {
                break;
            };
            let part = bytes.len().min(count);
            bytes::Buf::advance(bytes, part);
            self.shared_len -= part;
            count -= part;
            if bytes.is_empty() {
                self.shared.pop_front();
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= WRITTEN_KEPT.max(self.bytes.len() / 2) {
            self.forget_written();
        }
    }

    /// Makes room: a peer that reads slowly and asks for ever more may never let the buffer be empty.
    fn forget_written(&mut self) {
        self.bytes.drain(..self.written);
        for (offset, _) in &mut self.shared {
            *offset -= self.written;
        }
        self.written = 0;
    }

    /// Takes over an empty buffer with room, where this one has none.
    pub(crate) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.bytes.capacity() < buffer.capacity() && self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, buffer);
        }
    }

    /// Gives a large buffer back once it is empty, so that an idle connection keeps none.
    pub(crate) fn take_back(&mut self, buffer: &mut Vec<u8>) {
        if self.is_empty() && self.bytes.capacity() > KEPT_CAPACITY {
            std::mem::swap(&mut self.bytes, buffer);
            self.bytes = Vec::new();
        }
        if self.shared.is_empty() && self.shared.capacity() > 0 {
            self.shared = VecDeque::new();
        }
    }
}
