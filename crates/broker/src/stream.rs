//! A stream: a queue that keeps what was published to it, for anybody to read again (`x-queue-type=stream`, <https://www.rabbitmq.com/docs/streams>).
//!
//! ```text
//!  append ──> log, and the tail in memory ──> readers, each at an offset of its own
//!                                     └─────> the oldest chunks go, as retention says
//! ```
//!
//! Messages are numbered from 1 as in every queue; an *offset* is one less. All are in the log, whatever their delivery mode, and stay there when they were
//! delivered and acknowledged: an ack gives a reader credit and nothing else. The last ones are in memory too, once for all readers; a reader that is
//! behind that reads a MiB at a time from the log.
//!
//! What there is, is known in *chunks*: about how many bytes, and until when they came. Retention takes whole chunks, the oldest first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_store::entry::Stream as LogStream;
use leveret_store::log::{Log, QueueId, Read, Wanted};

use crate::arguments::QueueSettings;
use crate::command::{Holder, NewConsumer};
use crate::figures::{MessageCounts, QueueFigures};
use crate::queue::{Reach, batch_of};
use crate::queue_handle::QueueHandle;
use crate::stream::chunks::Chunks;

mod chunks;
mod filter;
mod offset;
mod reader;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use offset::Offset;
pub use reader::Reader;

/// The one stream of the log that a stream's messages are in.
pub const MESSAGES: LogStream = LogStream(0);

/// How many bytes of the last messages are kept in memory.
const TAIL_BYTES: usize = 4 << 20;

/// How many bytes are read from the log at a time.
const READ_BYTES: usize = 1 << 20;

/// Consecutive messages of one batch.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first one's sequence number.
    pub first_seq: u64,
    /// How many.
    pub count: u32,
    /// Where they are.
    pub batch: Arc<Batch>,
    /// The first one's index there.
    pub index: u32,
}

impl Run {
    fn end(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    fn bytes(&self) -> usize {
        self.batch.size(self.index, self.count)
    }

    /// The part from a sequence number on, at most `most` messages; none where it has none of these.
    fn from(&self, seq: u64, most: u64) -> Option<Self> {
        let skipped = seq.checked_sub(self.first_seq)?;
        let left = u64::from(self.count).checked_sub(skipped)?;
        let count = left.min(most) as u32;
        (count > 0).then(|| Self {
            first_seq: seq,
            count,
            batch: Arc::clone(&self.batch),
            index: self.index + skipped as u32,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    /// What everyone knows of it.
    pub handle: Arc<QueueHandle>,
    /// What holds for it: its arguments and policies.
    pub settings: QueueSettings,
    next_seq: u64,
    chunks: Chunks,
    tail: VecDeque<Run>,
    tail_bytes: usize,
    /// Those who consume from it.
    pub readers: Vec<Reader>,
    reach: Reach,
    /// The open question about what was there when the broker was started.
    survey: Option<u64>,
    delivered: u64,
    acked: u64,
    first_new: u64,
    /// Whether it waits in its shard's list of streams to deal from.
    pub touched: bool,
    /// When its shard will look whether something is too old.
    pub noted: Option<Instant>,
}

impl Stream {
    /// An empty one.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        Self {
            settings: handle.governed(),
            handle,
            next_seq: 1,
            chunks: Chunks::default(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            readers: Vec::new(),
            reach: Reach::default(),
            survey: None,
            delivered: 0,
            acked: 0,
            first_new: 1,
            touched: false,
            noted: None,
        }
    }

    /// With what the log has: messages from `first_seq` on, up to before `next_seq`.
    pub fn recover(&mut self, first_seq: u64, next_seq: u64) {
        self.next_seq = next_seq.max(1);
        self.first_new = self.next_seq;
        self.reach.set_durable(self.next_seq - 1);
        self.chunks
            .recover(first_seq.clamp(1, self.next_seq), self.next_seq);
    }

    /// Its queue.
    pub fn id(&self) -> QueueId {
        self.handle.id
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let read: usize = self.readers.iter().map(Reader::bytes).sum();
        self.tail_bytes + read
    }

    /// How many messages it has.
    pub fn count(&self) -> u64 {
        self.next_seq - self.chunks.first_seq(self.next_seq)
    }

    /// Messages are published to it; `keep` says whether there is memory for them. Returns the first one's sequence number.
    pub fn append(&mut self, batch: &Arc<Batch>, (index, count): (u32, u32), keep: bool) -> u64 {
        let run = Run {
            first_seq: self.next_seq,
            count,
            batch: Arc::clone(batch),
            index,
        };
        self.next_seq += u64::from(count);
        let bytes = run.bytes();
        let arrived_ms = batch.arrivals().of(index);
        self.chunks
            .push(run.first_seq, u64::from(count), bytes as u64, arrived_ms);
        let first_seq = run.first_seq;
        self.tail_bytes += bytes;
        self.tail.push_back(run);
        let most = if keep { TAIL_BYTES } else { 0 };
        while self.tail_bytes > most
            && let Some(run) = self.tail.pop_front()
        {
            self.tail_bytes -= run.bytes();
        }
        first_seq
    }

    /// Somebody consumes from it from now on.
    pub fn consume(&mut self, holder: Holder, new: &NewConsumer, now_ms: u64) {
        let first = self.chunks.first_seq(self.next_seq);
        let seq = match new.offset {
            Offset::First => first,
            Offset::Next => self.next_seq,
            Offset::Last => self.tail.back().map_or_else(
                || self.next_seq.saturating_sub(1).max(first),
                |run| run.first_seq,
            ),
            Offset::At(offset) => offset.saturating_add(1).max(first),
            Offset::Since(unix_ms) => self.chunks.since(unix_ms, self.next_seq),
            Offset::Within(age) => {
                let since_ms = now_ms.saturating_sub(age.as_millis() as u64);
                self.chunks.since(since_ms, self.next_seq)
            }
        };
        self.readers.push(Reader::new(holder, new, seq));
    }

    /// Removes readers. Returns how many there were.
    pub fn remove_readers(&mut self, mut of: impl FnMut(&Reader) -> bool) -> usize {
        let before = self.readers.len();
        self.readers.retain(|reader| !of(reader));
        before - self.readers.len()
    }

    /// A reader has done with messages: it may take as many more.
    pub fn settle(&mut self, holder: Holder, run: (u64, u64)) {
        let mut left = run.1;
        for reader in self
            .readers
            .iter_mut()
            .filter(|reader| reader.holder == holder)
        {
            let settled = reader.settle(run);
            self.acked += settled;
            left = left.saturating_sub(settled);
            if left == 0 {
                return;
            }
        }
    }

    /// What a reader, by its number, may take next, at most `most` messages; passes over what its filter does not want.
    pub fn next_run(&mut self, reader: usize, most: u64) -> Option<Run> {
        let first = self.chunks.first_seq(self.next_seq);
        let (tail, next_seq) = (&self.tail, self.next_seq);
        let reader = self.readers.get_mut(reader)?;
        reader.skip_to(first);
        reader.next_run(tail, next_seq, most)
    }

    /// A reader was given messages.
    pub fn note_delivered(&mut self, reader: usize, run: &Run) {
        self.delivered += u64::from(run.count);
        if let Some(reader) = self.readers.get_mut(reader) {
            reader.note_delivered(run);
        }
    }

    /// Asks for what a reader takes next, if that is not in memory. Whether a question was asked; `None` where the log is not durable far enough.
    pub fn ask(&mut self, reader: usize, log: &mut dyn Log) -> Option<bool> {
        let tail_seq = self.tail.front().map_or(self.next_seq, |run| run.first_seq);
        let id = self.id();
        let Some(reader) = self.readers.get_mut(reader) else {
            return Some(false);
        };
        let Some(seq) = reader.wants(tail_seq) else {
            return Some(false);
        };
        if !self.reach.reaches(log, seq, self.next_seq) {
            log.hurry();
            return None;
        }
        let token = self.reach.next_token();
        reader.asked = Some(token);
        log.read(Wanted {
            queue: id,
            stream: MESSAGES,
            token,
            first_seq: seq,
            last_seq: (tail_seq - 1).min(self.reach.durable_seq()),
            bytes_max: READ_BYTES,
        });
        Some(true)
    }

    /// Asks for the next of what was there when the broker was started, where it has to be known how much and how old it is. Whether a question was asked.
    pub fn ask_survey(&mut self, log: &mut dyn Log) -> bool {
        let length = &self.settings.length;
        let is_needed = length.messages.is_some()
            || length.bytes.is_some()
            || self.settings.stream.max_age.is_some();
        if !is_needed || self.survey.is_some() {
            return false;
        }
        let Some((first_seq, last_seq)) = self.chunks.unknown() else {
            return false;
        };
        let token = self.reach.next_token();
        self.survey = Some(token);
        log.read(Wanted {
            queue: self.id(),
            stream: MESSAGES,
            token,
            first_seq,
            last_seq,
            bytes_max: READ_BYTES,
        });
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
        let asked = |reader: &&mut Reader| reader.asked == Some(wanted.token);
        let Some(reader) = self.readers.iter_mut().find(asked) else {
            return;
        };
        reader.asked = None;
        let (runs, next_seq) = (read.runs.clone(), read.next_seq);
        let batch = batch_of(read);
        let mut index = 0;
        let runs = runs.into_iter().map(|run| {
            let count = run.count as u32;
            let run = Run {
                first_seq: run.first_seq,
                count,
                batch: Arc::clone(&batch),
                index,
            };
            index += count;
            run
        });
        reader.take_in(runs.collect(), next_seq);
    }

    /// Takes out the oldest messages that are too many, too large together or too old: the first sequence number and how many.
    pub fn retire(&mut self, now_ms: u64) -> Option<(u64, u64)> {
        let length = &self.settings.length;
        let max_age = self.settings.stream.max_age;
        let oldest_ms = max_age.map(|age| now_ms.saturating_sub(age.as_millis() as u64));
        let run = self
            .chunks
            .retire(length.messages, length.bytes, oldest_ms)?;
        let first = self.chunks.first_seq(self.next_seq);
        while let Some(old) = self.tail.pop_front_if(|run| run.end() <= first) {
            self.tail_bytes -= old.bytes();
        }
        Some(run)
    }

    /// Whether age alone makes it lose messages.
    pub fn has_age_limit(&self) -> bool {
        self.settings.stream.max_age.is_some()
    }

    /// What it tells of itself.
    pub fn figures(&self, with_consumers: bool) -> QueueFigures {
        let consumed_by = self.readers.iter().filter(|_| with_consumers);
        QueueFigures {
            id: self.id(),
            ready: self.count(),
            unacked: self.readers.iter().map(Reader::unacked).sum(),
            waiting: 0,
            consumers: self.readers.len() as u64,
            exclusive_tag: None,
            active_tag: None,
            used_ms: None,
            bodies: None,
            ready_away: self
                .count()
                .saturating_sub(self.tail.iter().map(|run| u64::from(run.count)).sum()),
            ready_bytes: self.bytes() as u64,
            unacked_bytes: 0,
            counts: self.message_counts(),
            consumed_by: consumed_by.map(Reader::consumed_by).collect(),
            held_by: Vec::new(),
        }
    }

    /// What became of its messages since the broker was started.
    pub fn message_counts(&self) -> MessageCounts {
        MessageCounts {
            published: self.next_seq - self.first_new,
            delivered: self.delivered,
            acked: self.acked,
            ..MessageCounts::default()
        }
    }
}
