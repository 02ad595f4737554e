//! How far readers with names have come in streams. RabbitMQ's API has no paths for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use leveret_broker::command::{Command, Operation};
use leveret_broker::error::Kind;
use leveret_broker::link::Reply;
use leveret_broker::users::Access;
use leveret_message::name::Name;
use serde_json::{Value, json};

use crate::ask::{self, OperatorLink};
use crate::caller::Caller;
use crate::refusal::Refusal;

/// `GET /leveret/streams/{vhost}/{name}/offsets`: each name, the first offset that its reader has not acknowledged, and what is
/// written down of that.
pub(crate) async fn all(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let reply = operate(&caller, (&vhost, &name), Access::Read, Operation::Offsets).await?;
    let Reply::Offsets(offsets) = reply else {
        return Err(Refusal::not_found());
    };
    // What is told as kept is so.
    ask::kept(&caller.api.broker).await;
    let offsets = offsets.into_iter().map(
        |of| json!({"name": of.name, "offset": of.offset, "kept": of.kept, "in_use": of.in_use}),
    );
    Ok(Json(offsets.collect()))
}

/// `DELETE /leveret/streams/{vhost}/{name}/offsets/{reader}`. Answered when that is kept.
pub(crate) async fn forget(
    caller: Caller,
    Path((vhost, name, reader)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let reader = Name::new(&reader).map_err(|_| Refusal::not_found())?;
    let forget = Operation::ForgetOffset(reader);
    match operate(&caller, (&vhost, &name), Access::Configure, forget).await? {
        Reply::OffsetForgotten(true) => {
            ask::kept(&caller.api.broker).await;
            Ok(StatusCode::NO_CONTENT)
        }
        _ => Err(Refusal::not_found()),
    }
}

async fn operate(
    caller: &Caller,
    (vhost, name): (&str, &str),
    access: Access,
    operation: Operation,
) -> Result<Reply, Refusal> {
    let vhost = caller.vhost(vhost)?;
    let stream = vhost.queue(name)?;
    caller.check(&vhost, access, (Kind::Queue, name))?;
    let mut link = OperatorLink::new(&caller.api.broker);
    let command = Command::Operate(link.connection(), Arc::clone(&stream), operation);
    link.ask(stream.shard, command).await
}
