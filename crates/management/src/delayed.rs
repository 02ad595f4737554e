//! The messages that `x-delayed-message` exchanges hold back: listing them by the time at which they are due, and cancelling some.
//!
//! A page is gathered stretch by stretch, as the shard reads them, and has the first of all that fit. It is bounded, whatever waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use leveret_broker::command::{Command, Operation};
use leveret_broker::delay::Near;
use leveret_broker::delay::search::{Criteria, Place, Search, Stretch, properties};
use leveret_broker::error::Kind;
use leveret_broker::link::Reply;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::users::Access;
use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ask::OperatorLink;
use crate::caller::Caller;
use crate::exchanges::of_path;
use crate::json;
use crate::messages::{is_base64, payload};
use crate::refusal::Refusal;

/// Messages that one request may list.
const LIST_MAX: usize = 1_000;

/// Messages that it lists if it does not say how many.
const LIST_DEFAULT: usize = 100;

/// Bytes of properties, and of bodies where these are wanted, after which a page ends.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    count: Option<usize>,
    /// The id of the last one of the page before.
    after: Option<String>,
    routing_key: Option<String>,
    message_id: Option<String>,
    /// Of payloads: `auto` or `base64`.
    encoding: Option<String>,
    truncate: Option<usize>,
}

impl Wanted {
    fn criteria(&self) -> Criteria {
        let bytes = |text: &Option<String>| text.clone().map(String::into_bytes);
        Criteria {
            routing_key: bytes(&self.routing_key),
            message_id: bytes(&self.message_id),
            ..Criteria::default()
        }
    }

    /// **Errors**: 400.
    fn telling(&self, encoding: Option<&str>) -> Result<Telling, Refusal> {
        Ok(Telling {
            base64: encoding.map(is_base64).transpose()?,
            truncate: self.truncate.unwrap_or(usize::MAX),
        })
    }
}

/// A message, as operators name it: when it is due, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    due_ms: u64,
    number: u64,
}

impl Id {
    fn of(near: &Near) -> Self {
        Self {
            due_ms: near.due_ms,
            number: near.number,
        }
    }

    /// **Errors**: 400.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = text.split_once('-');
        let numbers =
            parts.and_then(|(due, number)| Some((due.parse().ok()?, number.parse().ok()?)));
        let (due_ms, number) =
            numbers.ok_or_else(|| Refusal::bad_request("this is no id of a delayed message"))?;
        Ok(Self { due_ms, number })
    }

    fn criteria(self) -> Criteria {
        Criteria {
            from_ms: self.due_ms,
            until_ms: Some(self.due_ms),
            number: Some(self.number),
            ..Criteria::default()
        }
    }
}

/// How a message is told.
struct Telling {
    /// Whether as base64; nothing where the payload is not told.
    base64: Option<bool>,
    truncate: usize,
}

impl Telling {
    /// What is told, and about how many bytes that has.
    fn tell(&self, near: &Near) -> Option<(Value, usize)> {
        let message = near.batch.message(near.index)?;
        let (exchange, key) = exchange_and_key::split(message.exchange_and_key)?;
        let properties = properties(near)?;
        let parsed = Properties::parse(&properties).ok()?;
        let body = message.body.as_bytes();
        let mut told = json!({
            "id": format!("{}-{}", near.due_ms, near.number),
            "due": near.due_ms,
            "exchange": json::text(exchange),
            "routing_key": json::text(key),
            "properties": json::of_properties(&parsed),
            "payload_bytes": body.len(),
        });
        let mut bytes = properties.len();
        if let Some(base64) = self.base64 {
            let (payload, encoding) = payload(body, self.truncate, base64);
            bytes += payload.len();
            told["payload"] = payload.into();
            told["payload_encoding"] = encoding.into();
        }
        Some((told, bytes))
    }
}

/// The first messages behind an id, as far as they have been found.
struct Page {
    after: Option<Id>,
    count: usize,
    found: BTreeMap<Id, (Value, usize)>,
    bytes: usize,
    /// Whether messages were left out that come later.
    is_full: bool,
}

impl Page {
    /// The last one, behind which nothing is added any more.
    fn end(&self) -> Option<Id> {
        let last = self.found.keys().next_back().copied();
        last.filter(|_| self.is_full || self.found.len() >= self.count)
    }

    fn add(&mut self, near: &Near, telling: &Telling) {
        let id = Id::of(near);
        let is_behind_end = self.end().is_some_and(|end| id > end);
        if is_behind_end || self.after.is_some_and(|after| id <= after) {
            return;
        }
        let Some((told, bytes)) = telling.tell(near) else {
            return;
        };
        self.bytes += bytes;
        if let Some((_, bytes)) = self.found.insert(id, (told, bytes)) {
            self.bytes -= bytes;
        }
        while self.found.len() > self.count || (self.bytes > PAGE_BYTES_MAX && self.found.len() > 1)
        {
            self.is_full = true;
            if let Some((_, (_, bytes))) = self.found.pop_last() {
                self.bytes -= bytes;
            }
        }
    }
}

/// An exchange whose messages somebody searches.
struct Searcher<'a> {
    link: OperatorLink<'a>,
    queue: Arc<QueueHandle>,
}

impl<'a> Searcher<'a> {
    /// **Errors**: 400 where the exchange delays nothing; 401, 404.
    fn of(caller: &'a Caller, (vhost, name): (&str, &str)) -> Result<Self, Refusal> {
        let vhost = caller.vhost(vhost)?;
        let exchange = vhost.exchange(of_path(name))?;
        caller.check(&vhost, Access::Read, (Kind::Exchange, &exchange.name))?;
        let queue = exchange.delay().cloned().ok_or_else(|| {
            let what = exchange.resource();
            Refusal::bad_request(format!("{what} does not delay messages"))
        })?;
        Ok(Self {
            link: OperatorLink::new(&caller.api.broker),
            queue,
        })
    }

    async fn stretch(
        &mut self,
        from: Option<Place>,
        criteria: &Criteria,
        cancels: bool,
    ) -> Result<Stretch, Refusal> {
        let search = Operation::Search(Search {
            from,
            criteria: criteria.clone(),
            cancels,
        });
        let queue = Arc::clone(&self.queue);
        let command = Command::Operate(self.link.connection(), queue, search);
        match self.link.ask(self.queue.shard, command).await? {
            Reply::Searched(stretch) => Ok(stretch),
            _ => Err(Refusal::unavailable("the exchange gave another answer")),
        }
    }

    /// Cancels all messages that fit, and at most about `most`. Returns how many there were.
    async fn cancel(&mut self, criteria: &Criteria, most: u64) -> Result<u64, Refusal> {
        let (mut cancelled, mut from) = (0, None);
        loop {
            let stretch = self.stretch(from, criteria, true).await?;
            cancelled += stretch.cancelled;
            from = stretch.next;
            if from.is_none() || cancelled >= most {
                return Ok(cancelled);
            }
        }
    }
}

/// `GET /leveret/exchanges/{vhost}/{name}/delayed`: those that are due first, behind the one that is named.
pub(crate) async fn list(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let mut searcher = Searcher::of(&caller, (&vhost, &name))?;
    let telling = wanted.telling(wanted.encoding.as_deref())?;
    let after = wanted.after.as_deref().map(Id::parse).transpose()?;
    let mut page = Page {
        after,
        count: wanted.count.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX),
        found: BTreeMap::new(),
        bytes: 0,
        is_full: false,
    };
    let mut criteria = wanted.criteria();
    criteria.from_ms = after.map_or(0, |after| after.due_ms);
    let mut from = None;
    loop {
        let stretch = searcher.stretch(from, &criteria, false).await?;
        stretch
            .found
            .iter()
            .for_each(|near| page.add(near, &telling));
        criteria.until_ms = page.end().map(|end| end.due_ms);
        from = stretch.next;
        if from.is_none() {
            break;
        }
    }
    Ok(Json(
        page.found.into_values().map(|(told, _)| told).collect(),
    ))
}

/// `GET /leveret/exchanges/{vhost}/{name}/delayed/{id}`: one, with its payload.
pub(crate) async fn one(
    caller: Caller,
    Path((vhost, name, id)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let mut searcher = Searcher::of(&caller, (&vhost, &name))?;
    let criteria = Id::parse(&id)?.criteria();
    let telling = wanted.telling(wanted.encoding.as_deref().or(Some("auto")))?;
    let mut from = None;
    loop {
        let stretch = searcher.stretch(from, &criteria, false).await?;
        let told = stretch.found.first().and_then(|near| telling.tell(near));
        if let Some((told, _)) = told {
            return Ok(Json(told));
        }
        from = stretch.next;
        if from.is_none() {
            return Err(Refusal::not_found());
        }
    }
}

/// `DELETE /leveret/exchanges/{vhost}/{name}/delayed/{id}`: it is never released, once that is answered.
pub(crate) async fn cancel(
    caller: Caller,
    Path((vhost, name, id)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let mut searcher = Searcher::of(&caller, (&vhost, &name))?;
    match searcher.cancel(&Id::parse(&id)?.criteria(), 1).await? {
        0 => Err(Refusal::not_found()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// `DELETE /leveret/exchanges/{vhost}/{name}/delayed`: all that fit.
pub(crate) async fn cancel_all(
    caller: Caller,
    Path((vhost, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let mut searcher = Searcher::of(&caller, (&vhost, &name))?;
    if wanted.routing_key.is_none() && wanted.message_id.is_none() {
        let reason = "routing_key or message_id has to say which messages are cancelled";
        return Err(Refusal::bad_request(reason));
    }
    let cancelled = searcher.cancel(&wanted.criteria(), u64::MAX).await?;
    Ok(Json(json!({"cancelled": cancelled})))
}
