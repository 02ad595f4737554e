//! Exchanges: what is told of them; declaring and deleting.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::error::{Error, Kind};
use leveret_broker::exchange::{Exchange, ExchangeDeclaration};
use leveret_broker::users::Access;
use leveret_broker::vhost::Vhost;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::{Body, Flag};
use crate::caller::Caller;
use crate::figure::{Figure, Figures};
use crate::queues::{Conditions, named};
use crate::rates::{Key, Rated, Rates};
use crate::refusal::Refusal;
use crate::{ask, breakdowns, json, list};

/// The name of the default exchange in paths.
const DEFAULT: &str = "amq.default";

/// The name of an exchange, of what a path says.
pub(crate) fn of_path(name: &str) -> &str {
    if name == DEFAULT { "" } else { name }
}

/// `GET /exchanges`, `/exchanges/{vhost}`.
pub(crate) async fn all(
    caller: Caller,
    vhost: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    let mut all = Vec::new();
    for vhost in &vhosts {
        let mut exchanges = vhost.exchanges();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        all.extend(exchanges.into_iter().map(|exchange| (vhost, exchange)));
    }
    let things = all.iter();
    let things = things.map(|(_, exchange)| (key(exchange), figures(exchange)));
    let rated = Rates::of_list(&caller.api, things);
    let described = all.iter().zip(&rated);
    let described = described.map(|((vhost, exchange), rated)| describe(vhost, exchange, rated));
    query.answer(described.collect())
}

/// `GET /exchanges/{vhost}/{name}`.
pub(crate) async fn one(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let exchange = vhost.exchange(of_path(&name))?;
    let ranges = query.ranges()?;
    let rated = Rates::of_one(&caller.api, key(&exchange), figures(&exchange), &ranges);
    let mut described = describe(&vhost, &exchange, &rated);
    described["incoming"] = breakdowns::incoming_of_exchange(&caller, &exchange).await;
    described["outgoing"] = breakdowns::outgoing_of_exchange(&caller, &vhost, &exchange);
    Ok(query.one(described))
}

/// `PUT /exchanges/{vhost}/{name}`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewExchange {
    #[serde(rename = "type")]
    kind: Option<String>,
    durable: Option<Flag>,
    #[serde(default)]
    auto_delete: Flag,
    #[serde(default)]
    internal: Flag,
    arguments: Option<Value>,
}

impl NewExchange {
    pub(crate) fn declaration(&self, name: &str) -> Result<ExchangeDeclaration, Refusal> {
        let kind = self.kind.as_deref().unwrap_or("direct");
        let known = ExchangeKind::from_name(kind);
        Ok(ExchangeDeclaration {
            name: named(name)?,
            kind: known.ok_or_else(|| Error::UnknownExchangeType(kind.to_owned()))?,
            durable: self.durable.is_none_or(|Flag(durable)| durable),
            auto_delete: self.auto_delete.0,
            internal: self.internal.0,
            arguments: json::to_table(self.arguments.as_ref())?,
        })
    }
}

/// Declares an exchange: 201, or 204 where an equivalent one was there.
pub(crate) async fn put(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(new): Body<NewExchange>,
) -> Result<StatusCode, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let name = of_path(&name);
    caller.check(&vhost, Access::Configure, (Kind::Exchange, name))?;
    let was_there = vhost.find_exchange(name).is_some();
    vhost.declare_exchange(new.declaration(name)?)?;
    ask::kept(&caller.api.broker).await;
    Ok(match was_there {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::CREATED,
    })
}

/// Deletes an exchange: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(conditions): UrlQuery<Conditions>,
) -> Result<StatusCode, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let name = of_path(&name);
    vhost.exchange(name)?;
    caller.check(&vhost, Access::Configure, (Kind::Exchange, name))?;
    vhost.delete_exchange(name, conditions.if_unused)?;
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn key(exchange: &Exchange) -> Key {
    Key::Exchange(exchange.vhost.clone(), exchange.name.clone())
}

pub(crate) fn figures(exchange: &Exchange) -> Figures {
    let (came, went) = exchange.published();
    Figures::default()
        .with(Figure::PublishIn, came)
        .with(Figure::PublishOut, went)
}

fn describe(vhost: &Vhost, exchange: &Arc<Exchange>, rated: &Rated) -> Value {
    let policy = vhost.exchange_policy(exchange).policy;
    let mut described = json!({
        "name": &*exchange.name,
        "vhost": &*vhost.name,
        "type": exchange.kind.name(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": json::of_table(exchange.arguments.view()),
        "user_who_performed_action": null,
    });
    if let Some(policy) = policy {
        described["policy"] = policy.name.to_string().into();
    }
    if let Some(stats) = rated.stats(&[&[Figure::PublishIn], &[Figure::PublishOut]]) {
        described["message_stats"] = stats;
    }
    described
}
