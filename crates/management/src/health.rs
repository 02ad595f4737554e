//! Health checks: 200 `{"status":"ok"}`, or 503 with the reason. <https://www.rabbitmq.com/docs/monitoring#health-checks>

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use leveret_broker::alarms::Alarms;
use serde_json::{Value, json};

use crate::Shared;
use crate::caller::Caller;
use crate::refusal::Refusal;

fn ok() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

fn failed(mut more: Value, reason: &str) -> Response {
    more["status"] = "failed".into();
    more["reason"] = reason.into();
    (StatusCode::SERVICE_UNAVAILABLE, Json(more)).into_response()
}

/// `GET /health`: says that the daemon runs and its runtime answers. It asks nothing of the broker and needs no login.
pub(crate) async fn health() -> Response {
    ok()
}

/// What is so as long as there is an answer at all.
pub(crate) async fn always(caller: Caller) -> Response {
    drop(caller);
    ok()
}

/// What only nodes of a cluster can be critical for.
pub(crate) async fn alone(caller: Caller) -> Response {
    drop(caller);
    Json(json!({"status": "ok", "reason": "single node cluster"})).into_response()
}

/// `POST /rebalance/queues`: 204. There is nowhere else to put them.
pub(crate) async fn rebalance(caller: Caller) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /health/checks/alarms`, `local-alarms`.
pub(crate) async fn alarms(caller: Caller) -> Response {
    let on = caller.api.broker.alarms();
    if !on.any() {
        return ok();
    }
    let Alarms { memory, disk } = on;
    let resources = [("memory", memory), ("disk", disk)];
    let on = resources.iter().filter(|(_, on)| *on);
    let on = on.map(|(resource, _)| json!({"node": caller.api.node.name, "resource": resource}));
    let on: Vec<Value> = on.collect();
    failed(
        json!({"alarms": on}),
        "There are alarms in effect in the cluster",
    )
}

/// `PUT` and `DELETE /leveret/alarms/{memory|disk}`: 204. The alarm is on, whatever is measured, until it is deleted.
pub(crate) async fn force_alarm(
    caller: Caller,
    method: Method,
    Path(resource): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let on = method == Method::PUT;
    let change = |alarms: &mut Alarms| match resource.as_str() {
        "memory" => alarms.memory = on,
        _ => alarms.disk = on,
    };
    if !["memory", "disk"].contains(&resource.as_str()) {
        return Err(Refusal::not_found());
    }
    caller.api.broker.force_alarms(change);
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /health/checks/port-listener/{port}`.
pub(crate) async fn port(caller: Caller, Path(port): Path<String>) -> Result<Response, Refusal> {
    let port: u16 = port
        .parse()
        .map_err(|_| Refusal::bad_request("Invalid port"))?;
    let ports: Vec<u16> = caller.api.node.listeners.iter().map(|l| l.port).collect();
    if ports.contains(&port) {
        return Ok(Json(json!({"status": "ok", "port": port})).into_response());
    }
    let more = json!({"missing": port, "ports": ports});
    Ok(failed(more, "No active listener"))
}

/// `GET /health/checks/protocol-listener/{protocols}`.
pub(crate) async fn protocol(caller: Caller, Path(protocols): Path<String>) -> Response {
    let wanted: Vec<&str> = protocols.split(',').collect();
    let listeners = caller.api.node.listeners.iter();
    let there: Vec<&str> = listeners.map(|listener| listener.protocol).collect();
    let is_there = |protocol: &&str| {
        let protocol = match *protocol {
            "amqp091" | "amqp0.9.1" | "AMQP" => "amqp",
            "amqps" => "amqp/ssl",
            "management" => "http",
            other => other,
        };
        there.contains(&protocol)
    };
    match wanted.iter().all(is_there) {
        true => Json(json!({"status": "ok", "protocols": wanted})).into_response(),
        false => failed(
            json!({"missing": protocols, "protocols": there}),
            "No active listener",
        ),
    }
}

/// `GET /health/checks/certificate-expiration/{within}/{unit}`.
pub(crate) async fn certificates(
    caller: Caller,
    Path((within, unit)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    const DAY: u64 = 24 * 60 * 60;
    let unit = match unit.as_str() {
        "days" => DAY,
        "weeks" => 7 * DAY,
        "months" => 30 * DAY,
        "years" => 365 * DAY,
        _ => {
            return Err(Refusal::bad_request(
                "Time unit not recognised. Supported units: days, weeks, months, years.",
            ));
        }
    };
    let within: u32 = within
        .parse()
        .map_err(|_| Refusal::bad_request("Invalid expiration value."))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let end = now.as_secs() + u64::from(within) * unit;
    let expires = (caller.api.node.measure)().certificate_expires;
    if expires.is_none_or(|expires| expires > end) {
        return Ok(ok());
    }
    let expired = json!({"node": caller.api.node.name, "expires": expires});
    Ok(failed(
        json!({"expired": [expired]}),
        "Certificates expiring",
    ))
}

/// `GET /aliveness-test/{vhost}`.
pub(crate) async fn alive(caller: Caller, Path(vhost): Path<String>) -> Result<Response, Refusal> {
    caller.vhost(&vhost)?;
    Ok(ok())
}

/// `GET /health/checks/ready-to-serve-clients`: whether AMQP is listened for, and no alarm blocks publishers.
pub(crate) async fn ready(caller: Caller, State(api): Shared) -> Response {
    let amqp = |listener: &&crate::Listener| listener.protocol.starts_with("amqp");
    match api.node.listeners.iter().find(amqp) {
        Some(_) => alarms(caller).await,
        None => failed(json!({}), "No active listener"),
    }
}
