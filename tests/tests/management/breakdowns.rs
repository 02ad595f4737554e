//! Where messages come from and go to, how long they are, which consumer is active, since when something is idle.

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, tx};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login, table};
use serde_json::{Value, json};

use super::{api, unique, until};

fn encoded(name: &Value) -> String {
    let name = name.as_str().expect("a name");
    name.replace(' ', "%20").replace('>', "%3E")
}

/// A connection, and the path of one of its channels.
fn connect(number: u16) -> (Channel, String) {
    let own_name = unique("breakdown");
    let login = Login {
        client_properties: table([(
            "connection_name",
            AMQPValue::LongString(own_name.as_str().into()),
        )]),
        ..Login::default()
    };
    let connection = Connection::open_at(broker::own().amqp, &login);
    let all = api().get("/connections");
    let mut all = all.as_array().expect("a list").iter();
    let told = all.find(|one| one["user_provided_name"] == own_name.as_str());
    let path = format!(
        "/channels/{}%20({number})",
        encoded(&told.expect("it is open")["name"])
    );
    (connection.channel(number), path)
}

/// The figures of the line of a breakdown that is about something.
#[track_caller]
fn stats<'v>(breakdown: &'v Value, of: &str, key: &str, name: &Value) -> &'v Value {
    let mut lines = breakdown.as_array().expect("a list").iter();
    let line = lines.find(|line| line[of][key] == *name);
    &line.unwrap_or_else(|| panic!("nothing of {name} in {breakdown}"))["stats"]
}

#[test]
fn messages_are_told_by_channel_exchange_and_queue() {
    let (publisher, of_publisher) = connect(3);
    let (consumer, of_consumer) = connect(4);
    let exchange = publisher.exchange("fanout");
    let (one, two) = (consumer.queue(), publisher.queue());
    publisher.bind(&two, &exchange, "");
    let fanned = unique("fanned");
    let declare = json!({"durable": false, "auto_delete": false});
    assert_eq!(api().put(&format!("/queues/%2F/{fanned}"), &declare).0, 201);
    publisher.bind(&fanned, &exchange, "");
    for _ in 0..3 {
        publisher.publish(&exchange, "", "to two queues");
    }
    publisher.publish("", &two, "to one");
    publisher.sync();
    let told = api().get(&of_publisher);
    let publishes = &told["publishes"];
    assert_eq!(
        stats(publishes, "exchange", "name", &json!(exchange))["publish"],
        3
    );
    assert_eq!(
        stats(publishes, "exchange", "name", &json!(""))["publish"],
        1
    );
    let name = &told["name"];
    let told = api().get(&format!("/exchanges/%2F/{exchange}"));
    assert_eq!(
        stats(&told["incoming"], "channel_details", "name", name)["publish"],
        3
    );
    let outgoing = &told["outgoing"];
    assert_eq!(outgoing.as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(stats(outgoing, "queue", "name", &json!(two))["publish"], 3);
    assert_eq!(
        stats(outgoing, "queue", "name", &json!(fanned))["publish"],
        3
    );

    consumer.consume(&fanned);
    let taken: Vec<_> = (0..3).map(|_| consumer.deliver()).collect();
    consumer.ack(taken[0].method.delivery_tag);
    consumer.get_with(&one, true);
    let told = api().get(&of_consumer);
    let deliveries = &told["deliveries"];
    let of_fanned = stats(deliveries, "queue", "name", &json!(fanned));
    assert_eq!(
        (&of_fanned["deliver"], &of_fanned["ack"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        stats(deliveries, "queue", "name", &json!(one))["get_empty"],
        1
    );
    let name = &told["name"];
    let told = api().get(&format!("/queues/%2F/{fanned}"));
    assert_eq!(
        stats(&told["incoming"], "exchange", "name", &json!(exchange))["publish"],
        3
    );
    let of_channel = stats(&told["deliveries"], "channel_details", "name", name);
    assert_eq!(
        (&of_channel["deliver"], &of_channel["ack"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(of_channel["deliver_get"], 3);
}

#[test]
fn what_a_cancelled_consumer_was_sent_stays_told() {
    let (channel, path) = connect(1);
    let queue = channel.queue();
    channel.publish("", &queue, "x");
    let tag = channel.consume(&queue);
    let taken = channel.deliver();
    channel.cancel(&tag);
    channel.ack(taken.method.delivery_tag);
    channel.sync();
    let told = api().get(&path);
    let of_queue = stats(&told["deliveries"], "queue", "name", &json!(queue));
    assert_eq!(
        (&of_queue["deliver"], &of_queue["ack"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn transactions_are_told_when_they_are_committed() {
    let (channel, path) = connect(1);
    let (queue, exchange) = (channel.queue(), channel.exchange("fanout"));
    channel.bind(&queue, &exchange, "");
    channel.call(tx::Select {});
    channel.publish(&exchange, "", "one");
    channel.publish(&exchange, "", "two");
    channel.sync();
    assert_eq!(api().get(&path)["publishes"], json!([]));
    channel.call(tx::Commit {});
    let told = api().get(&path);
    let of_exchange = stats(&told["publishes"], "exchange", "name", &json!(exchange));
    assert_eq!(of_exchange["publish"], 2);
    let told = api().get(&format!("/queues/%2F/{queue}"));
    let incoming = stats(&told["incoming"], "exchange", "name", &json!(exchange));
    assert_eq!(incoming["publish"], 2);
}

#[test]
fn bodies_are_told_in_bytes() {
    let (channel, _) = connect(1);
    let queue = unique("bodies");
    let path = format!("/queues/%2F/{queue}");
    assert_eq!(api().put(&path, &json!({"durable": true})).0, 201);
    let persistent = AMQPProperties::default().with_delivery_mode(2);
    channel.publish_with("", &queue, persistent.clone(), "hello");
    channel.publish_with("", &queue, persistent, "hello");
    channel.publish("", &queue, "world!");
    channel.get(&queue);
    let told = api().get(&path);
    for (key, value) in [
        ("message_bytes", 16),
        ("message_bytes_ready", 11),
        ("message_bytes_unacknowledged", 5),
        ("message_bytes_persistent", 10),
        ("message_bytes_ram", 16),
        ("message_bytes_paged_out", 0),
        ("messages_persistent", 2),
        ("messages_paged_out", 0),
    ] {
        assert_eq!(told[key], value, "{key}: {told}");
    }
    assert_eq!(api().delete(&path), 204);
}

#[test]
fn the_time_that_the_oldest_message_says_is_told() {
    let (channel, _) = connect(1);
    let queue = channel.queue();
    let path = format!("/queues/%2F/{queue}");
    let told = || {
        let one = api().get(&path);
        let all = api().get("/queues");
        let mut all = all.as_array().expect("a list").iter();
        let of_list = all.find(|one| one["name"] == queue.as_str());
        let of_list = &of_list.expect("it is there")["head_message_timestamp"];
        assert_eq!(&one["head_message_timestamp"], of_list);
        of_list.clone()
    };
    assert_eq!(told(), Value::Null);
    let at = |timestamp| AMQPProperties::default().with_timestamp(timestamp);
    channel.publish_with("", &queue, at(1_700_000_000), "first");
    channel.publish_with("", &queue, at(1_600_000_000), "second");
    channel.publish("", &queue, "third");
    channel.await_ready(&queue, 3);
    assert_eq!(told(), 1_700_000_000);
    // What is unacked counts too.
    let first = channel.get(&queue).expect("the first");
    assert_eq!(told(), 1_600_000_000);
    let second = channel.get(&queue).expect("the second");
    assert_eq!(told(), 1_700_000_000);
    channel.ack(first.method.delivery_tag);
    channel.sync();
    assert_eq!(told(), 1_600_000_000);
    channel.ack(second.method.delivery_tag);
    channel.sync();
    assert_eq!(told(), Value::Null);
}

#[test]
fn the_only_active_consumer_is_told() {
    let (channel, path) = connect(1);
    let single_active = table([("x-single-active-consumer", true.into())]);
    let queue = channel.queue_with(single_active);
    let of_queue = format!("/queues/%2F/{queue}");
    assert_eq!(
        api().get(&of_queue)["single_active_consumer_tag"],
        Value::Null
    );
    let (first, second) = (channel.consume(&queue), channel.consume(&queue));
    let activity = |details: &Value, tag: &str| {
        let mut all = details.as_array().expect("a list").iter();
        let one =
            all.find(|one| one["consumer_tag"] == tag && one["queue"]["name"] == queue.as_str());
        let one = one.expect("it is told");
        (one["active"].clone(), one["activity_status"].clone())
    };
    let active = (json!(true), json!("single_active"));
    let waiting = (json!(false), json!("waiting"));
    let told = api().get(&of_queue);
    assert_eq!(told["single_active_consumer_tag"], first.as_str());
    for details in [
        &told["consumer_details"],
        &api().get("/consumers/%2F"),
        &api().get(&path)["consumer_details"],
    ] {
        assert_eq!(activity(details, &first), active);
        assert_eq!(activity(details, &second), waiting);
    }
    channel.cancel(&first);
    let told = api().get(&of_queue);
    assert_eq!(told["single_active_consumer_tag"], second.as_str());
    assert_eq!(activity(&told["consumer_details"], &second), active);
}

#[test]
fn an_exclusive_consumer_is_told() {
    let (channel, _) = connect(1);
    let queue = channel.queue();
    channel.consume_with(basic::Consume {
        queue: queue.as_str().into(),
        consumer_tag: "alone".into(),
        no_local: false,
        no_ack: false,
        exclusive: true,
        nowait: false,
        arguments: FieldTable::default(),
    });
    let told = api().get(&format!("/queues/%2F/{queue}"));
    assert_eq!(told["exclusive_consumer_tag"], "alone");
    assert_eq!(told["consumer_details"][0]["activity_status"], "up");
}

#[test]
fn what_nothing_happens_to_is_idle_since_then() {
    let (channel, path) = connect(1);
    let queue = channel.queue();
    channel.publish("", &queue, "x");
    channel.sync();
    for path in [path, format!("/queues/%2F/{queue}")] {
        until("it is idle", || api().get(&path)["idle_since"].is_string());
        let since = api().get(&path)["idle_since"].clone();
        assert_eq!(
            since.as_str().map(str::len),
            Some("2026-11-29T23:29:41.904+00:00".len())
        );
        // It was used once more, so that is later.
        channel.publish("", &queue, "x");
        channel.sync();
        until("it is idle again", || {
            let again = &api().get(&path)["idle_since"];
            again
                .as_str()
                .is_some_and(|again| Some(again) > since.as_str())
        });
    }
}
