//! Permissions and topic permissions: what is told of them; giving and taking.

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::operator::{IsNew, OperatorError};
use leveret_broker::users::{Access, PatternError, Permission, TopicPermission};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Body;
use crate::caller::Caller;
use crate::queues::named;
use crate::refusal::Refusal;
use crate::{ask, list};

/// Which permissions are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Of<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) vhost: Option<&'a str>,
}

impl Of<'_> {
    fn takes(&self, user: &str, vhost: &str) -> bool {
        self.user.is_none_or(|wanted| wanted == user)
            && self.vhost.is_none_or(|wanted| wanted == vhost)
    }
}

/// `GET /permissions`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    query.answer(permissions(&caller, Of::default()))
}

/// `GET /users/{user}/permissions`.
pub(crate) async fn of_user(
    caller: Caller,
    Path(user): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, Some(&user), None)?;
    let of = Of {
        user: Some(&user),
        vhost: None,
    };
    query.answer(permissions(&caller, of))
}

/// `GET /vhosts/{vhost}/permissions`.
pub(crate) async fn of_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, None, Some(&vhost))?;
    let of = Of {
        user: None,
        vhost: Some(&vhost),
    };
    query.answer(permissions(&caller, of))
}

/// `GET /permissions/{vhost}/{user}`.
pub(crate) async fn one(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, Some(&user), Some(&vhost))?;
    let of = Of {
        user: Some(&user),
        vhost: Some(&vhost),
    };
    let found = permissions(&caller, of).pop();
    Ok(query.one(found.ok_or_else(Refusal::not_found)?))
}

/// `PUT /permissions/{vhost}/{user}`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewPermission {
    configure: String,
    write: String,
    read: String,
}

impl NewPermission {
    pub(crate) fn compile(&self) -> Result<Permission, Refusal> {
        Permission::new(&self.configure, &self.write, &self.read).map_err(unusable)
    }
}

fn unusable(error: PatternError) -> Refusal {
    Refusal::bad_request(error.to_string())
}

/// Gives: 201, or 204 where there was one.
pub(crate) async fn put(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
    Body(new): Body<NewPermission>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let is_new = broker.put_permission(&named(&user)?, &named(&vhost)?, new.compile()?);
    let is_new = is_new.map_err(missing)?;
    ask::kept(broker).await;
    Ok(status(is_new))
}

/// What a body names and is not there is a bad request, as in RabbitMQ.
fn missing(error: OperatorError) -> Refusal {
    match error {
        OperatorError::NoSuchUser(_) | OperatorError::NoSuchVhost(_) => {
            Refusal::bad_request("vhost_or_user_not_found")
        }
        other => other.into(),
    }
}

pub(crate) fn status(is_new: IsNew) -> StatusCode {
    match is_new {
        IsNew(true) => StatusCode::CREATED,
        IsNew(false) => StatusCode::NO_CONTENT,
    }
}

/// Takes: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    must_be_there(&caller, Some(&user), Some(&vhost))?;
    if !caller.api.broker.delete_permission(&user, &vhost) {
        return Err(Refusal::not_found());
    }
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /topic-permissions`.
pub(crate) async fn all_topics(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    query.answer(topic_permissions(&caller, Of::default()))
}

/// `GET /users/{user}/topic-permissions`.
pub(crate) async fn topics_of_user(
    caller: Caller,
    Path(user): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, Some(&user), None)?;
    let of = Of {
        user: Some(&user),
        vhost: None,
    };
    query.answer(topic_permissions(&caller, of))
}

/// `GET /vhosts/{vhost}/topic-permissions`.
pub(crate) async fn topics_of_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, None, Some(&vhost))?;
    let of = Of {
        user: None,
        vhost: Some(&vhost),
    };
    query.answer(topic_permissions(&caller, of))
}

/// `GET /topic-permissions/{vhost}/{user}`.
pub(crate) async fn topics_of_both(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    must_be_there(&caller, Some(&user), Some(&vhost))?;
    let of = Of {
        user: Some(&user),
        vhost: Some(&vhost),
    };
    let found = topic_permissions(&caller, of);
    if found.is_empty() {
        return Err(Refusal::not_found());
    }
    query.answer(found)
}

/// `PUT /topic-permissions/{vhost}/{user}`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewTopicPermission {
    pub(crate) exchange: String,
    write: String,
    read: String,
}

impl NewTopicPermission {
    pub(crate) fn compile(&self) -> Result<TopicPermission, Refusal> {
        TopicPermission::new(&self.write, &self.read).map_err(unusable)
    }
}

/// Restricts: 201, or 204 where there was such a restriction.
pub(crate) async fn put_topics(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
    Body(new): Body<NewTopicPermission>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let (vhost, exchange) = (named(&vhost)?, named(&new.exchange)?);
    let is_new = broker.put_topic_permission(&named(&user)?, (&vhost, &exchange), new.compile()?);
    let is_new = is_new.map_err(missing)?;
    ask::kept(broker).await;
    Ok(status(is_new))
}

/// `DELETE /topic-permissions/{vhost}/{user}`: 204.
pub(crate) async fn delete_topics(
    caller: Caller,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    free_topics(caller, &vhost, &user, None).await
}

/// `DELETE /topic-permissions/{vhost}/{user}/{exchange}`: 204.
pub(crate) async fn delete_topic(
    caller: Caller,
    Path((vhost, user, exchange)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    free_topics(caller, &vhost, &user, Some(&exchange)).await
}

async fn free_topics(
    caller: Caller,
    vhost: &str,
    user: &str,
    exchange: Option<&str>,
) -> Result<StatusCode, Refusal> {
    must_be_there(&caller, Some(user), Some(vhost))?;
    let broker = &caller.api.broker;
    broker.delete_topic_permissions(user, vhost, exchange);
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// **Errors**: 401 for who is no administrator; 404.
fn must_be_there(caller: &Caller, user: Option<&str>, vhost: Option<&str>) -> Result<(), Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    if user.is_some_and(|user| broker.users.user(user).is_none()) {
        return Err(Refusal::not_found());
    }
    vhost.map_or(Ok(()), |vhost| {
        broker.vhost(vhost).map(drop).map_err(Refusal::from)
    })
}

/// Permissions as definitions have them, by user and vhost.
pub(crate) fn permissions(caller: &Caller, of: Of<'_>) -> Vec<Value> {
    let users = caller.api.broker.users.snapshot();
    let mut found: Vec<_> = users
        .permissions()
        .filter(|(u, v, _)| of.takes(u, v))
        .collect();
    found.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let described = found.into_iter().map(|(user, vhost, permission)| {
        json!({
            "user": &**user,
            "vhost": &**vhost,
            "configure": permission.pattern(Access::Configure),
            "write": permission.pattern(Access::Write),
            "read": permission.pattern(Access::Read),
        })
    });
    described.collect()
}

/// Topic permissions as definitions have them, by user, vhost and exchange.
pub(crate) fn topic_permissions(caller: &Caller, of: Of<'_>) -> Vec<Value> {
    let users = caller.api.broker.users.snapshot();
    let all = users.topic_permissions();
    let mut found: Vec<_> = all.filter(|(u, v, ..)| of.takes(u, v)).collect();
    found.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let described = found
        .into_iter()
        .map(|(user, vhost, exchange, permission)| {
            json!({
                "user": &**user,
                "vhost": &**vhost,
                "exchange": &**exchange,
                "write": permission.pattern(Access::Write),
                "read": permission.pattern(Access::Read),
            })
        });
    described.collect()
}
