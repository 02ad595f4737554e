//! Events of connections, channels, consumers and logins. Connections tell their own.

use leveret_message::name::Name;
use leveret_message::table::{TableRef, TableWriter, Value};

use super::topology::pid;
use super::{Events, put_arguments};
use crate::connections::{ConnectionFacts, OpenAs};
use crate::ids::ConnectionId;
use crate::queue_handle::QueueHandle;

/// Which channel something happened on.
#[derive(Clone, Copy, Debug)]
pub struct ChannelFacts<'a> {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its number.
    pub number: u16,
    /// The user of the connection.
    pub user: &'a Name,
    /// The vhost of the connection.
    pub vhost: &'a Name,
}

impl Events {
    pub(crate) fn connection_created(&self, facts: &ConnectionFacts, open: &OpenAs) {
        self.tell("connection.created", |headers, on| {
            put_ends(headers, &facts.name);
            headers
                .put("name", &*facts.name)
                .put("node", &*on.node)
                .put("pid", &*pid(&on.node, facts.link.connection, 0))
                .put("type", "network")
                .put("protocol", protocol(open))
                .put("auth_mechanism", &*open.mechanism)
                .put("user", &*open.user)
                .put("vhost", &*open.vhost)
                .put("ssl", facts.tls.is_some())
                .put("channel_max", i64::from(open.channel_max))
                .put("frame_max", i64::from(open.frame_max))
                .put("timeout", i64::from(open.heartbeat))
                .put("connected_at", (on.clock)().as_millis() as i64)
                .put("user_who_performed_action", &*open.user);
            if let Some(tls) = &facts.tls {
                let subject = tls.peer_subject.as_deref().unwrap_or_default();
                headers
                    .put("ssl_protocol", tls.protocol)
                    .put("ssl_cipher", &*tls.cipher)
                    .put("peer_cert_subject", subject);
            }
            put_arguments(headers, "client_properties", open.client_properties.view());
        });
    }

    pub(crate) fn connection_closed(&self, facts: &ConnectionFacts, open: &OpenAs) {
        self.tell("connection.closed", |headers, on| {
            headers
                .put("name", &*facts.name)
                .put("node", &*on.node)
                .put("pid", &*pid(&on.node, facts.link.connection, 0))
                .put("user", &*open.user)
                .put("vhost", &*open.vhost);
            put_arguments(headers, "client_properties", open.client_properties.view());
        });
    }

    /// A channel was opened; `connection` is the name of its connection.
    pub fn channel_created(&self, channel: ChannelFacts<'_>, connection: impl FnOnce() -> String) {
        self.tell("channel.created", |headers, on| {
            let name = format!("{} ({})", connection(), channel.number);
            headers
                .put("name", &*name)
                .put("number", i64::from(channel.number))
                .put("connection", &*pid(&on.node, channel.connection, 0));
            put_channel(headers, &on.node, "pid", channel);
        });
    }

    /// A channel is closed.
    pub fn channel_closed(&self, channel: ChannelFacts<'_>) {
        self.tell("channel.closed", |headers, on| {
            put_channel(headers, &on.node, "pid", channel);
        });
    }

    /// A consumer was added to a queue.
    pub fn consumer_created(
        &self,
        channel: ChannelFacts<'_>,
        (tag, queue): (&Name, &QueueHandle),
        (no_ack, exclusive, prefetch): (bool, bool, u16),
        arguments: TableRef<'_>,
    ) {
        self.tell("consumer.created", |headers, on| {
            headers
                .put("consumer_tag", &**tag)
                .put("queue", &**queue.name())
                .put("ack_required", !no_ack)
                .put("exclusive", exclusive)
                .put("prefetch_count", i64::from(prefetch));
            put_arguments(headers, "arguments", arguments);
            put_channel(headers, &on.node, "channel", channel);
        });
    }

    /// A consumer is gone: cancelled, or with its queue, its channel or its connection.
    pub fn consumer_deleted(&self, channel: ChannelFacts<'_>, tag: &Name, queue: &QueueHandle) {
        self.tell("consumer.deleted", |headers, on| {
            headers
                .put("consumer_tag", &**tag)
                .put("queue", &**queue.name());
            put_channel(headers, &on.node, "channel", channel);
        });
    }

    /// Somebody has logged in, or was refused: for whatever reason, which only the log says.
    pub fn login(&self, user: &str, connection: &str, mechanism: &str, is_admitted: bool) {
        let routing_key = match is_admitted {
            true => "user.authentication.success",
            false => "user.authentication.failure",
        };
        self.tell(routing_key, |headers, _| {
            put_ends(headers, connection);
            headers
                .put("name", user)
                .put("connection_name", connection)
                .put("connection_type", "network")
                .put("auth_mechanism", mechanism)
                .put("protocol", "{0,9,1}");
        });
    }
}

fn put_channel(headers: &mut TableWriter, node: &str, key: &str, channel: ChannelFacts<'_>) {
    headers
        .put(key, &*pid(node, channel.connection, channel.number))
        .put("user", &**channel.user)
        .put("vhost", &**channel.vhost)
        .put("user_who_performed_action", &**channel.user);
}

/// The version of the protocol, as RabbitMQ has it.
fn protocol(open: &OpenAs) -> &str {
    match open.protocol {
        "AMQP 0-9-1" => "{0,9,1}",
        other => other,
    }
}

/// Both ends of a connection, after its name: `peer address -> local address`.
fn put_ends(headers: &mut TableWriter, name: &str) {
    let Some((peer, own)) = name.split_once(" -> ") else {
        return;
    };
    for (end, host_key, port_key) in [(peer, "peer_host", "peer_port"), (own, "host", "port")] {
        if let Some((host, port)) = end.rsplit_once(':') {
            headers.put(host_key, host);
            headers.put(port_key, Value::Long(port.parse().unwrap_or_default()));
        }
    }
}
