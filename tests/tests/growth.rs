//! Costs that must not grow with what there is beside: each test does the same work where there is little and where there is much, and compares the
//! time that the broker's process was on a processor, which hardly depends on how busy the machine is.

use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::queue;
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Channel, Connection, DEADLINE, Frame, Method, array, table, text};
use leveret_tests::node::{Node, Running};

/// Messages of one measurement.
const COUNT: usize = 100_000;

/// How often is looked whether a broker rests.
const LOOK: Duration = Duration::from_millis(10);

/// How often the cheapest of some measurements is looked for: what disturbs them only ever adds.
const ROUNDS: usize = 5;

/// What the broker spends on some work.
fn spent(broker: &Running, work: impl FnOnce()) -> Duration {
    let before = time_at_rest(broker);
    work();
    time_at_rest(broker) - before
}

/// The broker's time on a processor once it does nothing: what a thread that runs has spent is told when it stops.
fn time_at_rest(broker: &Running) -> Duration {
    let end = Instant::now() + DEADLINE;
    let mut time = broker.processor_time();
    loop {
        thread::sleep(LOOK);
        let before = std::mem::replace(&mut time, broker.processor_time());
        if time - before < LOOK / 20 {
            return time;
        }
        assert!(Instant::now() < end, "the broker does not rest");
    }
}

fn least(costs: impl Iterator<Item = Duration>) -> Duration {
    costs.min().expect("there are rounds")
}

/// What the broker spends on some work, at the least.
fn cost(broker: &Running, mut work: impl FnMut()) -> Duration {
    least((0..ROUNDS).map(|_| spent(broker, &mut work)))
}

#[track_caller]
fn assert_within_twice(much: Duration, little: Duration) {
    assert!(much < 2 * little, "{much:?} is more than twice {little:?}");
}

/// Publishes `count` messages to an exchange, with the keys in turn, and waits until the broker has done all of that.
fn publish(
    channel: &Channel,
    exchange: &str,
    keys: &[String],
    properties: &AMQPProperties,
    count: usize,
) {
    let one = |key: &String| {
        let publish = basic::Publish {
            exchange: exchange.into(),
            routing_key: key.as_str().into(),
            ..Default::default()
        };
        let mut octets = Frame::method(1, &publish.into_class()).encode();
        octets.extend(Frame::header(1, 0, properties).encode());
        octets
    };
    // In large pieces: else what the broker spends depends on how quickly this client follows.
    let all: Vec<u8> = keys.iter().flat_map(one).collect();
    channel
        .connection()
        .send_bytes(&all.repeat(count / keys.len()));
    channel.sync();
}

/// What messages to an exchange cost once all these bindings are there. The queue keeps none.
fn cost_behind(
    broker: &Running,
    kind: &str,
    bindings: impl Iterator<Item = (String, FieldTable)>,
    keys: &[String],
    properties: &AMQPProperties,
) -> Duration {
    let channel = broker.connect().channel(1);
    let exchange = channel.exchange(kind);
    let queue = channel.queue_with(table([("x-max-length", 0.into())]));
    for (routing_key, arguments) in bindings {
        channel.send(queue::Bind {
            queue: queue.as_str().into(),
            exchange: exchange.as_str().into(),
            routing_key: routing_key.into(),
            nowait: true,
            arguments,
        });
    }
    channel.sync();
    cost(broker, || {
        publish(&channel, &exchange, keys, properties, COUNT)
    })
}

#[test]
fn a_message_costs_the_same_with_100_bindings_of_a_topic_exchange_and_with_100_000() {
    let broker = Node::new().start();
    let keys: Vec<String> = (0..100).map(|number| format!("a.{number}.b")).collect();
    // No route with `CC` is remembered: each message is looked up.
    let properties = AMQPProperties::default().with_headers(table([("CC", array(&["a.7.c"]))]));
    let bindings = |count| (0..count).map(|n| (format!("a.{n}.*"), FieldTable::default()));
    let little = cost_behind(&broker, "topic", bindings(100), &keys, &properties);
    let much = cost_behind(&broker, "topic", bindings(100_000), &keys, &properties);
    assert_within_twice(much, little);
}

#[test]
fn a_message_costs_the_same_with_100_bindings_of_a_headers_exchange_and_with_10_000() {
    let broker = Node::new().start();
    let criteria = |number: u32| table([("kind", text(&format!("k{number}")))]);
    let properties = AMQPProperties::default().with_headers(criteria(7));
    let keys = ["key".to_owned()];
    let bindings = |count| (0..count).map(|number| (String::new(), criteria(number)));
    let little = cost_behind(&broker, "headers", bindings(100), &keys, &properties);
    let much = cost_behind(&broker, "headers", bindings(10_000), &keys, &properties);
    assert_within_twice(much, little);
}

#[test]
fn a_message_costs_the_same_for_one_queue_and_for_one_of_50_000() {
    let broker = Node::new().start();
    let channel = broker.connect().channel(1);
    let queue = channel.queue_with(table([("x-max-length", 0.into())]));
    let to_it = || {
        publish(
            &channel,
            "",
            std::slice::from_ref(&queue),
            &AMQPProperties::default(),
            COUNT,
        )
    };
    let alone = cost(&broker, to_it);
    for number in 0..50_000 {
        channel.send(queue::Declare {
            queue: format!("other-{number}").into(),
            nowait: true,
            ..Default::default()
        });
    }
    channel.sync();
    assert_within_twice(cost(&broker, to_it), alone);
}

/// What it costs to acknowledge so many deliveries, each for itself and in no order.
fn cost_of_acks(broker: &Running, count: u64) -> Duration {
    let channel = broker.connect().channel(1);
    let queue = channel.queue();
    publish(
        &channel,
        "",
        std::slice::from_ref(&queue),
        &AMQPProperties::default(),
        count as usize,
    );
    channel.consume(&queue);
    for _ in 0..count {
        channel.deliver();
    }
    let ack = |number: u64| {
        let ack = basic::Ack {
            // A prime that does not divide the count: each tag comes once.
            delivery_tag: number * 7919 % count + 1,
            multiple: false,
        };
        Frame::method(1, &ack.into_class()).encode()
    };
    let acks: Vec<u8> = (0..count).flat_map(ack).collect();
    let spent = spent(broker, || {
        channel.connection().send_bytes(&acks);
        channel.sync();
    });
    assert_eq!(channel.inspect(&queue).message_count, 0);
    channel.close();
    spent
}

#[test]
fn acks_in_no_order_cost_the_same_among_10_000_deliveries_and_among_100_000() {
    let broker = Node::new().start();
    let cost = |count| least((0..ROUNDS).map(|_| cost_of_acks(&broker, count)));
    let (few, many) = (cost(10_000), cost(100_000));
    assert_within_twice(many / 10, few);
}

#[test]
fn a_message_costs_the_same_for_an_empty_queue_and_for_a_long_one() {
    let node = Node::new().configured("[limits]\nqueued_bytes_budget = 1048576\n");
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.call(queue::Declare {
        queue: "long".into(),
        durable: true,
        ..Default::default()
    });
    let persistent = AMQPProperties::default().with_delivery_mode(2);
    let keys = ["long".to_owned()];
    let mut costs =
        (0..20).map(|_| spent(&broker, || publish(&channel, "", &keys, &persistent, COUNT)));
    let first = least(costs.by_ref().take(ROUNDS));
    let last = least(costs.skip(20 - 2 * ROUNDS));
    assert_within_twice(last, first);
}

/// A client that declares and deletes reply queues, each for a moment.
fn churn(connection: &Connection, count: usize) {
    let channel = connection.channel(1);
    for number in 0..count {
        let queue = format!("reply-{number}");
        channel.send(queue::Declare {
            queue: queue.as_str().into(),
            exclusive: true,
            nowait: true,
            ..Default::default()
        });
        channel.send(queue::Delete {
            queue: queue.into(),
            nowait: true,
            ..Default::default()
        });
    }
    channel.sync();
    channel.close();
}

#[test]
fn a_message_costs_the_same_while_reply_queues_come_and_go() {
    let broker = Node::new().start();
    let (churning, channel) = (broker.connect(), broker.connect().channel(1));
    let queue = channel.queue_with(table([("x-max-length", 0.into())]));
    let keys = [queue];
    let properties = AMQPProperties::default();
    // Messages in a hundred pieces; between them ten reply queues are declared and deleted, a thousand in all.
    let pieces = |churns: usize, messages: usize| {
        for _ in 0..100 {
            churn(&churning, churns);
            publish(&channel, "", &keys, &properties, messages);
        }
    };
    let quiet = cost(&broker, || pieces(0, COUNT / 20));
    let churned = cost(&broker, || pieces(10, 0));
    let both = cost(&broker, || pieces(10, COUNT / 20));
    assert_within_twice(both.saturating_sub(churned), quiet);
}

/// Messages that fit into what the broker keeps for a consumer which does not read them for a while.
const FEW: usize = 20_000;

/// What it costs that messages come to a queue and go to its quick consumer, at the least.
fn cost_to_one(broker: &Running, publisher: &Channel, queue: &str) -> Duration {
    let consumer = broker.connect().channel(1);
    consumer.consume_no_ack(queue);
    cost(broker, || {
        publish(
            publisher,
            "",
            &[queue.to_owned()],
            &AMQPProperties::default(),
            FEW,
        );
        for _ in 0..FEW {
            consumer.deliver();
        }
    })
}

#[test]
fn a_message_costs_the_same_for_one_consumer_and_beside_slow_ones_of_the_same_queue() {
    let broker = Node::new().start();
    let publisher = broker.connect().channel(1);
    for name in ["quick", "shared"] {
        publisher.call(queue::Declare {
            queue: name.into(),
            ..Default::default()
        });
    }
    let alone = cost_to_one(&broker, &publisher, "quick");

    let queue = "shared".to_owned();
    let (settles_none, reads_none) = (broker.connect().channel(1), broker.connect().channel(1));
    settles_none.qos(100, false);
    settles_none.consume(&queue);
    reads_none.consume_no_ack(&queue);
    // Until neither takes any more; what is left is taken out of the way.
    while publisher.inspect(&queue).message_count == 0 {
        publish(
            &publisher,
            "",
            std::slice::from_ref(&queue),
            &AMQPProperties::default(),
            COUNT,
        );
    }
    publisher.call(queue::Purge {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    // Nothing is lost to them either: each round receives as many as it published.
    assert_within_twice(cost_to_one(&broker, &publisher, &queue), alone);
}
