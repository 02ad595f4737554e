//! Queues: what is told of them; declaring, purging, deleting.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::command::Command;
use leveret_broker::error::Kind;
use leveret_broker::figures::{BodyFigures, Detail, QueueFigures};
use leveret_broker::queue_handle::{QueueDeclaration, QueueHandle};
use leveret_broker::users::Access;
use leveret_broker::vhost::Vhost;
use leveret_broker::vhost::door::Declared;
use leveret_message::name::Name;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ask::{self, OperatorLink};
use crate::body::{Body, Flag};
use crate::caller::Caller;
use crate::figure::{self, Figures};
use crate::messages::not_for_streams;
use crate::rates::{Key, Rated, Rates};
use crate::refusal::Refusal;
use crate::{breakdowns, connections, consumers, idle, json, list};

/// `GET /queues`, `/queues/{vhost}`.
pub(crate) async fn all(
    caller: Caller,
    vhost: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    let mut queues: Vec<_> = vhosts
        .iter()
        .flat_map(|vhost| {
            vhost
                .queues()
                .into_iter()
                .map(|queue| (Arc::clone(vhost), queue))
        })
        .collect();
    queues.sort_by(|(_, a), (_, b)| (&a.vhost_name, a.name()).cmp(&(&b.vhost_name, b.name())));
    let handles: Vec<_> = queues.iter().map(|(_, queue)| Arc::clone(queue)).collect();
    let told = ask::queues(&caller.api.broker, &handles, Detail::Each).await;
    let things = handles.iter().map(|queue| {
        let told = told.get(&queue.id);
        (key(queue), told.map(figures).unwrap_or_default())
    });
    let rated = Rates::of_list(&caller.api, things);
    let described = queues.iter().zip(&rated).map(|((vhost, queue), rated)| {
        let told = told.get(&queue.id).map(|told| (told, rated));
        Value::Object(describe(&caller, vhost, queue, told))
    });
    query.answer(described.collect())
}

/// `GET /queues/{vhost}/{name}`.
pub(crate) async fn one(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let queue = vhost.queue(&name)?;
    let ranges = query.ranges()?;
    let told = [Arc::clone(&queue)];
    let told = ask::queues(&caller.api.broker, &told, Detail::Consumers).await;
    let told = told.get(&queue.id);
    let rated = told.map(|told| Rates::of_one(&caller.api, key(&queue), figures(told), &ranges));
    let mut described = describe(&caller, &vhost, &queue, told.zip(rated.as_ref()));
    let consumers = consumers::of_queue(&caller, &queue, told).await;
    described.insert("consumer_details".to_owned(), consumers.into());
    let incoming = breakdowns::incoming_of_queue(&caller, &queue);
    described.insert("incoming".to_owned(), incoming);
    let deliveries = breakdowns::deliveries_of_queue(&caller, &queue, told).await;
    described.insert("deliveries".to_owned(), deliveries);
    Ok(query.one(Value::Object(described)))
}

/// `PUT /queues/{vhost}/{name}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewQueue {
    durable: Option<Flag>,
    auto_delete: Flag,
    arguments: Option<Value>,
}

/// Declares a queue: 201, or 204 where an equivalent one was there.
pub(crate) async fn put(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(new): Body<NewQueue>,
) -> Result<StatusCode, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    caller.check(&vhost, Access::Configure, (Kind::Queue, &name))?;
    let mut declaration = QueueDeclaration {
        name: named(&name)?,
        durable: new.durable.is_none_or(|Flag(durable)| durable),
        owner: None,
        auto_delete: new.auto_delete.0,
        arguments: json::to_table(new.arguments.as_ref())?,
    };
    vhost.give_type(&mut declaration);
    let connection = caller.api.broker.connections.next_id();
    let declared = vhost.declare_queue(connection, declaration, false)?;
    ask::kept(&caller.api.broker).await;
    Ok(match declared {
        Declared::New(_) => StatusCode::CREATED,
        Declared::Existing(_) => StatusCode::NO_CONTENT,
    })
}

/// `?if-unused=true`, `?if-empty=true`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Conditions {
    pub(crate) if_unused: bool,
    if_empty: bool,
}

/// Deletes a queue: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(conditions): UrlQuery<Conditions>,
) -> Result<StatusCode, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let queue = vhost.queue(&name)?;
    caller.check(&vhost, Access::Configure, (Kind::Queue, &name))?;
    let mut link = OperatorLink::new(&caller.api.broker);
    queue.check_owner(link.connection())?;
    let delete = Command::Delete {
        connection: link.connection(),
        queue: queue.id,
        if_unused: conditions.if_unused,
        if_empty: conditions.if_empty,
    };
    link.ask(queue.shard, delete).await?;
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Purges a queue: 204.
pub(crate) async fn purge(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let queue = vhost.queue(&name)?;
    caller.check(&vhost, Access::Read, (Kind::Queue, &name))?;
    let mut link = OperatorLink::new(&caller.api.broker);
    queue.check_owner(link.connection())?;
    not_for_streams(&queue, "queue.purge")?;
    let purge = Command::Purge(link.connection(), Arc::clone(&queue));
    link.ask(queue.shard, purge).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /queues/{vhost}/{name}/actions`: what there is to do on queues of a cluster means nothing on one node.
pub(crate) async fn act(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(action): Body<Value>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    caller.vhost(&vhost)?.queue(&name)?;
    match action.get("action").and_then(Value::as_str) {
        Some("sync" | "cancel_sync") => Ok(StatusCode::NO_CONTENT),
        None => Err(Refusal::key_missing("action")),
        Some(_) => Err(Refusal::bad_request("unknown action")),
    }
}

pub(crate) fn named(name: &str) -> Result<Name, Refusal> {
    Name::new(name).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn describe(
    caller: &Caller,
    vhost: &Vhost,
    queue: &QueueHandle,
    told: Option<(&QueueFigures, &Rated)>,
) -> Map<String, Value> {
    let declaration = &queue.declaration;
    let effective = vhost.queue_policy(queue);
    let policy = |policy: &Option<Arc<leveret_broker::policies::Policy>>| {
        policy.as_ref().map(|policy| policy.name.to_string())
    };
    let mut described = object(json!({
        "name": &**queue.name(),
        "vhost": &*queue.vhost_name,
        "type": queue.queue_type(),
        "durable": declaration.durable,
        "auto_delete": declaration.auto_delete,
        "exclusive": declaration.owner.is_some(),
        "arguments": json::of_table(declaration.arguments.view()),
        "node": caller.api.node.name,
        "state": if told.is_some() { "running" } else { "down" },
        "policy": policy(&effective.policy),
        "operator_policy": policy(&effective.operator_policy),
        "effective_policy_definition": effective.definition,
        "storage_version": 1,
    }));
    if let Some(owner) = declaration
        .owner
        .and_then(|owner| caller.api.broker.connections.get(owner))
    {
        described.insert("owner_pid_details".to_owned(), connections::short(&owner));
    }
    if let Some((figures, rated)) = told {
        let kept = figures.ready + figures.unacked + figures.waiting;
        // Whether a message would be sent at once; RabbitMQ tells for how much of the time that was so.
        let capacity = f64::from(u8::from(figures.consumers > 0 && figures.ready == 0));
        described.extend(object(json!({
            "consumers": figures.consumers,
            "consumer_utilisation": capacity,
            "consumer_capacity": capacity,
            "exclusive_consumer_tag": figures.exclusive_tag.as_deref(),
            "single_active_consumer_tag": figures.active_tag.as_deref(),
            "memory": figures.ready_bytes + figures.unacked_bytes,
            "messages_ram": kept.saturating_sub(figures.ready_away),
            "messages_ready_ram": figures.ready.saturating_sub(figures.ready_away),
            "messages_unacknowledged_ram": figures.unacked,
            "messages_delayed": figures.waiting,
            "messages_paged_out": figures.ready_away,
        })));
        if let Some(bodies) = &figures.bodies {
            described.extend(describe_bodies(figures, bodies));
        }
        if let Some(idle_since) = figures.used_ms.and_then(idle::since_ms) {
            described.insert("idle_since".to_owned(), idle_since.into());
        }
        rated.put(&mut described, figure::LENGTHS);
        if let Some(stats) = rated.stats(&[figure::ENTERED, figure::DELIVERED]) {
            described.insert("message_stats".to_owned(), stats);
        }
    }
    described
}

fn describe_bodies(figures: &QueueFigures, bodies: &BodyFigures) -> Map<String, Value> {
    let all = bodies.ready_bytes + bodies.unacked_bytes;
    // All are taken to be as long as the others.
    let away = u128::from(bodies.ready_bytes) * u128::from(figures.ready_away);
    let away = away.checked_div(u128::from(figures.ready)).unwrap_or(0) as u64;
    object(json!({
        "message_bytes": all,
        "message_bytes_ready": bodies.ready_bytes,
        "message_bytes_unacknowledged": bodies.unacked_bytes,
        "message_bytes_persistent": bodies.persistent_bytes,
        "message_bytes_paged_out": away,
        "message_bytes_ram": all.saturating_sub(away),
        "messages_persistent": bodies.persistent,
        "head_message_timestamp": figures.oldest_timestamp,
    }))
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn key(queue: &QueueHandle) -> Key {
    Key::Queue(queue.shard, queue.id)
}

pub(crate) fn figures(told: &QueueFigures) -> Figures {
    Figures::default()
        .with_lengths(told.ready, told.unacked, told.waiting)
        .with_counts(&told.counts)
}
