//! Looking at messages, moving them, and bringing dead letters back.

use amq_protocol::protocol::basic;
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::{api, unique};

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
