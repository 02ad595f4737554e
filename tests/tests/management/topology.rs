//! Queues, exchanges, bindings, messages, policies, vhosts: made, told and removed over HTTP.

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::broker;
use leveret_tests::client::{Connection, Login, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::Node;
use serde_json::{Value, json};

use super::{api, unique};

#[test]
fn a_queue_is_declared_told_and_deleted() {
    let (api, name) = (api(), unique("queue"));
    let path = format!("/queues/%2F/{name}");
    let arguments = json!({"x-expires": 100_000, "x-own": {"a": [1, "b", true, null, 1.5]}});
    let declaration = json!({"durable": true, "arguments": arguments});
    assert_eq!(api.put(&path, &declaration).0, 201);
    assert_eq!(api.put(&path, &declaration).0, 204);
    let other = json!({"durable": false, "arguments": arguments});
    let reason = format!(
        "inequivalent arg 'durable' for queue '{name}' in vhost '/': \
         received 'false' but current is 'true'"
    );
    let refused = json!({"error": "bad_request", "reason": reason});
    assert_eq!(api.put(&path, &other), (400, refused));

    let told = api.get(&path);
    assert_eq!(told["arguments"], arguments);
    assert_eq!(
        (&told["type"], &told["durable"]),
        (&json!("classic"), &json!(true))
    );
    // What has to be there, though it is empty.
    assert_eq!(told["effective_policy_definition"], json!({}));
    assert_eq!(told["messages"], 0);
    assert!(told.get("message_stats").is_none(), "{told}");

    // A client sees the same queue.
    let channel = Connection::open_at(broker::own().amqp, &Login::default()).channel(1);
    channel.fill(&name, &["one", "two"]);
    let told = api.get(&path);
    assert_eq!(
        (&told["messages_ready"], &told["message_stats"]["publish"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(api.delete(&format!("{path}?if-empty=true")), 400);
    assert_eq!(api.delete(&format!("{path}/contents")), 204);
    channel.consume(&name);
    assert_eq!(api.delete(&format!("{path}?if-unused=true")), 400);
    let told = api.get(&path);
    assert_eq!(
        told["consumer_details"][0]["queue"],
        json!({"name": name, "vhost": "/"})
    );
    assert_eq!(api.delete(&path), 204);
    assert_eq!(api.delete(&path), 404);
    assert_eq!(api.try_get(&path).0, 404);
}

#[test]
fn an_exclusive_queue_is_its_connections_alone() {
    let api = api();
    let channel = Connection::open_at(broker::own().amqp, &Login::default()).channel(1);
    let name = channel.queue();
    let path = format!("/queues/%2F/{name}");
    let told = api.get(&path);
    assert_eq!(told["exclusive"], true);
    assert!(told["owner_pid_details"]["name"].is_string(), "{told}");
    assert_eq!(api.delete(&path), 400);
    assert_eq!(channel.ready(&name), 0);
}

#[test]
fn an_exchange_is_declared_told_and_deleted() {
    let (api, name) = (api(), unique("exchange"));
    let path = format!("/exchanges/%2F/{name}");
    assert_eq!(api.put(&path, &json!({"type": "topic"})).0, 201);
    assert_eq!(api.put(&path, &json!({"type": "topic"})).0, 204);
    assert_eq!(api.put(&path, &json!({"type": "fanout"})).0, 400);
    assert_eq!(
        api.put(&format!("{path}-2"), &json!({"type": "nothing"})).0,
        400
    );
    assert_eq!(api.get(&path)["type"], "topic");
    let bindings = format!("/bindings/%2F/e/{name}/e/amq.fanout");
    assert_eq!(
        api.post(&bindings, &json!({"routing_key": "a"})).status,
        201
    );
    assert_eq!(
        api.get(&format!("{path}/bindings/source"))[0]["destination"],
        "amq.fanout"
    );
    assert_eq!(api.delete(&format!("{path}?if-unused=true")), 400);
    assert_eq!(api.delete(&path), 204);
    assert_eq!(api.try_get(&path).0, 404);
    assert_eq!(api.delete("/exchanges/%2F/amq.direct"), 401);
    assert_eq!(api.get("/exchanges/%2F/amq.default")["name"], "");
}

#[test]
fn a_binding_is_known_by_its_properties_key() {
    let (api, name) = (api(), unique("queue"));
    assert_eq!(api.put(&format!("/queues/%2F/{name}"), &json!({})).0, 201);
    let path = format!("/bindings/%2F/e/amq.topic/q/{name}");
    for (new, key) in [
        (json!({"routing_key": ""}), "~"),
        (json!({"routing_key": "a.#"}), "a.%23"),
        (json!({"routing_key": "a~b/c d"}), "a%7Eb%2Fc+d"),
    ] {
        let made = api.post(&path, &new);
        assert_eq!(made.status, 201, "{}", made.body);
        let place = made.location.expect("where it is");
        let (_, place) = place.split_once('/').expect("destination and key");
        let told = api.get(&format!("{path}/{place}"));
        assert_eq!(told["properties_key"], key);
    }
    // One whose key is not escaped is understood.
    let told = api.get(&format!("{path}/a.%23"));
    assert_eq!(told["routing_key"], "a.#");
    let with_arguments = json!({"routing_key": "k", "arguments": {"x": 1}});
    let made = api.post(&path, &with_arguments);
    let place = made.location.expect("where it is");
    let place = format!("{path}/{}", place.split_once('/').expect("a path").1);
    assert_eq!(api.get(&place)["arguments"], json!({"x": 1}));
    assert_eq!(api.get(&path).as_array().map(Vec::len), Some(4));
    assert_eq!(api.delete(&place), 204);
    assert_eq!(api.delete(&place), 404);
    let all = api.get(&format!("/queues/%2F/{name}/bindings"));
    // The one of the default exchange is among them.
    assert_eq!(all.as_array().map(Vec::len), Some(4));
    let nowhere = format!("/bindings/%2F/e/amq.topic/q/{name}-nowhere");
    assert_eq!(api.post(&nowhere, &json!({})).status, 404);
    assert_eq!(api.delete(&format!("/queues/%2F/{name}")), 204);
}

#[test]
fn a_message_is_published_to_queues_of_several_shards() {
    let broker = Node::new()
        .managed()
        .configured("limits.shards = 4\n")
        .start();
    let api = Http::guest(broker.management());
    let queues: Vec<String> = (0..16).map(|_| unique("queue")).collect();
    for queue in &queues {
        assert_eq!(api.put(&format!("/queues/%2F/{queue}"), &json!({})).0, 201);
        let bind = format!("/bindings/%2F/e/amq.fanout/q/{queue}");
        assert_eq!(api.post(&bind, &json!({})).status, 201);
    }
    let message = json!({
        "properties": {}, "routing_key": "", "payload": "x", "payload_encoding": "string",
    });
    for _ in 0..50 {
        let answer = api.post("/exchanges/%2F/amq.fanout/publish", &message);
        assert_eq!(answer.body, json!({"routed": true}));
    }
    let channel = broker.connect().channel(1);
    for queue in &queues {
        assert_eq!(channel.ready(queue), 50);
    }
}

#[test]
fn copies_and_blind_copies_are_published_too() {
    let (api, channel) = (
        api(),
        Connection::open_at(broker::own().amqp, &Login::default()).channel(1),
    );
    let [to, copy, blind, letters] = [(); 4].map(|()| channel.queue());
    let dying = channel.queue_with(table([("x-dead-letter-exchange", text(""))]));
    let publish = |key: &str, headers: Value| {
        let message = json!({
            "properties": {"headers": headers}, "routing_key": key, "payload": "x",
            "payload_encoding": "string",
        });
        api.post("/exchanges/%2F/amq.default/publish", &message)
    };
    let headers = json!({"CC": [copy], "BCC": [blind], "a": 1});
    assert_eq!(publish(&to, headers).body, json!({"routed": true}));
    for queue in [&to, &copy, &blind] {
        let got = channel.get_with(queue, true).expect("a copy");
        let headers = got.properties.headers().clone().expect("headers");
        assert!(headers.contains_key("CC") && headers.contains_key("a"));
        assert!(!headers.contains_key("BCC"));
        assert_eq!(got.method.routing_key.as_str(), to);
    }
    let refused = publish(&to, json!({"BCC": "blind"}));
    assert_eq!(refused.status, 400);
    let reason = refused.body["reason"].as_str().expect("a reason");
    assert!(reason.contains("unacceptable_type_in_header"), "{reason}");
    // It has letters as any other.
    publish(&dying, json!({"BCC": [letters]}));
    channel.take(&letters);
    let delivery_tag = channel.get(&dying).expect("a message").method.delivery_tag;
    channel.send(basic::Reject {
        delivery_tag,
        requeue: false,
    });
    channel.await_ready(&letters, 1);
}

#[test]
fn messages_are_published_and_got() {
    let (api, name) = (api(), unique("queue"));
    let path = format!("/queues/%2F/{name}");
    assert_eq!(api.put(&path, &json!({})).0, 201);
    let properties = json!({
        "delivery_mode": 2, "headers": {"a": 1}, "content_type": "text/plain", "priority": 3,
        "correlation_id": "c", "timestamp": 1_700_000_000, "type": "t", "expiration": "100000",
    });
    let publish = |payload: &str, encoding: &str, key: &str| {
        let message = json!({
            "properties": properties, "routing_key": key, "payload": payload,
            "payload_encoding": encoding,
        });
        api.post("/exchanges/%2F/amq.default/publish", &message)
    };
    assert_eq!(
        publish("hello", "string", &name).body,
        json!({"routed": true})
    );
    assert_eq!(
        publish("/wAB", "base64", &name).body,
        json!({"routed": true})
    );
    assert_eq!(
        publish("x", "string", "nowhere at all").body,
        json!({"routed": false})
    );
    assert_eq!(publish("not base64!", "base64", &name).status, 400);

    let get = |count: u64, mode: &str| {
        let wanted = json!({"count": count, "ackmode": mode, "encoding": "auto", "truncate": 3});
        let got = api.post(&format!("{path}/get"), &wanted);
        assert_eq!(got.status, 200, "{}", got.body);
        got.body
    };
    let got = get(5, "ack_requeue_true");
    assert_eq!(got[0]["payload"], "hel");
    assert_eq!(
        (&got[0]["payload_bytes"], &got[0]["message_count"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(got[0]["properties"], properties);
    assert_eq!(
        (&got[1]["payload"], &got[1]["payload_encoding"]),
        (&json!("/wAB"), &json!("base64"))
    );
    let again = get(1, "reject_requeue_false");
    assert_eq!(
        (&again[0]["payload"], &again[0]["redelivered"]),
        (&json!("hel"), &json!(true))
    );
    assert_eq!(
        get(5, "ack_requeue_false").as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(get(5, "ack_requeue_false"), json!([]));
    assert_eq!(api.delete(&path), 204);
}

#[test]
fn a_policy_is_told_with_the_queues_that_it_is_for() {
    let (api, name) = (api(), unique("policied"));
    let (queue, policy) = (
        format!("/queues/%2F/{name}"),
        format!("/policies/%2F/{name}"),
    );
    assert_eq!(api.put(&queue, &json!({})).0, 201);
    let pattern = format!("^{name}$");
    let definition = json!({"max-length": 10, "overflow": "reject-publish"});
    let value = json!({"pattern": pattern, "definition": definition, "apply-to": "queues"});
    assert_eq!(api.put(&policy, &value).0, 201);
    assert_eq!(api.put(&policy, &value).0, 204);
    let operator = policy.replace("policies", "operator-policies");
    let limit = json!({"pattern": pattern, "definition": {"max-length": 5}});
    assert_eq!(api.put(&operator, &limit).0, 201);
    let told = api.get(&queue);
    assert_eq!(
        (&told["policy"], &told["operator_policy"]),
        (&json!(name), &json!(name))
    );
    let effective = json!({"max-length": 5, "overflow": "reject-publish"});
    assert_eq!(told["effective_policy_definition"], effective);
    let told = json!({
        "vhost": "/", "name": name, "pattern": pattern, "definition": definition,
        "apply-to": "queues", "priority": 0,
    });
    assert_eq!(api.get(&policy), told);
    let wrong = json!({"pattern": "a", "definition": {"max-length": -1}});
    let reason = "Validation failed\n\n-1 is not a valid maximum length\n";
    let refused = json!({"error": "bad_request", "reason": reason});
    assert_eq!(api.put(&policy, &wrong), (400, refused));
    assert_eq!((api.delete(&policy), api.delete(&operator)), (204, 204));
    assert_eq!(api.delete(&policy), 404);
    assert_eq!(api.get(&queue)["policy"], json!(null));
    assert_eq!(api.delete(&queue), 204);
}

#[test]
fn parameters_are_kept_by_component_vhost_and_name() {
    let (api, name) = (api(), unique("parameter"));
    let path = format!("/parameters/shovel/%2F/{name}");
    let value = json!({"value": {"src-uri": "amqp://", "dest-uri": "amqp://"}});
    assert_eq!(api.put(&path, &value).0, 201);
    assert_eq!(api.put(&path, &value).0, 204);
    assert_eq!(api.get(&path)["value"], value["value"]);
    let all = api.get("/parameters/shovel/%2F");
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["name"] == name.as_str());
    assert!(found, "{all}");
    assert_eq!(api.delete(&path), 204);
    assert_eq!(api.try_get(&path).0, 404);
    let unknown = api.put(&format!("/parameters/nothing/%2F/{name}"), &value);
    let reason = "Validation failed\n\ncomponent nothing not found\n";
    assert_eq!(
        unknown,
        (400, json!({"error": "bad_request", "reason": reason}))
    );
    let global = format!("/global-parameters/{name}");
    assert_eq!(api.put(&global, &json!({"value": [1]})).0, 201);
    assert_eq!(api.get(&global), json!({"name": name, "value": [1]}));
    assert_eq!(api.delete(&global), 204);
}

#[test]
fn a_vhost_comes_changes_and_goes_with_what_is_in_it() {
    let (api, name) = (api(), unique("vhost"));
    let path = format!("/vhosts/{name}");
    assert_eq!(
        api.put(&path, &json!({"description": "d", "tags": "a,b"}))
            .0,
        201
    );
    assert_eq!(api.put(&path, &json!({"tracing": true})).0, 204);
    let told = api.get(&path);
    assert_eq!(
        (&told["description"], &told["tags"]),
        (&json!("d"), &json!(["a", "b"]))
    );
    assert_eq!(told["tracing"], true);
    let login = Login {
        vhost: name.clone(),
        ..Login::default()
    };
    let connection = Connection::open_at(broker::own().amqp, &login);
    let channel = connection.channel(1);
    channel.call(queue::Declare {
        queue: "kept".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    });
    channel.fill("kept", &["one"]);
    assert_eq!(api.get(&path)["messages"], 1);
    let protection = format!("{path}/deletion/protection");
    assert_eq!(api.post(&protection, &json!({})).status, 204);
    assert_eq!(api.delete(&path), 412);
    assert_eq!(api.delete(&protection), 204);
    assert_eq!(api.delete(&path), 204);
    connection.expect_close(
        320,
        &format!("CONNECTION_FORCED - vhost '{name}' is deleted"),
    );
    assert_eq!(api.delete(&path), 404);
    // One of the same name is another one.
    assert_eq!(api.put(&path, &json!({})).0, 201);
    assert_eq!(api.get(&format!("/queues/{name}")), json!([]));
    assert_eq!(api.delete(&path), 204);
}

#[test]
fn a_vhosts_default_queue_type_is_given_to_queues_without_one() {
    let (api, name) = (api(), unique("vhost"));
    let path = format!("/vhosts/{name}");
    assert_eq!(
        api.put(&path, &json!({"default_queue_type": "quorum"})).0,
        201
    );
    let queue = |queue: &str| format!("/queues/{name}/{queue}");
    assert_eq!(api.put(&queue("plain"), &json!({})).0, 201);
    assert_eq!(
        api.put(
            &queue("own"),
            &json!({"arguments": {"x-queue-type": "classic"}})
        )
        .0,
        201
    );
    assert_eq!(
        api.put(&queue("fleeting"), &json!({"auto_delete": true})).0,
        201
    );
    let types = ["plain", "own", "fleeting"].map(|one| api.get(&queue(one))["type"].clone());
    assert_eq!(types, [json!("quorum"), json!("classic"), json!("classic")]);
    let login = Login {
        vhost: name.clone(),
        ..Login::default()
    };
    let channel = Connection::open_at(broker::own().amqp, &login).channel(1);
    let durable = |queue: &str| queue::Declare {
        queue: queue.into(),
        durable: true,
        ..Default::default()
    };
    channel.call(durable("by-client"));
    assert_eq!(api.get(&queue("by-client"))["type"], "quorum");
    channel.call(durable("plain"));
    drop(channel);
    // Declared again as before, it is the same.
    assert_eq!(api.put(&queue("plain"), &json!({})).0, 204);
    assert_eq!(api.delete(&path), 204);
}
