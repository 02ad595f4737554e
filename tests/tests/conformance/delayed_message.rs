//! `x-delayed-message` exchanges: messages that are routed later (<https://github.com/rabbitmq/rabbitmq-delayed-message-exchange>).

use std::time::{Duration, Instant};

use amq_protocol::protocol::{BasicProperties, basic, exchange, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection, array, table, text, unique};

/// An exchange, which goes with its last binding, and a queue bound to it.
fn delayed(channel: &Channel, kind: &str, key: &str) -> (String, String) {
    let (name, queue) = (unique("delayed"), channel.queue());
    channel.call(declare(&name, kind));
    channel.bind(&queue, &name, key);
    (name, queue)
}

fn declare(name: &str, kind: &str) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: "x-delayed-message".into(),
        auto_delete: true,
        arguments: table([("x-delayed-type", text(kind))]),
        ..Default::default()
    }
}

fn publish(channel: &Channel, exchange: &str, key: &str, delay: AMQPValue, body: &str) {
    let properties = BasicProperties::default().with_headers(table([("x-delay", delay)]));
    channel.publish_with(exchange, key, properties, body);
}

fn ms(delay: i32) -> AMQPValue {
    AMQPValue::LongInt(delay)
}

#[test]
fn a_message_is_routed_when_its_time_has_come() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "direct", "key");
    channel.consume_no_ack(&queue);
    for delay in [300, 1500] {
        let began = Instant::now();
        publish(&channel, &exchange, "key", ms(delay), "later");
        let delivery = channel.deliver();
        let (took, due) = (began.elapsed(), Duration::from_millis(delay as u64));
        // Times are milliseconds: it may be one too early.
        let due = due - Duration::from_millis(2);
        assert!(
            took >= due && took < due + Duration::from_secs(3),
            "{took:?} for {due:?}"
        );
        assert_eq!(delivery.text(), "later");
        assert_eq!(delivery.method.exchange.as_str(), exchange);
        assert_eq!(delivery.method.routing_key.as_str(), "key");
        let headers = delivery.properties.headers().clone().expect("headers");
        let told = headers.inner().get("x-delay").cloned();
        assert_eq!(told, Some(AMQPValue::LongLongInt(i64::from(-delay))));
    }
}

#[test]
fn they_come_within_ten_milliseconds_of_their_time() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "direct", "key");
    channel.consume_no_ack(&queue);
    // The machine may have other things to do for a while: of a hundred some have to be in time.
    let mut late = Vec::new();
    let in_time = |late: &Duration| *late <= Duration::from_millis(10);
    for number in 0..100 {
        let delay = 20 + 13 * (number % 16);
        let began = Instant::now();
        publish(&channel, &exchange, "key", ms(delay), "later");
        channel.deliver();
        let due = Duration::from_millis(delay as u64);
        late.push(began.elapsed().saturating_sub(due));
        if late.iter().copied().filter(in_time).count() >= 4 {
            return;
        }
    }
    panic!("{late:?}");
}

#[test]
fn copies_and_blind_copies_come_later_too() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "direct", "key");
    let copies = ["copy", "blind"].map(|key| {
        let copy = channel.queue();
        channel.bind(&copy, &exchange, key);
        copy
    });
    let headers = table([
        ("x-delay", ms(200)),
        ("CC", array(&["copy"])),
        ("BCC", array(&["blind"])),
    ]);
    let properties = BasicProperties::default().with_headers(headers);
    channel.publish_with(&exchange, "key", properties, "for three");
    for queue in copies.iter().chain([&queue]) {
        channel.await_ready(queue, 1);
        let got = channel.get(queue).expect("a copy");
        let headers = got.properties.headers().clone().expect("headers");
        assert!(headers.inner().get("BCC").is_none());
        assert_eq!(got.method.routing_key.as_str(), "key");
    }
}

#[test]
fn they_come_in_the_order_of_their_times() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "fanout", "");
    channel.consume_no_ack(&queue);
    for (delay, body) in [(700, "c"), (300, "a"), (500, "b"), (2100, "e"), (1600, "d")] {
        publish(&channel, &exchange, "", ms(delay), body);
    }
    assert_eq!(channel.deliveries(5), ["a", "b", "c", "d", "e"]);
}

#[test]
fn what_is_due_together_comes_in_order() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "fanout", "");
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for body in &bodies {
        publish(&channel, &exchange, "", ms(400), body);
    }
    channel.consume_no_ack(&queue);
    assert_eq!(channel.deliveries(200), bodies);
}

#[test]
fn without_a_delay_it_routes_at_once() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "topic", "a.*");
    channel.publish(&exchange, "a.b", "no header");
    publish(&channel, &exchange, "a.b", ms(0), "zero");
    publish(&channel, &exchange, "a.b", ms(-5), "behind it");
    publish(&channel, &exchange, "b.b", ms(0), "elsewhere");
    channel.await_ready(&queue, 3);
    let expected = ["no header", "zero", "behind it"];
    assert_eq!(expected.map(|_| channel.take(&queue)), expected);
}

#[test]
fn it_is_confirmed_when_it_is_kept_and_not_when_it_is_routed() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "fanout", "");
    channel.confirm_select();
    publish(&channel, &exchange, "", ms(60_000), "later");
    channel.confirms(1);
    assert_eq!(channel.ready(&queue), 0);
}

#[test]
fn bindings_are_those_of_when_it_is_routed() {
    let channel = Connection::open().channel(1);
    let (exchange, first) = delayed(&channel, "direct", "key");
    let second = channel.queue();
    publish(&channel, &exchange, "key", ms(400), "later");
    channel.bind(&second, &exchange, "key");
    channel.await_ready(&second, 1);
    channel.await_ready(&first, 1);
}

#[test]
fn a_delayed_exchange_needs_a_type_to_route_as() {
    let channel = Connection::open().channel(1);
    for arguments in [table([]), table([("x-delayed-type", text("x-unknown"))])] {
        let declare = exchange::Declare {
            arguments,
            ..declare(&unique("delayed"), "direct")
        };
        let explanation = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type";
        channel.fails(declare, 406, explanation);
        channel.reopen();
    }
}

#[test]
fn an_exchange_that_goes_takes_what_it_holds_back_with_it() {
    let channel = Connection::open().channel(1);
    let (exchange, queue) = delayed(&channel, "fanout", "");
    publish(&channel, &exchange, "", ms(400), "never");
    channel.call(exchange::Delete {
        exchange: exchange.as_str().into(),
        ..Default::default()
    });
    channel.call(declare(&exchange, "fanout"));
    channel.bind(&queue, &exchange, "");
    publish(&channel, &exchange, "", ms(800), "later");
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "later");
}

#[test]
fn where_it_holds_messages_back_is_nobodys_to_use() {
    let channel = Connection::open().channel(1);
    let (exchange, _) = delayed(&channel, "fanout", "");
    let hidden = format!("amq.delayed.{exchange}");
    let gone = format!("NOT_FOUND - no queue '{hidden}' in vhost '/'");
    let name = || hidden.as_str().into();
    let bind = queue::Bind {
        queue: name(),
        exchange: exchange.as_str().into(),
        ..Default::default()
    };
    channel.fails(bind, 404, &gone);
    channel.reopen();
    let consume = basic::Consume {
        queue: name(),
        ..Default::default()
    };
    channel.fails(consume, 404, &gone);
    channel.reopen();
    let get = basic::Get {
        queue: name(),
        ..Default::default()
    };
    channel.fails(get, 404, &gone);
    channel.reopen();
    channel.publish_mandatory("", &hidden, "to nobody");
    channel.content::<basic::Return>();
}
