//! Definitions as one JSON document, as RabbitMQ exports it: `definitions/import.rs` takes one in.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Path, Query as UrlQuery, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use leveret_broker::exchange::Destination;
use leveret_broker::policies::Sort;
use leveret_broker::vhost::Vhost;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::parameters::name_of_cluster;
use crate::permissions::Of;
use crate::refusal::Refusal;
use crate::{ask, json, parameters, permissions, policies, users};

mod import;

/// Names that begin like this are the broker's own.
const RESERVED: &str = "amq.";

/// `?download=NAME`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Download {
    download: Option<String>,
}

/// `GET /definitions`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(download): UrlQuery<Download>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    let mut document = head(&caller, "cluster");
    let broker = &caller.api.broker;
    let vhosts = broker.all_vhosts();
    let all = broker.users.snapshot();
    let mut all: Vec<_> = all.users().cloned().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let users: Vec<Value> = all.iter().map(|user| users::describe(user)).collect();
    let mut parameters = parameters::found(&caller, |_| true)?;
    for vhost in &vhosts {
        parameters.extend(operator_policies(vhost));
    }
    document.insert("users".to_owned(), users.into());
    document.insert(
        "vhosts".to_owned(),
        vhosts.iter().map(|vhost| describe(vhost)).collect(),
    );
    document.insert(
        "permissions".to_owned(),
        permissions::permissions(&caller, Of::default()).into(),
    );
    document.insert(
        "topic_permissions".to_owned(),
        permissions::topic_permissions(&caller, Of::default()).into(),
    );
    document.insert("parameters".to_owned(), parameters.into());
    document.insert(
        "global_parameters".to_owned(),
        parameters::global(&caller).into(),
    );
    let mut parts = Parts::default();
    vhosts.iter().for_each(|vhost| parts.add(vhost));
    parts.put_into(&mut document);
    Ok(answer(document, &download))
}

/// `GET /definitions/{vhost}`: what is in a vhost, without its name, and without users.
pub(crate) async fn of_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    UrlQuery(download): UrlQuery<Download>,
) -> Result<Response, Refusal> {
    caller.must_administrate()?;
    // Not 404, as elsewhere: as in RabbitMQ.
    let unknown = |_| Refusal::bad_request("vhost_not_found");
    let vhost = caller.api.broker.vhost(&vhost).map_err(unknown)?;
    let mut document = head(&caller, "single_virtual_host");
    let mut parts = Parts::default();
    parts.add(&vhost);
    let mut parameters = parameters::found(&caller, |key| key.vhost == vhost.name)?;
    parameters.extend(operator_policies(&vhost));
    document.insert("parameters".to_owned(), parameters.into());
    parts.put_into(&mut document);
    for (_, items) in document.iter_mut() {
        for item in items.as_array_mut().into_iter().flatten() {
            item.as_object_mut().map(|item| item.remove("vhost"));
        }
    }
    let metadata = vhost.metadata.read().clone();
    document.insert("description".to_owned(), metadata.description.into());
    document.insert("metadata".to_owned(), describe(&vhost)["metadata"].take());
    Ok(answer(document, &download))
}

/// `POST /definitions`: 204, or nothing was changed.
pub(crate) async fn import(caller: Caller, request: Request) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    take_in(&caller, None, request).await
}

/// `POST /definitions/{vhost}`: 204, or nothing was changed.
pub(crate) async fn import_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let vhost = caller.vhost(&vhost)?;
    take_in(&caller, Some(&vhost), request).await
}

async fn take_in(
    caller: &Caller,
    vhost: Option<&Vhost>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let document = file(request).await?;
    let document: Value = serde_json::from_slice(&document)
        .map_err(|error| Refusal::bad_request(format!("the body is no JSON: {error}")))?;
    let broker = &caller.api.broker;
    let plan = import::Plan::read(broker, vhost.map(|vhost| &vhost.name), &document)?;
    plan.carry_out(broker, &caller.user.name)?;
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The body, or what a form has as its `file`.
async fn file(request: Request) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_form = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data"));
    if !is_form {
        let body = Bytes::from_request(request, &()).await;
        return body.map_err(|error| Refusal::bad_request(error.to_string()));
    }
    let bad = |error: &dyn std::fmt::Display| Refusal::bad_request(error.to_string());
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| bad(&error))?;
    while let Some(part) = parts.next_field().await.map_err(|error| bad(&error))? {
        if part.name() == Some("file") {
            return part.bytes().await.map_err(|error| bad(&error));
        }
    }
    Err(Refusal::bad_request("the form has no file"))
}

fn head(caller: &Caller, format: &str) -> Map<String, Value> {
    let node = &caller.api.node;
    let head = json!({
        "rabbit_version": node.rabbitmq_version,
        "rabbitmq_version": node.rabbitmq_version,
        "product_name": node.product,
        "product_version": node.product_version,
        "rabbitmq_definition_format": format,
        "original_cluster_name": name_of_cluster(caller),
        "explanation": format!("Definitions of {} '{}'", node.product, name_of_cluster(caller)),
    });
    crate::queues::object(head)
}

fn answer(document: Map<String, Value>, download: &Download) -> Response {
    let mut response = Json(Value::Object(document)).into_response();
    if let Some(name) = &download.download {
        let plain = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c));
        let plain: String = plain.collect();
        let value = format!("attachment; filename={plain}");
        if let Ok(value) = axum::http::HeaderValue::from_str(&value) {
            response
                .headers_mut()
                .insert(axum::http::header::CONTENT_DISPOSITION, value);
        }
    }
    response
}

fn describe(vhost: &Vhost) -> Value {
    let metadata = vhost.metadata.read().clone();
    let limits = vhost.limits.value();
    let limits = limits
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}));
    let limits: Vec<Value> = limits.collect();
    let mut described = json!({
        "name": &*vhost.name,
        "description": metadata.description,
        "tags": metadata.tags,
        "limits": limits,
        "metadata": {"description": metadata.description, "tags": metadata.tags},
    });
    if let Some(kind) = metadata.default_queue_type {
        described["default_queue_type"] = kind.as_str().into();
        described["metadata"]["default_queue_type"] = kind.into();
    }
    described
}

/// Operator policies stand among the parameters.
fn operator_policies(vhost: &Vhost) -> Vec<Value> {
    let policies = vhost.policies.read().of(Sort::Operator).to_vec();
    let described = policies.iter().map(|policy| {
        json!({
            "vhost": &*vhost.name,
            "component": Sort::Operator.component(),
            "name": &*policy.name,
            "value": policy.value(),
        })
    });
    described.collect()
}

/// What is in vhosts.
#[derive(Debug, Default)]
struct Parts {
    policies: Vec<Value>,
    queues: Vec<Value>,
    exchanges: Vec<Value>,
    bindings: Vec<Value>,
}

impl Parts {
    fn put_into(self, document: &mut Map<String, Value>) {
        document.insert("policies".to_owned(), self.policies.into());
        document.insert("queues".to_owned(), self.queues.into());
        document.insert("exchanges".to_owned(), self.exchanges.into());
        document.insert("bindings".to_owned(), self.bindings.into());
    }

    /// Exclusive queues and what the broker declares itself are left out.
    fn add(&mut self, vhost: &Vhost) {
        self.policies.extend(policies::of_vhost(Sort::User, vhost));
        let mut queues = vhost.queues();
        queues.retain(|queue| queue.declaration.owner.is_none());
        queues.sort_by(|a, b| a.name().cmp(b.name()));
        for queue in &queues {
            self.queues.push(json!({
                "name": &**queue.name(),
                "vhost": &*vhost.name,
                "durable": queue.declaration.durable,
                "auto_delete": queue.declaration.auto_delete,
                "type": queue.queue_type(),
                "arguments": json::of_table(queue.declaration.arguments.view()),
            }));
        }
        let mut exchanges = vhost.exchanges();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        for exchange in &exchanges {
            if !exchange.name.is_empty() && !exchange.name.starts_with(RESERVED) {
                self.exchanges.push(json!({
                    "name": &*exchange.name,
                    "vhost": &*vhost.name,
                    "type": exchange.kind.name(),
                    "durable": exchange.durable,
                    "auto_delete": exchange.auto_delete,
                    "internal": exchange.internal,
                    "arguments": json::of_table(exchange.arguments.view()),
                }));
            }
            self.add_bindings(vhost, exchange);
        }
    }

    fn add_bindings(&mut self, vhost: &Vhost, exchange: &leveret_broker::exchange::Exchange) {
        exchange.each_binding(|key, arguments, to| {
            let (kind, destination) = match to {
                Destination::Queue(queue) if queue.declaration.owner.is_some() => return,
                Destination::Queue(queue) => ("queue", queue.name()),
                Destination::Exchange(exchange) => ("exchange", &exchange.name),
            };
            self.bindings.push(json!({
                "source": &*exchange.name,
                "vhost": &*vhost.name,
                "destination": &**destination,
                "destination_type": kind,
                "routing_key": json::text(key),
                "arguments": json::of_table(arguments.view()),
            }));
        });
    }
}
