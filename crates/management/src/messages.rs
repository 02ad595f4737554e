//! Publishing one message, and getting some: for people who look what happens, not for throughput.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::command::{Command, Outcome, Settle};
use leveret_broker::error::{Error, Kind};
use leveret_broker::exchange::Exchange;
use leveret_broker::figures::TrafficFigures;
use leveret_broker::filling::NewBody;
use leveret_broker::ids::Holder;
use leveret_broker::link::{Event, Got, Reply};
use leveret_broker::publisher::firehose::Witness;
use leveret_broker::publisher::{NOBODY, Publisher, ShardSet};
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::users::Access;
use leveret_broker::vhost::Vhost;
use leveret_message::batch::{Message, NewMessage};
use leveret_message::copies;
use leveret_message::exchange_and_key;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::TableWriter;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ask::OperatorLink;
use crate::body::Body;
use crate::caller::Caller;
use crate::exchanges::of_path;
use crate::json;
use crate::refusal::Refusal;

/// Messages that one request may get.
const GET_MAX: u64 = 10_000;

/// Bytes of bodies after which a request gets no further message.
const GET_BYTES_MAX: usize = 64 << 20;

/// The channel that an operator's link has.
const CHANNEL: u16 = 1;

/// `POST /exchanges/{vhost}/{name}/publish`.
#[derive(Debug, Deserialize)]
pub(crate) struct NewPublish {
    routing_key: String,
    payload: String,
    payload_encoding: String,
    properties: Value,
}

impl NewPublish {
    /// The body, decoded.
    fn body(&self) -> Result<Vec<u8>, Refusal> {
        match self.payload_encoding.as_str() {
            "string" => Ok(self.payload.as_bytes().to_vec()),
            "base64" => BASE64
                .decode(&self.payload)
                .map_err(|_| Refusal::bad_request("payload is no base64")),
            other => Err(Refusal::bad_request(format!(
                "unknown payload_encoding {other}"
            ))),
        }
    }
}

/// Publishes a message, and says whether a queue took it: when it is safe.
pub(crate) async fn publish(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(new): Body<NewPublish>,
) -> Result<Json<Value>, Refusal> {
    let broker = &caller.api.broker;
    let vhost = caller.vhost(&vhost)?;
    let exchange = vhost.exchange(of_path(&name));
    let exchange = exchange.map_err(Refusal::of_publish)?;
    check(&caller, &vhost, &exchange).map_err(Refusal::of_publish)?;
    check_topic(&caller, &vhost, &exchange, new.routing_key.as_bytes())
        .map_err(Refusal::of_publish)?;
    if broker.alarms().any() {
        return Err(Refusal::unavailable(
            "an alarm is on: publishers are blocked",
        ));
    }
    let properties = json::to_properties(Some(&new.properties))?;
    let properties =
        Properties::parse(&properties).map_err(|error| Refusal::bad_request(error.to_string()))?;
    check_user_id(&caller, &properties)?;
    let body = new.body()?;
    let too_long = || Refusal::bad_request("the routing key is longer than 255 bytes");
    let key = exchange_and_key::join(exchange.name.as_bytes(), new.routing_key.as_bytes());
    let key = key.ok_or_else(too_long)?;
    let mut link = OperatorLink::new(broker);
    let mut publisher =
        Publisher::new(link.connection(), Arc::clone(&vhost), broker.shards.clone());
    let keys = routing_keys(&new.routing_key, &properties)?;
    for key in keys.iter().skip(1) {
        check_topic(&caller, &vhost, &exchange, key).map_err(Refusal::of_publish)?;
    }
    let route = publisher.route(&exchange, &key, keys.iter().copied(), properties);
    let seen = seen(&properties)?;
    let message = NewMessage {
        exchange_and_key: &key,
        properties: &seen,
        persistent: properties.is_persistent(),
        priority: properties.priority().unwrap_or_default(),
    };
    let body = NewBody::Copied(&body);
    let blind = copies::blind(properties.headers());
    publisher.keep_recent(route, message, &body, &blind);
    let route = match vhost.is_traced() {
        false => route,
        true => {
            publisher.trace_published(route, &keys, message, &body, &witness(&caller));
            publisher.route(&exchange, &key, keys.iter().copied(), properties)
        }
    };
    let shards = publisher.publish((NOBODY, route), message, &body);
    publisher.keep_blind(route, &blind);
    publisher.hand_over(|shard| link.connect(shard));
    let routed = is_taken(&mut link, &publisher, shards).await?;
    let done = TrafficFigures {
        published: 1,
        confirmed: 1,
        returned: u64::from(!routed),
        ..TrafficFigures::default()
    };
    broker.connections.note(&vhost.name, done);
    Ok(Json(json!({"routed": routed})))
}

/// Waits until a message is safe. Whether a queue took it, and none refused it.
async fn is_taken(
    link: &mut OperatorLink<'_>,
    publisher: &Publisher,
    shards: ShardSet,
) -> Result<bool, Refusal> {
    let mut waiting: Vec<_> = shards.iter().collect();
    let mut routed = !waiting.is_empty();
    if !routed {
        return Ok(false);
    }
    // Several may answer at once.
    link.next(|event| {
        match event {
            Event::Progress { shard, done, .. } => {
                waiting.retain(|waiting| *waiting != shard || done < publisher.number(shard));
            }
            // There is no other message on this link.
            Event::Refused { .. } => routed = false,
            _ => {}
        }
        waiting.is_empty().then_some(())
    })
    .await?;
    Ok(routed)
}

/// The routing keys of a message, those in its headers too.
fn routing_keys<'a>(key: &'a str, properties: &Properties<'a>) -> Result<Vec<&'a [u8]>, Refusal> {
    let keys = copies::routing_keys(key.as_bytes(), properties.headers());
    keys.map_err(|error| Refusal::bad_request(format!("406 PRECONDITION_FAILED - {error}")))
}

/// The properties as they are seen by those who get the message.
fn seen(properties: &Properties<'_>) -> Result<Vec<u8>, Refusal> {
    let mut writer = PropertiesWriter::from(*properties);
    let seen = properties.headers().map(copies::seen);
    writer.headers = seen.as_ref().map(TableWriter::view);
    let seen = writer.to_bytes();
    seen.map_err(|error| Refusal::bad_request(error.to_string()))
}

/// Who publishes and gets, as the firehose tells it.
fn witness(caller: &Caller) -> Witness<'_> {
    Witness {
        node: &caller.api.broker.node,
        connection: "management API",
        channel: CHANNEL,
        user: &caller.user.name,
    }
}

/// Who names a user in a message has to be that user, or one who may pretend to be any.
fn check_user_id(caller: &Caller, properties: &Properties<'_>) -> Result<(), Refusal> {
    let own = &caller.user.name;
    match properties.user_id() {
        Some(id) if id != own.as_bytes() && !caller.user.has_tag("impersonator") => {
            let id = String::from_utf8_lossy(id);
            Err(Refusal::bad_request(format!(
                "406 PRECONDITION_FAILED - user_id property set to '{id}' but \
                 authenticated user was '{own}'"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether the caller may publish to an exchange.
fn check(caller: &Caller, vhost: &Vhost, exchange: &Exchange) -> Result<(), Error> {
    caller.may(vhost, Access::Write, (Kind::Exchange, &exchange.name))?;
    if exchange.internal {
        return Err(Error::InternalExchange(exchange.resource()));
    }
    Ok(())
}

/// Whether the caller may publish to an exchange with that key.
fn check_topic(
    caller: &Caller,
    vhost: &Vhost,
    exchange: &Exchange,
    routing_key: &[u8],
) -> Result<(), Error> {
    let (user, vhost) = (&caller.user.name, &vhost.name);
    let topics = caller.api.broker.users.snapshot().topics_of(user, vhost);
    let is_topic = exchange.kind == ExchangeKind::Topic;
    if !is_topic || topics.allows(Access::Write, &exchange.name, routing_key) {
        return Ok(());
    }
    Err(Error::TopicRefused {
        access: Access::Write,
        routing_key: String::from_utf8_lossy(routing_key).into_owned(),
        exchange: exchange.name.clone(),
        vhost: vhost.clone(),
        user: user.clone(),
    })
}

/// `POST /queues/{vhost}/{name}/get`.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    count: Value,
    ackmode: Option<String>,
    /// As `ackmode` was called before: whether messages go back.
    requeue: Option<Value>,
    encoding: String,
    truncate: Option<Value>,
}

impl Wanted {
    /// What becomes of the messages; none where they are settled by being sent.
    fn outcome(&self) -> Result<Option<Outcome>, Refusal> {
        let mode = match (&self.ackmode, &self.requeue) {
            (Some(mode), _) => mode.as_str(),
            (None, Some(Value::Bool(false))) => "ack_requeue_false",
            (None, Some(Value::String(text))) if text == "false" => "ack_requeue_false",
            (None, Some(_)) => "ack_requeue_true",
            (None, None) => return Err(Refusal::key_missing("ackmode")),
        };
        match mode {
            "ack_requeue_false" => Ok(None),
            "ack_requeue_true" | "reject_requeue_true" => Ok(Some(Outcome::Return)),
            "reject_requeue_false" => Ok(Some(Outcome::Discard)),
            other => Err(Refusal::bad_request(format!("unknown ackmode {other}"))),
        }
    }
}

fn whole(name: &str, value: &Value) -> Result<u64, Refusal> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    number.ok_or_else(|| Refusal::bad_request(format!("{name} should be a number")))
}

/// Gets messages from the front of a queue.
pub(crate) async fn get(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let vhost = caller.vhost(&vhost)?;
    let queue = vhost.queue(&name).map_err(Refusal::of_get)?;
    let allowed = caller.may(&vhost, Access::Read, (Kind::Queue, &name));
    allowed.map_err(Refusal::of_get)?;
    not_for_streams(&queue, "basic.get")?;
    let (count, outcome) = (whole("count", &wanted.count)?, wanted.outcome()?);
    let truncate = wanted
        .truncate
        .as_ref()
        .map(|value| whole("truncate", value));
    let truncate = truncate.transpose()?.map_or(usize::MAX, |n| n as usize);
    let base64 = is_base64(&wanted.encoding)?;
    let mut link = OperatorLink::new(&caller.api.broker);
    queue.check_owner(link.connection())?;
    let mut tracer = vhost.is_traced().then(|| {
        let shards = caller.api.broker.shards.clone();
        Publisher::new(link.connection(), Arc::clone(&vhost), shards)
    });
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while (messages.len() as u64) < count.min(GET_MAX) && bytes < GET_BYTES_MAX {
        let Some(got) = get_one(&mut link, &queue, outcome.is_none()).await? else {
            break;
        };
        let Some(message) = got.batch.message(got.index) else {
            break;
        };
        bytes += message.body.len();
        messages.push(describe(&got, &message, truncate, base64));
        if let Some(tracer) = &mut tracer {
            tracer.trace_delivered(&queue, &message, got.redelivered, &witness(&caller));
        }
        if outcome == Some(Outcome::Discard) {
            settle(&mut link, &queue, got.seq, Outcome::Discard);
        }
    }
    if let Some(mut tracer) = tracer {
        tracer.hand_over(|shard| link.connect(shard));
    }
    // What is to go back does so as the link ends.
    Ok(Json(messages.into()))
}

/// What a stream does not know.
pub(crate) fn not_for_streams(queue: &QueueHandle, what: &str) -> Result<(), Refusal> {
    match queue.is_stream() {
        false => Ok(()),
        true => Err(Refusal::bad_request(format!(
            "{what} not supported by stream queues {}",
            queue.resource()
        ))),
    }
}

async fn get_one(
    link: &mut OperatorLink<'_>,
    queue: &Arc<QueueHandle>,
    no_ack: bool,
) -> Result<Option<Got>, Refusal> {
    let get = Command::Get {
        holder: Holder {
            connection: link.connection(),
            channel: CHANNEL,
        },
        queue: Arc::clone(queue),
        no_ack,
    };
    match link.ask(queue.shard, get).await? {
        Reply::Got(got) => Ok(got),
        _ => Ok(None),
    }
}

fn settle(link: &mut OperatorLink<'_>, queue: &QueueHandle, seq: u64, outcome: Outcome) {
    let settle = Settle {
        queue: queue.id,
        channel: CHANNEL,
        first_seq: seq,
        count: 1,
        outcome,
        reader: 0,
    };
    link.send(
        queue.shard,
        Command::Settle(link.connection(), vec![settle]),
    );
}

/// Whether payloads are to be told as base64 in any case.
///
/// **Errors**: 400 for an encoding that is none.
pub(crate) fn is_base64(encoding: &str) -> Result<bool, Refusal> {
    match encoding {
        "auto" => Ok(false),
        "base64" => Ok(true),
        _ => Err(Refusal::bad_request(
            "Unsupported encoding. Please use auto or base64.",
        )),
    }
}

/// The first bytes of a payload as text, and in which encoding.
pub(crate) fn payload(body: &[u8], truncate: usize, base64: bool) -> (String, &'static str) {
    let cut = &body[..body.len().min(truncate)];
    match std::str::from_utf8(cut).ok().filter(|_| !base64) {
        Some(text) => (text.to_owned(), "string"),
        None => (BASE64.encode(cut), "base64"),
    }
}

pub(crate) fn describe(got: &Got, message: &Message<'_>, truncate: usize, base64: bool) -> Value {
    let body = message.body.as_bytes();
    let (exchange, key) = exchange_and_key::split(message.exchange_and_key).unwrap_or_default();
    let properties = Properties::parse(message.properties).unwrap_or_default();
    let (payload, encoding) = payload(body, truncate, base64);
    json!({
        "payload_bytes": body.len(),
        "redelivered": got.redelivered,
        "exchange": json::text(exchange),
        "routing_key": json::text(key),
        "message_count": got.remaining,
        "properties": json::of_properties(&properties),
        "payload": payload,
        "payload_encoding": encoding,
    })
}
