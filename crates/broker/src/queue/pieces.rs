//! Pieces of a queue's contents: consecutive messages of one batch that are alike in all that the queue knows of them.

use std::sync::Arc;

use leveret_message::batch::{Batch, ToldPriority};
use leveret_store::entry::{Run, Stream};

use crate::arguments::{QueueArguments, QueueType};
use crate::queue::consumers::ConsumerKey;
use crate::queue::overdue::Tick;
use crate::runs::{Piece, RunValue};

/// Where a message is when it is not in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// Nowhere.
    #[default]
    Memory,
    /// In the log.
    Log,
}

/// The first stream with keys; those with messages are below.
pub const KEYS: u32 = 256;

/// Which line of their queue messages are in, by their priority: 0 is that of most. In the log it is the stream they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    /// No priority: what came back in a quorum queue, of whatever priority, and is served first. No stream of its log has this number.
    pub(super) const RETURNED: Self = Self(128);

    /// As the log names it.
    pub fn stream(self) -> Stream {
        Stream(u32::from(self.0))
    }

    /// The stream beside it, with the keys of its messages.
    pub fn keys(self) -> Stream {
        Stream(KEYS + u32::from(self.0))
    }

    /// The one that the log names so.
    pub fn of(stream: Stream) -> Option<Self> {
        u8::try_from(stream.0).ok().map(Self)
    }
}

/// How a queue tells priorities apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// Not at all.
    #[default]
    None,
    /// Up to the highest one, from 0 on, which messages have that say nothing (`x-max-priority`).
    UpTo(u8),
    /// As RabbitMQ's quorum queues: 32 of them, of which messages have the one in [`QUORUM_DEFAULT`] that say nothing. That is level 0, and those below it are
    /// counted back from 256.
    Quorum,
}

/// The highest priority of a quorum queue.
const QUORUM_MAX: u8 = 31;

/// That of messages in a quorum queue that have none.
const QUORUM_DEFAULT: u8 = 4;

impl Ranking {
    /// As a queue's arguments say.
    pub fn of(settings: &QueueArguments) -> Self {
        match settings.max_priority {
            Some(0) => Self::None,
            Some(max) => Self::UpTo(max),
            None if settings.queue_type == QueueType::Quorum => Self::Quorum,
            None => Self::None,
        }
    }

    /// What a batch has to tell apart.
    #[inline]
    pub fn told(self) -> ToldPriority {
        match self {
            Self::None => ToldPriority::No,
            Self::UpTo(_) => ToldPriority::OrZero,
            Self::Quorum => ToldPriority::Or(QUORUM_DEFAULT),
        }
    }

    /// The line of messages with a priority.
    #[inline]
    pub fn level(self, priority: u8) -> Level {
        match self {
            Self::None => Level(0),
            Self::UpTo(max) => Level(priority.min(max)),
            Self::Quorum => Level(priority.min(QUORUM_MAX).wrapping_sub(QUORUM_DEFAULT)),
        }
    }

    /// All lines that there may be.
    pub fn levels(self) -> impl Iterator<Item = Level> {
        let max = match self {
            Self::None => 0,
            Self::UpTo(max) => max,
            Self::Quorum => QUORUM_MAX,
        };
        (0..=max).map(move |priority| self.level(priority))
    }

    /// Where a line stands among the others: higher ones are served first.
    pub(super) fn rank(self, level: Level) -> i16 {
        match self {
            Self::None | Self::UpTo(_) => i16::from(level.0),
            Self::Quorum if level == Level::RETURNED => i16::MAX,
            Self::Quorum => i16::from(level.0.cast_signed()),
        }
    }
}

/// Where messages are in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where they are when they are not in memory.
    pub home: Home,
    /// Their priority there.
    pub level: Level,
}

/// Messages that are ready, in memory.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where they are.
    pub batch: Arc<Batch>,
    /// The first one's index in the batch.
    pub index: u32,
    /// Where else they are.
    pub home: Home,
    /// Their priority.
    pub level: Level,
    /// How often they came back from a consumer that failed with them.
    pub failed: u16,
}

impl RunValue for Ready {
    fn skip(&mut self, count: u64) {
        self.index += count as u32;
    }
}

/// As [`Ready`], once handed out; perhaps not in memory any more.
#[derive(Clone, Debug)]
pub struct Held {
    /// None where they are only in the log.
    pub batch: Option<Arc<Batch>>,
    /// The first one's index in the batch.
    pub index: u32,
    /// Where else they are.
    pub home: Home,
    /// Their priority.
    pub level: Level,
    /// As in [`Ready`].
    pub failed: u16,
    /// How often they were handed out before and came back, where their queue counts that.
    pub acquired: u16,
    /// Whose credit they take; nobody's after `basic.get`, and once they were returned.
    pub consumer: Option<ConsumerKey>,
    /// When they were handed out, as the shard counts time.
    pub handed_at: Tick,
}

impl RunValue for Held {
    fn skip(&mut self, count: u64) {
        self.index += count as u32;
    }
}

impl From<Ready> for Held {
    fn from(ready: Ready) -> Self {
        let Ready {
            batch,
            index,
            home,
            level,
            failed,
        } = ready;
        Self {
            batch: Some(batch),
            index,
            home,
            level,
            failed,
            acquired: 0,
            consumer: None,
            handed_at: Tick(0),
        }
    }
}

impl Held {
    pub(super) fn size(&self, count: u64) -> usize {
        let batch = self.batch.as_ref();
        batch.map_or(0, |batch| batch.size(self.index, count as u32))
    }
}

/// The messages of a batch as pieces: they have these sequence numbers, in their order.
pub(super) fn numbered(
    batch: &Arc<Batch>,
    runs: impl Iterator<Item = (Run, Home)>,
    level: Level,
) -> Vec<Piece<Ready>> {
    let mut index = 0;
    let piece = |(run, home): (Run, Home)| {
        let piece = Piece {
            first: run.first_seq,
            count: run.count,
            value: Ready {
                batch: Arc::clone(batch),
                index,
                home,
                level,
                failed: 0,
            },
        };
        index += run.count as u32;
        piece
    };
    runs.map(piece).collect()
}

/// Ready messages that were taken from the front.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The messages.
    pub piece: Piece<Ready>,
    /// Whether they were handed out before.
    pub redelivered: bool,
    /// As in [`Held`].
    pub acquired: u16,
    /// The memory they stand for, in bytes.
    pub bytes: usize,
}

/// As messages that are ready; `None` where they are only in the log.
pub fn in_memory(piece: Piece<Held>) -> Option<Piece<Ready>> {
    let Held {
        batch,
        index,
        home,
        level,
        failed,
        ..
    } = piece.value;
    Some(Piece {
        first: piece.first,
        count: piece.count,
        value: Ready {
            batch: batch?,
            index,
            home,
            level,
            failed,
        },
    })
}

/// The memory that messages stand for, in bytes.
pub(super) fn size(piece: &Piece<Ready>) -> usize {
    piece
        .value
        .batch
        .size(piece.value.index, piece.count as u32)
}

/// How often messages were delivered, as the log is told it: once more than consumers have failed with them.
pub fn deliveries(failed: u16) -> u32 {
    u32::from(failed) + 1
}

/// How often consumers have failed with messages, by what the log tells of their deliveries.
pub fn failures(deliveries: u32) -> u16 {
    u16::try_from(deliveries.saturating_sub(1)).unwrap_or(u16::MAX)
}
