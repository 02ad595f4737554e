//! Channels: what is told of them.

use axum::extract::{Path, Query as UrlQuery};
use axum::response::Response;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::ChannelFigures;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::consumers::Activities;
use crate::figure::{self, Figures};
use crate::rates::{Key, Rated, Rates};
use crate::refusal::Refusal;
use crate::{ask, breakdowns, connections, consumers, idle, list};

/// `GET /channels`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let facts = connections::visible(&caller, |_| true);
    query.answer(describe_all(&caller, facts).await)
}

/// `GET /vhosts/{vhost}/channels`.
pub(crate) async fn of_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let is_there = |facts: &_| connections::vhost_of(facts) == Some(&*vhost.name);
    let facts = connections::visible(&caller, is_there);
    query.answer(describe_all(&caller, facts).await)
}

/// `GET /connections/{name}/channels`.
pub(crate) async fn of_connection(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let facts = connections::named(&caller, &name)?;
    query.answer(describe_all(&caller, vec![facts]).await)
}

/// `GET /channels/{name}`: the connection's name, a space, and the number in brackets.
pub(crate) async fn one(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let (connection, _) = name.rsplit_once(" (").ok_or_else(Refusal::not_found)?;
    let facts = connections::named(&caller, connection)?;
    let figures = ask::connections(std::slice::from_ref(&facts)).await;
    let channels = figures
        .get(&facts.link.connection)
        .map(|figures| &figures.channels);
    let mut channels = channels.into_iter().flatten();
    let found = channels.find(|channel| self::name(&facts, channel.number) == name);
    let found = found.ok_or_else(Refusal::not_found)?;
    let key = Key::Channel(facts.link.connection, found.number);
    let rated = Rates::of_one(
        &caller.api,
        key.clone(),
        self::figures(found),
        &query.ranges()?,
    );
    let mut described = describe(&caller, &facts, found, &rated);
    let activities = Activities::of_channel(&caller, &facts, found).await;
    let consumers = found.consumers.iter();
    let consumers = consumers.map(|of| {
        let activity = activities.get((facts.link.connection, found.number), &of.tag);
        consumers::describe(&caller, &facts, found.number, of, activity)
    });
    described["consumer_details"] = consumers.collect();
    described["publishes"] = breakdowns::publishes_of_channel(&caller, &key, found);
    described["deliveries"] = breakdowns::deliveries_of_channel(&caller, &key, found);
    Ok(query.one(described))
}

/// What other things tell of a channel.
pub(crate) fn details(caller: &Caller, facts: &ConnectionFacts, number: u16) -> Value {
    let mut details = connections::short(facts);
    details["connection_name"] = facts.name.clone().into();
    details["name"] = name(facts, number).into();
    details["number"] = number.into();
    details["node"] = caller.api.node.name.clone().into();
    details["user"] = connections::user_of(facts).into();
    details
}

pub(crate) fn name(facts: &ConnectionFacts, number: u16) -> String {
    format!("{} ({number})", facts.name)
}

async fn describe_all(caller: &Caller, facts: Vec<ConnectionFacts>) -> Vec<Value> {
    let figures = ask::connections(&facts).await;
    let mut all = Vec::new();
    for facts in &facts {
        let figures = figures.get(&facts.link.connection);
        let mut channels: Vec<_> = figures.into_iter().flat_map(|f| &f.channels).collect();
        channels.sort_by_key(|channel| channel.number);
        all.extend(channels.into_iter().map(|channel| (facts, channel)));
    }
    let things = all.iter().map(|(facts, channel)| {
        let key = Key::Channel(facts.link.connection, channel.number);
        (key, self::figures(channel))
    });
    let rated = Rates::of_list(&caller.api, things);
    let described = all.iter().zip(&rated);
    described
        .map(|((facts, channel), rated)| describe(caller, facts, channel, rated))
        .collect()
}

pub(crate) fn figures(channel: &ChannelFigures) -> Figures {
    Figures::default().with_counts(&channel.counts)
}

fn describe(
    caller: &Caller,
    facts: &ConnectionFacts,
    channel: &ChannelFigures,
    rated: &Rated,
) -> Value {
    let mut described = json!({
        "name": name(facts, channel.number),
        "number": channel.number,
        "node": caller.api.node.name,
        "user": connections::user_of(facts),
        "user_who_performed_action": connections::user_of(facts),
        "vhost": connections::vhost_of(facts),
        "connection_details": connections::short(facts),
        "state": "running",
        "transactional": channel.transactional,
        "confirm": channel.confirm,
        "consumer_count": channel.consumers.len(),
        "messages_unacknowledged": channel.unacked,
        "messages_unconfirmed": channel.unconfirmed,
        "messages_uncommitted": channel.uncommitted,
        "acks_uncommitted": channel.acks_uncommitted,
        "prefetch_count": channel.prefetch,
        "global_prefetch_count": channel.global_prefetch,
    });
    if let Some(idle_since) = idle::since(channel.idle_for) {
        described["idle_since"] = idle_since.into();
    }
    if let Some(stats) = rated.stats(&[figure::PUBLISHED, figure::DELIVERED]) {
        described["message_stats"] = stats;
    }
    described
}
