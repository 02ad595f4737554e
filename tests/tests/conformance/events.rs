//! What RabbitMQ's event exchange tells, `amq.rabbitmq.event`, and the log's, `amq.rabbitmq.log`.
//!
//! All tests' doings are told there: each looks for what has names of its own.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, Login, array, table, text, unique};
use serde_json::json;

use super::vhost::Vhost;

/// Nothing takes longer to be told.
const DEADLINE: Duration = Duration::from_secs(20);

/// A queue that gets everything that is told from now on.
struct Listener {
    channel: Channel,
    queue: String,
}

/// Something that was told.
struct Event {
    key: String,
    headers: BTreeMap<String, AMQPValue>,
}

impl Debug for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().map(|(name, value)| match value {
            AMQPValue::LongString(text) => (name, format!("'{text}'")),
            other => (name, format!("{other:?}")),
        });
        f.write_str(&self.key)?;
        f.debug_map().entries(headers).finish()
    }
}

impl Event {
    fn has(&self, name: &str, value: &str) -> bool {
        self.headers.get(name) == Some(&text(value))
    }

    #[track_caller]
    fn get(&self, name: &str) -> &AMQPValue {
        let found = self.headers.get(name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Checks some of the headers.
    #[track_caller]
    fn says<const N: usize>(&self, key: &str, headers: [(&str, AMQPValue); N]) {
        assert_eq!(self.key, key, "{self:?}");
        for (name, value) in headers {
            assert_eq!(*self.get(name), value, "{name} of {self:?}");
        }
    }
}

impl Listener {
    fn new(exchange: &str) -> Self {
        let channel = Connection::open().channel(1);
        let queue = channel.queue();
        channel.bind(&queue, exchange, "#");
        Self { channel, queue }
    }

    /// The next `count` events that are wanted; others are left out.
    #[track_caller]
    fn next(&self, count: usize, is_wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (mut found, end) = (Vec::new(), Instant::now() + DEADLINE);
        while found.len() < count {
            assert!(Instant::now() < end, "not in time; so far {found:?}");
            let Some(message) = self.channel.get_with(&self.queue, true) else {
                continue;
            };
            assert!(message.body.is_empty(), "events have no body");
            assert_eq!(*message.properties.delivery_mode(), Some(2));
            let headers = message.properties.headers().as_ref();
            let headers = headers.expect("headers").inner().iter();
            let event = Event {
                key: message.method.routing_key.to_string(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect(),
            };
            event.get("timestamp_in_ms");
            if is_wanted(&event) {
                found.push(event);
            }
        }
        found
    }
}

fn is_of(event: &Event, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| event.key.starts_with(kind))
}

/// Makes a queue, an exchange and a binding, and takes them away.
fn change_topology(channel: &Channel) {
    channel.call(queue::Declare {
        queue: "q".into(),
        durable: true,
        arguments: table([("x-max-length", 10.into())]),
        ..Default::default()
    });
    // What is there already is not told again.
    channel.inspect("q");
    channel.call(exchange::Declare {
        exchange: "x".into(),
        kind: "topic".into(),
        internal: true,
        ..Default::default()
    });
    channel.bind_with("q", "x", "a.#", table([("a", 1.into())]));
    channel.call(queue::Unbind {
        queue: "q".into(),
        exchange: "x".into(),
        routing_key: "a.#".into(),
        arguments: table([("a", 1.into())]),
    });
    channel.call(exchange::Delete {
        exchange: "x".into(),
        ..Default::default()
    });
    channel.call(queue::Delete {
        queue: "q".into(),
        ..Default::default()
    });
}

#[test]
fn queues_exchanges_and_bindings_are_told() {
    let (vhost, listener) = (Vhost::new(), Listener::new("amq.rabbitmq.event"));
    change_topology(&vhost.channel());
    let is_own = |event: &Event| {
        let is_named = event.has("name", "q") || event.has("name", "x");
        let is_bound = event.has("source_name", "x");
        let is_known = is_of(event, &["queue.", "exchange.", "binding."]);
        is_known && event.has("vhost", &vhost.name) && (is_named || is_bound)
    };
    let [queue, exchange, bound, unbound, no_exchange, no_queue] =
        <[Event; 6]>::try_from(listener.next(6, is_own)).expect("six");
    let by_guest = || ("user_who_performed_action", text("guest"));
    queue.says(
        "queue.created",
        [
            ("name", text("q")),
            ("durable", true.into()),
            ("auto_delete", false.into()),
            ("exclusive", false.into()),
            ("owner_pid", text("")),
            ("arguments", array(&["{<<\"x-max-length\">>,signedint,10}"])),
            by_guest(),
        ],
    );
    exchange.says(
        "exchange.created",
        [
            ("name", text("x")),
            ("type", text("topic")),
            ("durable", false.into()),
            ("auto_delete", false.into()),
            ("internal", true.into()),
            ("arguments", array(&[])),
            by_guest(),
        ],
    );
    for (event, key) in [(bound, "binding.created"), (unbound, "binding.deleted")] {
        event.says(
            key,
            [
                ("source_name", text("x")),
                ("source_kind", text("exchange")),
                ("destination_name", text("q")),
                ("destination_kind", text("queue")),
                ("routing_key", text("a.#")),
                ("arguments", array(&["{<<\"a\">>,signedint,1}"])),
            ],
        );
    }
    no_exchange.says("exchange.deleted", [("name", text("x")), by_guest()]);
    no_queue.says("queue.deleted", [("name", text("q"))]);
}

#[test]
fn connections_channels_and_consumers_are_told() {
    let (vhost, listener) = (Vhost::new(), Listener::new("amq.rabbitmq.event"));
    let channel = vhost.channel();
    let queue = channel.queue();
    channel.consume_with(basic::Consume {
        queue: queue.as_str().into(),
        consumer_tag: "tag".into(),
        exclusive: true,
        ..Default::default()
    });
    channel.cancel("tag");
    let is_created = |event: &Event| {
        is_of(
            event,
            &["connection.created", "channel.created", "consumer."],
        ) && (event.has("vhost", &vhost.name) || event.has("consumer_tag", "tag"))
    };
    let [connection, opened, consumer, cancelled] =
        <[Event; 4]>::try_from(listener.next(4, is_created)).expect("four");
    let guest = || ("user", text("guest"));
    connection.says(
        "connection.created",
        [
            guest(),
            ("protocol", text("{0,9,1}")),
            ("auth_mechanism", text("PLAIN")),
            ("type", text("network")),
            ("ssl", false.into()),
        ],
    );
    opened.says(
        "channel.created",
        [
            guest(),
            ("number", AMQPValue::LongLongInt(1)),
            ("connection", connection.get("pid").clone()),
        ],
    );
    consumer.says(
        "consumer.created",
        [
            ("queue", text(&queue)),
            ("ack_required", true.into()),
            ("exclusive", true.into()),
            ("prefetch_count", AMQPValue::LongLongInt(0)),
            ("channel", opened.get("pid").clone()),
        ],
    );
    cancelled.says("consumer.deleted", [("queue", text(&queue))]);

    let (name, pid) = (connection.get("name"), opened.get("pid"));
    channel.close();
    channel.connection().clone().close();
    // RabbitMQ waits for its client to be the first to close the socket.
    channel.connection().clone().cut();
    let is_closed = |event: &Event| {
        event.key == "channel.closed" && event.get("pid") == pid
            || event.key == "connection.closed" && event.get("name") == name
    };
    let closed = listener.next(2, is_closed);
    closed[0].says("channel.closed", []);
    let pid = connection.get("pid").clone();
    closed[1].says("connection.closed", [("pid", pid)]);
}

#[test]
fn logins_are_told() {
    let listener = Listener::new("amq.rabbitmq.event");
    let user = unique("stranger");
    let login = Login {
        response: format!("\0{user}\0password").into_bytes(),
        ..Login::default()
    };
    Connection::started(&login).expect_close(
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
    );
    let refused = listener.next(1, |event| event.has("name", &user));
    refused[0].says(
        "user.authentication.failure",
        [("auth_mechanism", text("PLAIN"))],
    );
    drop(Connection::open());
    listener.next(1, |event| {
        event.key == "user.authentication.success" && event.has("name", "guest")
    });
}

#[test]
fn what_operators_do_is_told() {
    let listener = Listener::new("amq.rabbitmq.event");
    let vhost = Vhost::new();
    let (http, name, user) = (&vhost.http, &vhost.name, unique("user"));
    let all = json!({"configure": ".*", "write": "w", "read": "r"});
    let topics = json!({"exchange": "amq.topic", "write": "w", "read": "r"});
    let policy = json!({"pattern": "^p", "definition": {"max-length": 5}, "priority": 7, "apply-to": "queues"});
    http.put(
        &format!("/users/{user}"),
        &json!({"password": "a", "tags": "management"}),
    );
    http.put(
        &format!("/users/{user}"),
        &json!({"password": "b", "tags": "administrator"}),
    );
    http.put(&format!("/permissions/{name}/{user}"), &all);
    http.put(&format!("/topic-permissions/{name}/{user}"), &topics);
    http.put(&format!("/policies/{name}/p"), &policy);
    http.put(
        &format!("/vhost-limits/{name}/max-queues"),
        &json!({"value": 100}),
    );
    http.delete(&format!("/policies/{name}/p"));
    http.delete(&format!("/topic-permissions/{name}/{user}"));
    http.delete(&format!("/permissions/{name}/{user}"));
    http.delete(&format!("/users/{user}"));
    let is_wanted = |event: &Event| {
        is_of(
            event,
            &["user.", "permission.", "topic.permission.", "policy."],
        ) && (event.has("name", &user) || event.has("user", &user) || event.has("name", "p"))
    };
    let events = listener.next(11, is_wanted);
    for event in &events {
        event.says(&event.key, [("user_who_performed_action", text("guest"))]);
    }
    let keys: Vec<&str> = events.iter().map(|event| event.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "user.created",
            "user.tags.set",
            "user.password.changed",
            "user.tags.set",
            "permission.created",
            "topic.permission.created",
            "policy.set",
            "policy.cleared",
            "topic.permission.deleted",
            "permission.deleted",
            "user.deleted",
        ]
        .as_slice(),
    );
}

#[test]
fn the_log_is_told() {
    let listener = Listener::new("amq.rabbitmq.log");
    // Each broker logs that somebody connects.
    drop(Connection::open().channel(1));
    let (channel, queue) = (&listener.channel, &listener.queue);
    channel.await_counts(queue, |counts| counts.message_count > 0);
    let line = channel.get_with(queue, true).expect("it is there");
    let severity = line.method.routing_key.to_string();
    assert!(
        ["debug", "info", "warning", "error"].contains(&&*severity),
        "{severity}"
    );
    let content_type = line.properties.content_type().as_ref();
    assert_eq!(content_type.expect("one").as_str(), "text/plain");
    let headers: &FieldTable = line.properties.headers().as_ref().expect("headers");
    assert!(headers.inner().contains_key("node"));
    assert!(line.body.len() > 10, "{:?}", line.text());
}
