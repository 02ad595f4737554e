//! Events of queues, exchanges and bindings. The vhost's door tells them, in the order in which things change.

use leveret_message::table::{Table, TableWriter, Value};

use super::{Events, put_actor, put_arguments};
use crate::exchange::{Destination, Exchange};
use crate::ids::ConnectionId;
use crate::queue_handle::QueueHandle;

/// How a connection is called where RabbitMQ would name an Erlang process.
pub(super) fn pid(node: &str, connection: ConnectionId, channel: u16) -> String {
    format!("<{node}.{}.{channel}>", connection.0)
}

impl Events {
    pub(crate) fn queue_created(&self, queue: &QueueHandle) {
        self.tell("queue.created", |headers, on| {
            let of = &queue.declaration;
            let owner = of.owner.map(|owner| pid(&on.node, owner, 0));
            named(headers, queue.name(), &queue.vhost_name);
            headers
                .put("durable", of.durable)
                .put("auto_delete", of.auto_delete)
                .put("exclusive", of.owner.is_some())
                .put("owner_pid", &*owner.unwrap_or_default());
            put_arguments(headers, "arguments", of.arguments.view());
            put_actor(headers);
        });
    }

    pub(crate) fn queue_deleted(&self, queue: &QueueHandle) {
        // What an exchange holds messages back in is no queue of anybody's, and was never told.
        if queue.delays().is_some() {
            return;
        }
        self.tell("queue.deleted", |headers, _| {
            named(headers, queue.name(), &queue.vhost_name);
            put_actor(headers);
        });
    }

    pub(crate) fn exchange_created(&self, exchange: &Exchange) {
        self.tell("exchange.created", |headers, _| {
            named(headers, &exchange.name, &exchange.vhost);
            headers
                .put("type", exchange.kind.name())
                .put("durable", exchange.durable)
                .put("auto_delete", exchange.auto_delete)
                .put("internal", exchange.internal);
            put_arguments(headers, "arguments", exchange.arguments.view());
            put_actor(headers);
        });
    }

    pub(crate) fn exchange_deleted(&self, exchange: &Exchange) {
        self.tell("exchange.deleted", |headers, _| {
            named(headers, &exchange.name, &exchange.vhost);
            put_actor(headers);
        });
    }

    pub(crate) fn binding_created(
        &self,
        source: &Exchange,
        key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) {
        self.tell("binding.created", |headers, _| {
            put_binding(headers, source, key, arguments, to);
        });
    }

    pub(crate) fn binding_deleted(
        &self,
        source: &Exchange,
        key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) {
        self.tell("binding.deleted", |headers, _| {
            put_binding(headers, source, key, arguments, to);
        });
    }
}

fn named(headers: &mut TableWriter, name: &str, vhost: &str) {
    headers.put("name", name).put("vhost", vhost);
}

fn put_binding(
    headers: &mut TableWriter,
    source: &Exchange,
    key: &[u8],
    arguments: &Table,
    to: &Destination,
) {
    let (kind, name) = match to {
        Destination::Queue(queue) => ("queue", queue.name()),
        Destination::Exchange(exchange) => ("exchange", &exchange.name),
    };
    headers
        .put("source_name", &*source.name)
        .put("source_kind", "exchange")
        .put("destination_name", &**name)
        .put("destination_kind", kind)
        .put("routing_key", Value::LongStr(key))
        .put("vhost", &*source.vhost);
    put_arguments(headers, "arguments", arguments.view());
    put_actor(headers);
}
