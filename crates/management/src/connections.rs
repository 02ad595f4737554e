//! Connections: what is told of them; closing them.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query as UrlQuery};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::{ConnectionFigures, ConnectionState};
use leveret_broker::link::Event;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::figure::{self, Figures};
use crate::queues::object;
use crate::rates::{Key, Rated, Rates};
use crate::refusal::Refusal;
use crate::{ask, json, list};

/// `GET /connections`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let facts = visible(&caller, |_| true);
    query.answer(describe_all(&caller, facts).await)
}

/// `GET /vhosts/{vhost}/connections`.
pub(crate) async fn of_vhost(
    caller: Caller,
    Path(vhost): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let facts = visible(&caller, |facts| vhost_of(facts) == Some(&*vhost.name));
    query.answer(describe_all(&caller, facts).await)
}

/// `GET /connections/username/{user}`.
pub(crate) async fn of_user(
    caller: Caller,
    Path(user): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let facts = visible(&caller, |facts| user_of(facts) == Some(user.as_str()));
    query.answer(describe_all(&caller, facts).await)
}

/// `GET /connections/{name}`.
pub(crate) async fn one(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let facts = named(&caller, &name)?;
    let ranges = query.ranges()?;
    let told = ask::connections(std::slice::from_ref(&facts)).await;
    let told = told.get(&facts.link.connection);
    let rated = Rates::of_one(&caller.api, key(&facts), figures(&facts), &ranges);
    let described = describe(&facts, told, &rated, &caller.api.node.name);
    Ok(query.one(Value::Object(described)))
}

/// Closes a connection, for the reason in `X-Reason`: 204.
pub(crate) async fn close(
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let facts = named(&caller, &name)?;
    caller.must_close_connections_of(user_of(&facts).unwrap_or_default())?;
    facts.link.events.push(Event::Close(reason(&headers)));
    Ok(StatusCode::NO_CONTENT)
}

/// Closes the connections of a user: 204.
pub(crate) async fn close_of_user(
    caller: Caller,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    caller.must_close_connections_of(&user)?;
    let reason = reason(&headers);
    for facts in visible(&caller, |facts| user_of(facts) == Some(user.as_str())) {
        facts.link.events.push(Event::Close(reason.clone()));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn reason(headers: &HeaderMap) -> String {
    let given = headers
        .get("x-reason")
        .and_then(|reason| reason.to_str().ok());
    given.unwrap_or("Closed via management plugin").to_owned()
}

/// The connection of that name.
///
/// **Errors**: 401, 404.
pub(crate) fn named(caller: &Caller, name: &str) -> Result<ConnectionFacts, Refusal> {
    let all = caller.api.broker.connections.all().into_iter();
    let mut found = all.filter(|facts| facts.name == name && facts.open_as.is_some());
    let found = found.next().ok_or_else(Refusal::not_found)?;
    match user_of(&found) {
        Some(user) if caller.sees_connections_of(user) => Ok(found),
        _ => Err(Refusal::not_authorised(
            "User not authorised to access object",
        )),
    }
}

/// The open connections that the caller may see and `wanted` takes, by name.
pub(crate) fn visible(
    caller: &Caller,
    wanted: impl Fn(&ConnectionFacts) -> bool,
) -> Vec<ConnectionFacts> {
    let mut facts = caller.api.broker.connections.all();
    facts.retain(|facts| {
        user_of(facts).is_some_and(|user| caller.sees_connections_of(user)) && wanted(facts)
    });
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    facts
}

pub(crate) fn user_of(facts: &ConnectionFacts) -> Option<&str> {
    facts.open_as.as_ref().map(|open| &*open.user)
}

pub(crate) fn vhost_of(facts: &ConnectionFacts) -> Option<&str> {
    facts.open_as.as_ref().map(|open| &*open.vhost)
}

async fn describe_all(caller: &Caller, facts: Vec<ConnectionFacts>) -> Vec<Value> {
    let told = ask::connections(&facts).await;
    let node = &caller.api.node.name;
    let things = facts.iter().map(|facts| (key(facts), figures(facts)));
    let rated = Rates::of_list(&caller.api, things);
    let described = facts.iter().zip(&rated).map(|(facts, rated)| {
        let told = told.get(&facts.link.connection);
        Value::Object(describe(facts, told, rated, node))
    });
    described.collect()
}

fn key(facts: &ConnectionFacts) -> Key {
    Key::Connection(facts.link.connection)
}

pub(crate) fn figures(facts: &ConnectionFacts) -> Figures {
    Figures::default().with_bytes(&facts.traffic.figures())
}

fn describe(
    facts: &ConnectionFacts,
    figures: Option<&ConnectionFigures>,
    rated: &Rated,
    node: &str,
) -> Map<String, Value> {
    let traffic = facts.traffic.figures();
    let (peer, local) = ends(&facts.name);
    let mut described = object(json!({
        "name": facts.name,
        "node": node,
        "pid": format!("<{}>", facts.link.connection.0),
        "type": "network",
        "host": local.0,
        "port": local.1,
        "peer_host": peer.0,
        "peer_port": peer.1,
        "ssl": facts.tls.is_some(),
        "ssl_protocol": facts.tls.as_ref().map(|tls| tls.protocol),
        "ssl_cipher": facts.tls.as_ref().map(|tls| tls.cipher.as_str()),
        "ssl_hash": null,
        "ssl_key_exchange": null,
        "peer_cert_issuer": null,
        "peer_cert_validity": null,
        "peer_cert_subject": facts.tls.as_ref().and_then(|tls| tls.peer_subject.as_deref()),
        "state": state(figures),
        "connected_at": connected_at(facts),
        "channels": traffic.channels,
        "recv_cnt": traffic.received,
        "send_cnt": traffic.sent,
        "send_pend": facts.link.waiting_bytes(),
    }));
    rated.put(&mut described, figure::DATA);
    if let Some(open) = &facts.open_as {
        let properties = json::of_table(open.client_properties.view());
        let own_name = properties.get("connection_name").cloned();
        described.extend(object(json!({
            "user": &*open.user,
            "user_who_performed_action": &*open.user,
            "vhost": &*open.vhost,
            "protocol": open.protocol,
            "auth_mechanism": open.mechanism,
            "channel_max": open.channel_max,
            "frame_max": open.frame_max,
            "timeout": open.heartbeat,
            "client_properties": properties,
        })));
        if let Some(own_name) = own_name {
            described.insert("user_provided_name".to_owned(), own_name);
        }
    }
    described
}

fn state(figures: Option<&ConnectionFigures>) -> &'static str {
    match figures.map(|figures| figures.state) {
        Some(ConnectionState::Running) | None => "running",
        Some(ConnectionState::Blocking) => "blocking",
        Some(ConnectionState::Blocked) => "blocked",
        Some(ConnectionState::Flow) => "flow",
        Some(ConnectionState::Closing) => "closing",
    }
}

/// Milliseconds since 1970.
fn connected_at(facts: &ConnectionFacts) -> u64 {
    let at = SystemTime::now().checked_sub(facts.since.elapsed());
    let since_1970 = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since_1970.map_or(0, |since| since.as_millis() as u64)
}

/// What other things tell of the connection that they belong to.
pub(crate) fn short(facts: &ConnectionFacts) -> Value {
    let (peer, _) = ends(&facts.name);
    json!({"name": facts.name, "peer_host": peer.0, "peer_port": peer.1})
}

/// Host and port of the client and of the broker, of a name like `1.2.3.4:5 -> 6.7.8.9:10`.
fn ends(name: &str) -> ((String, u16), (String, u16)) {
    let (peer, local) = name.split_once(" -> ").unwrap_or((name, ""));
    (end(peer), end(local))
}

fn end(address: &str) -> (String, u16) {
    match address
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse()))
    {
        Some((host, Ok(port))) => (host.trim_matches(['[', ']']).to_owned(), port),
        _ => (address.to_owned(), 0),
    }
}
