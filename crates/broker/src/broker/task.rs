//! Publishes what was told: as a connection does that has no socket, under the same allowance. It waits for the shards, and nobody waits for it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use leveret_message::batch::NewMessage;
use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;

use crate::broker::Broker;
use crate::command::Command;
use crate::events::{Events, Told};
use crate::filling::NewBody;
use crate::link::{Event, Link};
use crate::publisher::{NOBODY, Publisher};
use crate::vhost::Vhost;

/// Runs until the program ends; both exchanges are in that vhost.
pub async fn events_task(broker: Arc<Broker>, vhost: Arc<Vhost>) {
    let events = Arc::clone(&broker.events);
    // It consumes nothing.
    let link = Arc::new(Link::new(broker.connections.next_id(), 0));
    let mut publisher = Publisher::new(link.connection, vhost, broker.shards.clone());
    let (mut told, mut heard, mut connected) = (Vec::new(), Vec::new(), 0_u64);
    loop {
        let may_publish = publisher.has_allowance();
        poll_fn(|context| {
            let is_heard = link.events.poll_take(context, &mut heard).is_ready();
            let is_told = may_publish && events.told.poll_take(context, &mut told).is_ready();
            match is_heard || is_told {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        for event in heard.drain(..) {
            if let Event::Progress {
                shard, returned, ..
            } = event
            {
                publisher.returned(shard, returned);
            }
        }
        for told in told.drain(..) {
            publish(&events, &mut publisher, &told);
        }
        publisher.hand_over(|shard| {
            if connected & (1 << shard.0) == 0 {
                connected |= 1 << shard.0;
                let connect = Command::Connect(Arc::clone(&link));
                broker.shards.send(shard, connect);
            }
        });
    }
}

fn publish(events: &Events, publisher: &mut Publisher, told: &Told) {
    events.let_go(told);
    let routing_key = told.routing_key.as_bytes();
    let Some(key) = exchange_and_key::join(told.to.name.as_bytes(), routing_key) else {
        return;
    };
    let route = publisher.remembered(&key).unwrap_or_else(|| {
        let properties = Properties::parse(&told.properties).unwrap_or_default();
        publisher.route(&told.to, &key, std::iter::once(routing_key), properties)
    });
    let message = NewMessage {
        exchange_and_key: &key,
        properties: &told.properties,
        persistent: told.persistent,
        priority: 0,
    };
    publisher.publish((NOBODY, route), message, &NewBody::Copied(&told.body));
}
