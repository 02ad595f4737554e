//! Streams of a shard: what is published to them, who reads from them, what retention takes. See `stream.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_message::batch::Batch;
use leveret_store::log::{QueueId, Read, Wanted};

use crate::command::NewConsumer;
use crate::error::Error;
use crate::ids::Holder;
use crate::link::{DeliveredRun, Reply};
use crate::queue_handle::QueueHandle;
use crate::shard::{Shard, peer};
use crate::stream::{Asking, MESSAGES, Next, NoRoom, OFFSETS_MAX, Reader, ReaderId, Run, Stream};

/// How many messages a reader is given before the next one has its turn.
const TURN_MESSAGES: u64 = 1024;

/// How many turns each reader has in one turn of the shard at the most.
const TURNS_MAX: usize = 64;

/// How often a stream whose messages may get too old is looked at.
const AGE_LOOKS: Duration = Duration::from_secs(5);

/// How long after an acknowledgement it is written down how far its reader has come. What is acknowledged meanwhile is written down with it, and a kill
/// undoes that at the most.
const OFFSET_WRITES: Duration = Duration::from_secs(1);

impl Shard {
    /// A new stream, or one that was there before.
    pub(super) fn declare_stream(&mut self, stream: Stream) {
        let id = stream.id();
        self.streams.insert(id, stream);
        self.look_at_stream(id);
    }

    /// Messages are published to a stream. Whether there is such a stream.
    pub(super) fn append(
        &mut self,
        id: QueueId,
        batch: &Arc<Batch>,
        (first, count): (u32, u32),
    ) -> bool {
        let keep = !self.queued.is_over_budget();
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let (seq, more_bytes) = stream.append(batch, (first, count), keep);
        self.held_bytes += more_bytes;
        let of = (id, stream.handle.syncs);
        self.targets.push_at(of, MESSAGES, seq, (first, count));
        self.touch_stream(id);
        true
    }

    pub(super) fn touch_stream(&mut self, id: QueueId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.touched
        {
            stream.touched = true;
            self.touched_streams.push(id);
        }
    }

    /// Somebody consumes from a stream; nothing where there is no such stream.
    pub(super) fn read_stream(
        &mut self,
        holder: Holder,
        handle: &QueueHandle,
        new: &NewConsumer,
    ) -> Option<Result<Reply, Error>> {
        let id = handle.id;
        let now_ms = self.table.clock.unix_ms();
        let stream = self.streams.get_mut(&id)?;
        let Some(peer) = self.table.peers.get_mut(&holder.connection) else {
            return Some(Err(Error::Unavailable));
        };
        match stream.consume(holder, new, now_ms) {
            Ok(None) => {}
            Ok(Some(forgotten)) => forget_written(stream, [&*forgotten].into_iter()),
            Err(NoRoom) => return Some(Err(no_room(handle))),
        }
        let (queues, streams) = (&self.queues, &self.streams);
        peer.note_held(holder.channel, id, |queue| {
            queues.contains_key(queue) || streams.contains_key(queue)
        });
        self.touch_stream(id);
        if new.offset_name.is_some() {
            // At once: who has acknowledged nothing begins at the same place once more. Where that is may be known a bit later.
            self.write_offsets(id);
            self.note_offsets_changed(id);
        }
        Some(Ok(Reply::Consuming))
    }

    /// A consumer of a stream is cancelled.
    pub(super) fn leave_readers(&mut self, id: QueueId, of: impl Fn(&Reader) -> bool) {
        self.change_readers(id, |stream, now_ms| stream.leave(of, now_ms));
    }

    /// A change to who reads a stream.
    fn change_readers(&mut self, id: QueueId, change: impl FnOnce(&mut Stream, u64)) {
        let now_ms = self.table.clock.unix_ms();
        if let Some(stream) = self.streams.get_mut(&id) {
            let before = stream.bytes();
            change(stream, now_ms);
            self.held_bytes += stream.bytes() as i64 - before as i64;
            if stream.has_offsets() {
                self.note_offsets_changed(id);
            }
            // Another one may be the single active one now.
            self.touch_stream(id);
        }
    }

    /// A connection has settled messages of a stream.
    pub(super) fn settle_stream(&mut self, id: QueueId, reader: ReaderId, run: (u64, u64)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.settle(reader, run) {
                self.note_offsets_changed(id);
            }
            self.touch_stream(id);
        }
    }

    /// It is to be written down soon how far the readers of a stream have come.
    fn note_offsets_changed(&mut self, id: QueueId) {
        let stream = self.streams.get_mut(&id);
        if let Some((stream, now)) = stream.zip(self.table.clock.now)
            && stream.write_noted.is_none()
        {
            let noted = &mut stream.write_noted;
            self.offset_writes.add(id, noted, now + OFFSET_WRITES);
        }
    }

    /// Writes down how far the readers of a stream have come.
    fn write_offsets(&mut self, id: QueueId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.look_at(&*self.log);
        let handle = Arc::clone(&stream.handle);
        let Some(vhost) = handle.vhost.upgrade() else {
            return;
        };
        if stream.write_offsets(|name, seq| vhost.keep_offset(id, name, seq)) {
            self.note_offsets_changed(id);
        }
    }

    /// Writes down how far all readers have come: the broker ends.
    pub(super) fn write_all_offsets(&mut self) {
        let ids: Vec<QueueId> = self.streams.keys().copied().collect();
        ids.into_iter().for_each(|id| self.write_offsets(id));
    }

    /// Gives readers what they may take, and lets go of what is too old.
    pub(super) fn deal_streams(&mut self, now: Instant) {
        while let Some(id) = self.offset_writes.pop(now) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.write_noted = None;
                self.write_offsets(id);
            }
        }
        while let Some(id) = self.stream_looks.pop(now) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.noted = None;
                self.touch_stream(id);
                self.look_at_stream(id);
            }
        }
        for id in std::mem::take(&mut self.touched_streams) {
            let Some(mut stream) = self.streams.remove(&id) else {
                continue;
            };
            stream.touched = false;
            let before = stream.bytes();
            stream.look_at(&*self.log);
            let is_done = self.deal_stream(&mut stream);
            self.retire(&mut stream);
            stream.clear_shelf();
            self.held_bytes += stream.bytes() as i64 - before as i64;
            self.streams.insert(id, stream);
            if !is_done {
                // The next turn goes on: others have theirs before.
                self.touch_stream(id);
                let now = self.table.clock.now;
                if let Some((stream, now)) = self.streams.get_mut(&id).zip(now) {
                    self.stream_looks.add(id, &mut stream.noted, now);
                }
            }
        }
    }

    /// Whether there is nothing left that a reader may take now.
    fn deal_stream(&mut self, stream: &mut Stream) -> bool {
        for _ in 0..TURNS_MAX {
            let mut any = false;
            for reader in 0..stream.readers.len() {
                any |= self.deal_reader(stream, reader);
            }
            if !any {
                return true;
            }
        }
        false
    }

    /// Gives a reader a run of messages, or asks for what it waits for. Whether there may be more for it.
    fn deal_reader(&mut self, stream: &mut Stream, number: usize) -> bool {
        let Some(reader) = stream.readers.get(number) else {
            return false;
        };
        let (id, slot, connection) = (stream.id(), reader.slot, reader.holder.connection);
        let Some(to) = self.table.peers.get_mut(&connection) else {
            return false;
        };
        let credit = reader.credit().min(TURN_MESSAGES);
        if credit == 0 || !to.link.has_room(self.id, to.out.bytes) {
            to.parked.insert(id);
            return false;
        }
        let next = stream.next_run(number, credit);
        // What it takes after that is on its way meanwhile.
        let asking = stream.ask(number, &mut *self.log);
        match asking {
            Asking::Asked => self.reading += 1,
            Asking::NotSafe => {
                self.not_durable.insert(id);
            }
            Asking::Idle | Asking::Arrived => {}
        }
        let run = match next {
            Next::Run(run) => run,
            Next::PassedOver => return true,
            Next::Nothing => return asking == Asking::Arrived,
        };
        let claimed = match stream.readers.get_mut(number) {
            Some(reader) => reader.claim(u64::from(run.count)) as u32,
            None => 0,
        };
        if claimed == 0 {
            return false;
        }
        let run = Run {
            count: claimed,
            ..run
        };
        stream.note_delivered(number, &run);
        if let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection) {
            peer.out.bytes += run.batch.size(run.index, run.count);
            let delivered = DeliveredRun {
                consumer: slot,
                queue: id,
                first_seq: run.first_seq,
                first: run.index,
                count: run.count,
                redelivered: false,
                failed: 0,
                acquired: 0,
                has_offsets: true,
            };
            peer.out.deliveries.push(&run.batch, delivered);
        }
        true
    }

    fn retire(&mut self, stream: &mut Stream) {
        if let Some((first, count)) = stream.retire(self.table.clock.unix_ms()) {
            self.table.settled.push(stream.id(), MESSAGES, first, count);
        }
    }

    /// Has to be looked at now and then, and what was there before the start has to be known, where retention asks for that.
    pub(super) fn look_at_stream(&mut self, id: QueueId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.ask_survey(&mut *self.log) {
            self.reading += 1;
        }
        if let Some(now) = self.table.clock.now.filter(|_| stream.has_age_limit()) {
            self.stream_looks
                .add(id, &mut stream.noted, now + AGE_LOOKS);
        }
    }

    /// Takes in what was read for a stream.
    pub(super) fn arrived_stream(&mut self, wanted: Wanted, read: Read) {
        let id = wanted.queue;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let before = stream.bytes();
        stream.arrived(wanted, read);
        self.held_bytes += stream.bytes() as i64 - before as i64;
        if stream.ask_survey(&mut *self.log) {
            self.reading += 1;
        }
        self.touch_stream(id);
    }

    /// How far readers with names have come in a stream; nothing where there is no such stream.
    pub(super) fn offsets(&mut self, id: QueueId) -> Option<Reply> {
        let stream = self.streams.get_mut(&id)?;
        Some(Reply::Offsets(stream.offsets()))
    }

    /// Forgets how far readers with a name have come. Whether that was known; nothing where there is no such stream.
    pub(super) fn forget_offset(&mut self, id: QueueId, name: &str) -> Option<Reply> {
        let stream = self.streams.get_mut(&id)?;
        let was_there = stream.forget_offset(name);
        if was_there {
            forget_written(stream, std::iter::once(name));
        }
        Some(Reply::OffsetForgotten(was_there))
    }

    /// Ends a stream; its consumers are told. Returns how many messages it had; none where there is no such stream.
    pub(super) fn drop_stream(&mut self, id: QueueId) -> Option<u64> {
        let stream = self.streams.remove(&id)?;
        self.held_bytes -= stream.bytes() as i64;
        self.deleted += 1;
        self.ended += stream.message_counts();
        self.stream_looks.forget(id, stream.noted);
        self.offset_writes.forget(id, stream.write_noted);
        self.end_handle(&stream.handle);
        // After its own end: what is left of them at a start is nobody's, and goes.
        forget_written(&stream, stream.written_offsets());
        for reader in stream.readers.iter().filter(|reader| reader.consumes()) {
            self.tell_cancelled(reader.holder.connection, reader.slot);
        }
        Some(stream.count())
    }

    /// A channel of a connection lets go of what it has of a stream, and consumes from it no more where it ends.
    pub(super) fn leave_stream(&mut self, id: QueueId, holder: Holder, close: bool) {
        match close {
            true => self.change_readers(id, |stream, now_ms| {
                stream.remove(|reader| reader.holder == holder, now_ms);
            }),
            // `basic.recover`.
            false => self.change_readers(id, |stream, _| stream.go_back(holder)),
        }
    }
}

/// Nothing is written down any more under these names.
fn forget_written<'n>(stream: &Stream, names: impl Iterator<Item = &'n str>) {
    if let Some(vhost) = stream.handle.vhost.upgrade() {
        names.for_each(|name| vhost.forget_offset(stream.id(), name));
    }
}

fn no_room(handle: &QueueHandle) -> Error {
    let explanation = format!(
        "the stream keeps {OFFSETS_MAX} offset names, and has room for no other: {}",
        handle.resource()
    );
    Error::Unacceptable(explanation)
}
