//! What the log knows of a queue: what was there before the broker was started, and messages as they are read back.

use std::sync::Arc;

use leveret_message::batch::{Arrivals, Batch};
use leveret_store::log::Read;

/// Messages of one stream of a queue in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundMessages {
    /// The stream of the queue that they are in: a priority, or what is due in the same stretch of time.
    pub stream: u32,
    /// The first sequence number.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
    /// How many there are.
    pub count: u64,
    /// About how many bytes their records have.
    pub bytes: u64,
}

/// Messages of one stream of a queue in the log that were handed out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundReturned {
    /// The stream of the queue that they are in.
    pub stream: u32,
    /// The first sequence number.
    pub first_seq: u64,
    /// How many there are; all numbers up to the last are there.
    pub count: u64,
    /// How often each was delivered.
    pub deliveries: u32,
    /// When they are ready again, in milliseconds since 1970; 0 where they do not wait.
    pub ready_ms: u64,
}

/// A queue of which the log knows something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundQueue {
    /// Its number.
    pub id: u64,
    /// Its messages, by priority.
    pub messages: Vec<FoundMessages>,
    /// Those before them, up to the last one that waits for its next delivery.
    pub returned: Vec<FoundReturned>,
    /// The lowest sequence number that was not given yet.
    pub next_seq: u64,
    /// Messages below this one went back to the queue after a delivery.
    pub returned_below: u64,
}

impl FoundQueue {
    /// What a queue begins with. Where the broker before did not end in order, every message may have been delivered.
    pub(crate) fn recovered(
        self,
        was_running: bool,
        offsets: Vec<(Box<str>, u64)>,
    ) -> RecoveredQueue {
        RecoveredQueue {
            messages: self.messages,
            returned: self.returned,
            next_seq: self.next_seq,
            redelivered_below: match was_running {
                true => self.next_seq,
                false => self.returned_below,
            },
            offsets,
        }
    }
}

/// What a recovered queue begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// The messages that the log has, by priority.
    pub messages: Vec<FoundMessages>,
    /// Messages before these of which it is known that they were handed out, where some of them wait for their next delivery.
    pub returned: Vec<FoundReturned>,
    /// The sequence number that the next message gets.
    pub next_seq: u64,
    /// Messages below this one may have been delivered before.
    pub redelivered_below: u64,
    /// How far readers with names had come, where it is a stream.
    pub offsets: Vec<(Box<str>, u64)>,
}

/// What was read from the log, as a batch.
///
/// **Panics** where what passed the log's checksums are no records: another program wrote the data folder.
pub fn batch_of(read: Read) -> Arc<Batch> {
    let mut batch = Batch::read(read.records).expect("the log gives back what it was given");
    let mut arrivals = Arrivals::default();
    for (index, ms) in read.arrivals {
        arrivals.push(index, ms);
    }
    batch.set_arrivals(arrivals);
    Arc::new(batch)
}
