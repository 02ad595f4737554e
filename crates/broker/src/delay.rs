//! Messages of an `x-delayed-message` exchange until their time comes (<https://github.com/rabbitmq/rabbitmq-delayed-message-exchange>).
//!
//! All of them are in the log, in streams of the delay's own queue: a stream is a *bucket* (`delay/bucket.rs`), and has what is due in the same stretch
//! of time. Near buckets are a second wide, those further away 64 times as wide each, so that there are few whatever waits. Of a bucket nothing is in
//! memory but its count.
//!
//! When a wide bucket begins, its messages move to narrower ones. When one of a second begins, a second before, its messages are read into memory. If
//! they do not all fit there, they move to buckets of a millisecond: these are in order, and so are read and released piece by piece.
//!
//! Messages are released by their time, and in order of arrival for the same time. Nothing is released before everything that is due earlier has been read.
//!
//! A message is known by its *number*: the sequence number that it got when it came. It keeps that, and when it is due, in headers while it moves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::Batch;
use leveret_message::properties::Properties;
use leveret_store::entry::Stream;
use leveret_store::log::{Log, Position, QueueId, Read, Wanted};

use crate::figures::{MessageCounts, QueueFigures};
use crate::found::{FoundMessages, batch_of};
use crate::ids::ConnectionId;
use crate::queue_handle::QueueHandle;
use crate::reach::Reach;

mod bucket;
mod headers;
mod near;
pub mod search;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;
pub use headers::{delay_ms, moved, released};
pub use near::Near;

use headers::due_ms;
use near::NearMessages;
use search::{Open, Search};

/// How long before its beginning a bucket is read.
const LEAD_MS: u64 = 1000;

/// So many messages more are read or moved for each millisecond that a bucket is read earlier.
const LEAD_MESSAGES: u64 = 50;

/// How many bytes are read at a time.
const READ_BYTES: usize = 1 << 20;

/// How many bytes of messages an exchange has in memory.
const NEAR_BYTES_MAX: usize = 64 << 20;

/// The messages of a bucket. Where their numbers are below `next_seq`, or above `unread_seq`, they are in memory or have left.
#[derive(Clone, Copy, Debug)]
struct Stored {
    first_seq: u64,
    last_seq: u64,
    count: u64,
    /// The next one that is to be read.
    next_seq: u64,
    /// The last one that is to be read.
    unread_seq: u64,
    /// Whether they do not fit into memory.
    is_crowded: bool,
    /// The last one that was read: when it is due, and its number.
    last_read: Option<(u64, u64)>,
}

impl Stored {
    fn is_loaded(&self) -> bool {
        self.next_seq > self.unread_seq
    }

    /// Whether they move to narrower buckets, and are not released from this one.
    fn moves_from(&self, bucket: Bucket) -> bool {
        !bucket.is_instant() && (!bucket.is_second() || self.is_crowded)
    }

    /// Whether a message is in the log alone.
    fn is_unread(&self, seq: u64) -> bool {
        self.next_seq <= seq && seq <= self.unread_seq
    }
}

/// See the module.
#[derive(Debug)]
pub struct Delay {
    /// The queue that the messages are in, as the log and listings know it.
    pub handle: Arc<QueueHandle>,
    next_seq: u64,
    reach: Reach,
    buckets: BTreeMap<Bucket, Stored>,
    near: NearMessages,
    near_bytes_max: usize,
    /// Whether nothing can be read before something is released.
    is_full: bool,
    /// What is being read to be released or moved.
    asked: Option<(Bucket, u64)>,
    /// What has left may be read again until the log is durable so far.
    behind: Option<Position>,
    /// What operators look for, and the read that is open for the first of them.
    searches: VecDeque<(ConnectionId, Search)>,
    searching: Option<Open>,
    /// When the shard will look at it.
    pub noted: Option<Instant>,
}

/// What comes of asking for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// There is nothing to ask for now.
    Idle,
    /// They come with the log's answers.
    Asked,
    /// The log is not durable far enough.
    NotDurable,
}

impl Delay {
    /// With nothing in it.
    pub fn new(handle: Arc<QueueHandle>) -> Self {
        Self {
            handle,
            next_seq: 1,
            reach: Reach::default(),
            buckets: BTreeMap::new(),
            near: NearMessages::default(),
            near_bytes_max: NEAR_BYTES_MAX,
            is_full: false,
            asked: None,
            behind: None,
            searches: VecDeque::new(),
            searching: None,
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
                next_seq: found.first_seq,
                unread_seq: found.last_seq,
                is_crowded: false,
                last_read: None,
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
        let count = self.count();
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
            oldest_timestamp: None,
            ready_away: count.saturating_sub(self.near.count()),
            ready_bytes: self.near.bytes() as u64,
            unacked_bytes: 0,
            counts: MessageCounts::default(),
            consumed_by: Vec::new(),
            held_by: Vec::new(),
        }
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.near.bytes()
    }

    /// A message has come. Returns the stream it is to be written to, and its sequence number there.
    pub fn add(&mut self, batch: &Arc<Batch>, index: u32, now_ms: u64) -> Option<(Bucket, u64)> {
        let properties = Properties::checked(batch.message(index)?.properties);
        let due_ms = due_ms(properties.headers(), batch.arrivals().of(index));
        let near = Near {
            batch: Arc::clone(batch),
            index,
            bucket: Bucket::at(due_ms, now_ms),
            seq: self.next_seq,
            due_ms,
            number: self.next_seq,
        };
        Some(self.put(near, now_ms))
    }

    /// A message moves to a narrower bucket: it is the one at `index` of a batch from now on. Returns as [`Delay::add`].
    pub fn narrow(
        &mut self,
        from: &Near,
        batch: &Arc<Batch>,
        index: u32,
        now_ms: u64,
    ) -> (Bucket, u64) {
        self.left(from.bucket);
        let near = Near {
            batch: Arc::clone(batch),
            index,
            bucket: from.bucket.below(from.due_ms),
            seq: self.next_seq,
            ..*from
        };
        self.put(near, now_ms)
    }

    fn put(&mut self, near: Near, now_ms: u64) -> (Bucket, u64) {
        let (bucket, seq) = (near.bucket, near.seq);
        self.next_seq += 1;
        let stored = self.buckets.entry(bucket).or_insert(Stored {
            first_seq: seq,
            last_seq: seq,
            count: 0,
            next_seq: seq,
            unread_seq: 0,
            is_crowded: false,
            last_read: None,
        });
        stored.count += 1;
        stored.last_seq = seq;
        let begins = bucket.start_ms() <= now_ms + LEAD_MS;
        let has_room = !stored.is_crowded && self.near.bytes() < self.near_bytes_max;
        if bucket.is_second() && begins && has_room {
            self.near.insert(near);
        } else {
            if stored.is_loaded() {
                stored.next_seq = seq;
            }
            stored.unread_seq = seq;
        }
        (bucket, seq)
    }

    /// Nothing that is due then or comes behind it may be released yet: when it is due, and its number. It is not known what comes first.
    fn horizon(&self) -> (u64, u64) {
        let unread = self.buckets.iter().find(|(_, stored)| !stored.is_loaded());
        unread.map_or((u64::MAX, 0), |(bucket, stored)| {
            let behind_last = stored
                .last_read
                .map(|(due_ms, number)| (due_ms, number + 1));
            let behind_last = behind_last.filter(|_| bucket.is_instant());
            behind_last.unwrap_or_else(|| (bucket.start_ms(), 0))
        })
    }

    /// Buckets that are to be read, and when, those first that begin first.
    fn unread(&self) -> impl Iterator<Item = (u64, Bucket, Stored)> {
        let unread = self
            .buckets
            .iter()
            .filter(|(_, stored)| !stored.is_loaded());
        unread.map(|(bucket, stored)| {
            let lead_ms = LEAD_MS + stored.count / LEAD_MESSAGES;
            let lead_ms = lead_ms.min(bucket::INSTANT_AHEAD_MS / 2);
            (bucket.start_ms().saturating_sub(lead_ms), *bucket, *stored)
        })
    }

    /// When there will be something to do, in milliseconds since 1970; nothing while something is being read.
    pub fn next_ms(&self) -> Option<u64> {
        if self.asked.is_some() {
            return None;
        }
        let read = self.unread().map(|(from_ms, ..)| from_ms).min();
        let read = read.filter(|_| !self.is_full);
        let horizon = self.horizon();
        let first = self.near.first_key().filter(|first| *first < horizon);
        read.into_iter()
            .chain(first.map(|(due_ms, _)| due_ms))
            .min()
    }

    /// Asks for the messages of a bucket that has begun, if there is one, and room for them.
    pub fn ask(&mut self, log: &mut dyn Log, now_ms: u64) -> Asking {
        loop {
            let mut unread = self.unread();
            let begun = unread.find(|(from_ms, ..)| *from_ms <= now_ms);
            drop(unread);
            let Some((_, bucket, stored)) = begun.filter(|_| self.asked.is_none()) else {
                return Asking::Idle;
            };
            if self.has_room_for(bucket, &stored) {
                return self.ask_for(bucket, &stored, log);
            }
            if !self.make_room(bucket, log) {
                self.is_full = true;
                return Asking::Idle;
            }
        }
    }

    /// How many bytes are read at once of what stays in memory.
    fn near_read_bytes(&self) -> usize {
        READ_BYTES.min(self.near_bytes_max / 4)
    }

    /// What moves takes no room.
    fn has_room_for(&self, bucket: Bucket, stored: &Stored) -> bool {
        let is_short = self.near.bytes() + self.near_read_bytes() > self.near_bytes_max;
        stored.moves_from(bucket) || !is_short
    }

    /// What is due behind the messages that are to be read leaves memory; `false` where what is there is to be released first.
    fn make_room(&mut self, bucket: Bucket, log: &dyn Log) -> bool {
        let horizon = self.horizon();
        let is_alone = self.near.first_key().is_some_and(|first| first >= horizon);
        let Some(last) = self.near.last().filter(|last| last.key() >= horizon) else {
            return false;
        };
        if last.bucket <= bucket && !is_alone {
            return false;
        }
        let victim = last.bucket;
        self.near.remove_bucket(victim);
        if let Some(stored) = self.buckets.get_mut(&victim) {
            stored.next_seq = stored.first_seq;
            stored.unread_seq = stored.last_seq;
            stored.last_read = None;
            stored.is_crowded = victim.is_second();
        }
        self.read_only_behind(log.last());
        true
    }

    /// What has left its bucket up to now is not to be read again.
    pub fn read_only_behind(&mut self, position: Position) {
        self.behind = Some(position);
    }

    /// Whether what has left can be told from what has not.
    fn is_clear(&mut self, log: &mut dyn Log) -> bool {
        if self.behind.is_some_and(|position| log.durable() < position) {
            log.hurry();
            return false;
        }
        self.behind = None;
        true
    }

    fn ask_for(&mut self, bucket: Bucket, stored: &Stored, log: &mut dyn Log) -> Asking {
        if !self.is_clear(log) {
            return Asking::NotDurable;
        }
        if !self.reach.reaches(log, stored.next_seq, self.next_seq) {
            log.hurry();
            return Asking::NotDurable;
        }
        let token = self.reach.next_token();
        self.asked = Some((bucket, token));
        log.read(Wanted {
            queue: self.id(),
            stream: bucket.stream(),
            token,
            first_seq: stored.next_seq,
            skip: 0,
            last_seq: stored.unread_seq.min(self.reach.durable_seq()),
            bytes_max: match stored.moves_from(bucket) {
                true => READ_BYTES,
                false => self.near_read_bytes(),
            },
        });
        Asking::Asked
    }

    /// Takes in what was read. Returns messages that are to move to narrower buckets.
    pub fn arrived(&mut self, wanted: Wanted, read: Read) -> Vec<Near> {
        let Some((bucket, _)) = self.asked.take_if(|(_, token)| *token == wanted.token) else {
            return Vec::new();
        };
        let Some(stored) = self.buckets.get_mut(&bucket) else {
            return Vec::new();
        };
        stored.count = stored.count.saturating_sub(read.lost);
        stored.next_seq = read.next_seq;
        let moves = stored.moves_from(bucket);
        let messages = messages(bucket, read);
        if let Some(last) = messages.last() {
            stored.last_read = Some(last.key());
        }
        self.forget_empty(bucket);
        if moves {
            return messages;
        }
        for near in messages {
            self.near.insert(near);
        }
        Vec::new()
    }

    /// A message has left its bucket.
    fn left(&mut self, bucket: Bucket) {
        if let Some(stored) = self.buckets.get_mut(&bucket) {
            stored.count = stored.count.saturating_sub(1);
        }
        self.forget_empty(bucket);
    }

    fn forget_empty(&mut self, bucket: Bucket) {
        if self
            .buckets
            .get(&bucket)
            .is_some_and(|stored| stored.count == 0)
        {
            self.buckets.remove(&bucket);
        }
    }

    /// Takes out up to `most` messages that are due, in order.
    pub fn take_due(&mut self, now_ms: u64, most: usize) -> Vec<Near> {
        let end = self.horizon().min((now_ms.saturating_add(1), 0));
        let mut due = Vec::new();
        while due.len() < most
            && let Some(near) = self.near.pop_before(end)
        {
            self.left(near.bucket);
            due.push(near);
        }
        self.is_full &= due.is_empty();
        due
    }

    /// Removes everything; calls `gone` with the runs of each stream. Returns how many messages there were.
    pub fn purge(&mut self, mut gone: impl FnMut(Stream, u64, u64)) -> u64 {
        let count = self.count();
        for (bucket, stored) in std::mem::take(&mut self.buckets) {
            let first = stored.first_seq;
            gone(bucket.stream(), first, stored.last_seq + 1 - first);
        }
        self.near = NearMessages::default();
        self.is_full = false;
        self.asked = None;
        count
    }
}

/// The messages that were read of a bucket.
fn messages(bucket: Bucket, read: Read) -> Vec<Near> {
    let seqs: Vec<u64> = read
        .runs
        .iter()
        .flat_map(|run| run.first_seq..run.first_seq + run.count)
        .collect();
    let batch = batch_of(read);
    let numbered = (0..).zip(seqs);
    numbered
        .filter_map(|(index, seq)| {
            let headers = Properties::checked(batch.message(index)?.properties).headers();
            let number = headers::number(headers).filter(|_| bucket.is_moved());
            Some(Near {
                batch: Arc::clone(&batch),
                index,
                bucket,
                seq,
                due_ms: due_ms(headers, batch.arrivals().of(index)),
                number: number.unwrap_or(seq),
            })
        })
        .collect()
}
