//! Bindings: what is told of them; binding and unbinding.
//!
//! A binding is named by its `properties_key`: `~` where neither key nor arguments are set, else the key, escaped, and where there are arguments a `~`
//! and a hash of them.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use leveret_broker::error::Kind;
use leveret_broker::exchange::{Destination, Exchange};
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::users::Access;
use leveret_broker::vhost::Vhost;
use leveret_broker::vhost::door::Binding;
use leveret_message::table::{Table, TableRef};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::body::Body;
use crate::caller::Caller;
use crate::exchanges::of_path;
use crate::refusal::Refusal;
use crate::{ask, json, list};

/// So many bytes of the hash of its arguments tell a binding from others with its key.
const HASH_LEN: usize = 12;

/// One binding.
#[derive(Clone, Debug)]
struct Bound {
    source: String,
    key: Vec<u8>,
    arguments: Table,
    /// `q` or `e`.
    kind: char,
    destination: String,
}

/// `GET /bindings`, `/bindings/{vhost}`.
pub(crate) async fn all(
    caller: Caller,
    vhost: Option<Path<String>>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhosts = caller.vhosts(vhost.as_ref().map(|Path(name)| name.as_str()))?;
    let all = vhosts
        .iter()
        .flat_map(|vhost| described(vhost, of(vhost, |_| true)));
    query.answer(all.collect())
}

/// `GET /exchanges/{vhost}/{name}/bindings/{source|destination}`.
pub(crate) async fn of_exchange(
    caller: Caller,
    Path((vhost, name, end)): Path<(String, String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let name = of_path(&name);
    let bound = match end.as_str() {
        "source" => of(&vhost, |bound| bound.source == name),
        "destination" => of(&vhost, |bound| {
            bound.kind == 'e' && bound.destination == name
        }),
        _ => return Err(Refusal::not_found()),
    };
    query.answer(described(&vhost, bound))
}

/// `GET /queues/{vhost}/{name}/bindings`.
pub(crate) async fn of_queue(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    vhost.queue(&name)?;
    let bound = of(&vhost, |bound| {
        bound.kind == 'q' && bound.destination == name
    });
    query.answer(described(&vhost, bound))
}

/// Where a path leads: vhost, source, kind of the destination, destination.
type Ends = (String, String, String, String);

/// `GET /bindings/{vhost}/e/{source}/{q|e}/{destination}`.
pub(crate) async fn between(
    caller: Caller,
    Path(ends): Path<Ends>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&ends.0)?;
    let bound = of_ends(&vhost, &ends)?;
    query.answer(described(&vhost, bound))
}

/// `POST` there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewBinding {
    routing_key: String,
    arguments: Option<Value>,
}

/// Binds: 201 with the place of the binding.
pub(crate) async fn post(
    caller: Caller,
    Path(ends): Path<Ends>,
    Body(new): Body<NewBinding>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&ends.0)?;
    let (source, to_queue) = check(&caller, &vhost, &ends)?;
    let arguments = json::to_table(new.arguments.as_ref())?;
    let key = new.routing_key.as_bytes();
    if key.len() > 255 {
        return Err(Refusal::bad_request(
            "the routing key is longer than 255 bytes",
        ));
    }
    bind(
        &caller,
        &vhost,
        (&source, to_queue, of_path(&ends.3)),
        key,
        arguments.view(),
    )?;
    ask::kept(&caller.api.broker).await;
    // Relative to this path, as RabbitMQ gives it.
    let place = escape(&properties_key(key, arguments.view()));
    let place = format!("{}/{}", escape(&ends.3), place);
    let mut response = StatusCode::CREATED.into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Makes a binding, whoever asks.
pub(crate) fn bind(
    caller: &Caller,
    vhost: &Vhost,
    (source, to_queue, destination): (&str, bool, &str),
    binding_key: &[u8],
    arguments: TableRef<'_>,
) -> Result<(), Refusal> {
    let binding = Binding {
        source,
        binding_key,
        arguments,
    };
    let connection = caller.api.broker.connections.next_id();
    match to_queue {
        true => vhost.bind_queue(connection, destination, binding)?,
        false => vhost.bind_exchange(destination, binding)?,
    };
    Ok(())
}

/// Vhost, source, kind of the destination, destination, properties key.
type Place = (String, String, String, String, String);

/// `GET /bindings/{vhost}/e/{source}/{q|e}/{destination}/{properties_key}`.
pub(crate) async fn one(
    caller: Caller,
    Path(place): Path<Place>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let (vhost, found) = find(&caller, place)?;
    Ok(query.one(found.describe(&vhost)))
}

/// Unbinds: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path(place): Path<Place>,
) -> Result<StatusCode, Refusal> {
    let ends = (
        place.0.clone(),
        place.1.clone(),
        place.2.clone(),
        place.3.clone(),
    );
    let (vhost, found) = find(&caller, place)?;
    check(&caller, &vhost, &ends)?;
    let binding = Binding {
        source: &found.source,
        binding_key: &found.key,
        arguments: found.arguments.view(),
    };
    let connection = caller.api.broker.connections.next_id();
    match found.kind {
        'q' => vhost.unbind_queue(connection, &found.destination, binding)?,
        _ => vhost.unbind_exchange(&found.destination, binding)?,
    };
    ask::kept(&caller.api.broker).await;
    Ok(StatusCode::NO_CONTENT)
}

fn find(caller: &Caller, place: Place) -> Result<(Arc<Vhost>, Bound), Refusal> {
    let (vhost, source, kind, destination, key) = place;
    let vhost = caller.vhost(&vhost)?;
    let ends = (vhost.name.to_string(), source, kind, destination);
    let bound = of_ends(&vhost, &ends)?;
    let key = escaped_again(&key);
    let mut bound = bound.into_iter();
    let found = bound.find(|bound| bound.properties_key() == key);
    Ok((vhost, found.ok_or_else(Refusal::not_found)?))
}

/// Who may bind may unbind: write access to the destination, read access to the source. Returns the source, and whether it leads to a queue.
fn check(caller: &Caller, vhost: &Vhost, ends: &Ends) -> Result<(String, bool), Refusal> {
    let (_, source, kind, destination) = ends;
    let (source, to_queue) = (of_path(source), is_queue(kind)?);
    let kind = if to_queue {
        Kind::Queue
    } else {
        Kind::Exchange
    };
    caller.check(vhost, Access::Write, (kind, of_path(destination)))?;
    caller.check(vhost, Access::Read, (Kind::Exchange, source))?;
    Ok((source.to_owned(), to_queue))
}

fn is_queue(kind: &str) -> Result<bool, Refusal> {
    match kind {
        "q" => Ok(true),
        "e" => Ok(false),
        _ => Err(Refusal::not_found()),
    }
}

fn of_ends(vhost: &Vhost, (_, source, kind, destination): &Ends) -> Result<Vec<Bound>, Refusal> {
    let (source, to_queue) = (of_path(source), is_queue(kind)?);
    let destination = match to_queue {
        true => destination,
        false => of_path(destination),
    };
    Ok(of(vhost, |bound| {
        bound.source == source
            && (bound.kind == 'q') == to_queue
            && bound.destination == destination
    }))
}

/// The bindings of a vhost that `wanted` takes, those of the default exchange among them, by source, destination and key.
fn of(vhost: &Vhost, wanted: impl Fn(&Bound) -> bool) -> Vec<Bound> {
    let mut found: Vec<Bound> = vhost.queues().iter().map(|queue| by_name(queue)).collect();
    found.retain(&wanted);
    for exchange in vhost.exchanges() {
        from(&exchange, |bound| {
            if wanted(&bound) {
                found.push(bound);
            }
        });
    }
    found.sort_by(|a, b| {
        let of = |bound: &Bound| {
            (
                bound.source.clone(),
                bound.destination.clone(),
                bound.key.clone(),
            )
        };
        of(a).cmp(&of(b))
    });
    found
}

/// Every queue is bound to the default exchange by its name.
fn by_name(queue: &QueueHandle) -> Bound {
    Bound {
        source: String::new(),
        key: queue.name().as_bytes().to_vec(),
        arguments: Table::default(),
        kind: 'q',
        destination: queue.name().to_string(),
    }
}

fn from(exchange: &Exchange, mut each: impl FnMut(Bound)) {
    exchange.each_binding(|key, arguments, to| {
        let (kind, destination) = match to {
            Destination::Queue(queue) => ('q', queue.name()),
            Destination::Exchange(exchange) => ('e', &exchange.name),
        };
        each(Bound {
            source: exchange.name.to_string(),
            key: key.to_vec(),
            arguments: arguments.clone(),
            kind,
            destination: destination.to_string(),
        });
    });
}

fn described(vhost: &Vhost, bound: Vec<Bound>) -> Vec<Value> {
    bound.iter().map(|bound| bound.describe(vhost)).collect()
}

impl Bound {
    fn properties_key(&self) -> String {
        properties_key(&self.key, self.arguments.view())
    }

    fn describe(&self, vhost: &Vhost) -> Value {
        json!({
            "source": self.source,
            "vhost": &*vhost.name,
            "destination": self.destination,
            "destination_type": if self.kind == 'q' { "queue" } else { "exchange" },
            "routing_key": json::text(&self.key),
            "arguments": json::of_table(self.arguments.view()),
            "properties_key": self.properties_key(),
        })
    }
}

fn properties_key(key: &[u8], arguments: TableRef<'_>) -> String {
    let key = as_in_query(key);
    match (key.is_empty(), arguments.is_empty()) {
        (true, true) => "~".to_owned(),
        (false, true) => key,
        _ => {
            let hash = Sha256::digest(arguments.as_bytes());
            format!("{key}~{}", BASE64.encode(&hash[..HASH_LEN]))
        }
    }
}

/// The properties key that is meant by one whose key may not be escaped.
fn escaped_again(given: &str) -> String {
    let end = given.find('~').unwrap_or(given.len());
    let (key, hash) = given.split_at(end);
    let key: Vec<u8> = percent_decode_str(&key.replace('+', " ")).collect();
    as_in_query(&key) + hash
}

/// A space is a plus, and what separates a key from the hash is escaped too.
fn as_in_query(key: &[u8]) -> String {
    let key = escape(&String::from_utf8_lossy(key));
    key.replace("%20", "+").replace('~', "%7E")
}

/// Escapes what has a meaning in a path.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
