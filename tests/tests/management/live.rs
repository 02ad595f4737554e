//! Connections, channels, consumers, the whole, health: what is told of what goes on, and closing.

use amq_protocol::protocol::basic;
use amq_protocol::types::FieldTable;
use leveret_tests::broker;
use leveret_tests::client::{Connection, Login, table};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::{api, unique, until};

/// A connection that calls itself so, and what is told of it.
fn connect(own_name: &str) -> (Connection, Value) {
    let capabilities = table([("authentication_failure_close", true.into())]);
    let login = Login {
        client_properties: table([
            (
                "connection_name",
                amq_protocol::types::AMQPValue::LongString(own_name.into()),
            ),
            ("capabilities", capabilities.into()),
        ]),
        ..Login::default()
    };
    let connection = Connection::open_at(broker::own().amqp, &login);
    let told = find(&api(), own_name).expect("it is open");
    (connection, told)
}

fn find(api: &Http, own_name: &str) -> Option<Value> {
    let all = api.get("/connections");
    let mut all = all.as_array().expect("a list").iter();
    all.find(|one| one["user_provided_name"] == own_name)
        .cloned()
}

fn encoded(name: &Value) -> String {
    let name = name.as_str().expect("a name");
    name.replace(' ', "%20").replace('>', "%3E")
}

#[test]
fn a_connection_is_told_and_closed_for_a_reason() {
    let own_name = unique("connection");
    let (connection, told) = connect(&own_name);
    let user = json!("guest");
    assert_eq!(
        (&told["user"], &told["vhost"], &told["state"]),
        (&user, &json!("/"), &json!("running"))
    );
    assert_eq!(told["protocol"], "AMQP 0-9-1");
    assert_eq!(
        told["client_properties"]["connection_name"],
        own_name.as_str()
    );
    assert_eq!(told["peer_host"], "127.0.0.1");
    assert!(
        told["connected_at"].as_u64() > Some(1_600_000_000_000),
        "{told}"
    );
    assert!(told["recv_oct"].as_u64() > Some(0), "{told}");
    let path = format!("/connections/{}", encoded(&told["name"]));
    assert_eq!(api().get(&path)["name"], told["name"]);
    assert_eq!(api().delete(&path), 204);
    connection.expect_close(320, "CONNECTION_FORCED - Closed via management plugin");
    drop(connection);
    until("the connection is gone", || api().try_get(&path).0 == 404);
}

#[test]
fn channels_and_consumers_are_told() {
    let (connection, told) = connect(&unique("connection"));
    let channel = connection.channel(7);
    channel.qos(11, false);
    let queue = channel.queue();
    let tag = channel.consume_with(basic::Consume {
        queue: queue.as_str().into(),
        consumer_tag: "tag".into(),
        no_local: false,
        no_ack: false,
        exclusive: true,
        nowait: false,
        arguments: FieldTable::default(),
    });
    channel.publish("", &queue, "one");
    channel.publish("", &queue, "two");
    channel.deliveries(2);
    channel.confirm_select();
    let path = format!("/connections/{}/channels", encoded(&told["name"]));
    let channels = api().get(&path);
    let told = &channels[0];
    assert_eq!(
        (&told["number"], &told["confirm"]),
        (&json!(7), &json!(true))
    );
    assert_eq!(
        (&told["prefetch_count"], &told["consumer_count"]),
        (&json!(11), &json!(1))
    );
    assert_eq!(told["messages_unacknowledged"], 2);
    assert_eq!(told["message_stats"]["deliver"], 2);
    let one = api().get(&format!(
        "/channels/{}",
        encoded(&told["name"]).replace('(', "%28")
    ));
    assert_eq!(one["consumer_details"][0]["consumer_tag"], tag.as_str());
    let consumers = api().get("/consumers/%2F");
    let mut consumers = consumers.as_array().unwrap().iter();
    let told = consumers
        .find(|one| one["queue"]["name"] == queue.as_str())
        .expect("told");
    assert_eq!(
        (&told["exclusive"], &told["ack_required"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(told["prefetch_count"], 11);
    let told = api().get(&format!("/queues/%2F/{queue}"));
    assert_eq!(
        (&told["consumers"], &told["messages_unacknowledged"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn the_overview_has_what_tools_ask_for() {
    let told = api().get("/overview");
    for key in [
        "rabbitmq_version",
        "cluster_name",
        "node",
        "management_version",
    ] {
        assert!(told[key].is_string(), "{key}: {told}");
    }
    assert_eq!(told["disable_stats"], false);
    for key in [
        "connections",
        "channels",
        "consumers",
        "queues",
        "exchanges",
    ] {
        assert!(told["object_totals"][key].is_u64(), "{key}: {told}");
    }
    let port = u64::from(broker::own().amqp.port());
    let mut listeners = told["listeners"].as_array().unwrap().iter();
    let amqp = listeners
        .find(|one| one["protocol"] == "amqp")
        .expect("one for AMQP");
    assert_eq!(
        (&amqp["port"], &amqp["node"]),
        (&json!(port), &told["node"])
    );
    let nodes = api().get("/nodes");
    for key in [
        "mem_used",
        "mem_limit",
        "disk_free",
        "disk_free_limit",
        "uptime",
        "fd_used",
        "fd_total",
    ] {
        assert!(nodes[0][key].as_u64() > Some(0), "{key}: {nodes}");
    }
    let node = api().get(&format!("/nodes/{}", told["node"].as_str().unwrap()));
    assert_eq!(node["name"], told["node"]);
    assert_eq!(api().try_get("/nodes/none").0, 404);
    let flags = api().get("/feature-flags");
    assert_eq!(flags[0]["state"], "enabled");
}

#[test]
fn health_is_told_by_what_is_checked() {
    let (api, port) = (api(), broker::own().amqp.port());
    let ok = json!({"status": "ok"});
    for check in [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "ready-to-serve-clients",
        "certificate-expiration/1/weeks",
        "quorum-queues-without-elected-leaders/all-vhosts/",
    ] {
        assert_eq!(api.get(&format!("/health/checks/{check}")), ok, "{check}");
    }
    let alone = api.get("/health/checks/node-is-quorum-critical");
    assert_eq!(alone["reason"], "single node cluster");
    assert_eq!(
        api.get(&format!("/health/checks/port-listener/{port}"))["status"],
        "ok"
    );
    let (status, told) = api.try_get("/health/checks/port-listener/1");
    assert_eq!(
        (status, &told["status"], &told["missing"]),
        (503, &json!("failed"), &json!(1))
    );
    assert_eq!(
        api.get("/health/checks/protocol-listener/amqp")["status"],
        "ok"
    );
    assert_eq!(api.try_get("/health/checks/protocol-listener/mqtt").0, 503);
    assert_eq!(api.get("/aliveness-test/%2F"), ok);
    assert_eq!(api.try_get("/aliveness-test/none").0, 404);
}

#[test]
fn alarms_are_told() {
    let broker = broker::Broker::start(&broker::binary(), &["--config", &low_disk()]);
    let api = Http::guest(broker.management);
    let is_on = || api.get("/nodes")[0]["disk_free_alarm"] == true;
    until("the alarm is on", is_on);
    let (status, told) = api.try_get("/health/checks/alarms");
    assert_eq!(
        (status, &told["alarms"][0]["resource"]),
        (503, &json!("disk"))
    );
    let message = json!({
        "properties": {}, "routing_key": "x", "payload": "", "payload_encoding": "string",
    });
    assert_eq!(
        api.post("/exchanges/%2F/amq.direct/publish", &message)
            .status,
        503
    );
}

/// A configuration whose disk never has enough room.
fn low_disk() -> String {
    let file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a temporary file");
    let (_, path) = file.keep().expect("it can stay");
    std::fs::write(&path, "alarms.disk_free_min = 1152921504606846976\n").expect("a file of ours");
    path.display().to_string()
}
