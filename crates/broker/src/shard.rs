//! A shard: the only writer of the contents of its queues. A synchronous machine: commands in, events out; `shard/task.rs` runs it.
//!
//! A turn takes the commands that have come, in order, then deals from every queue that was touched, then tells each connection what concerns it,
//! in one push. So the cost of a hand-over is paid once for many messages.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use leveret_store::log::{Arrived, ChunkId, Log, Position, QueueId};
use rustc_hash::FxHashMap;

use crate::command::{Command, Shards};
use crate::deduplication::KeyLimit;
use crate::delay::Delay;
use crate::error::Error;
use crate::figures::MessageCounts;
use crate::found::RecoveredQueue;
use crate::ids::{ConnectionId, ShardId};
use crate::link::{Link, Reply};
use crate::queue::Queue;
use crate::queue_handle::QueueHandle;
use crate::shard::bury::Dead;
use crate::shard::counting::Counting;
use crate::shard::deal::Table;
use crate::shard::due::Due;
use crate::shard::loading::Loading;
use crate::shard::overdue::look_after;
use crate::shard::peek::Peeks;
use crate::shard::peer::Peer;
use crate::shard::publish::Withheld;
use crate::shard::refuse::Refused;
use crate::shard::targets::Targets;
use crate::shard::unique::know_keys;
use crate::stream::Stream;
use crate::window::Window;

mod away;
mod bury;
mod clock;
mod consume;
mod counting;
mod deal;
mod delayed;
mod dispatch;
mod due;
mod ending;
mod expiry;
mod get;
mod grouped;
mod lifetime;
mod loading;
mod moving;
mod observe;
mod overdue;
mod peek;
mod peer;
mod publish;
pub(crate) mod recover;
mod refuse;
mod retry;
mod settle;
mod settled;
mod streams;
mod targets;
pub mod task;
#[cfg(test)]
mod tests;
mod transact;
mod unique;
mod windows;

/// How much all queues together may hold in memory.
#[derive(Debug)]
pub struct QueuedBytes {
    held: AtomicI64,
    budget: i64,
    max: i64,
    /// How many keys may be known beside.
    pub(crate) keys: Arc<KeyLimit>,
}

/// Which part of the most that queues may hold in memory keys may take beside it.
const KEYS_PART: usize = 4;

impl QueuedBytes {
    /// Nothing held yet. Above `budget` bytes messages leave memory; above `max`, because they could not, publishers wait.
    pub fn new(budget: usize, max: usize) -> Self {
        Self {
            held: AtomicI64::new(0),
            budget: i64::try_from(budget).unwrap_or(i64::MAX),
            max: i64::try_from(max).unwrap_or(i64::MAX),
            keys: Arc::new(KeyLimit::new(max / KEYS_PART)),
        }
    }

    /// How many bytes are held, as of the shards' last turns.
    pub fn held(&self) -> i64 {
        self.held.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.held() > self.max
    }

    fn is_over_budget(&self) -> bool {
        self.held() > self.budget
    }
}

/// See the module.
pub struct Shard {
    id: ShardId,
    log: Box<dyn Log>,
    /// All shards, this one too: where dead letters go.
    shards: Shards,
    queues: FxHashMap<QueueId, Queue>,
    /// What exchanges hold back, by the queue it is in.
    delays: FxHashMap<QueueId, Delay>,
    /// Its streams, those of them to deal from, when they are to be looked at, and when it is to be written down how far their readers have come.
    streams: FxHashMap<QueueId, Stream>,
    touched_streams: Vec<QueueId>,
    stream_looks: Due,
    offset_writes: Due,
    /// What exchanges have let through, by the queues that have the keys, and when keys are over.
    windows: FxHashMap<QueueId, Window>,
    window_dues: Due,
    /// Allowance of connections for what went from windows to other shards, which is there when the log is durable so far.
    passing: VecDeque<(Position, ConnectionId, usize)>,
    /// What messages are dealt with: connections, what is settled, the time.
    table: Table,
    /// Queues to deal from at the end of the turn.
    touched: Vec<QueueId>,
    /// Connections with batches that are not done.
    undone: Vec<ConnectionId>,
    /// Connections with a transaction, or a question, whose answer waits for the log to be durable so far.
    committing: VecDeque<(Position, ConnectionId, Reply)>,
    withheld: VecDeque<Withheld>,
    queued: Arc<QueuedBytes>,
    /// What this shard has counted into `queued`, and what it holds now.
    counted_bytes: i64,
    held_bytes: i64,
    targets: Targets,
    /// What has died and is to be moved.
    dead: Vec<Dead>,
    /// What queues have refused of the batch that is being published.
    refused: Vec<Refused>,
    /// Whether duplicates were dropped, of what may not be durable yet.
    has_duplicates: bool,
    /// Keys that are to be read before anything is carried out.
    loading: Option<Box<Loading>>,
    /// Queues that may refuse messages, and were full, or to which letters come that must not be refused.
    narrow: VecDeque<QueueId>,
    /// Whether room was reserved for what is published now.
    reserved: bool,
    /// How many bytes of ready messages a queue keeps in memory.
    resident_max: usize,
    /// Queues with messages in memory, those that have had some for longest first.
    resident: VecDeque<QueueId>,
    /// How many questions to the log are open.
    reading: usize,
    /// Which queue asked for which chunk.
    chunks: FxHashMap<ChunkId, QueueId>,
    /// Operators who look at messages that are not in memory.
    peeks: Peeks,
    /// Queues whose messages are read to count their bytes.
    counting: Counting,
    /// Queues whose next messages are not durable enough to be asked for, and how far the log was when that was found.
    not_durable: BTreeSet<QueueId>,
    asked_at: Position,
    arrived: Vec<Arrived>,
    /// When unused queues are due to be deleted.
    expiries: Due,
    /// When messages that exchanges hold back are to be read or released.
    delay_dues: Due,
    /// When messages that came back are ready again.
    retries: Due,
    /// When the first messages of queues expire.
    lifetimes: Due,
    /// Queues whose first messages are to be read back to see when they expire.
    unseen: BTreeSet<QueueId>,
    /// How long a delivery may stay unsettled where neither its consumer nor its queue says so.
    pub(crate) consumer_timeout: Option<Duration>,
    /// Queues that were there before the first turn.
    recovered: Vec<QueueId>,
    recovered_delays: Vec<(Arc<QueueHandle>, RecoveredQueue)>,
    /// What became of the messages of queues that have ended.
    ended: MessageCounts,
    /// How many queues were declared here, and how many have ended.
    created: u64,
    deleted: u64,
}

impl Shard {
    /// An empty shard.
    pub fn new(id: ShardId, shards: Shards, log: Box<dyn Log>, queued: Arc<QueuedBytes>) -> Self {
        Self {
            id,
            log,
            shards,
            queues: FxHashMap::default(),
            delays: FxHashMap::default(),
            streams: FxHashMap::default(),
            touched_streams: Vec::new(),
            stream_looks: Due::default(),
            offset_writes: Due::default(),
            windows: FxHashMap::default(),
            window_dues: Due::default(),
            passing: VecDeque::new(),
            table: Table::new(id),
            touched: Vec::new(),
            undone: Vec::new(),
            committing: VecDeque::new(),
            withheld: VecDeque::new(),
            queued,
            counted_bytes: 0,
            held_bytes: 0,
            targets: Targets::default(),
            dead: Vec::new(),
            refused: Vec::new(),
            has_duplicates: false,
            loading: None,
            narrow: VecDeque::new(),
            reserved: false,
            resident_max: usize::MAX,
            resident: VecDeque::new(),
            reading: 0,
            chunks: FxHashMap::default(),
            peeks: Peeks::default(),
            counting: Counting::default(),
            not_durable: BTreeSet::new(),
            asked_at: Position::default(),
            arrived: Vec::new(),
            expiries: Due::default(),
            delay_dues: Due::default(),
            retries: Due::default(),
            lifetimes: Due::default(),
            unseen: BTreeSet::new(),
            consumer_timeout: None,
            recovered: Vec::new(),
            recovered_delays: Vec::new(),
            ended: MessageCounts::default(),
            created: 0,
            deleted: 0,
        }
    }

    /// The shard is started now, and the calendar says so much since 1970.
    pub fn begins_at(&mut self, now: Instant, unix: Duration) {
        self.table.clock.begin(now, unix);
    }

    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Carries out commands in order, deals, and tells the connections. **Waits**: never.
    pub fn turn(&mut self, commands: impl Iterator<Item = Command>, now: Instant) {
        self.table.clock.set(now);
        if self.loading.is_none() {
            return self.work(commands, now);
        }
        if let Some(commands) = self.load_keys(commands) {
            self.work(commands.into_iter(), now);
        }
    }

    fn work(&mut self, commands: impl Iterator<Item = Command>, now: Instant) {
        for id in std::mem::take(&mut self.recovered) {
            self.used(id);
            self.look_at_stream(id);
            self.note_room(id);
            self.note_retry(id);
            if let Some(queue) = self
                .queues
                .get_mut(&id)
                .filter(|queue| queue.ready_count() > 0)
            {
                touch(&mut self.touched, queue);
            }
        }
        for (handle, recovered) in std::mem::take(&mut self.recovered_delays) {
            self.declare_delay(handle, &recovered.messages, recovered.next_seq);
        }
        for command in commands {
            self.carry_out(command, now);
        }
        self.take_arrived();
        self.ask_again();
        self.expire_queues(now);
        self.run_delays(now);
        self.forget_over(now);
        self.end_waits(now);
        self.touch_expired(now);
        self.take_overdue(now);
        self.deal_touched();
        self.deal_streams(now);
        self.count_on();
        self.look_at_narrow();
        self.table.settled.tell(&mut *self.log);
        self.report_done();
        self.report_committed();
        self.count_held();
        self.relieve();
        self.give_back_passed(now);
        self.give_back_withheld(now);
        self.speak();
    }

    /// When the next turn is due though no command comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        let withheld = self.withheld.front().map(|withheld| withheld.until);
        let due = [
            withheld,
            self.expiries.next(),
            self.delay_dues.next(),
            self.window_dues.next(),
            self.stream_looks.next(),
            self.offset_writes.next(),
            self.retries.next(),
            self.lifetimes.next(),
            self.table.looks.next(),
        ];
        due.into_iter().flatten().min()
    }

    fn connect(&mut self, link: Arc<Link>) {
        self.table.peers.insert(link.connection, Peer::new(link));
    }

    fn declare(&mut self, handle: Arc<QueueHandle>) {
        if handle.delays().is_some() {
            return self.declare_delay(handle, &[], 0);
        }
        if handle.is_window_of().is_some() {
            return self.declare_window(handle, 0);
        }
        if handle.is_stream() {
            self.created += 1;
            return self.declare_stream(Stream::new(handle));
        }
        if let Some(owner) = handle.declaration.owner
            && let Some(peer) = self.table.peers.get_mut(&owner)
        {
            peer.exclusive.insert(handle.id);
        }
        let id = handle.id;
        self.created += 1;
        let queue = self.new_queue(handle);
        self.queues.insert(id, queue);
        self.note_room(id);
        self.used(id);
    }

    /// An empty queue.
    fn new_queue(&mut self, handle: Arc<QueueHandle>) -> Queue {
        let mut queue = Queue::new(handle);
        know_keys(&mut queue, &self.queued.keys, &mut self.table.settled);
        queue
    }

    fn govern(&mut self, handle: &QueueHandle) {
        if let Some(stream) = self.streams.get_mut(&handle.id) {
            stream.govern();
            self.touch_stream(handle.id);
            self.look_at_stream(handle.id);
        }
        if let Some(queue) = self.queues.get_mut(&handle.id) {
            queue.govern(handle.governed());
            know_keys(queue, &self.queued.keys, &mut self.table.settled);
            self.expiries.forget(queue.id, queue.expiry_due.take());
            let timeout = queue.settings.consumer_timeout.or(self.consumer_timeout);
            queue.consumers.set_timeout(timeout);
            look_after(
                &mut self.table.looks,
                queue,
                Duration::ZERO,
                self.table.clock,
            );
            touch(&mut self.touched, queue);
        }
        self.note_room(handle.id);
        self.used(handle.id);
    }

    fn count(&mut self, handle: &QueueHandle) -> Result<Reply, Error> {
        self.used(handle.id);
        if let Some(stream) = self.streams.get(&handle.id) {
            return Ok(Reply::Counts {
                ready: stream.count(),
                consumers: stream.consumers_count() as u64,
            });
        }
        let Some(queue) = self.queues.get(&handle.id) else {
            return Err(Error::NotFound(handle.resource()));
        };
        Ok(Reply::Counts {
            ready: queue.ready_count(),
            consumers: queue.consumers.len() as u64,
        })
    }

    fn purge(&mut self, handle: &QueueHandle) -> Result<u64, Error> {
        let id = handle.id;
        self.deal_touched();
        let Some(queue) = self.queues.get_mut(&id) else {
            let purged = self.purge_delay(id);
            return purged.ok_or_else(|| Error::NotFound(handle.resource()));
        };
        let before = queue.held_bytes();
        let settled = &mut self.table.settled;
        let count = queue.purge(&mut *self.log, |level, first, count| {
            settled.push(id, level.stream(), first, count)
        });
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
        self.note_room(id);
        self.answer_gets(id);
        Ok(count)
    }

    fn reply(&mut self, connection: ConnectionId, reply: Result<Reply, Error>) {
        if let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection) {
            peer.reply(self.id, reply);
        }
    }

    fn speak(&mut self) {
        for connection in self.table.spoken_to.drain(..) {
            if let Some(peer) = self.table.peers.get_mut(&connection) {
                peer.speak(self.id);
            }
        }
    }
}

/// The peer, listed among those to be told something at the end of the turn.
fn peer<'p>(
    peers: &'p mut FxHashMap<ConnectionId, Peer>,
    spoken_to: &mut Vec<ConnectionId>,
    connection: ConnectionId,
) -> Option<&'p mut Peer> {
    let peer = peers.get_mut(&connection)?;
    if !peer.spoken_to {
        peer.spoken_to = true;
        spoken_to.push(connection);
    }
    Some(peer)
}

fn touch(touched: &mut Vec<QueueId>, queue: &mut Queue) {
    if !queue.touched {
        queue.touched = true;
        touched.push(queue.id);
    }
}

/// Notes that a queue has messages in memory.
fn list_resident(resident: &mut VecDeque<QueueId>, queue: &mut Queue) {
    if !queue.is_resident && queue.held_bytes() > 0 {
        queue.is_resident = true;
        resident.push_back(queue.id);
    }
}
