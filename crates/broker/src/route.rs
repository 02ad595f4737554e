//! Routing: which queues a message reaches. A pure function over the topology.
//!
//! Each exchange is visited once, each queue reported once, whatever loops the bindings form. An exchange that matches none of the message's
//! routing keys hands it to its alternate exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_message::properties::Properties;
use leveret_message::table::TableRef;
use smallvec::{SmallVec, smallvec};

use crate::deduplication::HEADER;
use crate::delay::delay_ms;
use crate::exchange::{Destination, Exchange};
use crate::queue_handle::QueueHandle;
use crate::vhost::Vhost;

pub mod pick;
#[cfg(test)]
mod tests;

/// See [`changes`].
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// How often something changed that a route may depend on: an exchange's version, or a queue that is gone, in any vhost. As long as it stays, all
/// routes that held do hold, which is told by one look instead of one at each exchange and queue of each route.
pub(crate) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// Something that a route may depend on has changed.
pub(crate) fn changed() {
    CHANGES.fetch_add(1, Ordering::AcqRel);
}

/// What of a message its way depends on.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// Its routing key, and those of `CC` and `BCC`.
    pub routing_keys: &'a [&'a [u8]],
    /// Its properties.
    pub properties: Properties<'a>,
    /// For exchanges that leave it to chance.
    pub chance: u64,
}

/// Exchanges that were visited, with their versions before the visit.
pub type Visited = SmallVec<[(Arc<Exchange>, u64); 1]>;

/// Where a message goes, and what that answer depends on.
#[derive(Debug, Default)]
pub struct Reached {
    /// The queues, each once.
    pub queues: Vec<Arc<QueueHandle>>,
    /// As long as the versions of these stay, so does the answer.
    pub visited: Visited,
    /// Whether the answer holds for this message only: it depends on more than its routing key, or on something that was not there.
    pub fleeting: bool,
}

/// The queues that a message published to `exchange` reaches. Every exchange on the way is asked with all of its routing keys, as in RabbitMQ.
///
/// **Cost**: a lookup for each exchange visited and key; compares queues pairwise below 32 of them.
pub fn route(vhost: &Vhost, exchange: &Arc<Exchange>, message: &Routed<'_>) -> Reached {
    route_past(vhost, exchange, message, None)
}

/// What the window of the exchange that a route begins at has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The message was not there before.
    New,
    /// It was: no binding takes it.
    Duplicate,
}

/// As [`route`], for a message that has come to the window of `exchange`, which has found something.
pub fn route_past(
    vhost: &Vhost,
    exchange: &Arc<Exchange>,
    message: &Routed<'_>,
    found: Option<Found>,
) -> Reached {
    let past = found.map(|found| (exchange, found));
    let (routing_keys, headers) = (message.routing_keys, message.properties.headers());
    let mut reached = Reached::default();
    let mut next: SmallVec<[Arc<Exchange>; 2]> = smallvec![Arc::clone(exchange)];
    while let Some(exchange) = next.pop() {
        let visited = &reached.visited;
        if visited.iter().any(|(seen, _)| Arc::ptr_eq(seen, &exchange)) {
            continue;
        }
        reached
            .visited
            .push((Arc::clone(&exchange), exchange.version()));
        if exchange.is_default() {
            for routing_key in routing_keys {
                let queue = str::from_utf8(routing_key)
                    .ok()
                    .and_then(|name| vhost.find_queue(name).or_else(|| vhost.find_replies(name)))
                    .filter(|queue| queue.delays().is_none());
                reached.fleeting |= queue.is_none();
                reached.queues.extend(queue);
            }
            continue;
        }
        // An exchange that was deleted before its version was read keeps that version for ever, and a new one of its name is another exchange.
        reached.fleeting |= pick::is_fleeting(&exchange) || exchange.is_deleted();
        if let Some(delay) = exchange.delay.get()
            && delay_ms(headers) > 0
        {
            reached.queues.push(Arc::clone(delay));
            continue;
        }
        let found = past.and_then(|(past, found)| Arc::ptr_eq(past, &exchange).then_some(found));
        if let Some(window) = window_for(&exchange, headers)
            && found.is_none()
        {
            reached.queues.push(Arc::clone(window));
            continue;
        }
        let mut matched = false;
        let mut reach = |destination: &Destination| {
            matched = true;
            match destination {
                Destination::Queue(queue) => reached.queues.push(Arc::clone(queue)),
                Destination::Exchange(further) => next.push(Arc::clone(further)),
            }
        };
        if exchange.routes_as.picks_one() {
            exchange.pick(pick::number(&exchange, message), reach);
        } else if found != Some(Found::Duplicate) {
            for routing_key in routing_keys {
                exchange.matches(routing_key, headers, &mut reach);
            }
        }
        if !matched && let Some(alternate) = exchange.alternate() {
            let alternate = vhost.find_exchange(&alternate);
            reached.fleeting |= alternate.is_none();
            next.extend(alternate);
        }
    }
    // Looked at behind the versions, which rise when this has changed.
    reached.fleeting |= vhost.is_traced();
    remove_duplicates(&mut reached.queues);
    reached
}

/// The window of an exchange, if a message with these headers is to come to it: there is something to tell it by, and somewhere to go.
fn window_for<'e>(
    exchange: &'e Exchange,
    headers: Option<TableRef<'_>>,
) -> Option<&'e Arc<QueueHandle>> {
    let window = exchange.window.get()?;
    headers?.find(HEADER)?;
    (exchange.bindings_count() > 0).then_some(window)
}

fn remove_duplicates(queues: &mut Vec<Arc<QueueHandle>>) {
    if queues.len() < 32 {
        let mut kept = 0;
        for i in 0..queues.len() {
            if !queues[..kept].iter().any(|seen| seen.id == queues[i].id) {
                queues.swap(kept, i);
                kept += 1;
            }
        }
        queues.truncate(kept);
    } else {
        queues.sort_by_key(|queue| queue.id);
        queues.dedup_by_key(|queue| queue.id);
    }
}
