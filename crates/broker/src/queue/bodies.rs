//! How long the bodies of a queue's messages are, and how many of the messages survive a restart: worked out when somebody asks, so that nothing is
//! counted while messages come and go.
//!
//! Messages in memory are looked at one by one, up to a number; for the others their sizes are known, of which bodies are the same part. What is away has
//! the size that it had when it left memory, or for what was there before the broker was started the size that its files have for as many messages.

use leveret_message::batch::Batch;

use crate::figures::BodyFigures;
use crate::queue::Queue;
use crate::queue::pieces::{Held, Home, Ready};
use crate::runs::Piece;

/// What the head of a record takes at least; of messages of which nothing else is known, the rest counts as body.
const HEAD_BYTES: u64 = 12;

/// Messages of which some were looked at.
#[derive(Debug, Default)]
struct Look {
    /// How many more are looked at.
    left: u64,
    /// How many there are, of which those in the log, and their size as far as it is known.
    all: Measure,
    /// Those that were looked at.
    seen: Measure,
    /// Bytes of the bodies that were looked at, and of those of messages in the log.
    bodies: u64,
    logged_bodies: u64,
}

#[derive(Debug, Default)]
struct Measure {
    count: u64,
    logged: u64,
    size: u64,
}

impl Look {
    fn ready(&mut self, piece: &Piece<Ready>) {
        let Ready {
            batch, index, home, ..
        } = &piece.value;
        self.messages(batch, (*index, piece.count), *home);
    }

    fn held(&mut self, piece: &Piece<Held>) {
        let Held {
            batch, index, home, ..
        } = &piece.value;
        if let Some(batch) = batch {
            self.messages(batch, (*index, piece.count), *home);
        }
    }

    fn messages(&mut self, batch: &Batch, (index, count): (u32, u64), home: Home) {
        let count = count.min(self.left);
        self.left -= count;
        let bodies: u64 = batch.body_lens(index, count as u32).sum();
        self.seen.count += count;
        self.seen.size += batch.size(index, count as u32) as u64;
        self.bodies += bodies;
        if home == Home::Log {
            self.seen.logged += count;
            self.logged_bodies += bodies;
        }
    }

    /// What was seen, and as much in proportion of what was not: bytes of bodies, messages in the log, bytes of their bodies.
    fn sums(&self) -> (u64, u64, u64) {
        let unseen = self.all.count.saturating_sub(self.seen.count);
        if unseen == 0 {
            return (self.bodies, self.seen.logged, self.logged_bodies);
        }
        let unseen_size = self.all.size.saturating_sub(self.seen.size);
        let unseen_bodies = match self.seen.size {
            0 => unseen_size.saturating_sub(unseen * HEAD_BYTES),
            size => share(unseen_size, self.bodies, size),
        };
        let unseen_logged = unseen.min(self.all.logged.saturating_sub(self.seen.logged));
        (
            self.bodies + unseen_bodies,
            self.seen.logged + unseen_logged,
            self.logged_bodies + share(unseen_bodies, unseen_logged, unseen),
        )
    }
}

/// `amount * part / whole`.
fn share(amount: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(amount) * u128::from(part);
    product.checked_div(u128::from(whole)).unwrap_or(0) as u64
}

impl Queue {
    /// The bodies of its messages. Exact where no more than `look_max` are ready and no more unacked, and all of them are in memory.
    ///
    /// **Cost**: by the messages that are looked at.
    pub(super) fn bodies(&self, look_max: u64) -> BodyFigures {
        let (ready_bytes, ready_logged, ready_logged_bytes) = self.look_at_ready(look_max).sums();
        let (unacked_bytes, unacked_logged, unacked_logged_bytes) =
            self.look_at_unacked(look_max).sums();
        BodyFigures {
            ready_bytes,
            unacked_bytes,
            persistent: ready_logged + unacked_logged,
            persistent_bytes: ready_logged_bytes + unacked_logged_bytes,
        }
    }

    fn look_at_ready(&self, look_max: u64) -> Look {
        let mut look = Look {
            left: look_max,
            ..Look::default()
        };
        for line in self.lines.iter() {
            let in_memory = line.returned.iter().map(Item::Held);
            let in_memory = in_memory.chain(line.fresh.iter().chain(&line.tail).map(Item::Ready));
            look.all_of(in_memory);
            look.all.size += (line.bytes - line.away.bytes()) as u64 + line.away.size();
            look.all.count += line.count();
            look.all.logged += line.away.logged();
        }
        if let Some(groups) = &self.groups {
            look.all.count += groups.count();
            look.all.size += groups.bytes() as u64;
        }
        look.all.logged += look.rest_logged(self.lines.iter().map(|line| line.away.count()).sum());
        look
    }

    fn look_at_unacked(&self, look_max: u64) -> Look {
        let mut look = Look {
            left: look_max,
            ..Look::default()
        };
        let held = self.unacked.values().flat_map(|held| held.iter());
        let waiting = self.waiting.iter().map(|(_, piece)| piece);
        look.all_of(held.chain(waiting).map(Item::Held));
        look.all.size = (self.unacked_bytes + self.waiting.bytes()) as u64;
        look.all.count = self.unacked_count + self.waiting_count();
        look.all.logged = look.rest_logged(0);
        look
    }
}

enum Item<'a> {
    Ready(&'a Piece<Ready>),
    Held(&'a Piece<Held>),
}

impl Look {
    fn all_of<'a>(&mut self, pieces: impl Iterator<Item = Item<'a>>) {
        for piece in pieces {
            if self.left == 0 {
                return;
            }
            match piece {
                Item::Ready(piece) => self.ready(piece),
                Item::Held(piece) => self.held(piece),
            }
        }
    }

    /// How many of all but those that are `away` are in the log: of those that were not seen as many in proportion.
    fn rest_logged(&self, away: u64) -> u64 {
        let unseen = self.all.count.saturating_sub(self.seen.count + away);
        self.seen.logged + share(unseen, self.seen.logged, self.seen.count.max(1))
    }
}
