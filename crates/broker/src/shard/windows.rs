//! Messages on their way through the windows of `x-message-deduplication` exchanges: see `window.rs`.
//!
//! A window is asked in the shard that it is in. What it has not seen goes on to the queues that its exchange leads to, in one transaction with its key;
//! of a duplicate the exchange's alternate exchange gets what there is, as of any message that no binding takes.

use std::sync::Arc;
use std::time::Instant;

use leveret_message::batch::{Batch, NewMessage};
use leveret_message::blind_keys;
use leveret_message::properties::Properties;
use leveret_message::table::TableRef;
use leveret_store::entry::Stream;
use leveret_store::log::{Position, QueueId, Transaction};
use smallvec::SmallVec;

use crate::arguments::WindowSettings;
use crate::command::{Command, IfFull, Part, Run};
use crate::dead_letter::{is_cycle_to, published_to};
use crate::deduplication::{Key, TTL_HEADER};
use crate::exchange::Exchange;
use crate::filling::{Filling, Kept, NewBody, add_moved, lanes};
use crate::ids::{ConnectionId, ShardId};
use crate::link::Reply;
use crate::queue::KEYS;
use crate::queue_handle::QueueHandle;
use crate::room::Room;
use crate::route::pick::Chances;
use crate::route::{Found, Routed, route_past};
use crate::shard::Shard;
use crate::shard::bury::Dead;
use crate::shard::publish::Safe;
use crate::vhost::{Vhost, exchange_of_window};
use crate::window::{FOR_EVER, Window, record};

/// How many windows a message passes on its way; then it ends: exchanges that forget at once may lead to each other.
const PASSED_MAX: u8 = 64;

/// How many keys that are over are forgotten in a turn.
const OVER_MAX: usize = 4096;

/// A batch and which of its messages goes where.
type Bound = (Arc<Batch>, Vec<Run>);

/// Messages behind the windows of this shard.
#[derive(Debug)]
pub(super) struct Passed {
    /// What enters queues of this shard.
    own: SmallVec<[Bound; 1]>,
    /// What goes to other shards.
    lanes: Vec<Filling>,
    /// How many windows they have passed at the most.
    pub(super) count: u8,
    /// What is taken of it for them behind further windows.
    room: Room,
}

/// Until when a message is known that comes through now.
fn until_ms(headers: Option<TableRef<'_>>, of: &WindowSettings, now_ms: u64) -> u64 {
    let ttl = headers.and_then(|headers| headers.find(TTL_HEADER)?.as_integer());
    let ttl = ttl.and_then(|ms| u64::try_from(ms).ok());
    let ttl = ttl.or_else(|| of.ttl.map(|ttl| ttl.as_millis() as u64));
    ttl.map_or(FOR_EVER, |ms| now_ms.saturating_add(ms))
}

/// Takes room for a message in its queues; in none where it is refused, else those are left out that have no room. Returns these.
fn take_room(
    room: &mut Room,
    queues: &mut Vec<Arc<QueueHandle>>,
    message: &Routed<'_>,
    if_full: IfFull,
) -> Vec<Arc<QueueHandle>> {
    let mut full = Vec::new();
    match if_full {
        IfFull::Refused => full = room.take(queues, message).err().unwrap_or_default(),
        IfFull::LeftOut => {
            queues.retain(|queue| {
                let taken = room.take(std::slice::from_ref(queue), message);
                taken.map_err(|without| full.extend(without)).is_ok()
            });
        }
        IfFull::Entered => queues.iter().for_each(|queue| queue.expect()),
    }
    full
}

/// What came of messages that entered queues.
#[derive(Debug)]
pub(super) struct Entered {
    /// A queue whose consumers cannot keep up.
    slow: Option<QueueId>,
    /// Up to where the log has to be durable for all of it to be.
    pub(super) last: Option<Position>,
    /// Whether some went to other shards.
    is_elsewhere: bool,
}

impl Shard {
    /// An exchange that lets no duplicates through; its next key has this sequence number.
    pub(super) fn declare_window(&mut self, handle: Arc<QueueHandle>, next_seq: u64) {
        let limit = Arc::clone(&self.queued.keys);
        let id = handle.id;
        self.windows
            .insert(id, Window::new(handle, next_seq, limit));
    }

    /// Ends a window: its exchange has gone.
    pub(super) fn drop_window(&mut self, id: QueueId) {
        let Some(window) = self.windows.remove(&id) else {
            return;
        };
        self.window_dues.forget(id, window.noted);
        self.end_handle(&window.handle);
        if !window.handle.is_kept() {
            // Its keys are in the log all the same.
            self.table.settled.tell(&mut *self.log);
            self.log.delete_queue(window.handle.group, id);
        }
    }

    /// Forgets keys that are over.
    pub(super) fn forget_over(&mut self, now: Instant) {
        let now_ms = self.table.clock.unix_ms();
        while let Some(id) = self.window_dues.pop(now) {
            let Some(window) = self.windows.get_mut(&id) else {
                continue;
            };
            window.noted = None;
            let settled = &mut self.table.settled;
            let is_left = window.forget_over(now_ms, OVER_MAX, |seq| {
                settled.push(id, Stream(KEYS), seq, 1);
            });
            self.note_over(id);
            if is_left {
                return;
            }
        }
    }

    /// Notes when the first key of a window is over.
    pub(super) fn note_over(&mut self, id: QueueId) {
        if let Some(window) = self.windows.get_mut(&id)
            && let Some(due) = window.next_ms().and_then(|ms| self.table.clock.instant(ms))
        {
            self.window_dues.add(id, &mut window.noted, due);
        }
    }

    /// Whether some messages are for windows of this shard.
    #[inline]
    pub(super) fn lead_to_windows(&self, runs: &[Run]) -> bool {
        !self.windows.is_empty() && self.have_window(runs)
    }

    fn have_window(&self, runs: &[Run]) -> bool {
        let mut queues = runs.iter().flat_map(|run| run.queues.iter());
        queues.any(|queue| self.windows.contains_key(queue))
    }

    /// Messages of a connection, of which some are for windows.
    pub(super) fn publish_through(
        &mut self,
        (connection, number, bytes): (ConnectionId, u64, usize),
        published: Bound,
        now: Instant,
    ) {
        let lanes = lanes(&self.shards);
        let how = (0, IfFull::Refused);
        let passed = self.pass_windows(published, lanes, how, Room::default());
        let entered = self.enter_passed(passed, None, false, false, |_| {});
        match entered.last.filter(|_| entered.is_elsewhere) {
            // Or those shards would get more and more of it.
            Some(last) => self.passing.push_back((last, connection, bytes)),
            None => self.give_back(connection, bytes, entered.slow, now),
        }
        let safe = entered.last.map(Safe::synced);
        self.note_done(connection, number, safe);
    }

    /// A part of a transaction with messages of which some are for windows.
    pub(super) fn transact_through(&mut self, part: Part, now: Instant) {
        let lanes = lanes(&self.shards);
        let if_full = match part.reserved {
            true => IfFull::Entered,
            false => IfFull::LeftOut,
        };
        let how = (part.passed, if_full);
        let passed = self.pass_windows((part.batch, part.runs), lanes, how, Room::default());
        let (connection, settles) = (part.connection, part.settles);
        let transaction = Some(part.transaction);
        let mut is_whole = true;
        let entered = self.enter_passed(passed, transaction, part.reserved, true, |this| {
            is_whole = this.refused.is_empty();
            this.refused.clear();
            if let Some(connection) = connection {
                this.settle(connection, &settles);
            }
        });
        // Those behind the windows have it, or know that it comes.
        drop(part.room);
        let last = entered.last.max(self.bury()).max(self.known_at());
        let Some(connection) = connection else {
            return;
        };
        match entered.last.filter(|_| entered.is_elsewhere) {
            Some(last) => self.passing.push_back((last, connection, part.bytes)),
            None => self.give_back(connection, part.bytes, entered.slow, now),
        }
        let committed = Reply::Committed { is_whole };
        self.committing
            .push_back((last.unwrap_or_default(), connection, committed));
    }

    /// Takes out of lanes what is for this shard, as a batch that comes now.
    pub(super) fn take_own(&mut self, lanes: &mut [Filling]) -> Bound {
        let own = lanes.get_mut(usize::from(self.id.0));
        let (mut batch, runs) = own.map(Filling::seal).unwrap_or_default();
        self.stamp(&mut batch);
        (batch, runs)
    }

    /// Asks the windows of this shard about messages that have come for them. What is to go on is added to `lanes`, and comes out with `first`, where it
    /// is for this shard. It has passed `count` windows, and `room` was taken for it behind these.
    pub(super) fn pass_windows(
        &mut self,
        first: Bound,
        lanes: Vec<Filling>,
        (count, mut if_full): (u8, IfFull),
        room: Room,
    ) -> Passed {
        let mut passed = Passed {
            own: SmallVec::new(),
            lanes,
            count,
            room,
        };
        let mut next = Some(first);
        while let Some((batch, runs)) = next.take().filter(|(_, runs)| !runs.is_empty()) {
            if self.lead_to_windows(&runs) {
                if passed.count < PASSED_MAX {
                    self.ask_windows(&batch, &runs, if_full, &mut passed);
                }
                // What has passed one has room behind all others.
                if_full = IfFull::Entered;
                passed.count = passed.count.saturating_add(1);
                next = Some(self.take_own(&mut passed.lanes));
            }
            passed.own.push((batch, runs));
        }
        passed
    }

    fn ask_windows(
        &mut self,
        batch: &Arc<Batch>,
        runs: &[Run],
        if_full: IfFull,
        passed: &mut Passed,
    ) {
        for run in runs {
            for id in run.queues.iter() {
                let window = self.windows.get(id);
                let exchange = window.and_then(|window| exchange_of_window(&window.handle));
                let Some(exchange) = exchange else {
                    continue;
                };
                for index in run.first..run.first + run.count {
                    self.ask_window(*id, &exchange, (batch, index), if_full, passed);
                }
                self.note_over(*id);
            }
        }
    }

    fn ask_window(
        &mut self,
        id: QueueId,
        (vhost, exchange): &(Arc<Vhost>, Arc<Exchange>),
        (batch, index): (&Arc<Batch>, u32),
        if_full: IfFull,
        passed: &mut Passed,
    ) {
        let now_ms = self.table.clock.unix_ms();
        let Some((window, message)) = self.windows.get(&id).zip(batch.message(index)) else {
            return;
        };
        let properties = Properties::checked(message.properties);
        let headers = properties.headers();
        let Some((_, mut keys)) = published_to(message.exchange_and_key, headers) else {
            return;
        };
        let blind = batch.blind_keys(index);
        keys.extend(blind_keys::split(blind));
        let key = Key::of_headers(headers);
        let found = match key.is_some_and(|key| window.knows(key, now_ms)) {
            true => Found::Duplicate,
            false => Found::New,
        };
        self.has_duplicates |= found == Found::Duplicate;
        let routed = Routed {
            routing_keys: &keys,
            properties,
            chance: Chances::new(now_ms ^ u64::from(index)).draw(),
        };
        let reached = route_past(vhost, exchange, &routed, Some(found));
        let mut queues = reached.queues;
        if message.died {
            // A letter is routed to its queues only here.
            queues.retain(|queue| !is_cycle_to(queue.name(), headers));
        }
        let full = take_room(&mut passed.room, &mut queues, &routed, if_full);
        if !full.is_empty() {
            self.note_full(&full, (batch, index));
            if if_full == IfFull::Refused {
                return;
            }
        }
        if queues.is_empty() {
            // It was nowhere: if it comes again, it may have somewhere to go.
            return;
        }
        // That it went somewhere was counted when it came to the window.
        exchange.note_published(0, queues.len() as u64 - 1);
        let new = NewMessage {
            exchange_and_key: message.exchange_and_key,
            properties: message.properties,
            persistent: message.persistent,
            priority: message.priority,
        };
        let body = NewBody::from(message.body);
        let kept = Kept {
            died: message.died,
            blind,
        };
        vhost.keep_recent(&reached.visited, new, &body, kept);
        add_moved(&mut passed.lanes, &mut queues, new, &body, kept);
        let Some(key) = key.filter(|_| found == Found::New) else {
            return;
        };
        let known = exchange.window_settings();
        let until_ms = until_ms(headers, &known, now_ms);
        self.know(id, (key, until_ms), known.size, message.persistent);
    }

    /// Queues behind a window were full when a message came for them: what their shards would do, had it come there.
    fn note_full(&mut self, full: &[Arc<QueueHandle>], (batch, index): (&Arc<Batch>, u32)) {
        let refused =
            |full: &Arc<QueueHandle>| Dead::of_refused(full, full.governed(), (batch, index));
        self.dead.extend(full.iter().filter_map(refused));
        self.refused.push((index, 1));
    }

    /// A message with this key came through a window.
    fn know(&mut self, id: QueueId, (key, until_ms): (Key, u64), size: u64, persistent: bool) {
        let Some(window) = self.windows.get_mut(&id) else {
            return;
        };
        let settled = &mut self.table.settled;
        let seq = window.add(key, until_ms, size, |seq| {
            settled.push(id, Stream(KEYS), seq, 1);
        });
        // What ends with the process may come again after it.
        if persistent {
            let of = (id, window.handle.syncs);
            let record = record(key, until_ms);
            self.targets.push_key(of, Stream(KEYS), seq, &record);
        }
    }

    /// Messages enter the queues of this shard and go to the others, and what is `told` happens: all of it, or nothing. Where it is a part of a transaction
    /// already, with that. Where it `is_more` than messages, this shard has a part in any case. Where room was `reserved`, no queue refuses any.
    pub(super) fn enter_passed(
        &mut self,
        passed: Passed,
        of: Option<Transaction>,
        reserved: bool,
        is_more: bool,
        told: impl FnOnce(&mut Self),
    ) -> Entered {
        let Passed {
            own,
            lanes,
            count,
            room,
        } = passed;
        let room = (!room.is_empty()).then(|| Arc::new(room));
        let lanes = (0..).map(ShardId).zip(lanes);
        let others: Vec<_> = lanes.filter(|(_, lane)| !lane.is_empty()).collect();
        let is_elsewhere = !others.is_empty();
        let is_here = is_more || !own.is_empty();
        let mut transactions: SmallVec<[Transaction; 2]> = of.into_iter().collect();
        if is_elsewhere || (of.is_none() && is_here) {
            let transaction = Transaction::new(others.len() + usize::from(is_here));
            // What has passed a window has room, or must not be refused: its key is known now.
            let how = (reserved || count > 0, count);
            for (shard, mut lane) in others {
                let part = Part {
                    room: room.clone(),
                    ..Part::moved(transaction, lane.seal(), how)
                };
                self.shards.send(shard, Command::Transact(Box::new(part)));
            }
            transactions.push(transaction);
        }
        let mut slow = None;
        let mut last = None;
        if is_here {
            ((), last) = self.in_parts(&transactions, |this| {
                slow = this.enter_own(&own, reserved);
                told(this);
                this.mark(&own, is_elsewhere);
            });
        }
        Entered {
            slow,
            last,
            is_elsewhere,
        }
    }

    fn enter_own(&mut self, own: &[Bound], reserved: bool) -> Option<QueueId> {
        let mut slow = None;
        for (at, (batch, runs)) in own.iter().enumerate() {
            self.reserved = reserved || at > 0;
            let (_, slower) = self.enter(batch, runs);
            slow = slow.or(slower);
        }
        self.reserved = false;
        slow
    }

    /// Has something in the log in any case where messages went from a window to other shards: who waits for them waits for that. It says of a
    /// key that never was that it is gone.
    fn mark(&mut self, own: &[Bound], is_elsewhere: bool) {
        let mut queues = own
            .iter()
            .flat_map(|(_, runs)| runs)
            .flat_map(|run| run.queues.iter());
        let window = queues.find(|queue| self.windows.contains_key(queue));
        if let Some(window) = window.filter(|_| is_elsewhere) {
            self.table.settled.push(*window, Stream(KEYS), 0, 1);
        }
    }

    /// Gives allowance back for what is in other shards by now.
    pub(super) fn give_back_passed(&mut self, now: Instant) {
        let durable = self.log.durable();
        while let Some((_, connection, bytes)) =
            self.passing.pop_front_if(|(last, ..)| *last <= durable)
        {
            self.give_back(connection, bytes, None, now);
        }
    }
}
