//! Readers come, begin and go; and how far those with names have come.

use crate::arguments::Offset;
use crate::command::NewConsumer;
use crate::figures::OffsetFigures;
use crate::ids::Holder;
use crate::stream::chunks::Found;
use crate::stream::offsets::{NoRoom, Offsets};
use crate::stream::seek::Seek;
use crate::stream::{Reader, ReaderId, Stream};

impl Stream {
    /// Somebody consumes from it from now on. Returns the name of a reader of before that is forgotten for it, where that was written down.
    ///
    /// **Errors**: where it has a name, and there is no room for another one.
    pub fn consume(
        &mut self,
        holder: Holder,
        new: &NewConsumer,
        now_ms: u64,
    ) -> Result<Option<Box<str>>, NoRoom> {
        let reader = Reader::new(holder, new);
        let name = reader.name.as_deref();
        let forgotten = name.map(|name| self.offsets.admit(name, self.first_seq()));
        let forgotten = forgotten.transpose()?.flatten();
        self.readers.push(reader);
        self.begin_waiting(now_ms);
        Ok(forgotten)
    }

    /// Readers that wait for their turn begin, if it is. With a single active consumer it is the first one's.
    fn begin_waiting(&mut self, now_ms: u64) {
        let is_single = self.settings.single_active_consumer;
        while !(is_single && self.readers.iter().any(Reader::reads))
            && let Some(reader) = self.readers.iter().find(|reader| reader.waits())
        {
            let (id, name, offset) = (reader.id, reader.name.clone(), reader.offset);
            let kept = name.and_then(|name| {
                self.take_over(&name);
                self.offsets.begin(&name, id)
            });
            self.begin(id, kept, offset, now_ms);
        }
    }

    /// A reader begins: with what was kept for it, else where it wants.
    fn begin(&mut self, id: ReaderId, kept: Option<u64>, offset: Offset, now_ms: u64) {
        let first = self.first_seq();
        let seq = match (kept, offset) {
            (Some(seq), _) => seq.max(first),
            (None, Offset::First) => first,
            (None, Offset::Next) => self.next_seq,
            (None, Offset::Last) => self.last_together(first),
            (None, Offset::At(offset)) => offset.saturating_add(1).max(first),
            (None, Offset::Since(unix_ms)) => return self.begin_since(id, unix_ms),
            (None, Offset::Within(age)) => {
                let since_ms = now_ms.saturating_sub(age.as_millis() as u64);
                return self.begin_since(id, since_ms);
            }
        };
        if let Some(reader) = self.reader(id) {
            reader.begin(seq, None);
        }
    }

    pub(super) fn reader(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.readers.iter_mut().find(|reader| reader.id == id)
    }

    /// The first of the messages that were published together last.
    fn last_together(&self, first: u64) -> u64 {
        let last = self.tail.last().map(|run| run.first_seq);
        last.unwrap_or_else(|| self.next_seq.saturating_sub(1))
            .max(first)
    }

    /// A reader begins with the first message that arrived at a time or after it; with the next one, where all came before.
    fn begin_since(&mut self, id: ReaderId, unix_ms: u64) {
        let next_seq = self.next_seq;
        let place = |found: Option<u64>| match found {
            Some(seq) => (seq, Some(unix_ms)),
            None => (next_seq, None),
        };
        let behind = place(self.chunks.since_behind(unix_ms));
        let found = self.chunks.since(unix_ms);
        let Some(reader) = self.reader(id) else {
            return;
        };
        match found {
            Found::Known(seq) => {
                let (seq, since_ms) = place(seq);
                reader.begin(seq, since_ms);
            }
            Found::Unknown(within) => reader.begin_at(Seek::new(within, unix_ms, behind)),
        }
    }

    /// The reader that had a name before has it no more; if it had left, it is forgotten.
    fn take_over(&mut self, name: &str) {
        self.note_offsets();
        let offsets = &self.offsets;
        self.readers.retain(|reader| {
            let has_it = reader.name.as_deref() == Some(name) && offsets.is_of(name, reader.id);
            reader.consumes() || !has_it
        });
    }

    /// A reader consumes no more. One that is kept by name and holds messages may yet acknowledge them.
    pub fn leave(&mut self, of: impl Fn(&Reader) -> bool, now_ms: u64) {
        self.note_offsets();
        let offsets = &mut self.offsets;
        self.readers.retain_mut(|reader| {
            if !of(reader) {
                return true;
            }
            let name = reader.name.as_deref();
            let is_kept = name.is_some_and(|name| offsets.is_of(name, reader.id));
            if is_kept && reader.unacked() > 0 {
                reader.leave();
                return true;
            }
            end(offsets, reader);
            false
        });
        self.begin_waiting(now_ms);
    }

    /// Readers are gone with their channel.
    pub fn remove(&mut self, of: impl Fn(&Reader) -> bool, now_ms: u64) {
        self.note_offsets();
        let offsets = &mut self.offsets;
        self.readers.retain(|reader| {
            let is_gone = of(reader);
            if is_gone {
                end(offsets, reader);
            }
            !is_gone
        });
        self.begin_waiting(now_ms);
    }

    /// A reader has done with messages: it may take as many more. Whether it has a name.
    pub fn settle(&mut self, id: ReaderId, run: (u64, u64)) -> bool {
        let number = self.readers.iter().position(|reader| reader.id == id);
        let Some((number, reader)) = number.and_then(|at| Some((at, self.readers.get_mut(at)?)))
        else {
            return false;
        };
        self.counts.acked += reader.settle(run);
        let is_named = reader.name.is_some();
        if !reader.consumes() && reader.unacked() == 0 {
            let reader = self.readers.remove(number);
            end(&mut self.offsets, &reader);
        }
        is_named
    }

    /// Whether it is kept how far readers have come.
    pub fn has_offsets(&self) -> bool {
        !self.offsets.is_empty()
    }

    /// Looks how far the readers with names have come.
    fn note_offsets(&mut self) {
        for reader in &self.readers {
            if let Some(name) = &reader.name {
                self.offsets
                    .note(name, reader.id, reader.done_upto(), false);
            }
        }
    }

    /// Gives to `write` how far readers have come, where that has changed and the messages before are durable. Whether there is some left that is not.
    pub fn write_offsets(&mut self, write: impl FnMut(&str, u64)) -> bool {
        self.note_offsets();
        self.offsets.write(self.durable.upto() + 1, write)
    }

    /// How far readers with names have come.
    pub fn offsets(&mut self) -> Vec<OffsetFigures> {
        self.note_offsets();
        self.offsets.figures()
    }

    /// Forgets how far readers with a name have come. Whether that was known.
    pub fn forget_offset(&mut self, name: &str) -> bool {
        self.offsets.forget(name)
    }

    /// The names under which something was written down.
    pub fn written_offsets(&self) -> impl Iterator<Item = &str> {
        self.offsets.written()
    }
}

/// A reader has ended.
fn end(offsets: &mut Offsets, reader: &Reader) {
    if let Some(name) = &reader.name {
        offsets.note(name, reader.id, reader.done_upto(), true);
    }
}
