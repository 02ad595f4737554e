//! Looking at messages, moving them, and bringing dead letters back.

use amq_protocol::protocol::{BasicProperties, basic, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::Node;
use serde_json::{Value, json};

use super::{api, unique, until};

fn channel() -> Channel {
    Connection::open_at(broker::own().amqp, &Login::default()).channel(1)
}

/// A queue that belongs to nobody: operators have no way into those that do.
fn declare(api: &Http, arguments: &Value) -> String {
    let queue = unique("moving");
    let declaration = json!({"durable": true, "arguments": arguments});
    assert_eq!(
        api.put(&format!("/queues/%2F/{queue}"), &declaration).0,
        201
    );
    queue
}

#[test]
fn messages_are_looked_at_and_stay() {
    let (api, channel) = (api(), channel());
    let queue = declare(&api, &json!({}));
    channel.fill(&queue, &["one", "two", "three"]);
    let path = format!("/leveret/queues/%2F/{queue}/messages?position=1&count=5");
    let seen = api.get(&path);
    let seen = seen.as_array().expect("a list");
    let told: Vec<_> = seen
        .iter()
        .map(|one| (&one["payload"], &one["position"]))
        .collect();
    assert_eq!(
        told,
        [(&json!("two"), &json!(1)), (&json!("three"), &json!(2))]
    );
    let got = channel.get(&queue).expect("it is there");
    assert_eq!((got.text(), got.method.redelivered), ("one", false));
    assert_eq!(channel.ready(&queue), 2);
}

#[test]
fn messages_move_to_another_queue_in_order() {
    let (api, channel) = (api(), channel());
    let (queue, other) = (declare(&api, &json!({})), channel.queue());
    channel.fill(&queue, &["one", "two", "three"]);
    let path = format!("/leveret/queues/%2F/{queue}/move");
    let moved = api.post(&path, &json!({"destination": other, "count": 2}));
    assert_eq!(
        (moved.status, moved.body),
        (200, json!({"moved": 2, "stayed": 0}))
    );
    assert_eq!(["one", "two"].map(|_| channel.take(&other)), ["one", "two"]);
    assert_eq!(channel.take(&queue), "three");
    let nowhere = api.post(&path, &json!({"destination": "no such queue"}));
    assert_eq!(nowhere.status, 404);
}

#[test]
fn dead_letters_go_back_to_where_they_died() {
    let (api, channel) = (api(), channel());
    let letters = declare(&api, &json!({}));
    let dying = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters});
    let queue = declare(&api, &dying);
    channel.publish("", &letters, "never died");
    channel.fill(&queue, &["one", "two"]);
    for _ in 0..2 {
        let got = channel.get_with(&queue, false).expect("it is there");
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: false,
        });
    }
    channel.await_ready(&letters, 3);
    let moved = api.post(
        &format!("/leveret/queues/%2F/{letters}/redrive"),
        &json!({}),
    );
    assert_eq!(
        (moved.status, moved.body),
        (200, json!({"moved": 2, "stayed": 1}))
    );
    for body in ["one", "two"] {
        let got = channel.get(&queue).expect("it is back");
        assert_eq!(got.text(), body);
        let headers = got.properties.headers().clone().unwrap_or_default();
        assert!(
            headers
                .inner()
                .keys()
                .all(|key| !key.as_str().contains("death"))
        );
    }
    assert_eq!(channel.take(&letters), "never died");
}

/// Letters behind many messages that never died, twice over, in a broker that has room for some of them only.
#[track_caller]
fn letters_are_reached_behind_others(arguments: &Value) {
    let node = Node::new()
        .managed()
        .configured("[limits]\nqueued_bytes_budget = 1048576\n");
    let running = node.start();
    let api = Http::guest(running.management());
    let channel = running.connect().channel(1);
    let letters = declare(&api, arguments);
    let dying = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters});
    let queue = declare(&api, &dying);
    let persistent = || BasicProperties::default().with_delivery_mode(2);
    let body = "x".repeat(1_000);
    let publish = |queue: &str, count: usize| {
        for _ in 0..count {
            channel.publish_with("", queue, persistent(), &body);
        }
        channel.sync();
    };
    let die = |count: usize| {
        publish(&queue, count);
        channel.await_ready(&queue, count as u32);
        let consumer = channel.consume(&queue);
        let tags: Vec<_> = (0..count)
            .map(|_| channel.deliver().method.delivery_tag)
            .collect();
        channel.send(basic::Nack {
            delivery_tag: tags[count - 1],
            multiple: true,
            requeue: false,
        });
        channel.cancel(&consumer);
    };
    publish(&letters, 2_500);
    die(1_500);
    channel.await_ready(&letters, 4_000);
    publish(&letters, 100);
    die(10);
    channel.await_ready(&letters, 4_110);
    let path = format!("/leveret/queues/%2F/{letters}/redrive");
    for counts in [
        json!({"moved": 1_510, "stayed": 2_600}),
        json!({"moved": 0, "stayed": 2_600}),
    ] {
        let moved = api.post(&path, &json!({}));
        assert_eq!((moved.status, moved.body), (200, counts));
    }
    channel.await_ready(&queue, 1_510);
    channel.await_ready(&letters, 2_600);
}

#[test]
fn letters_are_brought_back_from_behind_messages_that_stay() {
    letters_are_reached_behind_others(&json!({}));
}

#[test]
fn letters_are_brought_back_from_behind_messages_that_stay_in_a_quorum_queue() {
    letters_are_reached_behind_others(&json!({"x-queue-type": "quorum"}));
}

#[test]
fn a_message_that_a_full_queue_refuses_was_not_routed() {
    let api = api();
    let full = json!({"x-max-length": 1, "x-overflow": "reject-publish"});
    let queue = declare(&api, &full);
    let message = json!({
        "routing_key": queue,
        "payload": "one",
        "payload_encoding": "string",
        "properties": {},
    });
    let publish = || {
        api.post("/exchanges/%2F/amq.default/publish", &message)
            .body
    };
    assert_eq!(publish(), json!({"routed": true}));
    assert_eq!(publish(), json!({"routed": false}));
}

#[test]
fn letters_that_wait_count_towards_the_length_of_their_queue() {
    let (api, channel) = (api(), channel());
    let dying = json!({
        "x-message-ttl": 0,
        "x-dead-letter-exchange": "no such exchange",
        "x-dead-letter-strategy": "at-least-once",
        "x-max-length": 2,
        "x-overflow": "reject-publish",
    });
    let queue = declare(&api, &dying);
    for _ in 0..5 {
        channel.publish("", &queue, "dies at once");
        channel.sync();
    }
    let told = || api.get(&format!("/queues/%2F/{queue}"));
    until("two wait", || told()["messages_delayed"] == 2);
    assert_eq!(told()["messages"], 2);
}

#[test]
fn a_stream_is_not_read_and_purged_as_queues_are() {
    let api = api();
    let stream = declare(&api, &json!({"x-queue-type": "stream"}));
    let of = format!("not supported by stream queues queue '{stream}' in vhost '/'");
    let wanted = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let got = api.post(&format!("/queues/%2F/{stream}/get"), &wanted);
    assert_eq!(
        (got.status, &got.body["reason"]),
        (400, &json!(format!("basic.get {of}")))
    );
    assert_eq!(api.delete(&format!("/queues/%2F/{stream}/contents")), 400);
}

/// What a look at the messages of a queue tells, page by page: the payloads, and whether they were delivered before.
fn look(api: &Http, queue: &str, page: usize) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    loop {
        let position = all.len();
        let path = format!(
            "/leveret/queues/%2F/{queue}/messages?position={position}&count={page}&truncate=8"
        );
        let seen = api.get(&path);
        let seen = seen.as_array().expect("a list");
        if seen.is_empty() {
            return all;
        }
        assert!(seen.len() <= page);
        for one in seen {
            assert_eq!(one["position"], all.len());
            let payload = one["payload"].as_str().expect("a text").trim().to_owned();
            all.push((payload, one["redelivered"] == true));
        }
    }
}

/// Publishes messages of a KiB and waits until they are confirmed.
fn publish(channel: &Channel, queue: &str, first: u32, count: u32, properties: &BasicProperties) {
    for number in first..first + count {
        let body = format!("{number:<1024}");
        channel.publish_with("", queue, properties.clone(), &body);
    }
}

#[test]
fn messages_are_looked_at_wherever_they_are() {
    let node = Node::new()
        .managed()
        .configured("[limits]\nqueued_bytes_budget = 1048576\n");
    let broker = node.start();
    let api = Http::guest(broker.management());
    let channel = broker.connect().channel(1);
    let arguments = table([("x-max-priority", AMQPValue::LongInt(5))]);
    channel.call(queue::Declare {
        queue: "ranked".into(),
        durable: true,
        arguments,
        ..Default::default()
    });
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let transient = BasicProperties::default();
    // Higher ones come last and are served first; some are in the log, and others are in chunks.
    for round in 0..3 {
        for (step, properties) in [&persistent, &transient].into_iter().enumerate() {
            for priority in [1, 4] {
                let first = round * 4_000 + step as u32 * 2_000 + u32::from(priority) * 200;
                let properties = properties.clone().with_priority(priority);
                publish(&channel, "ranked", first, 500, &properties);
            }
        }
    }
    channel.await_ready("ranked", 6_000);
    // Some of the first have come back, and some are held by somebody.
    let holder = broker.connect().channel(1);
    for number in 0..20 {
        let got = holder.get_with("ranked", false).expect("it is there");
        if number % 2 == 0 {
            holder.send(basic::Nack {
                delivery_tag: got.method.delivery_tag,
                requeue: true,
                ..Default::default()
            });
        }
    }
    holder.sync();
    let ready = channel.ready("ranked") as usize;
    let told = look(&api, "ranked", 700);
    assert_eq!(told.len(), ready);
    let told_by_small_pages = look(&api, "ranked", 97);
    assert!(told == told_by_small_pages);
    for (expected, redelivered) in &told {
        let got = channel.get("ranked").expect("it is there");
        assert_eq!(got.text().trim(), expected);
        assert_eq!(got.method.redelivered, *redelivered);
    }
    assert!(channel.get("ranked").is_none());
}

#[test]
fn messages_are_looked_at_after_a_restart() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    channel.call(queue::Declare {
        queue: "kept".into(),
        durable: true,
        ..Default::default()
    });
    let persistent = BasicProperties::default().with_delivery_mode(2);
    publish(&channel, "kept", 0, 3_000, &persistent);
    while channel.expect::<basic::Ack>().delivery_tag < 3_000 {}
    // Not all that is between the first and the last is there.
    for expected in 0..10 {
        assert_eq!(channel.take("kept").trim(), expected.to_string());
    }
    broker.stop();
    let broker = node.start();
    let api = Http::guest(broker.management());
    let told = look(&api, "kept", 1_000);
    let expected: Vec<_> = (10..3_000).map(|n: u32| (n.to_string(), false)).collect();
    assert!(told == expected);
    let last = api.get("/leveret/queues/%2F/kept/messages?position=2989&count=5");
    assert_eq!(last.as_array().map(Vec::len), Some(1));
    let channel = broker.connect().channel(1);
    let got = channel.get("kept").expect("it is there");
    assert_eq!((got.text().trim(), got.method.redelivered), ("10", false));
}

#[test]
fn messages_of_streams_are_looked_at_by_position() {
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.confirm_select();
    channel.call(queue::Declare {
        queue: "stream".into(),
        durable: true,
        arguments: table([("x-queue-type", text("stream"))]),
        ..Default::default()
    });
    // More than what is kept in memory of a stream.
    publish(&channel, "stream", 0, 6_000, &BasicProperties::default());
    while channel.expect::<basic::Ack>().delivery_tag < 6_000 {}
    let expected: Vec<_> = (0..6_000).map(|n: u32| (n.to_string(), false)).collect();
    assert!(look(&Http::guest(broker.management()), "stream", 1_000) == expected);
    broker.kill();
    let broker = node.start();
    assert!(look(&Http::guest(broker.management()), "stream", 1_000) == expected);
}
