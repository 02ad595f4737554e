//! What RabbitMQ's API has no paths for: looking at messages without taking them, moving them, and bringing dead letters back to where they died.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query};
use leveret_broker::command::{Command, MoveTo, Moving, Operation};
use leveret_broker::error::Kind;
use leveret_broker::link::Reply;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::users::Access;
use leveret_message::name::Name;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ask::OperatorLink;
use crate::body::Body;
use crate::caller::Caller;
use crate::messages::{describe, is_base64, not_for_streams};
use crate::refusal::Refusal;

/// Messages that one request may look at.
const PEEK_MAX: u64 = 1_000;

/// Bytes of properties and bodies after which a request looks at no further message.
const PEEK_BYTES_MAX: usize = 64 << 20;

/// `POST /leveret/queues/{vhost}/{name}/move`.
#[derive(Debug, Deserialize)]
pub(crate) struct Move {
    destination: String,
    count: Option<u64>,
}

/// `POST /leveret/queues/{vhost}/{name}/redrive`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Redrive {
    count: Option<u64>,
}

/// `GET /leveret/queues/{vhost}/{name}/messages`.
#[derive(Debug, Deserialize)]
pub(crate) struct Peek {
    #[serde(default)]
    position: u64,
    count: Option<u64>,
    encoding: Option<String>,
    truncate: Option<usize>,
}

/// Moves messages from the front of a queue to another one.
pub(crate) async fn move_to(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(wanted): Body<Move>,
) -> Result<Json<Value>, Refusal> {
    let there = caller.vhost(&vhost)?;
    there.queue(&wanted.destination)?;
    let to = Name::new(&wanted.destination);
    let to = to.map_err(|_| Refusal::bad_request("the name of the destination is too long"))?;
    move_all(&caller, (&vhost, &name), MoveTo::Queue(to), wanted.count).await
}

/// Moves dead letters back to the queues in which they first died.
pub(crate) async fn redrive(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(wanted): Body<Redrive>,
) -> Result<Json<Value>, Refusal> {
    move_all(&caller, (&vhost, &name), MoveTo::Origin, wanted.count).await
}

/// Moves until so many have been looked at as were there at first, or as were asked for: what comes meanwhile stays.
async fn move_all(
    caller: &Caller,
    (vhost, name): (&str, &str),
    to: MoveTo,
    count: Option<u64>,
) -> Result<Json<Value>, Refusal> {
    let vhost = caller.vhost(vhost)?;
    let queue = vhost.queue(name)?;
    caller.check(&vhost, Access::Read, (Kind::Queue, name))?;
    caller.check(&vhost, Access::Write, (Kind::Exchange, ""))?;
    not_for_streams(&queue, "moving messages is")?;
    let mut link = OperatorLink::new(&caller.api.broker);
    queue.check_owner(link.connection())?;
    let there = ready(&mut link, &queue).await?;
    let mut left = count.unwrap_or(u64::MAX).min(there);
    let (mut all_moved, mut all_stayed) = (0, 0);
    while left > 0 {
        let moving = Operation::Move(Moving {
            to: to.clone(),
            position: all_stayed,
            most: left,
        });
        let command = Command::Operate(link.connection(), Arc::clone(&queue), moving);
        let Reply::Moved { moved, stayed } = link.ask(queue.shard, command).await? else {
            break;
        };
        all_moved += moved;
        all_stayed += stayed;
        if moved + stayed == 0 {
            break;
        }
        left = left.saturating_sub(moved + stayed);
    }
    Ok(Json(json!({"moved": all_moved, "stayed": all_stayed})))
}

async fn ready(link: &mut OperatorLink<'_>, queue: &Arc<QueueHandle>) -> Result<u64, Refusal> {
    let count = Command::Count(link.connection(), Arc::clone(queue));
    match link.ask(queue.shard, count).await? {
        Reply::Counts { ready, .. } => Ok(ready),
        _ => Ok(0),
    }
}

/// Ready messages from a position on, wherever they are. Nothing becomes of them.
pub(crate) async fn peek(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Query(wanted): Query<Peek>,
) -> Result<Json<Value>, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let queue = vhost.queue(&name)?;
    caller.check(&vhost, Access::Read, (Kind::Queue, &name))?;
    let mut link = OperatorLink::new(&caller.api.broker);
    queue.check_owner(link.connection())?;
    let base64 = is_base64(wanted.encoding.as_deref().unwrap_or("auto"))?;
    let truncate = wanted.truncate.unwrap_or(usize::MAX);
    let count = wanted.count.unwrap_or(1).min(PEEK_MAX) as usize;
    let (mut seen, mut bytes) = (Vec::new(), 0);
    while seen.len() < count && bytes < PEEK_BYTES_MAX {
        let position = wanted.position.saturating_add(seen.len() as u64);
        let peek = Operation::Peek {
            position,
            most: (count - seen.len()) as u64,
        };
        let command = Command::Operate(link.connection(), Arc::clone(&queue), peek);
        let some = match link.ask(queue.shard, command).await? {
            Reply::Peeked(some) if !some.is_empty() => some,
            _ => break,
        };
        for (position, got) in (position..).zip(&some) {
            if bytes >= PEEK_BYTES_MAX {
                break;
            }
            let Some(message) = got.batch.message(got.index) else {
                return Ok(Json(seen.into()));
            };
            bytes += message.properties.len() + message.body.len().min(truncate);
            let mut described = describe(got, &message, truncate, base64);
            described["position"] = position.into();
            seen.push(described);
        }
    }
    Ok(Json(seen.into()))
}
