//! What the configuration changes for clients and tools: `[compat]`, and how long deliveries may stay unsettled.

use amq_protocol::protocol::{basic, connection};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, Login, PROTOCOL_HEADER, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::{Node, Running};
use serde_json::json;

fn start(toml: &str) -> Running {
    Node::new().managed().configured(toml).start()
}

#[test]
fn clients_and_tools_are_told_the_product_and_version_of_the_configuration() {
    let broker = start("[compat]\nproduct = \"RabbitMQ\"\nversion = \"4.2.1\"\n");
    let raw = Connection::raw_at(broker.amqp);
    raw.send_bytes(&PROTOCOL_HEADER);
    let start = raw.expect::<connection::Start>(0);
    let told = |key: &str| match start.server_properties.inner().get(key) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{key} is {other:?}"),
    };
    assert_eq!(
        (told("product"), told("version")),
        ("RabbitMQ".to_owned(), "4.2.1".to_owned())
    );
    let overview = Http::guest(broker.management()).get("/overview");
    assert_eq!(
        ["product_name", "product_version", "rabbitmq_version"].map(|key| overview[key].clone()),
        [json!("RabbitMQ"), json!("4.2.1"), json!("4.2.1")]
    );
}

/// A channel of a client that calls itself so.
fn channel_of(broker: &Running, product: &str) -> Channel {
    let login = Login {
        client_properties: table([("product", text(product))]),
        ..Login::default()
    };
    Connection::open_at(broker.amqp, &login).channel(1)
}

/// A consumer that runs gets one message more when the prefetch rises from one to two, or does not.
#[track_caller]
fn assert_live(broker: &Running, product: &str, is_live: bool) {
    let channel = channel_of(broker, product);
    let queue = channel.queue();
    channel.fill(&queue, &["one", "two", "three"]);
    channel.qos(1, false);
    channel.consume(&queue);
    assert_eq!(channel.deliver().text(), "one");
    channel.qos(2, false);
    if is_live {
        assert_eq!(channel.deliver().text(), "two");
    }
    channel.quiet(&queue);
}

#[test]
fn whose_prefetch_changes_while_consumers_run_is_the_configurations_to_say() {
    for (live_prefetch, of_celery, of_others) in [
        ("auto", true, false),
        ("always", true, true),
        ("never", false, false),
    ] {
        let broker = start(&format!("compat.live_prefetch = \"{live_prefetch}\"\n"));
        assert_live(&broker, "py-amqp", of_celery);
        assert_live(&broker, "another", of_others);
    }
}

#[test]
fn the_configuration_or_a_policy_says_how_long_a_delivery_may_stay_unsettled() {
    let broker = start("limits.consumer_timeout_secs = 1\n");
    let channel = broker.connect().channel(1);
    let queue = channel.queue();
    channel.fill(&queue, &["one", "two"]);
    channel.qos(1, false);
    let tag = channel.consume(&queue);
    assert_eq!(channel.deliver().text(), "one");
    let cancel: basic::Cancel = channel.expect();
    assert_eq!(cancel.consumer_tag.as_str(), tag);
    assert_eq!(channel.ready(&queue), 2);
    // The channel goes on, and what it says of its first delivery does no harm.
    channel.ack(1);
    channel.sync();
    drop(broker);

    let broker = start("");
    let channel = broker.connect().channel(1);
    let queue = channel.queue();
    channel.fill(&queue, &["one"]);
    let tag = channel.consume(&queue);
    assert_eq!(channel.deliver().text(), "one");
    let policy = json!({"pattern": format!("^{queue}$"), "definition": {"consumer-timeout": 300}});
    let api = Http::guest(broker.management());
    assert_eq!(api.put("/policies/%2F/soon", &policy).0, 201);
    let cancel: basic::Cancel = channel.expect();
    assert_eq!(cancel.consumer_tag.as_str(), tag);
    assert_eq!(channel.ready(&queue), 1);
}
