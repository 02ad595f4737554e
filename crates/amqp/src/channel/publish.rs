//! `basic.publish`: checks in RabbitMQ's order, routing, `basic.return`, the numbers for confirms.

use bytes::Bytes;
use leveret_broker::error::{Error, Kind};
use leveret_broker::filling::NewBody;
use leveret_broker::publisher::{RouteIndex, ShardSet};
use leveret_broker::users::Access;
use leveret_broker::vhost::reply::REPLY_TO;
use leveret_message::batch::{NewMessage, SHARED_BODY_MIN};
use leveret_message::copies;
use leveret_message::exchange_and_key;
use leveret_message::name::Name;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableRef, TableWriter};
use leveret_wire::{ReplyCode, encode};

use crate::channel::{Channel, trace, tx};
use crate::core::Core;
use crate::exception::Exception;

/// The longest `expiration`, in milliseconds: ten years.
const EXPIRATION_MAX: u64 = 315_360_000_000;

/// A message as a client published it.
pub(crate) struct Published<'a> {
    /// `u8 length, exchange, u8 length, routing key`.
    pub(crate) exchange_and_key: &'a [u8],
    pub(crate) mandatory: bool,
    /// Flag words and property list.
    pub(crate) properties: &'a [u8],
    pub(crate) body: PublishedBody<'a>,
}

/// The body, borrowed from what was read or collected from several frames.
pub(crate) enum PublishedBody<'a> {
    Read(&'a [u8]),
    Collected(Vec<u8>),
}

impl PublishedBody<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            PublishedBody::Read(bytes) => bytes,
            PublishedBody::Collected(bytes) => bytes,
        }
    }
}

/// Checks the size that a content header announces.
///
/// **Errors**: 406.
pub(crate) fn check_size(core: &Core, body_size: u64) -> Result<(), Exception> {
    let max = core.settings.max_message_size;
    if body_size <= max {
        return Ok(());
    }
    let explanation = format!("message size {body_size} is larger than configured max size {max}");
    Err(Exception::channel(
        ReplyCode::PreconditionFailed,
        explanation,
    ))
}

/// Takes a whole message: into the batches of this turn, or back to the client.
///
/// **Errors**: 403, 404 and 406 of the checks; 502 for properties that cannot be read. **Order**: a return precedes its confirm.
#[inline]
pub(crate) fn publish(
    core: &mut Core,
    channel: &mut Channel,
    message: Published<'_>,
) -> Result<(), Exception> {
    let properties = Properties::parse(message.properties).map_err(|error| {
        Exception::connection(
            ReplyCode::SyntaxError,
            format!("malformed properties: {error}"),
        )
    })?;
    let headers = properties.headers();
    match headers.is_some_and(copies::are_in) {
        false => take::<false>(core, channel, message, &properties),
        true => take_copies(core, channel, message, &properties),
    }
}

/// A message with `CC` or `BCC`.
#[cold]
fn take_copies(
    core: &mut Core,
    channel: &mut Channel,
    message: Published<'_>,
    properties: &Properties<'_>,
) -> Result<(), Exception> {
    take::<true>(core, channel, message, properties)
}

/// Takes a message, which may have `CC` or `BCC` where there are `COPIES`. Compiled for both: asked at run time, each message costs 27 instructions more, 2 %
/// of all that one costs.
#[inline(always)]
fn take<const COPIES: bool>(
    core: &mut Core,
    channel: &mut Channel,
    message: Published<'_>,
    properties: &Properties<'_>,
) -> Result<(), Exception> {
    let remembered = match COPIES {
        true => None,
        false => core.publisher.remembered(message.exchange_and_key),
    };
    let mut route = match remembered {
        Some(route) => route,
        None => route(core, message.exchange_and_key, properties, COPIES)?,
    };
    let reply_to = match properties.reply_to() {
        Some(reply_to) if reply_to == REPLY_TO.as_bytes() => Some(replies(channel)?),
        _ => None,
    };
    check_properties(core, properties)?;
    if message.mandatory && core.publisher.reaches_nobody(route) {
        send_back(core, channel, &message)?;
    }
    let headers = properties.headers().filter(|_| COPIES);
    let is_rewritten = reply_to.is_some() || (COPIES && copies::are_blind(headers));
    let rewritten = is_rewritten.then(|| rewrite(properties, reply_to));
    let new = NewMessage {
        exchange_and_key: message.exchange_and_key,
        properties: rewritten.as_deref().unwrap_or(message.properties),
        persistent: properties.is_persistent(),
        priority: properties.priority().unwrap_or_default(),
    };
    let body = match message.body {
        PublishedBody::Collected(body) if body.len() >= SHARED_BODY_MIN => {
            NewBody::Shared(Bytes::from(body))
        }
        PublishedBody::Collected(ref body) => NewBody::Copied(body),
        PublishedBody::Read(body) if body.len() >= SHARED_BODY_MIN => {
            NewBody::Shared(Bytes::copy_from_slice(body))
        }
        PublishedBody::Read(body) => NewBody::Copied(body),
    };
    let blind = copies::blind(headers);
    if remembered.is_none() {
        let message = (new, &body, blind.as_slice());
        route = unremembered(core, (channel.number, route), message, properties)?;
    }
    if channel.transaction.is_some() {
        let route = (route, message.mandatory);
        return tx::gather(core, channel, route, (new, &blind), &body);
    }
    if remembered.is_none() {
        core.publisher.note_passing(route);
    }
    if core.publisher.may_refuse(route) {
        note_refusable(core, channel, route);
    }
    let shards = core.publisher.publish((channel.number, route), new, &body);
    if COPIES {
        core.publisher.keep_blind(route, &blind);
    }
    note(core, channel, shards, message.mandatory);
    Ok(())
}

/// The next message goes to a queue that may refuse it: where it will be has to be known if that is to be told.
#[cold]
fn note_refusable(core: &mut Core, channel: &mut Channel, route: RouteIndex) {
    let places = core.publisher.next_places(route);
    if let Some(confirms) = &mut channel.confirms {
        confirms.next_may_be_refused(places);
    }
}

/// A message is on its way to these shards.
#[inline]
fn note(core: &mut Core, channel: &mut Channel, shards: ShardSet, mandatory: bool) {
    channel.counts.published += 1;
    if shards.is_empty() && !mandatory {
        channel.counts.dropped += 1;
        core.counts.dropped += 1;
    }
    if let Some(confirms) = &mut channel.confirms
        && confirms.published(shards)
    {
        core.publishing.push(channel.number);
    }
}

/// What else becomes of a message whose route was not remembered. Returns its route, which may have been looked up again.
#[cold]
fn unremembered(
    core: &mut Core,
    (channel, route): (u16, RouteIndex),
    (new, body, blind): (NewMessage<'_>, &NewBody<'_>, &[u8]),
    properties: &Properties<'_>,
) -> Result<RouteIndex, Exception> {
    core.publisher.keep_recent(route, new, body, blind);
    if !core.vhost.is_traced() {
        return Ok(route);
    }
    let (_, routing_key) = split(new.exchange_and_key)?;
    let keys = routing_keys(routing_key, properties.headers())?;
    trace::published(core, (channel, route), &keys, new, body);
    self::route(core, new.exchange_and_key, properties, keys.len() > 1)
}

/// A route that is not remembered: permission, existence, and the walk over the exchanges.
#[cold]
fn route(
    core: &mut Core,
    exchange_and_key: &[u8],
    properties: &Properties<'_>,
    copies: bool,
) -> Result<RouteIndex, Exception> {
    let (exchange, routing_key) = split(exchange_and_key)?;
    core.check(Access::Write, Kind::Exchange, exchange)?;
    let exchange = core.vhost.exchange(exchange)?;
    if exchange.internal {
        return Err(Error::InternalExchange(exchange.resource()).into());
    }
    let keys = routing_keys(routing_key, properties.headers().filter(|_| copies))?;
    for key in &keys {
        core.check_topic(Access::Write, &exchange, key)?;
    }
    let keys = keys.into_iter();
    Ok(core
        .publisher
        .route(&exchange, exchange_and_key, keys, *properties))
}

fn split(exchange_and_key: &[u8]) -> Result<(&str, &[u8]), Exception> {
    let parts = exchange_and_key::split(exchange_and_key);
    let parts = parts.and_then(|(exchange, key)| Some((str::from_utf8(exchange).ok()?, key)));
    parts.ok_or_else(|| Exception::connection(ReplyCode::SyntaxError, "malformed method arguments"))
}

/// All routing keys of a message.
fn routing_keys<'a>(
    routing_key: &'a [u8],
    headers: Option<TableRef<'a>>,
) -> Result<Vec<&'a [u8]>, Exception> {
    copies::routing_keys(routing_key, headers)
        .map_err(|error| Exception::channel(ReplyCode::PreconditionFailed, error.to_string()))
}

/// Where the answers to this channel go.
///
/// **Errors**: 406 if it does not consume any.
#[cold]
fn replies(channel: &Channel) -> Result<Name, Exception> {
    let replies = channel.replies.as_ref().map(|queue| queue.name().clone());
    replies.ok_or_else(|| {
        let explanation = "fast reply consumer does not exist";
        Exception::channel(ReplyCode::PreconditionFailed, explanation)
    })
}

#[inline]
fn check_properties(core: &Core, properties: &Properties<'_>) -> Result<(), Exception> {
    if let Some(expiration) = properties.expiration() {
        check_expiration(expiration)?;
    }
    if let Some(user_id) = properties.user_id() {
        check_user_id(core, user_id)?;
    }
    Ok(())
}

#[cold]
fn check_expiration(expiration: &[u8]) -> Result<(), Exception> {
    let text = String::from_utf8_lossy(expiration);
    let reason = match text.parse::<i128>() {
        Ok(ms) if (0..=i128::from(EXPIRATION_MAX)).contains(&ms) => return Ok(()),
        Ok(ms) if ms < 0 => format!("{{value_negative,{ms}}}"),
        Ok(ms) => format!("{{value_too_large,{ms}}}"),
        Err(_) => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = text.split_at(digits);
            if number.is_empty() {
                "no_integer".to_owned()
            } else {
                format!("{{leftover_string,\"{rest}\"}}")
            }
        }
    };
    let explanation = format!("invalid expiration '{text}': {reason}");
    Err(Exception::channel(
        ReplyCode::PreconditionFailed,
        explanation,
    ))
}

#[cold]
fn check_user_id(core: &Core, user_id: &[u8]) -> Result<(), Exception> {
    let user = &core.user;
    if user_id == user.name.as_bytes() || user.has_tag("impersonator") {
        return Ok(());
    }
    let explanation = format!(
        "user_id property set to '{}' but authenticated user was '{}'",
        String::from_utf8_lossy(user_id),
        user.name
    );
    Err(Exception::channel(
        ReplyCode::PreconditionFailed,
        explanation,
    ))
}

/// `basic.return` of a mandatory message that no queue takes: at once, or when its transaction is committed.
///
/// **Errors**: 406 where the transaction has no room for it.
#[cold]
fn send_back(
    core: &mut Core,
    channel: &mut Channel,
    message: &Published<'_>,
) -> Result<(), Exception> {
    let (number, frame_max) = (channel.number, core.frame_max);
    let body = message.body.as_bytes();
    let message = (message.exchange_and_key, message.properties, body);
    if let Some(transaction) = &mut channel.transaction {
        let before = transaction.returns.len();
        write_return(&mut transaction.returns, number, message, frame_max);
        return tx::note_return(core, transaction, before);
    }
    channel.counts.returned += 1;
    core.counts.returned += 1;
    write_return(core.out.buffer(), number, message, frame_max);
    Ok(())
}

/// `basic.return` of a message: `exchange_and_key`, properties and body.
pub(super) fn write_return(
    out: &mut Vec<u8>,
    number: u16,
    (exchange_and_key, properties, body): (&[u8], &[u8], &[u8]),
    frame_max: u32,
) {
    let code = ReplyCode::NoRoute;
    encode::return_message(out, number, code, "NO_ROUTE", exchange_and_key);
    encode::content_header(out, number, body.len() as u64, properties);
    encode::body(out, number, body, frame_max);
}

/// The properties as others see them: without the `BCC` header, and with the way back to who asked.
#[cold]
fn rewrite(properties: &Properties<'_>, reply_to: Option<Name>) -> Vec<u8> {
    let mut writer = PropertiesWriter::from(*properties);
    let seen = properties.headers().map(copies::seen);
    writer.headers = seen.as_ref().map(TableWriter::view);
    if let Some(reply_to) = &reply_to {
        writer.reply_to = Some(reply_to.as_bytes());
    }
    writer
        .to_bytes()
        .expect("properties that were read are not too long to be written")
}
