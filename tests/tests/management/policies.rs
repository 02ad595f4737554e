//! Policies hold for queues that are there already, at once, and no longer than they are there (<https://www.rabbitmq.com/docs/policies>).

use std::time::{Duration, Instant};

use amq_protocol::protocol::basic;
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::{api, unique, until};

fn channel() -> Channel {
    Connection::open_at(broker::own().amqp, &Login::default()).channel(1)
}

fn set(api: &Http, sort: &str, queue: &str, definition: &Value) {
    let policy = json!({
        "pattern": format!("^{queue}$"),
        "apply-to": "queues",
        "definition": definition,
    });
    let (status, _) = api.put(&format!("/{sort}/%2F/{queue}"), &policy);
    assert!(matches!(status, 201 | 204), "{status}");
}

#[test]
fn a_time_to_live_holds_for_messages_that_are_there() {
    let (api, channel) = (api(), channel());
    let queue = channel.queue();
    channel.publish("", &queue, "there before");
    channel.await_ready(&queue, 1);
    set(&api, "policies", &queue, &json!({"message-ttl": 1}));
    channel.await_ready(&queue, 0);
    assert_eq!(api.delete(&format!("/policies/%2F/{queue}")), 204);
    channel.publish("", &queue, "stays");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
    assert_eq!(channel.take(&queue), "stays");
}

#[test]
fn a_maximum_length_holds_at_once_and_dead_letters_go_where_the_policy_says() {
    let (api, channel) = (api(), channel());
    let (queue, target) = (channel.queue(), channel.queue());
    channel.fill(&queue, &["one", "two", "three"]);
    let definition = json!({
        "max-length": 1,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": target,
    });
    set(&api, "policies", &queue, &definition);
    channel.await_ready(&target, 2);
    assert_eq!(
        ["one", "two"].map(|_| channel.take(&target)),
        ["one", "two"]
    );
    assert_eq!(channel.take(&queue), "three");
}

#[test]
fn an_operators_limit_is_the_smaller_one() {
    let (api, channel) = (api(), channel());
    let queue = channel.queue();
    set(&api, "policies", &queue, &json!({"max-length": 5}));
    set(&api, "operator-policies", &queue, &json!({"max-length": 2}));
    channel.fill(&queue, &["one"]);
    for body in ["two", "three", "four"] {
        channel.publish("", &queue, body);
    }
    channel.await_ready(&queue, 2);
    assert_eq!(channel.take(&queue), "three");
    assert_eq!(api.delete(&format!("/operator-policies/%2F/{queue}")), 204);
    assert_eq!(api.delete(&format!("/policies/%2F/{queue}")), 204);
}

/// A stream with ten messages of 100,000 bytes, three of which are a chunk.
fn stream(api: &Http, channel: &Channel) -> String {
    let stream = unique("governed");
    let arguments = json!({"durable": true, "arguments": {"x-queue-type": "stream"}});
    assert_eq!(api.put(&format!("/queues/%2F/{stream}"), &arguments).0, 201);
    publish(channel, &stream);
    stream
}

/// Ten messages, each when the one before is confirmed.
fn publish(channel: &Channel, stream: &str) {
    let publisher = Connection::open_at(broker::own().amqp, &Login::default()).channel(1);
    publisher.confirm_select();
    for _ in 0..10 {
        publisher.publish("", stream, &"x".repeat(100_000));
        publisher.expect::<basic::Ack>();
    }
    channel.quiet(stream);
}

fn drop_stream(api: &Http, stream: &str) {
    assert_eq!(api.delete(&format!("/policies/%2F/{stream}")), 204);
    assert_eq!(api.delete(&format!("/queues/%2F/{stream}")), 204);
}

#[test]
fn limits_of_size_and_length_hold_for_a_stream_at_once() {
    let (api, channel) = (api(), channel());
    let stream = stream(&api, &channel);
    channel.await_ready(&stream, 10);
    set(
        &api,
        "policies",
        &stream,
        &json!({"max-length-bytes": 750_000}),
    );
    channel.await_ready(&stream, 7);
    set(&api, "policies", &stream, &json!({"max-length": 3}));
    channel.await_ready(&stream, 4);
    // What is less strict holds at once too.
    set(&api, "policies", &stream, &json!({"max-length": 100}));
    publish(&channel, &stream);
    channel.await_ready(&stream, 14);
    drop_stream(&api, &stream);
}

#[test]
fn a_maximum_age_holds_for_a_stream_at_once() {
    let (api, channel) = (api(), channel());
    let stream = stream(&api, &channel);
    let published = Instant::now();
    until("it is old", || published.elapsed() > Duration::from_secs(2));
    set(&api, "policies", &stream, &json!({"max-age": "1s"}));
    // The last chunk stays.
    channel.await_ready(&stream, 1);
    drop_stream(&api, &stream);
}

#[test]
fn the_size_of_segments_says_how_many_messages_of_a_stream_go_together() {
    let (api, channel) = (api(), channel());
    let stream = stream(&api, &channel);
    let definition = json!({"stream-max-segment-size-bytes": 5_000});
    set(&api, "policies", &stream, &definition);
    publish(&channel, &stream);
    let definition = json!({"stream-max-segment-size-bytes": 5_000, "max-length": 5});
    set(&api, "policies", &stream, &definition);
    channel.await_ready(&stream, 5);
    drop_stream(&api, &stream);
}

#[test]
fn an_unused_queue_ends_as_a_policy_says() {
    let api = api();
    let queue = unique("expires");
    let path = format!("/queues/%2F/{queue}");
    assert_eq!(api.put(&path, &json!({"durable": true})).0, 201);
    set(&api, "policies", &queue, &json!({"expires": 100}));
    until("the queue is gone", || api.try_get(&path).0 == 404);
    assert_eq!(api.delete(&format!("/policies/%2F/{queue}")), 204);
}

#[test]
fn what_an_exchange_cannot_route_goes_where_a_policy_says() {
    let (api, channel) = (api(), channel());
    let (exchange, other, queue) = (
        channel.exchange("direct"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    channel.bind(&queue, &other, "");
    channel.publish(&exchange, "nowhere", "lost");
    let policy = json!({
        "pattern": format!("^{exchange}$"),
        "apply-to": "exchanges",
        "definition": {"alternate-exchange": other},
    });
    let path = format!("/policies/%2F/{exchange}");
    assert_eq!(api.put(&path, &policy).0, 201);
    channel.publish(&exchange, "nowhere", "found");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "found");
    assert_eq!(api.delete(&path), 204);
    channel.publish(&exchange, "nowhere", "lost again");
    channel.sync();
    channel.quiet(&queue);
    assert_eq!(channel.ready(&queue), 0);
}

#[test]
fn a_new_queue_is_as_the_policy_says() {
    let (api, channel) = (api(), channel());
    let queue = unique("governed");
    set(&api, "policies", &queue, &json!({"max-length": 1}));
    let path = format!("/queues/%2F/{queue}");
    assert_eq!(api.put(&path, &json!({"durable": true})).0, 201);
    channel.publish("", &queue, "one");
    channel.publish("", &queue, "two");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "two");
    assert_eq!(api.delete(&format!("/policies/%2F/{queue}")), 204);
    assert_eq!(api.delete(&path), 204);
}

#[test]
fn who_publishes_faster_than_the_vhost_may_is_read_from_later() {
    let api = api();
    let vhost = unique("slow");
    assert_eq!(api.put(&format!("/vhosts/{vhost}"), &json!({})).0, 201);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    assert!(api.put(&format!("/permissions/{vhost}/guest"), &all).0 < 300);
    let limit = format!("/vhost-limits/{vhost}/x-leveret-max-publish-rate");
    assert_eq!(api.put(&limit, &json!({"value": 200})).0, 204);
    let login = Login {
        vhost: vhost.clone(),
        ..Login::default()
    };
    let channel = Connection::open_at(broker::own().amqp, &login).channel(1);
    let queue = channel.queue();
    channel.confirm_select();
    let began = Instant::now();
    // A window at a time: what was sent before a pause began is taken in any case.
    for window in 1..=6 {
        for _ in 0..50 {
            channel.publish("", &queue, "not so fast");
        }
        while channel.expect::<basic::Ack>().delivery_tag < 50 * window {}
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(900),
        "300 messages at 200 a second in {took:?}"
    );
    assert_eq!(channel.ready(&queue), 300);
    assert_eq!(api.delete(&limit), 204);
    let began = Instant::now();
    channel.publish("", &queue, "as fast as it likes");
    assert_eq!(channel.expect::<basic::Ack>().delivery_tag, 301);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(api.delete(&format!("/vhosts/{vhost}")), 204);
}
