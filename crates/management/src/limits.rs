//! Limits of vhosts and of users: what is told of them; setting and removing one at a time.

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::users::UserLimits;
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::caller::Caller;
use crate::queues::named;
use crate::refusal::Refusal;
use crate::{ask, list};

/// `GET /vhost-limits`, `/vhost-limits/{vhost}`.
pub(crate) async fn of_vhosts(
    caller: Caller,
    vhost: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    let limited = vhosts.iter().filter_map(|vhost| {
        let value = vhost.limits.value();
        (!value.is_empty()).then(|| json!({"vhost": &*vhost.name, "value": value}))
    });
    query.answer(limited.collect())
}

/// `PUT` and `DELETE /vhost-limits/{vhost}/{name}`: 204.
pub(crate) async fn put_vhost(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(new): Body<Value>,
) -> Result<StatusCode, Refusal> {
    let value = value(&new)?;
    change_vhost(&caller, &vhost, |limits| {
        limits.insert(name, value);
    })
    .await
}

pub(crate) async fn delete_vhost(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    change_vhost(&caller, &vhost, |limits| {
        limits.remove(&name);
    })
    .await
}

async fn change_vhost(
    caller: &Caller,
    vhost: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let vhost = broker.vhost(vhost)?;
    let mut limits = vhost.limits.value();
    change(&mut limits);
    broker.put_vhost_limits(&vhost.name, &Value::Object(limits))?;
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /user-limits`, `/user-limits/{user}`.
pub(crate) async fn of_users(
    caller: Caller,
    user: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    let users = caller.api.broker.users.snapshot();
    if let Some(Path(name)) = &user
        && users.user(name).is_none()
    {
        return Err(Refusal::not_found());
    }
    let mut users: Vec<_> = users.users().cloned().collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let wanted = users
        .iter()
        .filter(|of| user.as_ref().is_none_or(|Path(name)| **name == *of.name));
    let limited = wanted.filter(|user| user.limits != UserLimits::default());
    let limited = limited.map(|user| json!({"user": &*user.name, "value": user.limits.to_json()}));
    query.answer(limited.collect())
}

/// `PUT` and `DELETE /user-limits/{user}/{name}`: 204.
pub(crate) async fn put_user(
    caller: Caller,
    Path((user, name)): Path<(String, String)>,
    Body(new): Body<Value>,
) -> Result<StatusCode, Refusal> {
    let value = value(&new)?;
    change_user(&caller, &user, |limits| {
        limits.insert(name, value);
    })
    .await
}

pub(crate) async fn delete_user(
    caller: Caller,
    Path((user, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    change_user(&caller, &user, |limits| {
        limits.remove(&name);
    })
    .await
}

async fn change_user(
    caller: &Caller,
    name: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let user = broker.users.user(name).ok_or_else(Refusal::not_found)?;
    let mut limits = user.limits.to_json();
    change(&mut limits);
    let limits = UserLimits::from_json(&Value::Object(limits));
    let limits = limits
        .map_err(|reason| Refusal::bad_request(format!("Validation failed\n\n{reason}\n")))?;
    broker.put_user_limits(&named(name)?, limits)?;
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// **Errors**: 400 for a body without a value.
fn value(new: &Value) -> Result<Value, Refusal> {
    let value = new.get("value").cloned();
    value.ok_or_else(|| Refusal::key_missing("value"))
}
