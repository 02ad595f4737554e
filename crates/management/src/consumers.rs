//! Consumers: what is told of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery};
use axum::response::Response;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::{ChannelFigures, ConsumerFigures, Detail, QueueFigures};
use leveret_broker::ids::ConnectionId;
use leveret_broker::queue_handle::{QueueHandle, QueueId};
use leveret_message::name::Name;
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
    let consumers = figures.into_iter().flat_map(|figures| &figures.consumed_by);
    let by: HashSet<_> = consumers.map(|of| of.holder.connection).collect();
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
    let mut found = Vec::new();
    for facts in facts {
        let figures = figures.get(&facts.link.connection);
        for channel in figures.into_iter().flat_map(|figures| &figures.channels) {
            let consumers = channel.consumers.iter().filter(|consumer| wanted(consumer));
            found.extend(consumers.map(|of| (facts, channel.number, of)));
        }
    }
    let activities = Activities::of_all(caller, found.iter().map(|(facts, _, of)| (*facts, *of)));
    let activities = activities.await;
    let described = found.iter().map(|(facts, channel, of)| {
        let activity = activities.get((facts.link.connection, *channel), &of.tag);
        describe(caller, facts, *channel, of, activity)
    });
    described.collect()
}

/// Whether a consumer gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// As any other of its queue.
    Up,
    /// It is the only one of its queue that does.
    SingleActive,
    /// Another one is.
    Waiting,
}

/// Which consumers of queues with a single active one are active.
#[derive(Debug, Default)]
pub(crate) struct Activities(HashMap<(ConnectionId, u16, Name), Activity>);

impl Activities {
    /// Asks the queues of some consumers, where they have a single active one.
    async fn of_all(
        caller: &Caller,
        consumers: impl Iterator<Item = (&ConnectionFacts, &ConsumerFigures)>,
    ) -> Self {
        let mut queues: HashMap<QueueId, Arc<QueueHandle>> = HashMap::new();
        for (facts, consumer) in consumers {
            let vhost =
                connections::vhost_of(facts).and_then(|name| caller.api.broker.vhost(name).ok());
            let queue = vhost.and_then(|vhost| vhost.find_queue(&consumer.queue));
            if let Some(queue) = queue.filter(|of| of.settings.single_active_consumer) {
                queues.insert(queue.id, queue);
            }
        }
        let queues: Vec<_> = queues.into_values().collect();
        let told = ask::queues(&caller.api.broker, &queues, Detail::Consumers).await;
        let consumers = told.into_values().flat_map(|figures| figures.consumed_by);
        let known = consumers.map(|of| {
            let activity = match of.active {
                true => Activity::SingleActive,
                false => Activity::Waiting,
            };
            ((of.holder.connection, of.holder.channel, of.tag), activity)
        });
        Self(known.collect())
    }

    /// Those of a channel's consumers.
    pub(crate) async fn of_channel(
        caller: &Caller,
        facts: &ConnectionFacts,
        channel: &ChannelFigures,
    ) -> Self {
        Self::of_all(caller, channel.consumers.iter().map(|of| (facts, of))).await
    }

    pub(crate) fn get(&self, (connection, channel): (ConnectionId, u16), tag: &Name) -> Activity {
        let found = self.0.get(&(connection, channel, tag.clone()));
        found.copied().unwrap_or(Activity::Up)
    }
}

pub(crate) fn describe(
    caller: &Caller,
    facts: &ConnectionFacts,
    channel: u16,
    consumer: &ConsumerFigures,
    activity: Activity,
) -> Value {
    json!({
        "consumer_tag": &*consumer.tag,
        "queue": {"name": &*consumer.queue, "vhost": connections::vhost_of(facts)},
        "channel_details": channels::details(caller, facts, channel),
        "ack_required": !consumer.no_ack,
        "active": activity != Activity::Waiting,
        "activity_status": match activity {
            Activity::Up => "up",
            Activity::SingleActive => "single_active",
            Activity::Waiting => "waiting",
        },
        "arguments": json::of_table(consumer.arguments.view()),
        "consumer_timeout": "undefined",
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
    })
}
