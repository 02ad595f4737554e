//! The firehose: copies of what is published and delivered in a vhost, in `amq.rabbitmq.trace`.

use std::collections::BTreeMap;

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Content, array, table, text, unique};

use super::vhost::Vhost;

/// A queue that gets all copies, and the channel that it is to be read from.
fn listen(vhost: &Vhost) -> (Channel, String) {
    let channel = vhost.channel();
    let queue = channel.queue();
    channel.bind(&queue, "amq.rabbitmq.trace", "#");
    (channel, queue)
}

type Copy = Content<basic::GetOk>;

/// The next copy.
#[track_caller]
fn copy((channel, queue): &(Channel, String)) -> Copy {
    channel.await_counts(queue, |counts| counts.message_count > 0);
    channel.get_with(queue, true).expect("it is there")
}

fn fields(table: &FieldTable) -> BTreeMap<String, AMQPValue> {
    let fields = table.inner().iter();
    fields
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect()
}

/// The headers of a copy.
fn headers(copy: &Copy) -> BTreeMap<String, AMQPValue> {
    fields(copy.properties.headers().as_ref().expect("headers"))
}

/// A channel that publishes, its exchange and its queue.
fn publisher(vhost: &Vhost) -> (Channel, String, String) {
    let channel = vhost.channel();
    let (exchange, queue) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&queue, &exchange, "");
    (channel, exchange, queue)
}

#[test]
fn nothing_is_traced_unless_it_is_asked_for() {
    let vhost = Vhost::new();
    let listener = listen(&vhost);
    let (channel, exchange, queue) = publisher(&vhost);
    for (on, body) in [(false, "before"), (true, "between"), (false, "after")] {
        vhost.trace(on);
        channel.publish(&exchange, "k", body);
        assert_eq!(channel.await_take(&queue), body);
    }
    let (published, delivered) = (copy(&listener), copy(&listener));
    assert_eq!((published.text(), delivered.text()), ("between", "between"));
    assert_eq!(listener.0.ready(&listener.1), 0);
}

#[test]
fn a_publish_is_traced_with_where_it_went() {
    let vhost = Vhost::new();
    let listener = listen(&vhost);
    vhost.trace(true);
    let (channel, exchange, queue) = publisher(&vhost);
    let own = table([("CC", array(&["copied"])), ("own", 7.into())]);
    let properties = AMQPProperties::default()
        .with_headers(own.clone())
        .with_content_type("text/plain".into())
        .with_priority(3)
        .with_delivery_mode(2)
        .with_timestamp(1_700_000_000)
        .with_message_id("id".into());
    channel.publish_with(&exchange, "key", properties, "body");

    let copy = copy(&listener);
    assert_eq!(copy.method.exchange.as_str(), "amq.rabbitmq.trace");
    assert_eq!(
        copy.method.routing_key.as_str(),
        format!("publish.{exchange}")
    );
    assert_eq!(copy.text(), "body");
    let mut headers = headers(&copy);
    let mut take = |name: &str| headers.remove(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(take("exchange_name"), text(&exchange));
    assert_eq!(take("routing_keys"), array(&["key", "copied"]));
    assert_eq!(take("routed_queues"), array(&[&queue]));
    assert_eq!(take("vhost"), text(&vhost.name));
    assert_eq!(take("user"), text("guest"));
    assert_eq!(take("channel"), AMQPValue::LongInt(1));
    let AMQPValue::LongString(connection) = take("connection") else {
        panic!("the connection has a name");
    };
    assert!(connection.to_string().contains(" -> "), "{connection:?}");
    let AMQPValue::LongString(node) = take("node") else {
        panic!("the node has a name");
    };
    assert!(node.to_string().contains('@'), "{node:?}");
    let AMQPValue::FieldTable(told) = take("properties") else {
        panic!("properties are a table");
    };
    assert!(headers.is_empty(), "{headers:?}");
    let expected = table([
        ("headers", own.into()),
        ("content_type", text("text/plain")),
        ("priority", AMQPValue::LongInt(3)),
        ("delivery_mode", AMQPValue::LongInt(2)),
        ("timestamp", AMQPValue::LongInt(1_700_000_000)),
        ("message_id", text("id")),
    ]);
    assert_eq!(fields(&told), fields(&expected));
}

#[test]
fn deliveries_and_gets_are_traced_with_their_queue() {
    let vhost = Vhost::new();
    let listener = listen(&vhost);
    let (channel, exchange, queue) = publisher(&vhost);
    channel.publish(&exchange, "k", "got");
    channel.await_ready(&queue, 1);
    vhost.trace(true);
    let got = channel.get(&queue).expect("it is there");
    channel.send(basic::Reject {
        delivery_tag: got.method.delivery_tag,
        requeue: true,
    });
    channel.consume_no_ack(&queue);
    assert_eq!(channel.deliver().text(), "got");
    for redelivered in [0, 1] {
        let copy = copy(&listener);
        assert_eq!(copy.method.routing_key.as_str(), format!("deliver.{queue}"));
        let headers = headers(&copy);
        assert_eq!(headers["redelivered"], AMQPValue::LongInt(redelivered));
        assert_eq!(headers["exchange_name"], text(&exchange));
        assert_eq!(headers["routing_keys"], array(&["k"]));
        assert!(!headers.contains_key("routed_queues"));
    }
}

#[test]
fn what_goes_through_the_default_exchange_and_nowhere_is_traced() {
    let vhost = Vhost::new();
    let listener = listen(&vhost);
    vhost.trace(true);
    let channel = vhost.channel();
    channel.publish("", "no such queue", "lost");
    let copy = copy(&listener);
    assert_eq!(copy.method.routing_key.as_str(), "publish.");
    let headers = headers(&copy);
    assert_eq!(headers["exchange_name"], text(""));
    assert_eq!(headers["routed_queues"], array(&[]));
}

#[test]
fn copies_are_not_copied() {
    let vhost = Vhost::new();
    let listener = listen(&vhost);
    vhost.trace(true);
    let (channel, queue) = (vhost.channel(), unique("q"));
    channel.publish("", &queue, "one");
    listener.0.consume_no_ack(&listener.1);
    assert_eq!(listener.0.deliver().text(), "one");
    channel.publish("", &queue, "two");
    assert_eq!(listener.0.deliver().text(), "two");
    listener.0.quiet(&listener.1);
}
