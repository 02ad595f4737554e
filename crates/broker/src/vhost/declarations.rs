//! Whether a declaration can be taken, and whether it says the same as what is there.

use crate::arguments::{
    ArgumentError, Inequivalence, QueueSettings, QueueType, inequivalent_exchange_argument,
    inequivalent_queue_argument,
};
use crate::error::{Error, Resource};
use crate::exchange::{Exchange, ExchangeDeclaration};
use crate::ids::ConnectionId;
use crate::queue_handle::{QueueDeclaration, QueueHandle};

/// Queue redeclaration, as RabbitMQ compares it: <https://www.rabbitmq.com/docs/queues#property-equivalence>.
pub(super) fn check_equivalent_queue(
    connection: ConnectionId,
    queue: &QueueHandle,
    new: &QueueDeclaration,
) -> Result<(), Error> {
    let there = &queue.declaration;
    queue.check_owner(connection)?;
    if new.owner.is_some() != there.owner.is_some() {
        return Err(Error::Locked(queue.resource()));
    }
    let flags = [
        ("durable", new.durable, there.durable),
        ("auto_delete", new.auto_delete, there.auto_delete),
    ];
    let different = differing_flag(&flags).or_else(|| {
        let (new, there) = (new.arguments.view(), there.arguments.view());
        inequivalent_queue_argument(new, there).map(argument_and_detail)
    });
    different.map_or(Ok(()), |(argument, detail)| {
        Err(Error::Inequivalent {
            resource: queue.resource(),
            argument,
            detail,
        })
    })
}

/// Streams are durable and belong to nobody.
///
/// **Errors**: what the declaration may not have.
pub(super) fn check_stream(
    declaration: &QueueDeclaration,
    settings: &QueueSettings,
) -> Result<(), &'static str> {
    if settings.queue_type != QueueType::Stream {
        return Ok(());
    }
    match declaration {
        QueueDeclaration {
            auto_delete: true, ..
        } => Err("auto-delete"),
        QueueDeclaration { owner: Some(_), .. } => Err("exclusive-owner"),
        QueueDeclaration { durable: false, .. } => Err("non-durable"),
        _ => Ok(()),
    }
}

pub(super) fn check_equivalent_exchange(
    there: &Exchange,
    new: &ExchangeDeclaration,
) -> Result<(), Error> {
    let kinds = (new.kind != there.kind).then(|| {
        let detail = differs(new.kind.name(), there.kind.name());
        ("type".to_owned(), detail)
    });
    let flags = [
        ("durable", new.durable, there.durable),
        ("auto_delete", new.auto_delete, there.auto_delete),
        ("internal", new.internal, there.internal),
    ];
    let different = kinds.or_else(|| differing_flag(&flags)).or_else(|| {
        let (new, there) = (new.arguments.view(), there.arguments.view());
        inequivalent_exchange_argument(new, there).map(argument_and_detail)
    });
    different.map_or(Ok(()), |(argument, detail)| {
        Err(Error::Inequivalent {
            resource: there.resource(),
            argument,
            detail,
        })
    })
}

pub(super) fn unacceptable(error: &ArgumentError, resource: Resource) -> Error {
    Error::Unacceptable(error.explanation(resource))
}

fn argument_and_detail(different: Inequivalence) -> (String, String) {
    (different.argument.to_owned(), different.to_string())
}

fn differing_flag(flags: &[(&str, bool, bool)]) -> Option<(String, String)> {
    let (name, new, there) = flags.iter().find(|(_, new, there)| new != there)?;
    Some((
        (*name).to_owned(),
        differs(&new.to_string(), &there.to_string()),
    ))
}

fn differs(new: &str, there: &str) -> String {
    format!("received '{new}' but current is '{there}'")
}
