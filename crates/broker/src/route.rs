//! Routing: which queues a message reaches. A pure function over the topology.
//!
//! Each exchange is visited once, each queue reported once, whatever loops the bindings form. An exchange that matches nothing hands the
//! message to its alternate exchange.

use std::sync::Arc;

use leveret_message::table::TableRef;

use crate::bindings::ExchangeKind;
use crate::exchange::{Destination, Exchange};
use crate::queue_handle::QueueHandle;
use crate::vhost::Vhost;

#[cfg(test)]
mod tests;

/// Where a message goes, and what that answer depends on.
#[derive(Debug, Default)]
pub struct Reached {
    /// The queues, each once.
    pub queues: Vec<Arc<QueueHandle>>,
    /// The exchanges that were visited, with their versions before the visit: as long as these stay, so does the answer.
    pub visited: Vec<(Arc<Exchange>, u64)>,
    /// Whether the answer holds for this message only: it depends on headers, or on something that was not there.
    pub fleeting: bool,
}

/// Adds to `reached` the queues that a message published to `exchange` reaches under `routing_key`.
///
/// Each call visits each exchange once; calls for further routing keys of one message add to the same answer.
///
/// **Cost**: a lookup for each exchange visited; compares queues pairwise below 32 of them.
pub fn route(
    vhost: &Vhost,
    exchange: &Arc<Exchange>,
    routing_key: &[u8],
    headers: Option<TableRef<'_>>,
    reached: &mut Reached,
) {
    let mut next = vec![Arc::clone(exchange)];
    let visited_before = reached.visited.len();
    while let Some(exchange) = next.pop() {
        let visited = &reached.visited[visited_before..];
        if visited.iter().any(|(seen, _)| Arc::ptr_eq(seen, &exchange)) {
            continue;
        }
        reached
            .visited
            .push((Arc::clone(&exchange), exchange.version()));
        if exchange.is_default() {
            let queue = str::from_utf8(routing_key)
                .ok()
                .and_then(|name| vhost.find_queue(name));
            reached.fleeting |= queue.is_none();
            reached.queues.extend(queue);
            continue;
        }
        reached.fleeting |= exchange.kind == ExchangeKind::Headers;
        let mut matched = false;
        exchange.matches(routing_key, headers, |destination| {
            matched = true;
            match destination {
                Destination::Queue(queue) => reached.queues.push(Arc::clone(queue)),
                Destination::Exchange(further) => next.push(Arc::clone(further)),
            }
        });
        if let Some(alternate) = &exchange.settings.alternate_exchange
            && !matched
        {
            let alternate = vhost.find_exchange(alternate);
            reached.fleeting |= alternate.is_none();
            next.extend(alternate);
        }
    }
    remove_duplicates(&mut reached.queues);
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
