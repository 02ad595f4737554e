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
use leveret_store::log::{Log, QueueId};

use crate::arguments::QueueSettings;
use crate::figures::{MessageCounts, QueueFigures};
use crate::ids::Holder;
use crate::queue_handle::QueueHandle;
use crate::stream::chunks::{Chunks, Limits};
use crate::stream::offsets::Offsets;
use crate::stream::run::InMemory;
use crate::stream::safe::Safe;

mod asking;
mod chunks;
mod coming;
mod offsets;
mod peek;
mod reader;
mod run;
mod safe;
mod seek;
#[cfg(test)]
mod tests;

pub use asking::Asking;
pub use offsets::{NoRoom, OFFSETS_MAX};
pub use reader::{Next, Reader, ReaderId};
pub use run::Run;

/// The one stream of the log that a stream's messages are in.
pub const MESSAGES: LogStream = LogStream(0);

/// How many bytes of the last messages are kept in memory.
const TAIL_BYTES: usize = 4 << 20;

/// How many, if a reader is about to take the first of them: one that is late for a moment should not have to go to the log, which makes it later.
const TAIL_WANTED_BYTES: usize = 32 << 20;

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
        self.shrink(keep);
        (first_seq, self.tail.bytes() as i64 - before as i64)
    }

    /// Lets go of what is in memory and need not be.
    fn shrink(&mut self, keep: bool) {
        if !keep {
            self.shelf.shrink(0);
        }
        self.tail.shrink(if keep { TAIL_WANTED_BYTES } else { 0 });
        if self.tail.bytes() > TAIL_BYTES {
            let wanted = self.first_wanted();
            self.tail.shrink_before(wanted, TAIL_BYTES);
        }
    }

    /// The first sequence number of the tail that a reader is still to take.
    fn first_wanted(&self) -> u64 {
        let first = self.tail_seq();
        let readers = self.readers.iter().filter_map(Reader::next_seq);
        let wanted = readers.filter(|seq| *seq >= first).min();
        wanted.unwrap_or(self.next_seq)
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
            exclusive_tag: None,
            active_tag: None,
            used_ms: None,
            bodies: None,
            oldest_timestamp: None,
            ready_away: self.count().saturating_sub(self.tail.count()),
            ready_bytes: self.bytes() as u64,
            unacked_bytes: 0,
            counts: self.message_counts(),
            consumed_by: consumed_by.map(Reader::consumed_by).collect(),
            held_by: Vec::new(),
        }
    }

    /// What became of its messages since the broker was started.
    pub fn message_counts(&self) -> MessageCounts {
        self.counts
    }
}
