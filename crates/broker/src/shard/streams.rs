//! Streams of a shard: what is published to them, who reads from them, what retention takes. See `stream.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_message::batch::Batch;
use leveret_store::log::{QueueId, Read, Wanted};

use crate::command::{Holder, NewConsumer};
use crate::error::Error;
use crate::link::{DeliveredRun, Reply};
use crate::queue_handle::QueueHandle;
use crate::shard::{Shard, peer};
use crate::stream::{MESSAGES, Reader, Run, Stream};

/// How many messages a reader is given before the next one has its turn.
const TURN_MESSAGES: u64 = 1024;

/// How many turns each reader has in one turn of the shard at the most.
const TURNS_MAX: usize = 64;

/// How often a stream whose messages may get too old is looked at.
const AGE_LOOKS: Duration = Duration::from_secs(5);

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
        let before = stream.bytes();
        let seq = stream.append(batch, (first, count), keep);
        self.held_bytes += stream.bytes() as i64 - before as i64;
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
        let now_ms = self.clock.unix_ms();
        let stream = self.streams.get_mut(&id)?;
        let Some(peer) = self.peers.get_mut(&holder.connection) else {
            return Some(Err(Error::Unavailable));
        };
        stream.consume(holder, new, now_ms);
        let (queues, streams) = (&self.queues, &self.streams);
        peer.note_held(holder.channel, id, |queue| {
            queues.contains_key(queue) || streams.contains_key(queue)
        });
        self.touch_stream(id);
        Some(Ok(Reply::Consuming))
    }

    /// Removes readers of a stream.
    pub(super) fn remove_readers(&mut self, id: QueueId, of: impl FnMut(&Reader) -> bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let before = stream.bytes();
            stream.remove_readers(of);
            self.held_bytes -= before as i64 - stream.bytes() as i64;
        }
    }

    /// A channel has settled messages of a stream.
    pub(super) fn settle_stream(&mut self, id: QueueId, holder: Holder, run: (u64, u64)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.settle(holder, run);
            self.touch_stream(id);
        }
    }

    /// Gives readers what they may take, and lets go of what is too old.
    pub(super) fn deal_streams(&mut self, now: Instant) {
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
            let is_done = self.deal_stream(&mut stream);
            self.retire(&mut stream);
            self.held_bytes += stream.bytes() as i64 - before as i64;
            self.streams.insert(id, stream);
            if !is_done {
                // The next turn goes on: others have theirs before.
                self.touch_stream(id);
                let now = self.clock.now;
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

    /// Gives a reader a run of messages, or asks for what it waits for. Whether it was given something.
    fn deal_reader(&mut self, stream: &mut Stream, number: usize) -> bool {
        let Some(reader) = stream.readers.get(number) else {
            return false;
        };
        let (id, slot, connection) = (stream.id(), reader.slot, reader.holder.connection);
        let Some(to) = self.peers.get_mut(&connection) else {
            return false;
        };
        let credit = reader.credit().min(TURN_MESSAGES);
        if credit == 0 || !to.link.has_room(self.id, to.out.bytes) {
            to.parked.insert(id);
            return false;
        }
        let Some(run) = stream.next_run(number, credit) else {
            match stream.ask(number, &mut *self.log) {
                Some(true) => self.reading += 1,
                Some(false) => {}
                None => {
                    self.not_durable.insert(id);
                }
            }
            return false;
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
        if let Some(peer) = peer(&mut self.peers, &mut self.spoken_to, connection) {
            peer.out.bytes += run.batch.size(run.index, run.count);
            let delivered = DeliveredRun {
                consumer: slot,
                queue: id,
                first_seq: run.first_seq,
                first: run.index,
                count: run.count,
                redelivered: false,
                failed: 0,
                has_offsets: true,
            };
            peer.out.deliveries.push(&run.batch, delivered);
        }
        true
    }

    fn retire(&mut self, stream: &mut Stream) {
        if let Some((first, count)) = stream.retire(self.clock.unix_ms()) {
            self.settled.push(stream.id(), MESSAGES, first, count);
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
        if let Some(now) = self.clock.now.filter(|_| stream.has_age_limit()) {
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

    /// Ends a stream; its consumers are told. Returns how many messages it had; none where there is no such stream.
    pub(super) fn drop_stream(&mut self, id: QueueId) -> Option<u64> {
        let stream = self.streams.remove(&id)?;
        self.held_bytes -= stream.bytes() as i64;
        self.deleted += 1;
        self.ended += stream.message_counts();
        self.stream_looks.forget(id, stream.noted);
        self.end_handle(&stream.handle);
        for reader in &stream.readers {
            self.tell_cancelled(reader.holder.connection, reader.slot);
        }
        Some(stream.count())
    }

    /// A channel of a connection lets go of what it has of a stream, and consumes from it no more where it ends.
    pub(super) fn leave_stream(&mut self, id: QueueId, holder: Holder, close: bool) {
        if close {
            self.remove_readers(id, |reader| reader.holder == holder);
        } else {
            // `basic.recover`: what was read can be read again, by whoever begins there again.
            self.settle_stream(id, holder, (1, u64::MAX - 1));
        }
    }
}
