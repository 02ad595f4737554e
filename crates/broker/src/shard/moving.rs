//! What operators do with the messages of a queue: look at them, and move them to another queue, or dead letters back to where they first died.
//!
//! A move is a transaction of the log, as that of a dead letter is: each message is in the one queue or in the other.

use std::sync::Arc;

use leveret_message::batch::NewMessage;
use leveret_message::exchange_and_key;
use leveret_store::log::QueueId;

use crate::command::{MoveTo, Moving, Operation};
use crate::dead_letter::{origin, without_deaths};
use crate::error::Error;
use crate::filling::{Filling, Kept, NewBody, add_moved, lanes};
use crate::ids::ConnectionId;
use crate::link::Reply;
use crate::queue::{Home, Lifted, Need, Ready};
use crate::queue_handle::QueueHandle;
use crate::room::Room;
use crate::shard::Shard;
use crate::shard::peek::Peek;
use crate::vhost::Vhost;

/// How many messages move in one turn at the most.
const MOVED_MAX: u64 = 1024;

impl Shard {
    /// Does what an operator wants; answers at once, or when the first messages have been read.
    pub(super) fn operate(
        &mut self,
        connection: ConnectionId,
        handle: &Arc<QueueHandle>,
        operation: Operation,
    ) {
        match operation {
            Operation::Search(search) => self.search_delayed(connection, handle, search),
            Operation::Move(moving) => self.start_moving(connection, handle, moving),
            Operation::Peek { position, most } => self.peek(Peek {
                connection,
                queue: Arc::clone(handle),
                position,
                most,
            }),
            Operation::Offsets => {
                let reply = self.offsets(handle.id);
                self.reply(connection, of_stream(handle, reply));
            }
            Operation::ForgetOffset(name) => {
                let reply = self.forget_offset(handle.id, &name);
                self.reply(connection, of_stream(handle, reply));
            }
        }
    }

    fn start_moving(&mut self, connection: ConnectionId, handle: &QueueHandle, moving: Moving) {
        self.deal_touched();
        let id = handle.id;
        let Some(queue) = self.queues.get_mut(&id) else {
            return self.reply(connection, Err(Error::NotFound(handle.resource())));
        };
        queue.moves.push_back((connection, moving));
        self.answer_moves(id);
    }

    /// Carries out what waits for messages to be read, as far as they have been.
    pub(super) fn answer_moves(&mut self, id: QueueId) {
        while let Some(queue) = self.queues.get_mut(&id) {
            let Some((_, moving)) = queue.moves.front() else {
                return;
            };
            let lifted = queue.lift(moving.position);
            if queue.is_first_away() {
                self.ask(id, Some(Need::LetGo));
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.put_down(lifted);
                }
                return;
            }
            if let Some((connection, moving)) = queue.moves.pop_front() {
                let reply = self.move_ready(id, &moving, lifted);
                self.reply(connection, Ok(reply));
            }
        }
    }

    /// Moves what is behind messages that were lifted, and puts these down again.
    fn move_ready(&mut self, id: QueueId, moving: &Moving, lifted: Lifted) -> Reply {
        let mut lanes = lanes(&self.shards);
        let (mut left, mut staying) = (Vec::new(), Vec::new());
        let (mut moved, mut looked_at) = (0, 0);
        let most = moving.most.min(MOVED_MAX);
        let Some(queue) = self.queues.get_mut(&id) else {
            return Reply::Moved { moved, stayed: 0 };
        };
        let before = queue.held_bytes();
        let vhost = queue.handle.vhost.upgrade();
        // One at a time: each may have another origin.
        while looked_at < most
            && let Some(vhost) = &vhost
            && let Some(taken) = queue.take_ready(1)
        {
            looked_at += 1;
            if !publish_moved(vhost, &taken.piece.value, &moving.to, &mut lanes) {
                staying.push(taken);
                continue;
            }
            let piece = taken.piece;
            moved += 1;
            queue.forget_keys(piece.first, piece.count);
            if piece.value.home == Home::Log {
                left.push((id, piece.value.level.stream(), piece.first, piece.count));
            }
        }
        let stayed = staying.len() as u64;
        queue.stay(staying);
        self.held_bytes -= before as i64 - queue.held_bytes() as i64;
        queue.put_down(lifted);
        self.move_messages(lanes, left, true, Room::default());
        Reply::Moved { moved, stayed }
    }
}

/// The answer of a stream, where it is one.
fn of_stream(handle: &QueueHandle, reply: Option<Reply>) -> Result<Reply, Error> {
    reply.ok_or_else(|| Error::NotFound(handle.resource()))
}

/// Publishes a message to the queue that it moves to. `false` where there is no such queue, or no room in it.
fn publish_moved(vhost: &Vhost, message: &Ready, to: &MoveTo, lanes: &mut [Filling]) -> bool {
    let Some(message) = message.batch.message(message.index) else {
        return false;
    };
    let (name, properties) = match to {
        MoveTo::Queue(name) => (Some(name.to_string()), None),
        MoveTo::Origin => (origin(&message), without_deaths(&message)),
    };
    let queue = name.and_then(|name| vhost.find_queue(&name));
    let Some(queue) = queue.filter(|queue| queue.delays().is_none()) else {
        return false;
    };
    let died = message.died && properties.is_none();
    // To the client it is as if it had been published there.
    let Some(key) = exchange_and_key::join(b"", queue.name().as_bytes()) else {
        return false;
    };
    let new = NewMessage {
        exchange_and_key: &key,
        properties: properties.as_deref().unwrap_or(message.properties),
        persistent: message.persistent,
        priority: message.priority,
    };
    if !queue.reserve() {
        return false;
    }
    let body = NewBody::from(message.body);
    let kept = Kept { died, blind: &[] };
    add_moved(lanes, &mut [queue], new, &body, kept);
    true
}
