//! Vhosts: what is told of them; adding, changing, deleting.

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::broker::Broker;
use leveret_broker::figures::{Detail, MessageCounts, QueueSum, TrafficFigures};
use leveret_broker::limits::VhostMetadata;
use leveret_broker::operator::IsNew;
use leveret_broker::users::Permission;
use leveret_broker::vhost::Vhost;
use leveret_message::name::Name;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::body::Body;
use crate::caller::Caller;
use crate::figure::{self, Figures};
use crate::queues::{named, object};
use crate::rates::{Key, Rated, Rates};
use crate::refusal::Refusal;
use crate::{Api, ask, list};

/// `GET /vhosts`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(None)?;
    let broker = &caller.api.broker;
    let queues: Vec<_> = vhosts.iter().map(|vhost| vhost.queues()).collect();
    let told = ask::queues(broker, &queues.concat(), Detail::Each).await;
    let traffic = broker.connections.traffic_by_vhost();
    let things = vhosts.iter().zip(&queues).map(|(vhost, queues)| {
        let mut sum = QueueSum::default();
        let told = queues.iter().filter_map(|queue| told.get(&queue.id));
        told.for_each(|queue| sum += queue);
        let traffic = traffic.get(&vhost.name).copied().unwrap_or_default();
        (Key::Vhost(vhost.name.clone()), together(&sum, &traffic))
    });
    let rated = Rates::of_list(&caller.api, things);
    let described = vhosts.iter().zip(&rated);
    let described = described.map(|(vhost, rated)| describe(&caller, vhost, rated));
    query.answer(described.collect())
}

/// `GET /vhosts/{vhost}`.
pub(crate) async fn one(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&name)?;
    let key = Key::Vhost(vhost.name.clone());
    let figures = figures(&caller.api, &vhost).await;
    let rated = Rates::of_one(&caller.api, key, figures, &query.ranges()?);
    Ok(query.one(describe(&caller, &vhost, &rated)))
}

/// What a vhost's queues and connections tell together.
pub(crate) async fn figures(api: &Api, vhost: &Vhost) -> Figures {
    let sum = ask::sum(&api.broker, &vhost.queues()).await;
    let traffic = api.broker.connections.traffic_by_vhost();
    together(&sum, &traffic.get(&vhost.name).copied().unwrap_or_default())
}

/// Into queues a message may come more than once: how many were published, connections know.
pub(crate) fn together(sum: &QueueSum, traffic: &TrafficFigures) -> Figures {
    let counts = MessageCounts {
        published: traffic.published,
        confirmed: traffic.confirmed,
        returned: traffic.returned,
        dropped: traffic.dropped,
        ..sum.counts
    };
    Figures::default()
        .with_lengths(sum.ready, sum.unacked, sum.waiting)
        .with_counts(&counts)
        .with_bytes(traffic)
}

/// `PUT /vhosts/{vhost}`: 201, or 204 where it was there. An empty body changes nothing of what is there.
pub(crate) async fn put(
    caller: Caller,
    Path(name): Path<String>,
    Body(given): Body<Value>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    let before = broker
        .vhost(&name)
        .ok()
        .map(|vhost| vhost.metadata.read().clone());
    let metadata = metadata(before.unwrap_or_default(), &given)?;
    let is_new = put_for(broker, &caller.user.name, &named(&name)?, metadata)?;
    ask::kept(broker).await;
    Ok(match is_new {
        IsNew(true) => StatusCode::CREATED,
        IsNew(false) => StatusCode::NO_CONTENT,
    })
}

/// Puts a vhost. Who makes one may use it, as in RabbitMQ.
pub(crate) fn put_for(
    broker: &Broker,
    user: &Name,
    name: &Name,
    metadata: VhostMetadata,
) -> Result<IsNew, Refusal> {
    let is_new = broker.put_vhost(name, metadata)?;
    if is_new == IsNew(true) {
        let everything = Permission::new(".*", ".*", ".*");
        let everything = everything.map_err(|error| Refusal::bad_request(error.to_string()))?;
        broker.put_permission(user, name, everything)?;
    }
    Ok(is_new)
}

/// What was said of a vhost, with what is given put over it.
pub(crate) fn metadata(
    mut metadata: VhostMetadata,
    given: &Value,
) -> Result<VhostMetadata, Refusal> {
    let wrong = |key: &str| Refusal::bad_request(format!("{key} has a value of the wrong type"));
    // Definitions have some keys within `metadata`.
    let of = |key: &str| {
        let outer = given.get(key);
        let found = outer.or_else(|| given.get("metadata").and_then(|inner| inner.get(key)));
        found.filter(|value| !value.is_null())
    };
    if let Some(description) = of("description") {
        let description = description.as_str().ok_or_else(|| wrong("description"))?;
        description.clone_into(&mut metadata.description);
    }
    if let Some(tags) = of("tags") {
        metadata.tags = crate::users::tags(tags).ok_or_else(|| wrong("tags"))?;
    }
    if let Some(kind) = of("default_queue_type") {
        let kind = kind.as_str().ok_or_else(|| wrong("default_queue_type"))?;
        metadata.default_queue_type = (kind != "undefined").then(|| kind.to_owned());
    }
    let flags = [
        (
            "protected_from_deletion",
            &mut metadata.protected_from_deletion,
        ),
        ("tracing", &mut metadata.tracing),
    ];
    for (key, flag) in flags {
        match of(key) {
            Some(Value::Bool(set)) => *flag = *set,
            Some(Value::String(text)) => *flag = text == "true",
            Some(_) => return Err(wrong(key)),
            None => {}
        }
    }
    Ok(metadata)
}

/// Deletes a vhost with everything in it: 204 when it is gone.
pub(crate) async fn delete(
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let (sender, gone) = oneshot::channel();
    let then = move || {
        let _ = sender.send(());
    };
    caller
        .api
        .broker
        .delete_vhost(&named(&name)?, Box::new(then))?;
    // The broker ends rather than not keep something.
    let _ = gone.await;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST` and `DELETE /vhosts/{vhost}/deletion/protection`.
pub(crate) async fn protect(
    caller: Caller,
    Path(name): Path<String>,
    method: axum::http::Method,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let vhost = caller.vhost(&name)?;
    let mut metadata = vhost.metadata.read().clone();
    metadata.protected_from_deletion = method == axum::http::Method::POST;
    caller.api.broker.put_vhost(&vhost.name, metadata)?;
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

fn describe(caller: &Caller, vhost: &Vhost, rated: &Rated) -> Value {
    let metadata = vhost.metadata.read().clone();
    let mut described = object(json!({
        "name": &*vhost.name,
        "description": metadata.description,
        "tags": metadata.tags,
        "default_queue_type": metadata.default_queue_type.as_deref().unwrap_or("undefined"),
        "metadata": {
            "description": metadata.description,
            "tags": metadata.tags,
        },
        "protected_from_deletion": metadata.protected_from_deletion,
        "tracing": metadata.tracing,
        "cluster_state": {caller.api.node.name.as_str(): "running"},
    }));
    if let Some(kind) = &metadata.default_queue_type {
        described["metadata"]["default_queue_type"] = kind.as_str().into();
    }
    rated.put(&mut described, figure::LENGTHS);
    rated.put(&mut described, figure::DATA);
    if let Some(stats) = rated.stats(&[figure::PUBLISHED, figure::DELIVERED]) {
        described.insert("message_stats".to_owned(), stats);
    }
    Value::Object(described)
}
