//! RabbitMQ's own tool for the management API, the program in Python that Debian's `rabbitmq-server` brings.

use std::fs;
use std::process::Command;

use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Connection, Login};
use serde_json::Value;

use super::program;

/// Gives the tool a broker of its own; none where there is no tool.
fn broker() -> Option<Broker> {
    program::are_here("rabbitmqadmin", &["rabbitmqadmin", "python3"])
        .then(|| Broker::start(&broker::binary(), &[]))
}

fn tool(broker: &Broker, words: &[&str]) -> Command {
    let mut command = Command::new("rabbitmqadmin");
    let at = broker.management;
    command
        .args(["-H", &at.ip().to_string(), "-P", &at.port().to_string()])
        .args(words);
    command
}

/// Runs it; it has to be content.
fn run(broker: &Broker, words: &[&str]) -> String {
    program::run(&mut tool(broker, words))
}

/// What it lists, as JSON.
fn listed(broker: &Broker, words: &[&str]) -> Value {
    let printed = run(broker, &[&["-f", "raw_json"], words].concat());
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{words:?}: {printed}"))
}

/// What it says where something is refused.
fn refused(broker: &Broker, words: &[&str]) -> String {
    let ended = tool(broker, words).output().expect("it can be started");
    assert!(!ended.status.success(), "{words:?}");
    String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr)
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().expect("a list").iter();
    items.filter_map(|item| item["name"].as_str()).collect()
}

/// One thing of each kind.
fn declare(broker: &Broker) {
    let definition = "definition={\"max-length\": 9}";
    let policy = ["name=p", "pattern=^or", definition, "apply-to=queues"];
    let exchange = [
        "name=shop",
        "type=topic",
        "durable=false",
        "auto_delete=true",
    ];
    let binding = ["source=shop", "destination=orders", "routing_key=a.#"];
    let user = ["name=anna", "password=pw", "tags=management,policymaker"];
    let permission = [
        "vhost=other",
        "user=anna",
        "configure=.*",
        "write=.*",
        "read=.*",
    ];
    for (kind, what) in [
        (
            "queue",
            &["name=orders", "arguments={\"x-max-length\": 7}"][..],
        ),
        ("exchange", &exchange),
        ("binding", &binding),
        ("vhost", &["name=other"]),
        ("user", &user),
        ("permission", &permission),
        ("policy", &policy),
        ("operator_policy", &policy),
        (
            "vhost_limit",
            &["vhost=other", "name=max-queues", "value=5"],
        ),
    ] {
        let declared = run(broker, &[&["declare", kind], what].concat());
        assert_eq!(declared, format!("{kind} declared\n"));
    }
}

/// The one of a list that has that under a key.
fn found(list: &Value, key: &str, value: &str) -> Value {
    let mut items = list.as_array().expect("a list").iter();
    let found = items.find(|item| item[key] == value);
    found
        .unwrap_or_else(|| panic!("no {value}: {list}"))
        .clone()
}

#[test]
fn things_are_declared_listed_and_deleted() {
    let Some(broker) = broker() else { return };
    declare(&broker);
    let queue = &listed(&broker, &["list", "queues"])[0];
    let policy = (&queue["durable"], &queue["policy"]);
    assert_eq!(policy, (&true.into(), &"p".into()));
    assert_eq!(queue["arguments"]["x-max-length"], 7);
    let columns = ["list", "exchanges", "name", "durable", "auto_delete"];
    let shop = found(&listed(&broker, &columns), "name", "shop");
    let flags = (&shop["durable"], &shop["auto_delete"]);
    assert_eq!(flags, (&false.into(), &true.into()));
    for (what, expected) in [
        ("vhosts", &["/", "other"][..]),
        ("users", &["anna", "guest"]),
        ("policies", &["p"]),
        ("operator_policies", &["p"]),
    ] {
        assert_eq!(names(&listed(&broker, &["list", what])), expected);
    }
    let limits = listed(&broker, &["list", "vhost_limits"]);
    assert_eq!(limits[0]["value"]["max-queues"], 5);
    let others = listed(&broker, &["-V", "other", "list", "queues"]);
    assert_eq!(names(&others), Vec::<&str>::new());

    let bound = found(&listed(&broker, &["list", "bindings"]), "source", "shop");
    let key = bound["properties_key"].as_str().expect("a text");
    let key = format!("properties_key={key}");
    let binding = [
        "source=shop",
        "destination_type=queue",
        "destination=orders",
        &key,
    ];
    for (kind, what) in [
        ("binding", &binding[..]),
        ("queue", &["name=orders"]),
        ("policy", &["name=p"]),
        ("operator_policy", &["name=p"]),
        ("vhost_limit", &["vhost=other", "name=max-queues"]),
        ("permission", &["vhost=other", "user=anna"]),
        ("user", &["name=anna"]),
        ("vhost", &["name=other"]),
    ] {
        let deleted = run(&broker, &[&["delete", kind], what].concat());
        assert_eq!(deleted, format!("{kind} deleted\n"));
    }
    // It was to go with its last binding.
    let gone = refused(&broker, &["delete", "exchange", "name=shop"]);
    assert!(gone.contains("Not found"), "{gone}");
}

#[test]
fn tables_are_drawn_of_everything() {
    let Some(broker) = broker() else { return };
    let connection = Connection::open_at(broker.amqp, &Login::default());
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.consume(&queue);
    run(
        &broker,
        &[
            "declare",
            "policy",
            "name=p",
            "pattern=.*",
            "definition={\"expires\": 1000000}",
        ],
    );
    for (what, cell) in [
        ("connections", "guest"),
        ("channels", "(1)"),
        ("consumers", "amq.ctag"),
        ("exchanges", "amq.topic"),
        ("queues", queue.as_str()),
        ("bindings", queue.as_str()),
        ("users", "administrator"),
        ("vhosts", "/"),
        ("permissions", ".*"),
        ("nodes", "disc"),
        ("policies", "expires"),
    ] {
        let table = run(&broker, &["list", what]);
        assert!(
            table.starts_with("+-") && table.contains(cell),
            "{what}:\n{table}"
        );
    }
    assert_eq!(run(&broker, &["list", "parameters"]), "No items\n");
    let overview = run(&broker, &["show", "overview"]);
    assert!(overview.contains("queue_totals.messages"), "{overview}");
    let sorted = run(
        &broker,
        &[
            "-S",
            "name",
            "-R",
            "-f",
            "tsv",
            "-q",
            "list",
            "exchanges",
            "name",
        ],
    );
    assert_eq!(sorted.lines().next(), Some("amq.topic"));
    let name = listed(&broker, &["list", "connections"])[0]["name"].clone();
    let name = format!("name={}", name.as_str().expect("a name"));
    run(&broker, &["close", "connection", &name]);
    connection.expect_close(320, "CONNECTION_FORCED - Closed via management plugin");
    drop(connection);
    // RabbitMQ's texts are what it shows.
    run(&broker, &["declare", "queue", "name=q"]);
    let other = refused(&broker, &["declare", "queue", "name=q", "durable=false"]);
    assert!(
        other.contains("inequivalent arg 'durable' for queue 'q' in vhost '/'"),
        "{other}"
    );
    let nobody = refused(&broker, &["-u", "nobody", "-p", "x", "list", "queues"]);
    assert!(nobody.contains("Access refused: /api/queues"), "{nobody}");
}

#[test]
fn messages_and_definitions_come_and_go() {
    let Some(broker) = broker() else { return };
    run(&broker, &["declare", "queue", "name=q"]);
    let publish = [
        "publish",
        "routing_key=q",
        "payload=hello",
        "properties={\"delivery_mode\": 2}",
    ];
    assert_eq!(run(&broker, &publish), "Message published\n");
    let unrouted = run(&broker, &["publish", "routing_key=nowhere", "payload=x"]);
    assert_eq!(unrouted, "Message published but NOT routed\n");
    // From standard input, which is empty here, in base64.
    run(
        &broker,
        &["publish", "exchange=amq.default", "routing_key=q"],
    );
    let got = run(&broker, &["get", "queue=q", "count=5"]);
    assert!(
        got.contains("hello") && got.contains("payload_encoding"),
        "{got}"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let payload_file = format!("payload_file={}", at("payload"));
    run(
        &broker,
        &["get", "queue=q", "ackmode=ack_requeue_false", &payload_file],
    );
    assert_eq!(fs::read(at("payload")).expect("it was written"), b"hello");
    assert_eq!(
        run(&broker, &["purge", "queue", "name=q"]),
        "queue purged\n"
    );
    assert_eq!(run(&broker, &["get", "queue=q"]), "No items\n");

    for vhost in [&[][..], &["-V", "/"]] {
        run(&broker, &[vhost, &["export", &at("definitions")]].concat());
        run(&broker, &["delete", "queue", "name=q"]);
        run(&broker, &[vhost, &["import", &at("definitions")]].concat());
        assert_eq!(names(&listed(&broker, &["list", "queues"])), ["q"]);
    }
}
