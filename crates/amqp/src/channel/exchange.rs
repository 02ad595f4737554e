//! `exchange.declare`, `delete`, `bind`, `unbind`.

use leveret_broker::arguments::ExchangeSettings;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::error::{Error, Kind};
use leveret_broker::exchange::ExchangeDeclaration;
use leveret_broker::users::Access;
use leveret_broker::vhost::door::Binding;
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
        Method::Declare(declare) => self::declare(core, channel, declare)?,
        Method::Delete(delete) => self::delete(core, channel, delete)?,
        Method::Bind(bind) => self::bind(core, channel, bind)?,
        Method::Unbind(unbind) => self::unbind(core, channel, unbind)?,
    }
    Ok(Next::Done)
}

fn declare(core: &mut Core, channel: &Channel, declare: Declare<'_>) -> Result<(), Exception> {
    let name = without_line_ends(declare.exchange);
    if declare.passive {
        look_up(core, &name)?;
    } else {
        make(core, &name, declare)?;
    }
    if !declare.nowait {
        send(
            core,
            channel,
            exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}),
        );
    }
    Ok(())
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

fn make(core: &Core, name: &str, declare: Declare<'_>) -> Result<(), Exception> {
    let kind = ExchangeKind::from_name(declare.kind)
        .ok_or_else(|| Error::UnknownExchangeType(declare.kind.to_owned()))?;
    if name.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Configure, Kind::Exchange, name)?;
    // Arguments that cannot be taken are the door's to refuse, where the exchange is new.
    let settings = ExchangeSettings::parse(declare.arguments).unwrap_or_default();
    if let Some(alternate) = settings.alternate_exchange {
        core.check(Access::Read, Kind::Exchange, name)?;
        core.check(Access::Write, Kind::Exchange, &alternate)?;
    }
    core.vhost.declare_exchange(ExchangeDeclaration {
        name: Name::new(name)?,
        kind,
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        internal: declare.internal,
        arguments: declare.arguments.to_owned(),
    })?;
    Ok(())
}

fn delete(core: &mut Core, channel: &Channel, delete: Delete<'_>) -> Result<(), Exception> {
    let name = without_line_ends(delete.exchange);
    if name.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Configure, Kind::Exchange, &name)?;
    core.vhost.delete_exchange(&name, delete.if_unused)?;
    if !delete.nowait {
        send(
            core,
            channel,
            exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}),
        );
    }
    Ok(())
}

fn bind(core: &mut Core, channel: &Channel, bind: Bind<'_>) -> Result<(), Exception> {
    let (destination, source) = (
        without_line_ends(bind.destination),
        without_line_ends(bind.source),
    );
    check_binding(core, &destination, &source)?;
    let (binding_key, arguments) = (bind.routing_key, bind.arguments);
    core.vhost.bind_exchange(
        &destination,
        Binding {
            source: &source,
            binding_key,
            arguments,
        },
    )?;
    if !bind.nowait {
        send(
            core,
            channel,
            exchange::AMQPMethod::BindOk(exchange::BindOk {}),
        );
    }
    Ok(())
}

fn unbind(core: &mut Core, channel: &Channel, unbind: Unbind<'_>) -> Result<(), Exception> {
    let (destination, source) = (
        without_line_ends(unbind.destination),
        without_line_ends(unbind.source),
    );
    check_binding(core, &destination, &source)?;
    let (binding_key, arguments) = (unbind.routing_key, unbind.arguments);
    core.vhost.unbind_exchange(
        &destination,
        Binding {
            source: &source,
            binding_key,
            arguments,
        },
    )?;
    if !unbind.nowait {
        send(
            core,
            channel,
            exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {}),
        );
    }
    Ok(())
}

fn check_binding(core: &Core, destination: &str, source: &str) -> Result<(), Exception> {
    if destination.is_empty() || source.is_empty() {
        return Err(Error::DefaultExchange.into());
    }
    core.check(Access::Write, Kind::Exchange, destination)?;
    core.check(Access::Read, Kind::Exchange, source)?;
    Ok(())
}

fn send(core: &mut Core, channel: &Channel, method: exchange::AMQPMethod) {
    core.send(channel.number, AMQPClass::Exchange(method));
}
