//! `exchange.declare`, `delete`, `bind`, `unbind`.

use leveret_broker::arguments::ExchangeSettings;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::error::{Error, Kind};
use leveret_broker::exchange::ExchangeDeclaration;
use leveret_broker::users::Access;
use leveret_broker::vhost::door::{Binding, IsKept};
use leveret_message::name::Name;
use leveret_wire::method::exchange::{Bind, Declare, Delete, Method, Unbind};
use leveret_wire::protocol::{AMQPClass, exchange};

use crate::channel::{Channel, Next, without_line_ends};
use crate::core::Core;
use crate::exception::Exception;

pub(super) fn carry_out(
    core: &mut Core,
    channel: &Channel,
    method: Method<'_>,
) -> Result<Next, Exception> {
    match method {
        Method::Declare(declare) => self::declare(core, channel, declare),
        Method::Delete(delete) => self::delete(core, channel, delete),
        Method::Bind(bind) => self::bind(core, channel, bind),
        Method::Unbind(unbind) => self::unbind(core, channel, unbind),
    }
}

fn declare(core: &mut Core, channel: &Channel, declare: Declare<'_>) -> Result<Next, Exception> {
    let name = without_line_ends(declare.exchange);
    let is_kept = if declare.passive {
        look_up(core, &name)?;
        IsKept(false)
    } else {
        make(core, &name, declare)?
    };
    let declare_ok = exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {});
    let ok = (!declare.nowait).then_some(AMQPClass::Exchange(declare_ok));
    Ok(core.answer_change(channel.number, is_kept, ok))
}

/// A passive declaration: is it there. Any one permission is enough.
fn look_up(core: &Core, name: &str) -> Result<(), Exception> {
    if name.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check_any(Kind::Exchange, name)?;
    core.vhost.exchange(name)?;
    Ok(())
}

fn make(core: &Core, name: &str, declare: Declare<'_>) -> Result<IsKept, Exception> {
    let kind = ExchangeKind::from_name(declare.kind)
        .ok_or_else(|| Error::UnknownExchangeType(declare.kind.to_owned()))?;
    if name.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Configure, Kind::Exchange, name)?;
    // Arguments that cannot be taken are the door's to refuse, where the exchange is new.
    let settings = ExchangeSettings::parse(kind, declare.arguments).unwrap_or_default();
    if let Some(alternate) = settings.alternate_exchange {
        core.check(Access::Read, Kind::Exchange, name)?;
        core.check(Access::Write, Kind::Exchange, &alternate)?;
    }
    let is_kept = core.vhost.declare_exchange(ExchangeDeclaration {
        name: Name::new(name)?,
        kind,
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        internal: declare.internal,
        arguments: declare.arguments.to_owned(),
    })?;
    Ok(is_kept)
}

fn delete(core: &mut Core, channel: &Channel, delete: Delete<'_>) -> Result<Next, Exception> {
    let name = without_line_ends(delete.exchange);
    if name.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Configure, Kind::Exchange, &name)?;
    let is_kept = core.vhost.delete_exchange(&name, delete.if_unused)?;
    let delete_ok = exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {});
    let ok = (!delete.nowait).then_some(AMQPClass::Exchange(delete_ok));
    Ok(core.answer_change(channel.number, is_kept, ok))
}

fn bind(core: &mut Core, channel: &Channel, bind: Bind<'_>) -> Result<Next, Exception> {
    let (destination, source) = (
        without_line_ends(bind.destination),
        without_line_ends(bind.source),
    );
    let (binding_key, arguments) = (bind.routing_key, bind.arguments);
    check_binding(core, &destination, &source, binding_key)?;
    let is_kept = core.vhost.bind_exchange(
        &destination,
        Binding {
            source: &source,
            binding_key,
            arguments,
        },
    )?;
    let bind_ok = exchange::AMQPMethod::BindOk(exchange::BindOk {});
    let ok = (!bind.nowait).then_some(AMQPClass::Exchange(bind_ok));
    Ok(core.answer_change(channel.number, is_kept, ok))
}

fn unbind(core: &mut Core, channel: &Channel, unbind: Unbind<'_>) -> Result<Next, Exception> {
    let (destination, source) = (
        without_line_ends(unbind.destination),
        without_line_ends(unbind.source),
    );
    let (binding_key, arguments) = (unbind.routing_key, unbind.arguments);
    check_binding(core, &destination, &source, binding_key)?;
    let is_kept = core.vhost.unbind_exchange(
        &destination,
        Binding {
            source: &source,
            binding_key,
            arguments,
        },
    )?;
    let unbind_ok = exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {});
    let ok = (!unbind.nowait).then_some(AMQPClass::Exchange(unbind_ok));
    Ok(core.answer_change(channel.number, is_kept, ok))
}

fn check_binding(
    core: &Core,
    destination: &str,
    source: &str,
    key: &[u8],
) -> Result<(), Exception> {
    if destination.is_empty() || source.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Write, Kind::Exchange, destination)?;
    core.check(Access::Read, Kind::Exchange, source)?;
    core.check_binding_topic(source, key)?;
    Ok(())
}
