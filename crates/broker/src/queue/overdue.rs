//! Deliveries that their consumers do not settle in time: `x-consumer-timeout` (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
//!
//! A delivery is marked with the tick in which it was handed out. Nothing else is kept: a queue whose consumers have a timeout is looked through when the
//! oldest delivery that was seen the last time is due.

use std::time::Duration;

use crate::ids::Holder;
use crate::queue::Queue;
use crate::queue::consumers::ConsumerKey;

/// How finely time is counted.
const TICK: Duration = Duration::from_millis(100);

/// A time since the shard was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick that has begun so long after the start. After 13 years it stays the same.
    pub fn after(since_start: Duration) -> Self {
        let ticks = since_start.as_millis() / TICK.as_millis();
        Self(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// What has passed for certain: both may be at any point of their tick.
    fn until(self, later: Tick) -> Duration {
        TICK * later.0.saturating_sub(self.0).saturating_sub(1)
    }
}

/// A delivery that was not settled in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Who holds it.
    pub holder: Holder,
    /// Its consumer.
    pub consumer: ConsumerKey,
    /// The sequence number of the first message.
    pub first_seq: u64,
    /// How many messages.
    pub count: u64,
}

impl Queue {
    /// The deliveries that are overdue, and in how much time the next one will be. **Cost**: by the pieces that are held.
    pub fn overdue(&mut self, now: Tick) -> (Vec<Overdue>, Option<Duration>) {
        let (mut overdue, mut next) = (Vec::new(), None::<Duration>);
        let consumers = &self.consumers;
        let timeout = |key| {
            consumers
                .iter()
                .find(|one| one.key == key)
                .and_then(|one| one.timeout)
        };
        self.unacked.each(|holder, piece| {
            let Some(consumer) = piece.value.consumer else {
                return;
            };
            let Some(timeout) = timeout(consumer) else {
                return;
            };
            match timeout.checked_sub(piece.value.handed_at.until(now)) {
                None | Some(Duration::ZERO) => overdue.push(Overdue {
                    holder,
                    consumer,
                    first_seq: piece.first,
                    count: piece.count,
                }),
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
            }
        });
        (overdue, next)
    }
}
