//! Messages of an `x-delayed-message` exchange until their time comes (<https://github.com/rabbitmq/rabbitmq-delayed-message-exchange>).
//!
//! All of them are in the log, in streams of the delay's own queue: a stream is a *bucket*, and has what is due in the same stretch of time. Near buckets
//! are a second wide, those further away 64 times as wide each, so that there are few whatever waits. Of a bucket nothing is in memory but its count.
//!
//! When a wide bucket begins, its messages move to narrower ones, with the time they are due written into a header. When a narrow one begins, a second
//! before, its messages are read, and are released by their time, and in order of arrival for the same time. Nothing is released before everything that is
//! due earlier has been read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::{Batch, Message};
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableRef, TableWriter, Value};
use leveret_store::entry::Stream;
use leveret_store::log::{Log, QueueId, Read, Wanted};

use crate::arguments::DURATION_MAX;
use crate::backing::FoundMessages;
use crate::figures::{MessageCounts, QueueFigures};
use crate::queue::{Reach, batch_of};
use crate::queue_handle::QueueHandle;

mod bucket;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;

/// The header with which a publisher says for how many milliseconds a message is held back.
const X_DELAY: &str = "x-delay";

/// The header that says when a message is due, in milliseconds since 1970, once it has moved to a narrower bucket.
const X_DUE: &str = "x-leveret-due";

/// How long before its beginning a bucket is read.
const LEAD_MS: u64 = 1000;

/// How many bytes are read at a time.
const READ_BYTES: usize = 1 << 20;

/// The messages of a bucket.
#[derive(Clone, Copy, Debug)]
struct Stored {
    first_seq: u64,
    last_seq: u64,
    count: u64,
    /// Whether all of them are in memory.
    loaded: bool,
}

/// A message in memory.
#[derive(Clone, Debug)]
pub struct Near {
    /// Where it is.
    pub batch: Arc<Batch>,
    /// Its index there.
    pub index: u32,
    /// The stream it is in.
    pub bucket: Bucket,
    /// Its sequence number.
    pub seq: u64,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Delay {
    /// The queue that the messages are in, as the log and listings know it.
    pub handle: Arc<QueueHandle>,
    next_seq: u64,
    reach: Reach,
    buckets: BTreeMap<Bucket, Stored>,
    near: BTreeMap<(u64, u64), Near>,
    /// The memory that these stand for, in bytes.
    near_bytes: usize,
    /// What is being read.
    asked: Option<(Bucket, u64)>,
    /// When the shard will look at it.
    pub noted: Option<Instant>,
}

/// How long the publisher of a message wants it held back, in milliseconds; 0 where it is to be routed at once.
pub fn delay_ms(headers: Option<TableRef<'_>>) -> u64 {
    let delay = headers.and_then(|headers| headers.find(X_DELAY)?.as_integer());
    let delay = delay.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    delay.min(DURATION_MAX.as_millis() as u64)
}

/// When a message is due.
fn due_ms(message: &Message<'_>, arrived_ms: u64) -> u64 {
    let headers = Properties::checked(message.properties).headers();
    let written = headers.and_then(|headers| headers.find(X_DUE)?.as_integer());
    match written.and_then(|ms| u64::try_from(ms).ok()) {
        Some(due_ms) => due_ms,
        None => arrived_ms.saturating_add(delay_ms(headers)),
    }
}

/// The properties of a message that goes to a narrower bucket: they say when it is due.
pub fn with_due(message: &Message<'_>, due_ms: u64) -> Option<Vec<u8>> {
    rewritten(message, |headers| {
        headers.put(
            X_DUE,
            Value::Long(i64::try_from(due_ms).unwrap_or(i64::MAX)),
        );
    })
}

/// The properties of a message that is released: as it was published, with the delay behind it.
pub fn released(message: &Message<'_>) -> Option<Vec<u8>> {
    let delay = delay_ms(Properties::checked(message.properties).headers());
    rewritten(message, |headers| {
        headers.put(X_DELAY, Value::Long(-(delay as i64)));
    })
}

fn rewritten(message: &Message<'_>, add: impl FnOnce(&mut TableWriter)) -> Option<Vec<u8>> {
    let properties = Properties::checked(message.properties);
    let mut headers = TableWriter::new();
    let mut added = TableWriter::new();
    add(&mut added);
    let old = properties.headers();
    for (name, value) in old.iter().flat_map(|old| old.iter()) {
        if name != X_DUE && added.view().find(name).is_none() {
            headers.put(name, value);
        }
    }
    for (name, value) in added.view().iter() {
        headers.put(name, value);
    }
    let mut writer = PropertiesWriter::from(properties);
    writer.headers = Some(headers.view());
    writer.to_bytes().ok()
}

impl Delay {
    /// With nothing in it.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        Self {
            handle,
            next_seq: 1,
            reach: Reach::default(),
            buckets: BTreeMap::new(),
            near: BTreeMap::new(),
            near_bytes: 0,
            asked: None,
            noted: None,
        }
    }

    /// With what the log has, at a time.
    pub fn recover(&mut self, found: &[FoundMessages], next_seq: u64, now_ms: u64) {
        self.next_seq = next_seq.max(1);
        self.reach.set_durable(self.next_seq - 1);
        for found in found {
            let stored = Stored {
                first_seq: found.first_seq,
                last_seq: found.last_seq,
                count: found.count,
                loaded: false,
            };
            self.buckets
                .insert(Bucket::of(Stream(found.stream), now_ms), stored);
        }
    }

    /// Its queue.
    pub fn id(&self) -> QueueId {
        self.handle.id
    }

    /// How many messages wait.
    pub fn count(&self) -> u64 {
        self.buckets.values().map(|stored| stored.count).sum()
    }

    /// What it tells of itself: what waits is ready, for nobody.
    pub fn figures(&self) -> QueueFigures {
        let (count, near) = (self.count(), self.near.len() as u64);
        QueueFigures {
            id: self.id(),
            ready: count,
            unacked: 0,
            waiting: 0,
            consumers: 0,
            exclusive_tag: None,
            active_tag: None,
            used_ms: None,
            bodies: None,
            ready_away: count - near,
            ready_bytes: self.near_bytes as u64,
            unacked_bytes: 0,
            counts: MessageCounts::default(),
            consumed_by: Vec::new(),
            held_by: Vec::new(),
        }
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.near_bytes
    }

    /// A message has come. Returns the stream it is to be written to, and its sequence number there.
    /// It goes where it would from `seen_from_ms` on.
    pub fn add(
        &mut self,
        batch: &Arc<Batch>,
        index: u32,
        now_ms: u64,
        seen_from_ms: u64,
    ) -> Option<(Bucket, u64)> {
        let message = batch.message(index)?;
        let due_ms = due_ms(&message, batch.arrivals().of(index));
        let bucket = Bucket::at(due_ms, seen_from_ms);
        let seq = self.next_seq;
        self.next_seq += 1;
        let is_near = bucket.is_narrow() && bucket.start_ms() <= now_ms + LEAD_MS;
        let stored = self.buckets.entry(bucket).or_insert(Stored {
            first_seq: seq,
            last_seq: seq,
            count: 0,
            loaded: is_near,
        });
        stored.last_seq = seq;
        stored.count += 1;
        if stored.loaded {
            self.keep_near(Near {
                batch: Arc::clone(batch),
                index,
                bucket,
                seq,
                due_ms,
            });
        }
        Some((bucket, seq))
    }

    fn keep_near(&mut self, near: Near) {
        let bytes = near.batch.size(near.index, 1);
        if self.near.insert((near.due_ms, near.seq), near).is_none() {
            self.near_bytes += bytes;
        }
    }

    /// Nothing that is due from then on may be released yet, in milliseconds since 1970: it is not known what comes first.
    fn horizon_ms(&self) -> u64 {
        let unloaded = self.buckets.iter().find(|(_, stored)| !stored.loaded);
        unloaded.map_or(u64::MAX, |(bucket, _)| bucket.start_ms())
    }

    /// When there will be something to do, in milliseconds since 1970; nothing while something is being read.
    pub fn next_ms(&self) -> Option<u64> {
        if self.asked.is_some() {
            return None;
        }
        let horizon = self.horizon_ms();
        let load = (horizon < u64::MAX).then(|| horizon.saturating_sub(LEAD_MS));
        let near = self.near.first_key_value();
        let release = near.map(|((due_ms, _), _)| *due_ms);
        let release = release.filter(|due_ms| *due_ms < horizon);
        load.into_iter().chain(release).min()
    }

    /// Asks for the messages of a bucket that has begun, if there is one. Whether a question was asked; `None` where the log is not durable far enough.
    pub fn ask(&mut self, log: &mut dyn Log, now_ms: u64) -> Option<bool> {
        if self.asked.is_some() {
            return Some(false);
        }
        let begun = self
            .buckets
            .iter()
            .find(|(bucket, stored)| !stored.loaded && bucket.start_ms() <= now_ms + LEAD_MS);
        let Some((bucket, stored)) = begun.map(|(bucket, stored)| (*bucket, *stored)) else {
            return Some(false);
        };
        if !self.reach.reaches(log, stored.last_seq, self.next_seq) {
            log.hurry();
            return None;
        }
        let token = self.reach.next_token();
        self.asked = Some((bucket, token));
        log.read(Wanted {
            queue: self.id(),
            stream: bucket.stream(),
            token,
            first_seq: stored.first_seq,
            last_seq: stored.last_seq,
            bytes_max: READ_BYTES,
        });
        Some(true)
    }

    /// Takes in what was read. Returns messages that are to move to narrower buckets.
    pub fn arrived(&mut self, wanted: Wanted, read: Read) -> Vec<Near> {
        let Some((bucket, _)) = self.asked.take_if(|(_, token)| *token == wanted.token) else {
            return Vec::new();
        };
        let lost = read.lost;
        let next_seq = read.next_seq;
        let messages = self.messages(bucket, read);
        if let Some(stored) = self.buckets.get_mut(&bucket) {
            stored.count = stored.count.saturating_sub(lost);
            stored.first_seq = next_seq;
            stored.loaded = next_seq > stored.last_seq;
        }
        let mut moving = Vec::new();
        for near in messages {
            match bucket.is_narrow() {
                true => self.keep_near(near),
                false => moving.push(near),
            }
        }
        self.forget_empty(bucket);
        moving
    }

    fn messages(&self, bucket: Bucket, read: Read) -> Vec<Near> {
        let seqs: Vec<u64> = read
            .runs
            .iter()
            .flat_map(|run| run.first_seq..run.first_seq + run.count)
            .collect();
        let batch = batch_of(read);
        let numbered = (0..).zip(seqs);
        numbered
            .filter_map(|(index, seq)| {
                let due_ms = due_ms(&batch.message(index)?, batch.arrivals().of(index));
                Some(Near {
                    batch: Arc::clone(&batch),
                    index,
                    bucket,
                    seq,
                    due_ms,
                })
            })
            .collect()
    }

    /// A message has left its bucket.
    pub fn left(&mut self, bucket: Bucket) {
        if let Some(stored) = self.buckets.get_mut(&bucket) {
            stored.count = stored.count.saturating_sub(1);
        }
        self.forget_empty(bucket);
    }

    fn forget_empty(&mut self, bucket: Bucket) {
        let is_empty = |stored: &Stored| stored.count == 0 && stored.loaded;
        if self.buckets.get(&bucket).is_some_and(is_empty) {
            self.buckets.remove(&bucket);
        }
    }

    /// Takes out up to `most` messages that are due, in order.
    pub fn take_due(&mut self, now_ms: u64, most: usize) -> Vec<Near> {
        let horizon = self.horizon_ms();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(first) = self.near.first_entry()
            && first.key().0 <= now_ms
            && first.key().0 < horizon
        {
            let near = first.remove();
            self.near_bytes -= near.batch.size(near.index, 1);
            self.left(near.bucket);
            due.push(near);
        }
        due
    }

    /// Removes everything; calls `gone` with the runs of each stream. Returns how many messages there were.
    pub fn purge(&mut self, mut gone: impl FnMut(Stream, u64, u64)) -> u64 {
        let count = self.count();
        for (bucket, stored) in std::mem::take(&mut self.buckets) {
            let near = self.near.values().filter(|near| near.bucket == bucket);
            let first = near.map(|near| near.seq).min();
            let first = first.map_or(stored.first_seq, |first| first.min(stored.first_seq));
            gone(bucket.stream(), first, stored.last_seq + 1 - first);
        }
        self.near.clear();
        self.near_bytes = 0;
        self.asked = None;
        count
    }
}
