//! Consumers: what is told of them.

use std::collections::HashSet;

use axum::extract::{Path, Query as UrlQuery};
use axum::response::Response;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::{ConsumerFigures, QueueFigures};
use leveret_broker::queue_handle::QueueHandle;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::refusal::Refusal;
use crate::{ask, channels, connections, json, list};

/// `GET /consumers`, `/consumers/{vhost}`.
pub(crate) async fn all(
    caller: Caller,
    vhost: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    let vhosts: HashSet<&str> = vhosts.iter().map(|vhost| &*vhost.name).collect();
    let mut facts = caller.api.broker.connections.all();
    facts.retain(|facts| connections::vhost_of(facts).is_some_and(|vhost| vhosts.contains(vhost)));
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    query.answer(of(&caller, &facts, |_| true).await)
}

/// The consumers of a queue.
pub(crate) async fn of_queue(
    caller: &Caller,
    queue: &QueueHandle,
    figures: Option<&QueueFigures>,
) -> Vec<Value> {
    let holders = figures.into_iter().flat_map(|figures| &figures.consumed_by);
    let by: HashSet<_> = holders.map(|holder| holder.connection).collect();
    let facts = by
        .iter()
        .filter_map(|connection| caller.api.broker.connections.get(*connection));
    let facts: Vec<_> = facts.collect();
    of(caller, &facts, |consumer| consumer.queue == *queue.name()).await
}

async fn of(
    caller: &Caller,
    facts: &[ConnectionFacts],
    wanted: impl Fn(&ConsumerFigures) -> bool,
) -> Vec<Value> {
    let figures = ask::connections(facts).await;
    let mut all = Vec::new();
    for facts in facts {
        let figures = figures.get(&facts.link.connection);
        for channel in figures.into_iter().flat_map(|figures| &figures.channels) {
            let consumers = channel.consumers.iter().filter(|consumer| wanted(consumer));
            all.extend(consumers.map(|of| describe(caller, facts, channel.number, of)));
        }
    }
    all
}

pub(crate) fn describe(
    caller: &Caller,
    facts: &ConnectionFacts,
    channel: u16,
    consumer: &ConsumerFigures,
) -> Value {
    let mut details = connections::short(facts);
    details["connection_name"] = facts.name.clone().into();
    details["name"] = channels::name(facts, channel).into();
    details["number"] = channel.into();
    details["node"] = caller.api.node.name.clone().into();
    details["user"] = connections::user_of(facts).into();
    json!({
        "consumer_tag": &*consumer.tag,
        "queue": {"name": &*consumer.queue, "vhost": connections::vhost_of(facts)},
        "channel_details": details,
        "ack_required": !consumer.no_ack,
        "active": true,
        "activity_status": "up",
        "arguments": json::of_table(consumer.arguments.view()),
        "consumer_timeout": "undefined",
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
    })
}
