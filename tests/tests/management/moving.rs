//! Looking at messages, moving them, and bringing dead letters back.

use amq_protocol::protocol::basic;
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login};
use leveret_tests::http::Http;
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
    let peeked = api.try_get(&format!("/leveret/queues/%2F/{stream}/messages"));
    assert_eq!(peeked.0, 400);
}
