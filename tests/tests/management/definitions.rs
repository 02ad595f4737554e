//! Definitions out and in: a broker made of another one's, one of RabbitMQ's, and a document that cannot be taken.

use amq_protocol::protocol::basic::AMQPProperties;
use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Channel, Connection, Login, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::Node;
use serde_json::{Value, json};

fn start() -> (Broker, Http) {
    let broker = Broker::start(&broker::binary(), &[]);
    let http = Http::guest(broker.management);
    (broker, http)
}

/// As RabbitMQ 4 exports it.
fn rabbitmq() -> Value {
    let text = include_str!("../../fixtures/rabbitmq-definitions.json");
    serde_json::from_str(text).expect("the fixture is JSON")
}

/// The parts that say what there is.
fn parts(document: &Value) -> Value {
    let parts = [
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "parameters",
        "global_parameters",
        "policies",
        "queues",
        "exchanges",
        "bindings",
    ];
    parts
        .iter()
        .map(|part| (*part, document[part].clone()))
        .collect::<Vec<_>>()
        .into_iter()
        .fold(json!({}), |mut all, (part, value)| {
            all[part] = value;
            all
        })
}

/// Whether everything that an object says is said by another one too.
fn says(other: &Value, item: &Value) -> bool {
    let item = item.as_object().expect("an object");
    item.iter().all(|(key, value)| other[key] == *value)
}

/// A channel of a user whom both of RabbitMQ's documents have, in a vhost of theirs.
fn carols(broker: &Broker) -> Channel {
    let login = Login {
        response: b"\0carol\0test12".to_vec(),
        vhost: "orders".to_owned(),
        ..Login::default()
    };
    Connection::open_at(broker.amqp, &login).channel(1)
}

/// What a RabbitMQ 3.10.8 has exported, of an earlier format: fewer keys, mirrored queues.
#[test]
fn definitions_of_an_earlier_rabbitmq_come_in() {
    let (broker, api) = start();
    let text = include_str!("../../fixtures/rabbitmq-3.10-definitions.json");
    let document: Value = serde_json::from_str(text).expect("the fixture is JSON");
    assert_eq!(api.post("/definitions", &document).status, 204);
    let exported = api.get("/definitions");
    for (part, items) in parts(&document).as_object().expect("an object") {
        let there = exported[part].as_array().expect("a list");
        for item in items.as_array().expect("a list") {
            assert!(there.iter().any(|one| says(one, item)), "{part}: {item}");
        }
    }
    let channel = carols(&broker);
    channel.publish("incoming", "eu.new", "one");
    channel.await_ready("orders.eu", 1);
    channel.await_ready("orders.all", 1);
}

#[test]
fn rabbitmqs_definitions_come_in_and_out_unchanged() {
    let (broker, api) = start();
    let taken = api.post("/definitions", &rabbitmq());
    assert_eq!((taken.status, &taken.body), (204, &Value::Null));
    // Its users have the passwords that they had.
    let channel = carols(&broker);
    channel.publish("incoming", "eu.new", "one");
    channel.await_ready("orders.eu", 1);

    let told = api.get("/definitions");
    let (second, other) = start();
    assert_eq!(other.post("/definitions", &told).status, 204);
    assert_eq!(parts(&other.get("/definitions")), parts(&told));
    drop(second);

    let fixture = rabbitmq();
    let orders = |document: &Value, part: &str| -> Vec<Value> {
        let items = document[part].as_array().unwrap().iter();
        items
            // Who imports a vhost may use it, as who makes it otherwise.
            .filter(|item| item["vhost"] == "orders" && item["user"] != "guest")
            .cloned()
            .collect()
    };
    for part in [
        "queues",
        "exchanges",
        "bindings",
        "policies",
        "permissions",
        "topic_permissions",
    ] {
        assert_eq!(orders(&told, part), orders(&fixture, part), "{part}");
    }
}

#[test]
fn a_document_that_cannot_be_taken_changes_nothing() {
    let (_broker, api) = start();
    let before = parts(&api.get("/definitions"));
    let mut bad_ends = Vec::new();
    for (part, item) in [
        (
            "policies",
            json!({"vhost": "/", "name": "p", "pattern": "(", "definition": {"expires": 1}}),
        ),
        (
            "queues",
            json!({"vhost": "/", "name": "q", "durable": true, "arguments": {"x-expires": 0}}),
        ),
        (
            "exchanges",
            json!({"vhost": "/", "name": "amq", "type": "nothing", "durable": true}),
        ),
        (
            "bindings",
            json!({"vhost": "/", "source": "none", "destination": "none", "destination_type": "queue", "routing_key": "", "arguments": {}}),
        ),
        (
            "permissions",
            json!({"user": "nobody", "vhost": "/", "configure": "", "write": "", "read": ""}),
        ),
        (
            "users",
            json!({"name": "u", "password_hash": "?", "tags": []}),
        ),
        (
            "parameters",
            json!({"vhost": "/", "component": "nothing", "name": "n", "value": {}}),
        ),
    ] {
        let mut document = rabbitmq();
        document[part].as_array_mut().unwrap().push(item);
        let taken = api.post("/definitions", &document);
        if taken.status != 400 || parts(&api.get("/definitions")) != before {
            bad_ends.push((part, taken));
        }
    }
    assert!(bad_ends.is_empty(), "{bad_ends:?}");
    assert_eq!(api.post("/definitions", &json!([])).status, 400);
}

#[test]
fn definitions_of_one_vhost_fit_into_another() {
    let (_broker, api) = start();
    assert_eq!(api.post("/definitions", &rabbitmq()).status, 204);
    let told = api.get("/definitions/orders");
    assert_eq!(told["rabbitmq_definition_format"], "single_virtual_host");
    assert!(
        told.get("users").is_none() && told["queues"][0].get("vhost").is_none(),
        "{told}"
    );
    assert_eq!(api.put("/vhosts/copy", &json!({})).0, 201);
    assert_eq!(api.post("/definitions/copy", &told).status, 204);
    let copy = api.get("/definitions/copy");
    for part in ["queues", "exchanges", "bindings", "policies"] {
        assert_eq!(copy[part], told[part], "{part}");
    }
}

#[test]
fn what_operators_set_survives_a_kill() {
    let node = Node::new().managed();
    let broker = node.start();
    let api = Http::guest(broker.management());
    assert_eq!(api.post("/definitions", &rabbitmq()).status, 204);
    assert_eq!(api.delete("/users/carol"), 204);
    let told = parts(&api.get("/definitions"));
    broker.kill();
    let broker = node.start();
    let api = Http::guest(broker.management());
    assert_eq!(parts(&api.get("/definitions")), told);
    broker.kill();
}

#[test]
fn deduplication_comes_in_and_out_unchanged() {
    let (broker, api) = start();
    let declared = [
        (
            "/queues/%2F/unique",
            json!({"durable": true, "arguments": {"x-message-deduplication": true}}),
        ),
        (
            "/exchanges/%2F/once",
            json!({"type": "x-message-deduplication", "durable": true, "arguments": {
                "x-cache-size": 10, "x-cache-ttl": "60000", "x-cache-persistence": "disk"
            }}),
        ),
    ];
    for (path, body) in &declared {
        assert_eq!(api.put(path, body).0, 201);
    }
    let bind = json!({"routing_key": "", "arguments": {}});
    api.post("/bindings/%2F/e/once/q/unique", &bind);
    let channel = Connection::open_at(broker.amqp, &Login::default()).channel(1);
    let headers = table([("x-deduplication-header", text("a"))]);
    for _ in 0..2 {
        let properties = AMQPProperties::default().with_headers(headers.clone());
        channel.publish_with("once", "", properties, "a");
    }
    channel.await_ready("unique", 1);
    let exported = api.get("/definitions");
    for (path, body) in &declared {
        let shown = api.get(path);
        assert_eq!(shown["arguments"], body["arguments"]);
    }
    // What the exchange knows is no queue of anybody's.
    let queues = exported["queues"].as_array().expect("a list");
    let names: Vec<&str> = queues
        .iter()
        .filter_map(|queue| queue["name"].as_str())
        .collect();
    assert_eq!(names, ["unique"]);
    let (other, second) = start();
    assert_eq!(second.post("/definitions", &exported).status, 204);
    assert_eq!(parts(&second.get("/definitions")), parts(&exported));
    drop(other);
}
