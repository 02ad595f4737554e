//! Looking at messages for operators: what is in memory is told at once, what is not when it has been read. See `queue/peek.rs`.

use std::sync::Arc;

use leveret_store::log::{ChunkId, QueueId, Read, Wanted};

use crate::error::Error;
use crate::ids::ConnectionId;
use crate::link::{Got, Reply};
use crate::queue::{Look, Seen};
use crate::queue_handle::QueueHandle;
use crate::shard::Shard;

/// Who looks at what.
#[derive(Clone, Debug)]
pub(super) struct Peek {
    pub(super) connection: ConnectionId,
    pub(super) queue: Arc<QueueHandle>,
    /// How many messages from the front are passed over.
    pub(super) position: u64,
    /// How many are looked at, at the most.
    pub(super) most: u64,
}

/// What is read or fetched for those who look.
#[derive(Debug, Default)]
pub(super) struct Peeks {
    /// By queue and token.
    reads: Vec<(QueueId, u64, Peek)>,
    /// And how many messages of the chunk are passed over.
    fetches: Vec<(ChunkId, u64, Peek)>,
    /// Those who have to wait before they can look.
    waiting: Vec<Peek>,
}

impl Peeks {
    /// Whose read has come, if it was for one who looks.
    fn take_read(&mut self, wanted: &Wanted) -> Option<Peek> {
        let is_it = |(queue, token, _): &(QueueId, u64, Peek)| {
            (*queue, *token) == (wanted.queue, wanted.token)
        };
        let at = self.reads.iter().position(is_it)?;
        Some(self.reads.swap_remove(at).2)
    }

    fn take_fetch(&mut self, id: ChunkId) -> Option<(u64, Peek)> {
        let at = self.fetches.iter().position(|(this, ..)| *this == id)?;
        let (_, skip, peek) = self.fetches.swap_remove(at);
        Some((skip, peek))
    }
}

impl Shard {
    /// Answers at once, or when what is looked at has been read.
    pub(super) fn peek(&mut self, peek: Peek) {
        self.deal_touched();
        let (id, position, most) = (peek.queue.id, peek.position, peek.most);
        let look = if let Some(queue) = self.queues.get_mut(&id) {
            queue.look(position, most, &mut *self.log)
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.look(position, most, &mut *self.log)
        } else {
            let error = Error::NotFound(peek.queue.resource());
            return self.reply(peek.connection, Err(error));
        };
        match look {
            Look::Here(seen) => self.tell_seen(&peek, seen),
            Look::Later => self.peeks.waiting.push(peek),
            Look::Read(wanted) => {
                self.reading += 1;
                self.peeks.reads.push((id, wanted.token, peek));
            }
            Look::Fetch(chunk, skip) => {
                self.reading += 1;
                self.chunks.insert(chunk, id);
                self.peeks.fetches.push((chunk, skip, peek));
            }
        }
    }

    /// Those who had to wait look again.
    pub(super) fn peek_again(&mut self) {
        for peek in std::mem::take(&mut self.peeks.waiting) {
            self.peek(peek);
        }
    }

    fn tell_seen(&mut self, peek: &Peek, seen: Vec<Seen>) {
        let id = peek.queue.id;
        let ready = match (self.queues.get(&id), self.streams.get(&id)) {
            (Some(queue), _) => queue.ready_count(),
            (_, Some(stream)) => stream.count(),
            _ => 0,
        };
        let got = seen.into_iter().flat_map(|seen| {
            let Seen { piece, redelivered } = seen;
            (0..piece.count).map(move |n| Got {
                queue: id,
                seq: piece.first + n,
                batch: Arc::clone(&piece.value.batch),
                index: piece.value.index + n as u32,
                redelivered,
                failed: piece.value.failed,
                acquired: 0,
                remaining: ready,
            })
        });
        self.reply(peek.connection, Ok(Reply::Peeked(got.collect())));
    }

    /// Takes what was read for somebody who looks; gives back what was not.
    pub(super) fn arrived_peek(&mut self, wanted: Wanted, read: Read) -> Option<(Wanted, Read)> {
        let Some(peek) = self.peeks.take_read(&wanted) else {
            return Some((wanted, read));
        };
        let seen = match (
            self.queues.get(&wanted.queue),
            self.streams.get(&wanted.queue),
        ) {
            (Some(queue), _) => queue.looked(&wanted, read, peek.most),
            (_, Some(stream)) => stream.looked(read, peek.most),
            _ => Vec::new(),
        };
        self.tell_seen(&peek, seen);
        None
    }

    /// Takes a chunk that was fetched for somebody who looks; gives back one that was not.
    pub(super) fn arrived_peeked_chunk(
        &mut self,
        (chunk, id): (ChunkId, QueueId),
        records: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let Some((skip, peek)) = self.peeks.take_fetch(chunk) else {
            return Some(records);
        };
        let mut seen = Vec::new();
        if let Some(queue) = self.queues.get_mut(&id) {
            let before = queue.held_bytes();
            let of = (skip, peek.most);
            seen = queue.looked_at_chunk(chunk, records, of, &mut *self.log);
            self.held_bytes += queue.held_bytes() as i64 - before as i64;
            crate::shard::list_resident(&mut self.resident, queue);
            crate::shard::touch(&mut self.touched, queue);
        }
        self.tell_seen(&peek, seen);
        None
    }
}
