//! A stream: a queue that keeps what was published to it, for anybody to read again (`x-queue-type=stream`, <https://www.rabbitmq.com/docs/streams>).
//!
//! ```text
//!  append ──> log, and the tail in memory ──> readers, each at an offset of its own
//!                                     └─────> the oldest chunks go, as retention says
//! ```
//!
//! Messages are numbered from 1 as in every queue; an *offset* is one less. All are in the log, whatever their delivery mode, and stay there when they were
//! delivered and acknowledged: an ack gives a reader credit, and where it has a name says how far it has come. A reader is given a message once that is safe.
//! The last ones are in memory, once for all readers; a reader that is behind that reads a MiB at a time from the log, and what was read lately is shared
//! too.
//!
//! What there is, is known in *chunks*: about how many bytes, and until when they came. Retention takes whole chunks, the oldest first.

use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_store::entry::Stream as LogStream;
use leveret_store::log::{Log, QueueId, Read, Wanted};

use crate::arguments::QueueSettings;
use crate::command::{Holder, NewConsumer};
use crate::figures::{MessageCounts, QueueFigures};
use crate::queue_handle::QueueHandle;
use crate::stream::chunks::{Chunks, Found, Limits};
use crate::stream::offsets::Offsets;
use crate::stream::reader::taken_in;
use crate::stream::run::InMemory;
use crate::stream::safe::Safe;
use crate::stream::seek::{Seek, Step};

mod chunks;
mod filter;
mod offset;
mod offsets;
mod reader;
mod run;
mod safe;
mod seek;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use offset::Offset;
pub use offsets::{NoRoom, OFFSETS_MAX, OffsetFigures};
pub use reader::{Next, Reader, ReaderId};
pub use run::Run;

/// The one stream of the log that a stream's messages are in.
pub const MESSAGES: LogStream = LogStream(0);

/// How many bytes of the last messages are kept in memory.
const TAIL_BYTES: usize = 4 << 20;

/// How many bytes of what was read last from the log are kept in memory for the next reader, while one is behind.
const SHELF_BYTES: usize = 4 << 20;

/// How many bytes are read from the log at a time, and again when half of that is left.
const READ_BYTES: usize = 1 << 20;

/// What comes of asking for what a reader takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Nothing is asked.
    Idle,
    /// A question is on its way.
    Asked,
    /// It was there, or it is known now where the reader begins.
    Arrived,
    /// It is there once the log is safe further.
    NotSafe,
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    /// What everyone knows of it.
    pub handle: Arc<QueueHandle>,
    settings: QueueSettings,
    next_seq: u64,
    chunks: Chunks,
    /// The last messages.
    tail: InMemory,
    /// What was read from the log last.
    shelf: InMemory,
    /// Those who consume from it, in the order in which they came, and those who have left and may yet acknowledge.
    pub readers: Vec<Reader>,
    offsets: Offsets,
    /// How far the log is durable, and how far it is written.
    durable: Safe,
    written: Safe,
    last_token: u64,
    /// The open question about what was there when the broker was started.
    survey: Option<u64>,
    counts: MessageCounts,
    /// Whether it waits in its shard's list of streams to deal from.
    pub touched: bool,
    /// When its shard will look whether something is too old, and when it will write down how far readers have come.
    pub noted: Option<Instant>,
    /// See `noted`.
    pub write_noted: Option<Instant>,
}

impl Stream {
    /// An empty one.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        let mut stream = Self {
            settings: QueueSettings::default(),
            handle,
            next_seq: 1,
            chunks: Chunks::default(),
            tail: InMemory::default(),
            shelf: InMemory::default(),
            readers: Vec::new(),
            offsets: Offsets::default(),
            durable: Safe::default(),
            written: Safe::default(),
            last_token: 0,
            survey: None,
            counts: MessageCounts::default(),
            touched: false,
            noted: None,
            write_noted: None,
        };
        stream.govern();
        stream
    }

    /// With what the log has: messages from `first_seq` on, up to before `next_seq`; and how far readers had come.
    pub fn recover(&mut self, first_seq: u64, next_seq: u64, offsets: Vec<(Box<str>, u64)>) {
        self.next_seq = next_seq.max(1);
        self.durable.set(self.next_seq - 1);
        self.written.set(self.next_seq - 1);
        let first_seq = first_seq.clamp(1, self.next_seq);
        self.chunks.recover(first_seq, self.next_seq);
        for (name, seq) in offsets {
            self.offsets.recover(name, seq.min(self.next_seq));
        }
    }

    /// What its arguments and policies say may have changed.
    pub fn govern(&mut self) {
        self.settings = self.handle.governed();
        self.chunks
            .set_full(self.settings.stream.max_segment_size_bytes);
    }

    /// Its queue.
    pub fn id(&self) -> QueueId {
        self.handle.id
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let read: usize = self.readers.iter().map(Reader::bytes).sum();
        self.tail.bytes() + self.shelf.bytes() + read
    }

    /// How many messages it has.
    pub fn count(&self) -> u64 {
        self.chunks.count()
    }

    /// How many consume from it.
    pub fn consumers_count(&self) -> usize {
        self.readers
            .iter()
            .filter(|reader| reader.consumes())
            .count()
    }

    fn first_seq(&self) -> u64 {
        self.chunks.first_seq(self.next_seq)
    }

    /// The first sequence number in memory.
    fn tail_seq(&self) -> u64 {
        self.tail.first().map_or(self.next_seq, |run| run.first_seq)
    }

    /// The first sequence number that readers are not given yet.
    fn safe_seq(&self) -> u64 {
        let safe = match self.handle.syncs {
            true => &self.durable,
            false => &self.written,
        };
        safe.upto() + 1
    }

    /// Looks how far the log is safe.
    pub fn look_at(&mut self, log: &dyn Log) {
        let (last_seq, appended) = (self.next_seq - 1, log.last());
        self.durable.look(last_seq, appended, log.durable());
        self.written.look(last_seq, appended, log.written());
    }

    /// Messages are published to it; `keep` says whether there is memory for them. Returns the first one's sequence number, and how many bytes more or less
    /// it has in memory.
    pub fn append(
        &mut self,
        batch: &Arc<Batch>,
        (index, count): (u32, u32),
        keep: bool,
    ) -> (u64, i64) {
        let before = self.tail.bytes();
        let run = Run {
            first_seq: self.next_seq,
            count,
            batch: Arc::clone(batch),
            index,
        };
        let (first_seq, bytes) = (run.first_seq, run.bytes() as u64);
        self.next_seq = run.end();
        self.counts.published += u64::from(count);
        let last_ms = batch.arrivals().of(index + count.saturating_sub(1));
        self.chunks
            .push(first_seq, u64::from(count), bytes, last_ms);
        self.tail.push(run);
        self.tail.shrink(if keep { TAIL_BYTES } else { 0 });
        if !keep {
            self.shelf.shrink(0);
        }
        (first_seq, self.tail.bytes() as i64 - before as i64)
    }

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

    fn reader(&mut self, id: ReaderId) -> Option<&mut Reader> {
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

    /// A reader has done with messages: it may take as many more. Whether it is kept how far it has come.
    pub fn settle(&mut self, id: ReaderId, run: (u64, u64)) -> bool {
        let number = self.readers.iter().position(|reader| reader.id == id);
        let Some(number) = number else {
            return false;
        };
        let Some(reader) = self.readers.get_mut(number) else {
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

    /// What the readers of a channel hold comes once more.
    pub fn go_back(&mut self, holder: Holder) {
        let of_it = |reader: &&mut Reader| reader.holder == holder;
        self.readers
            .iter_mut()
            .filter(of_it)
            .for_each(Reader::go_back);
    }

    /// What a reader, by its number, may take next, at most `most` messages; passes over what it does not want.
    pub fn next_run(&mut self, reader: usize, most: u64) -> Next {
        let (first, safe_seq) = (self.first_seq(), self.safe_seq());
        let Some(reader) = self.readers.get_mut(reader).filter(|reader| reader.reads()) else {
            return Next::Nothing;
        };
        reader.skip_to(first);
        reader.next_run(&self.tail, safe_seq, most)
    }

    /// A reader was given messages.
    pub fn note_delivered(&mut self, reader: usize, run: &Run) {
        self.counts.delivered += u64::from(run.count);
        if let Some(reader) = self.readers.get_mut(reader) {
            reader.note_delivered(run);
        }
    }

    /// Asks for what a reader takes next, if that is not in memory.
    pub fn ask(&mut self, number: usize, log: &mut dyn Log) -> Asking {
        let (tail_seq, safe_seq) = (self.tail_seq(), self.safe_seq());
        let Some(reader) = self.readers.get(number).filter(|reader| reader.reads()) else {
            return Asking::Idle;
        };
        if reader.has_asked(None) {
            return Asking::Idle;
        }
        if let Some(seek) = reader.seek {
            return self.seek(reader.id, seek, log);
        }
        let Some(seq) = reader.wants(tail_seq, READ_BYTES / 2) else {
            return match reader.is_at(safe_seq) && safe_seq < self.next_seq {
                true => Asking::NotSafe,
                false => Asking::Idle,
            };
        };
        if seq > self.durable.upto() {
            log.hurry();
            return Asking::NotSafe;
        }
        if self.take_from_shelf(number, seq) {
            return Asking::Arrived;
        }
        let last_seq = (tail_seq - 1).min(self.durable.upto());
        let token = self.put_question(log, (seq, last_seq), READ_BYTES);
        if let Some(reader) = self.readers.get_mut(number) {
            reader.note_asked(token);
        }
        Asking::Asked
    }

    /// Gives a reader what was read for others. Whether there was some.
    fn take_from_shelf(&mut self, number: usize, seq: u64) -> bool {
        let runs: Vec<Run> = self.shelf.following(seq).cloned().collect();
        let (Some(last), Some(reader)) = (runs.last(), self.readers.get_mut(number)) else {
            return false;
        };
        let upto = last.end();
        reader.take_in(runs.into_iter(), upto);
        true
    }

    /// Goes on to find out where a reader begins.
    fn seek(&mut self, id: ReaderId, seek: Seek, log: &mut dyn Log) -> Asking {
        match seek.step() {
            Step::Look(first, last) => {
                let token = self.put_question(log, (first, last), 1);
                if let Some(reader) = self.reader(id) {
                    reader.note_asked(token);
                }
                return Asking::Asked;
            }
            Step::Begin(seq, since_ms) => {
                if let Some(reader) = self.reader(id) {
                    reader.begin(seq, since_ms);
                }
            }
        }
        Asking::Arrived
    }

    /// Asks for messages that are in the log.
    fn put_question(
        &mut self,
        log: &mut dyn Log,
        (first_seq, last_seq): (u64, u64),
        bytes_max: usize,
    ) -> u64 {
        self.last_token += 1;
        log.read(Wanted {
            queue: self.id(),
            stream: MESSAGES,
            token: self.last_token,
            first_seq,
            last_seq,
            bytes_max,
        });
        self.last_token
    }

    /// Asks for the next of what was there when the broker was started, where it has to be known how much and how old it is. Whether a question was asked.
    pub fn ask_survey(&mut self, log: &mut dyn Log) -> bool {
        if self.limits(0).is_none() || self.survey.is_some() {
            return false;
        }
        let Some(unknown) = self.chunks.unknown() else {
            return false;
        };
        self.survey = Some(self.put_question(log, unknown, READ_BYTES));
        true
    }

    /// Takes in what was read.
    pub fn arrived(&mut self, wanted: Wanted, read: Read) {
        if self.survey == Some(wanted.token) {
            self.survey = None;
            let bytes = read.records.len() as u64;
            let last_ms = read.arrivals.last().map_or(0, |(_, ms)| *ms);
            self.chunks.learn(read.next_seq, bytes, last_ms);
            return;
        }
        let asked = |reader: &&mut Reader| reader.has_asked(Some(wanted.token));
        let Some(reader) = self.readers.iter_mut().find(asked) else {
            return;
        };
        if reader.seek.is_some() {
            return reader.take_in_look(&read);
        }
        let (runs, upto) = taken_in(read);
        reader.take_in(runs.iter().cloned(), upto);
        self.put_on_shelf(runs);
    }

    /// Keeps what was read for the next reader that is behind.
    fn put_on_shelf(&mut self, runs: Vec<Run>) {
        let first = runs.first().map(|run| run.first_seq);
        let last = self.shelf.last().map(Run::end);
        if self.readers.len() < 2 || first.zip(last).is_some_and(|(first, last)| first < last) {
            // It is in order: who reads elsewhere begins it anew.
            self.shelf.shrink(0);
        }
        if self.readers.len() > 1 {
            runs.into_iter().for_each(|run| self.shelf.push(run));
            self.shelf.shrink(SHELF_BYTES);
        }
    }

    /// Lets go of what was read, once no reader is behind.
    pub fn clear_shelf(&mut self) {
        let tail_seq = self.tail_seq();
        if !self.shelf.is_empty() && !self.readers.iter().any(|reader| reader.is_behind(tail_seq)) {
            self.shelf.shrink(0);
        }
    }

    fn limits(&self, now_ms: u64) -> Limits {
        let max_age = self.settings.stream.max_age;
        Limits {
            messages: self.settings.length.messages,
            bytes: self.settings.length.bytes,
            oldest_ms: max_age.map(|age| now_ms.saturating_sub(age.as_millis() as u64)),
        }
    }

    /// Takes out the oldest messages that are too many, too large together or too old: the first sequence number and how many.
    pub fn retire(&mut self, now_ms: u64) -> Option<(u64, u64)> {
        let run = self.chunks.retire(self.limits(now_ms))?;
        let first = self.first_seq();
        self.tail.forget_before(first);
        self.shelf.forget_before(first);
        Some(run)
    }

    /// Whether age alone makes it lose messages.
    pub fn has_age_limit(&self) -> bool {
        self.settings.stream.max_age.is_some()
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

    /// What it tells of itself.
    pub fn figures(&self, with_consumers: bool) -> QueueFigures {
        let consumed_by = self
            .readers
            .iter()
            .filter(|reader| with_consumers && reader.consumes());
        QueueFigures {
            id: self.id(),
            ready: self.count(),
            unacked: self.readers.iter().map(Reader::unacked).sum(),
            waiting: 0,
            consumers: self.consumers_count() as u64,
            exclusive_consumer: false,
            ready_away: self.count().saturating_sub(self.tail.count()),
            ready_bytes: self.bytes() as u64,
            unacked_bytes: 0,
            counts: self.message_counts(),
            consumed_by: consumed_by.map(|reader| reader.holder).collect(),
        }
    }

    /// What became of its messages since the broker was started.
    pub fn message_counts(&self) -> MessageCounts {
        self.counts
    }
}

/// A reader has ended.
fn end(offsets: &mut Offsets, reader: &Reader) {
    if let Some(name) = &reader.name {
        offsets.note(name, reader.id, reader.done_upto(), true);
    }
}
