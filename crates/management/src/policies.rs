//! Policies and operator policies: what is told of them; setting and removing.

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::policies::{Policy, Sort};
use leveret_broker::vhost::Vhost;
use serde_json::Value;

use crate::body::Body;
use crate::caller::Caller;
use crate::permissions::status;
use crate::queues::named;
use crate::refusal::Refusal;
use crate::{ask, list};

/// `GET /policies`, `/policies/{vhost}`, and for operator policies.
pub(crate) async fn all(
    sort: Sort,
    caller: Caller,
    vhost: Option<Path<String>>,
    query: list::Query,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    query.answer(
        vhosts
            .iter()
            .flat_map(|vhost| of_vhost(sort, vhost))
            .collect(),
    )
}

/// `GET /policies/{vhost}/{name}`, and for operator policies.
pub(crate) async fn one(
    sort: Sort,
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let policy = vhost.policies.read().get(sort, &name).cloned();
    let policy = policy.ok_or_else(Refusal::not_found)?;
    Ok(query.one(describe(&vhost, &policy)))
}

/// `PUT` there: 201, or 204 where there was one.
pub(crate) async fn put(
    sort: Sort,
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(value): Body<Value>,
) -> Result<StatusCode, Refusal> {
    let vhost = may_change(sort, &caller, &vhost)?;
    let missing = ["pattern", "definition"].into_iter();
    let mut missing = missing.filter(|key| value.get(key).is_none());
    if let Some(key) = missing.next() {
        return Err(Refusal::key_missing(key));
    }
    let broker = &caller.api.broker;
    let is_new = broker.put_policy(sort, &vhost.name, &named(&name)?, &value)?;
    ask::kept(broker).await;
    Ok(status(is_new))
}

/// `DELETE` there: 204.
pub(crate) async fn delete(
    sort: Sort,
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let vhost = may_change(sort, &caller, &vhost)?;
    let broker = &caller.api.broker;
    if !broker.delete_policy(sort, &vhost.name, &name)? {
        return Err(Refusal::not_found());
    }
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Operator policies are administrators' alone.
fn may_change(sort: Sort, caller: &Caller, vhost: &str) -> Result<std::sync::Arc<Vhost>, Refusal> {
    if sort == Sort::Operator {
        caller.must_administrate()?;
    }
    caller.policies_of(vhost)
}

/// The policies of a vhost, as definitions have them, by name.
pub(crate) fn of_vhost(sort: Sort, vhost: &Vhost) -> Vec<Value> {
    let mut policies = vhost.policies.read().of(sort).to_vec();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    policies
        .iter()
        .map(|policy| describe(vhost, policy))
        .collect()
}

fn describe(vhost: &Vhost, policy: &Policy) -> Value {
    let mut described = policy.value();
    described["vhost"] = (*vhost.name).into();
    described["name"] = (*policy.name).into();
    described
}
