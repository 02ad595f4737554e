//! Where the messages of a thing come from and go to: queues and exchanges by channel and by each other, channels by exchange and queue. RabbitMQ tells
//! this with `management.rates_mode = detailed`.
//!
//! Channels and queues count it for themselves; what is told here is of channels that are open.

use std::sync::Arc;

use leveret_broker::connections::ConnectionFacts;
use leveret_broker::exchange::Exchange;
use leveret_broker::figures::{ChannelFigures, DeliveryCounts, MessageCounts, QueueFigures};
use leveret_broker::ids::ConnectionId;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::vhost::Vhost;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::figure::{self, Figure, Figures};
use crate::rates::{Key, Rates};
use crate::{ask, channels, exchanges, queues};

/// So many connections are asked for one breakdown; what others do is not in it.
const ASKED_MAX: usize = 1000;

/// One line of a breakdown: what it is of, its name and how it is told, and its figures.
struct Part {
    of: Key,
    name: &'static str,
    told: Value,
    figures: Figures,
}

/// What came into a queue, by exchange.
pub(crate) fn incoming_of_queue(caller: &Caller, queue: &QueueHandle) -> Value {
    let incoming = queue.incoming().into_iter();
    let parts = incoming.map(|(exchange, count)| to_exchange(&exchange, count));
    told(caller, &queues::key(queue), parts)
}

/// What a queue sent, by channel.
pub(crate) async fn deliveries_of_queue(
    caller: &Caller,
    queue: &QueueHandle,
    figures: Option<&QueueFigures>,
) -> Value {
    let consuming = figures.into_iter().flat_map(|of| &of.consumed_by);
    let consuming = consuming.map(|consumer| consumer.holder.connection);
    let holding = figures.into_iter().flat_map(|of| &of.held_by);
    let holding = holding.map(|holder| holder.connection);
    let mut parts = Vec::new();
    for (facts, channel) in channels_of(caller, consuming.chain(holding)).await {
        let counts = channel.delivered_from.iter();
        let mut counts = counts.filter(|(of, _)| of.id == queue.id);
        if let Some((_, counts)) = counts.next() {
            let figures = deliveries(counts);
            parts.push(of_channel(caller, &facts, channel.number, figures));
        }
    }
    told(caller, &queues::key(queue), parts)
}

/// What came to an exchange, by channel.
pub(crate) async fn incoming_of_exchange(caller: &Caller, exchange: &Arc<Exchange>) -> Value {
    let publishers = exchange.publishers().into_iter();
    let mut parts = Vec::new();
    for (facts, channel) in channels_of(caller, publishers).await {
        let counts = channel.published_to.iter();
        let mut counts = counts.filter(|(of, _)| Arc::ptr_eq(of, exchange));
        if let Some((_, count)) = counts.next() {
            let figures = published(*count);
            parts.push(of_channel(caller, &facts, channel.number, figures));
        }
    }
    told(caller, &exchanges::key(exchange), parts)
}

/// What came from an exchange, by queue. **Cost**: a look at each queue of the vhost.
pub(crate) fn outgoing_of_exchange(
    caller: &Caller,
    vhost: &Vhost,
    exchange: &Arc<Exchange>,
) -> Value {
    let all = vhost.queues();
    let parts = all.iter().flat_map(|queue| {
        let incoming = queue.incoming().into_iter();
        let mut incoming = incoming.filter(|(of, _)| Arc::ptr_eq(of, exchange));
        incoming
            .next()
            .map(|(_, count)| from_queue(queue, published(count)))
    });
    told(caller, &exchanges::key(exchange), parts)
}

/// What a channel has published, by exchange.
pub(crate) fn publishes_of_channel(caller: &Caller, key: &Key, channel: &ChannelFigures) -> Value {
    let to = channel.published_to.iter();
    told(
        caller,
        key,
        to.map(|(exchange, count)| to_exchange(exchange, *count)),
    )
}

/// What a channel was sent, by queue.
pub(crate) fn deliveries_of_channel(caller: &Caller, key: &Key, channel: &ChannelFigures) -> Value {
    let from = channel.delivered_from.iter();
    told(
        caller,
        key,
        from.map(|(queue, counts)| from_queue(queue, deliveries(counts))),
    )
}

fn published(count: u64) -> Figures {
    Figures::default().with(Figure::Publish, count)
}

fn deliveries(counts: &DeliveryCounts) -> Figures {
    Figures::default().with_counts(&MessageCounts::from(*counts))
}

fn to_exchange(exchange: &Exchange, count: u64) -> Part {
    Part {
        of: exchanges::key(exchange),
        name: "exchange",
        told: json!({"name": &*exchange.name, "vhost": &*exchange.vhost}),
        figures: published(count),
    }
}

fn from_queue(queue: &QueueHandle, figures: Figures) -> Part {
    Part {
        of: queues::key(queue),
        name: "queue",
        told: json!({"name": &**queue.name(), "vhost": &*queue.vhost_name}),
        figures,
    }
}

fn of_channel(caller: &Caller, facts: &ConnectionFacts, number: u16, figures: Figures) -> Part {
    Part {
        of: Key::Channel(facts.link.connection, number),
        name: "channel_details",
        told: channels::details(caller, facts, number),
        figures,
    }
}

/// The channels of some connections; each connection is asked once.
async fn channels_of(
    caller: &Caller,
    connections: impl Iterator<Item = ConnectionId>,
) -> Vec<(ConnectionFacts, ChannelFigures)> {
    let mut ids: Vec<ConnectionId> = connections.collect();
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    ids.truncate(ASKED_MAX);
    let facts = ids
        .iter()
        .filter_map(|id| caller.api.broker.connections.get(*id));
    let facts: Vec<_> = facts.collect();
    let mut figures = ask::connections(&facts).await;
    let mut all = Vec::new();
    for facts in facts {
        let figures = figures.remove(&facts.link.connection);
        let mut channels = figures.map(|of| of.channels).unwrap_or_default();
        channels.sort_by_key(|channel| channel.number);
        all.extend(channels.into_iter().map(|channel| (facts.clone(), channel)));
    }
    all
}

fn told(caller: &Caller, whole: &Key, parts: impl IntoIterator<Item = Part>) -> Value {
    let parts: Vec<Part> = parts.into_iter().collect();
    let things = parts.iter().map(|part| {
        let key = Key::Part(Box::new((whole.clone(), part.of.clone())));
        (key, part.figures.clone())
    });
    let rated = Rates::of_list(&caller.api, things);
    let parts = parts.into_iter().zip(&rated);
    let told = parts.filter_map(|(part, rated)| {
        let stats = rated.stats(&[figure::ENTERED, figure::DELIVERED])?;
        Some(json!({"stats": stats, part.name: part.told}))
    });
    told.collect()
}
