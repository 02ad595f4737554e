//! `queue.declare`, `bind`, `unbind`, `purge`, `delete`.

use std::sync::Arc;

use leveret_broker::arguments::QueueSettings;
use leveret_broker::command::Command;
use leveret_broker::error::{Error, Kind};
use leveret_broker::queue_handle::{QueueDeclaration, QueueHandle};
use leveret_broker::users::Access;
use leveret_broker::vhost::door::{Binding, Declared, IsKept, generated_name};
use leveret_broker::vhost::reply::REPLY_TO;
use leveret_message::name::Name;
use leveret_message::table::{Table, TableRef, TableWriter};
use leveret_wire::method::queue::{Bind, Declare, Delete, Method, Purge, Unbind};
use leveret_wire::protocol::{AMQPClass, queue};

use crate::channel::consume::not_for_streams;
use crate::channel::{Channel, Next, Question, short, without_line_ends};
use crate::core::Core;
use crate::exception::Exception;

/// The beginning of names that the broker makes up.
const GENERATED: &str = "amq.gen-";

pub(super) fn carry_out(
    core: &mut Core,
    channel: &mut Channel,
    method: Method<'_>,
) -> Result<Next, Exception> {
    match method {
        Method::Declare(declare) if declare.queue.starts_with(REPLY_TO) => {
            look_up_replies(core, channel, &declare)
        }
        Method::Declare(declare) if declare.passive => look_up(core, channel, declare),
        Method::Declare(declare) => self::declare(core, channel, declare),
        Method::Bind(bind) => self::bind(core, channel, bind),
        Method::Unbind(unbind) => self::unbind(core, channel, unbind),
        Method::Purge(purge) => self::purge(core, channel, purge),
        Method::Delete(delete) => self::delete(core, channel, delete),
    }
}

/// A passive declaration: is it there, and how much is in it. Any one permission is enough.
fn look_up(
    core: &mut Core,
    channel: &mut Channel,
    declare: Declare<'_>,
) -> Result<Next, Exception> {
    let name = channel.queue_name(declare.queue)?;
    core.check_any(Kind::Queue, &name)?;
    let queue = core.vhost.queue(&name)?;
    queue.check_owner(core.connection())?;
    channel.last_queue = Some(name);
    Ok(count(core, queue, declare.nowait, None))
}

/// Any declaration of a name of direct reply-to asks whether who is to get the answer lives.
///
/// **Errors**: 404 if not.
fn look_up_replies(
    core: &mut Core,
    channel: &mut Channel,
    declare: &Declare<'_>,
) -> Result<Next, Exception> {
    let name = channel.queue_name(declare.queue)?;
    if !core.vhost.has_replies(&name) {
        return Err(Error::NotFound(core.vhost.named(Kind::Queue, &name)).into());
    }
    if !declare.nowait {
        core.send(channel.number, declare_ok(&name, (0, 1)));
    }
    channel.last_queue = Some(name);
    Ok(Next::Done)
}

/// Asks for the counts; `again` is the declaration to be made anew if the queue has gone meanwhile.
fn count(
    core: &mut Core,
    queue: Arc<QueueHandle>,
    nowait: bool,
    again: Option<Box<Again>>,
) -> Next {
    let name = queue.name().clone();
    // Whoever only looks changes nothing.
    let is_kept = IsKept(again.is_some() && queue.is_kept());
    core.command(queue.shard, Command::Count(core.connection(), queue));
    Next::Wait(Question::Declare {
        queue: name,
        nowait,
        is_kept,
        again,
    })
}

/// A declaration of a queue that was there.
pub(crate) struct Again {
    declaration: QueueDeclaration,
    name_is_own: bool,
}

fn declare(
    core: &mut Core,
    channel: &mut Channel,
    declare: Declare<'_>,
) -> Result<Next, Exception> {
    let (name, arguments, own) = name_and_arguments(core, &declare)?;
    core.check(Access::Configure, Kind::Queue, &name)?;
    check_dead_letter_access(core, &name, declare.arguments)?;
    let connection = core.connection();
    let mut declaration = QueueDeclaration {
        name,
        // It never outlives its connection.
        durable: declare.durable && !declare.exclusive,
        owner: declare.exclusive.then_some(connection),
        auto_delete: declare.auto_delete,
        arguments,
    };
    core.vhost.give_type(&mut declaration);
    if declare.exclusive {
        // An exclusive queue belongs to a connection its shard knows: that is how it goes with it.
        core.know_all_shards();
    }
    make(
        core,
        channel,
        Again {
            declaration,
            name_is_own: own,
        },
        declare.nowait,
    )
}

/// Makes the queue, or finds the equivalent one that is there.
pub(super) fn make(
    core: &mut Core,
    channel: &mut Channel,
    again: Again,
    nowait: bool,
) -> Result<Next, Exception> {
    let (declaration, own) = (again.declaration.clone(), again.name_is_own);
    let declared = core
        .vhost
        .declare_queue(core.connection(), declaration, own)?;
    core.traffic.note_declared();
    channel.last_queue = Some(declared.queue().name().clone());
    match declared {
        Declared::New(queue) => {
            let ok = (!nowait).then(|| declare_ok(queue.name(), (0, 0)));
            Ok(core.answer_change(channel.number, IsKept(queue.is_kept()), ok))
        }
        Declared::Existing(queue) => Ok(count(core, queue, nowait, Some(Box::new(again)))),
    }
}

/// The queue's name, its arguments, and whether the broker made the name up. `x-name-prefix` is used up by that.
fn name_and_arguments(
    core: &Core,
    declare: &Declare<'_>,
) -> Result<(Name, Table, bool), Exception> {
    let name = without_line_ends(declare.queue);
    if !name.is_empty() {
        return Ok((Name::new(&name)?, declare.arguments.to_owned(), false));
    }
    if declare.arguments.find("x-name-prefix").is_none() {
        return Ok((
            generated_name(GENERATED),
            declare.arguments.to_owned(),
            true,
        ));
    }
    let settings = QueueSettings::parse(declare.arguments).map_err(|error| {
        Error::Unacceptable(error.explanation(core.vhost.named(Kind::Queue, GENERATED)))
    })?;
    let mut arguments = TableWriter::new();
    for (key, value) in declare
        .arguments
        .iter()
        .filter(|(key, _)| *key != "x-name-prefix")
    {
        arguments.put(key, value);
    }
    let prefix = settings
        .name_prefix
        .as_ref()
        .map_or(GENERATED, |prefix| &**prefix);
    Ok((generated_name(prefix), arguments.finish(), true))
}

/// Who names a dead letter exchange must be able to read the queue and write to the exchange.
fn check_dead_letter_access(
    core: &Core,
    name: &Name,
    arguments: TableRef<'_>,
) -> Result<(), Exception> {
    let exchange = arguments
        .find("x-dead-letter-exchange")
        .and_then(|value| value.as_str());
    if let Some(exchange) = exchange {
        core.check(Access::Read, Kind::Queue, name)?;
        core.check(Access::Write, Kind::Exchange, exchange)?;
    }
    Ok(())
}

pub(super) fn declare_ok(name: &Name, (ready, consumers): (u64, u64)) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
        queue: short(name),
        message_count: clamp(ready),
        consumer_count: clamp(consumers),
    }))
}

fn bind(core: &mut Core, channel: &mut Channel, bind: Bind<'_>) -> Result<Next, Exception> {
    let name = channel.queue_name(bind.queue)?;
    // Where the queue is "the last one", an empty key is its name.
    let last = bind.queue.is_empty() && bind.routing_key.is_empty();
    let binding_key = if last {
        name.as_bytes()
    } else {
        bind.routing_key
    };
    let exchange = without_line_ends(bind.exchange);
    core.check(Access::Write, Kind::Queue, &name)?;
    core.check(Access::Read, Kind::Exchange, &exchange)?;
    core.check_binding_topic(&exchange, binding_key)?;
    let binding = Binding {
        source: &exchange,
        binding_key,
        arguments: bind.arguments,
    };
    let is_kept = core.vhost.bind_queue(core.connection(), &name, binding)?;
    let bind_ok = AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {}));
    let ok = (!bind.nowait).then_some(bind_ok);
    Ok(core.answer_change(channel.number, is_kept, ok))
}

fn unbind(core: &mut Core, channel: &mut Channel, unbind: Unbind<'_>) -> Result<Next, Exception> {
    let name = channel.queue_name(unbind.queue)?;
    let exchange = without_line_ends(unbind.exchange);
    core.check(Access::Write, Kind::Queue, &name)?;
    core.check(Access::Read, Kind::Exchange, &exchange)?;
    let last = unbind.queue.is_empty() && unbind.routing_key.is_empty();
    let binding_key = if last {
        name.as_bytes()
    } else {
        unbind.routing_key
    };
    core.check_binding_topic(&exchange, binding_key)?;
    let binding = Binding {
        source: &exchange,
        binding_key,
        arguments: unbind.arguments,
    };
    let is_kept = core.vhost.unbind_queue(core.connection(), &name, binding)?;
    let unbind_ok = AMQPClass::Queue(queue::AMQPMethod::UnbindOk(queue::UnbindOk {}));
    Ok(core.answer_change(channel.number, is_kept, Some(unbind_ok)))
}

fn purge(core: &mut Core, channel: &mut Channel, purge: Purge<'_>) -> Result<Next, Exception> {
    let name = channel.queue_name(purge.queue)?;
    core.check(Access::Read, Kind::Queue, &name)?;
    let queue = core.vhost.queue(&name)?;
    queue.check_owner(core.connection())?;
    not_for_streams(&queue, "queue.purge")?;
    core.command(
        queue.shard,
        Command::Purge(core.connection(), Arc::clone(&queue)),
    );
    Ok(Next::Wait(Question::Purge {
        nowait: purge.nowait,
    }))
}

pub(super) fn purged(core: &mut Core, channel: &Channel, count: u64, nowait: bool) {
    if !nowait {
        let purge_ok = queue::PurgeOk {
            message_count: clamp(count),
        };
        send(core, channel, queue::AMQPMethod::PurgeOk(purge_ok));
    }
}

fn delete(core: &mut Core, channel: &mut Channel, delete: Delete<'_>) -> Result<Next, Exception> {
    let name = channel.queue_name(delete.queue)?;
    core.check(Access::Configure, Kind::Queue, &name)?;
    let Some(queue) = core.vhost.find_queue(&name) else {
        let ok = (!delete.nowait).then(|| delete_ok(0));
        return Ok(core.answer_change(channel.number, IsKept(false), ok));
    };
    queue.check_owner(core.connection())?;
    let (connection, if_unused, if_empty) = (core.connection(), delete.if_unused, delete.if_empty);
    let command = Command::Delete {
        connection,
        queue: queue.id,
        if_unused,
        if_empty,
    };
    core.command(queue.shard, command);
    Ok(Next::Wait(Question::Delete {
        nowait: delete.nowait,
        is_kept: IsKept(queue.is_kept()),
    }))
}

pub(super) fn delete_ok(count: u64) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk {
        message_count: clamp(count),
    }))
}

fn send(core: &mut Core, channel: &Channel, method: queue::AMQPMethod) {
    core.send(channel.number, AMQPClass::Queue(method));
}

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
