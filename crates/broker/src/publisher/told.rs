//! Who has published how much to what: told to exchanges, to queues and to the connection, once for each hand-over and not for each message.

use std::sync::Arc;

use super::{Publisher, RouteIndex};
use crate::exchange::Exchange;

/// Stands for a channel where there is none: the broker publishes something itself.
pub const NOBODY: u16 = 0;

/// Messages that a channel published one after the other on the same route.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) channel: u16,
    pub(super) route: RouteIndex,
    pub(super) count: u64,
}

/// Stretches of a channel to the same exchange, one after the other.
struct Sum {
    channel: u16,
    /// Only to be compared.
    exchange: *const Exchange,
    /// The first of their routes.
    route: RouteIndex,
    came: u64,
    went: u64,
}

/// How much a channel has published to an exchange.
#[derive(Clone, Debug)]
pub struct PublishedTo {
    /// The channel.
    pub channel: u16,
    /// The exchange.
    pub exchange: Arc<Exchange>,
    /// How many messages.
    pub count: u64,
}

impl Publisher {
    /// Tells exchanges and queues what was published since the last time.
    pub(super) fn tell(&mut self) {
        let mut stretches = std::mem::take(&mut self.stretches);
        let mut sum: Option<Sum> = None;
        for stretch in &stretches {
            let route = &self.routes[stretch.route.0];
            for queue in route.handles.iter() {
                queue.note_published(&route.exchange, stretch.count);
            }
            let went = stretch.count * route.handles.len() as u64;
            let exchange = Arc::as_ptr(&route.exchange);
            match &mut sum {
                Some(sum) if sum.exchange == exchange && sum.channel == stretch.channel => {
                    sum.came += stretch.count;
                    sum.went += went;
                }
                _ => {
                    let next = Sum {
                        channel: stretch.channel,
                        exchange,
                        route: stretch.route,
                        came: stretch.count,
                        went,
                    };
                    if let Some(sum) = sum.replace(next) {
                        self.note_sum(&sum);
                    }
                }
            }
        }
        if let Some(sum) = sum {
            self.note_sum(&sum);
        }
        stretches.clear();
        self.stretches = stretches;
    }

    fn note_sum(&mut self, sum: &Sum) {
        let route = &mut self.routes[sum.route.0];
        let exchange = Arc::clone(&route.exchange);
        let is_new = !std::mem::replace(&mut route.is_known, true);
        if is_new && sum.channel != NOBODY {
            self.make_known(&exchange);
        }
        self.note(sum.channel, exchange, (sum.came, sum.went));
    }

    /// A channel has published so many messages to an exchange, and queues took them so many times.
    pub(super) fn note(&mut self, channel: u16, exchange: Arc<Exchange>, (came, went): (u64, u64)) {
        // What goes to an internal exchange is the broker's own, such as the firehose's.
        if !exchange.internal {
            self.published += came;
        }
        exchange.note_published(came, went);
        if channel == NOBODY {
            return;
        }
        let is_same = |known: &Arc<Exchange>| Arc::ptr_eq(known, &exchange);
        match self.told.last_mut() {
            Some(last) if last.channel == channel && is_same(&last.exchange) => last.count += came,
            _ => self.told.push(PublishedTo {
                channel,
                exchange,
                count: came,
            }),
        }
    }

    /// Lets an exchange know that this connection publishes to it.
    pub(super) fn make_known(&mut self, exchange: &Arc<Exchange>) {
        // The last ones are the likely ones.
        if !self
            .known_to
            .iter()
            .rev()
            .any(|known| Arc::ptr_eq(known, exchange))
        {
            exchange.note_publisher(self.connection);
            self.known_to.push(Arc::clone(exchange));
        }
    }

    /// Who has published to what since this was asked last.
    pub fn take_told(&mut self) -> impl Iterator<Item = PublishedTo> {
        self.told.drain(..)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for exchange in &self.known_to {
            exchange.forget_publisher(self.connection);
        }
    }
}
