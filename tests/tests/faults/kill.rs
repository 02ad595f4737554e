//! The broker is killed with signal 9 while clients publish and consume.

use std::sync::mpsc;
use std::thread;

use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Channel, Connection, Method, table};
use leveret_tests::ledger::{Ledger, Message, Published};
use leveret_tests::load::{Consumer, Event, Plan, Publisher, messages, take_all};
use leveret_tests::node::{Node, Running};

const QUEUE: &str = "kept";
const CYCLES: u32 = 4;

/// The broker is killed when its publishers have had so many confirms together.
const CONFIRMS: u64 = 2_000;

#[test]
fn what_was_confirmed_and_not_acked_is_there_after_each_kill() {
    let node = Node::new();
    let mut ledger = Ledger::default();
    declare_queue(&node.start().connect());
    for cycle in 0..CYCLES {
        let broker = node.start();
        take_and_ack_half(&broker, &mut ledger);
        let before = ledger.confirmed();
        kill_under_load(broker, &mut ledger, cycle);
        let confirmed = ledger.confirmed() - before;
        assert!(confirmed as u64 >= CONFIRMS, "{confirmed} were confirmed");
    }
    take_and_ack_half(&node.start(), &mut ledger);
}

fn declare_queue(connection: &Connection) {
    connection.channel(1).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });
}

/// Checks what the queue has, and acks the first half of it. The rest was delivered, and goes back.
fn take_and_ack_half(broker: &Running, ledger: &mut Ledger) {
    let connection = broker.connect();
    let taken = take_all(&connection, QUEUE);
    ledger.check(&messages(&taken));
    let fresh = taken.iter().find(|taken| !taken.redelivered);
    assert!(fresh.is_none(), "not marked as redelivered: {fresh:?}");
    let (acked, _) = taken.split_at(taken.len() / 2);
    if let Some(last) = acked.last() {
        connection.send(
            2,
            basic::Ack {
                delivery_tag: last.tag,
                multiple: true,
            },
        );
    }
    ledger.acked(messages(acked));
    connection.close();
}

/// Two publishers and a consumer, each until the broker is gone. It is killed by the confirm that makes enough.
fn kill_under_load(broker: Running, ledger: &mut Ledger, cycle: u32) {
    let (confirmed, confirms) = mpsc::channel();
    let publishers = [0, 1].map(|n| {
        let (connect, confirmed) = (connector(&broker), confirmed.clone());
        let plan = Plan::new(2 * cycle + n, QUEUE);
        thread::spawn(move || publish(Publisher::open(&connect(), plan), &confirmed))
    });
    let connect = connector(&broker);
    let consumer = thread::spawn(move || consume(Consumer::open(&connect(), QUEUE, 100)));
    drop(confirmed);
    let mut sum = 0;
    while sum < CONFIRMS {
        sum += confirms.recv().expect("the publishers run");
    }
    broker.kill();
    for publisher in publishers {
        ledger.published(publisher.join().expect("the publisher saw nothing wrong"));
    }
    ledger.acked(consumer.join().expect("the consumer saw nothing wrong"));
}

fn connector(broker: &Running) -> impl Fn() -> Connection + Send + 'static {
    let address = broker.amqp;
    move || Connection::open_at(address, &leveret_tests::client::Login::default())
}

fn publish(mut publisher: Publisher, confirmed: &mpsc::Sender<u64>) -> Published {
    let mut before = 0;
    loop {
        match publisher.go_on() {
            Event::Confirmed(sum) => {
                // Nobody counts any more once the broker is killed.
                let _ = confirmed.send(sum - before);
                before = sum;
            }
            Event::Closed => return publisher.end(),
            other => panic!("a publisher heard {other:?}"),
        }
    }
}

/// Acks ten at a time.
fn consume(mut consumer: Consumer) -> Vec<Message> {
    let (mut acked, mut unacked) = (Vec::new(), Vec::new());
    while let Some(taken) = consumer.take() {
        unacked.push(taken.message);
        if unacked.len() == 10 {
            consumer.ack_upto(taken.tag);
            acked.append(&mut unacked);
        }
    }
    acked
}

#[test]
fn durable_definitions_are_there_after_a_kill_and_others_are_not() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    define(&channel);
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    are_kept(&channel);
    broker.kill();
    // A second time, from a log that the first start has gone on with.
    are_kept(&node.start().connect().channel(1));
}

fn define(channel: &Channel) {
    for (name, durable) in [("e.durable", true), ("e.transient", false)] {
        channel.call(declare_exchange(name, durable));
    }
    channel.call(declare_queue_with("q.durable", true, arguments()));
    channel.call(declare_queue_with(
        "q.transient",
        false,
        FieldTable::default(),
    ));
    channel.call(queue::Declare {
        queue: "q.exclusive".into(),
        durable: true,
        exclusive: true,
        ..Default::default()
    });
    for queue in ["q.durable", "q.transient", "q.exclusive"] {
        channel.bind(queue, "e.durable", "key");
    }
    channel.bind("q.durable", "e.transient", "key");
    channel.bind("q.durable", "e.durable", "unbound");
    channel.call(queue::Unbind {
        queue: "q.durable".into(),
        exchange: "e.durable".into(),
        routing_key: "unbound".into(),
        ..Default::default()
    });
    channel.call(exchange::Bind {
        destination: "e.durable".into(),
        source: "amq.topic".into(),
        routing_key: "#.key".into(),
        ..Default::default()
    });
    channel.call(declare_queue_with("q.deleted", true, FieldTable::default()));
    channel.call(queue::Delete {
        queue: "q.deleted".into(),
        ..Default::default()
    });
}

fn arguments() -> FieldTable {
    table([("x-expires", 3_600_000.into())])
}

fn declare_exchange(name: &str, durable: bool) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: "topic".into(),
        durable,
        ..Default::default()
    }
}

fn declare_queue_with(name: &str, durable: bool, arguments: FieldTable) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        durable,
        arguments,
        ..Default::default()
    }
}

fn are_kept(channel: &Channel) {
    for queue in ["q.transient", "q.exclusive", "q.deleted"] {
        is_missing(channel, passive_queue(queue), queue, "queue");
    }
    let passive = exchange::Declare {
        exchange: "e.transient".into(),
        kind: "topic".into(),
        passive: true,
        ..Default::default()
    };
    is_missing(channel, passive, "e.transient", "exchange");

    // The same as before is no error; a difference would be.
    channel.call(declare_exchange("e.durable", true));
    let declared = channel.call(declare_queue_with("q.durable", true, arguments()));
    assert_eq!(declared.message_count, 0);

    // New ones of the old names have no bindings.
    for queue in ["q.transient", "q.exclusive"] {
        channel.call(declare_queue_with(queue, false, FieldTable::default()));
    }
    channel.call(declare_exchange("e.transient", false));
    channel.publish_mandatory("e.transient", "key", "to nobody");
    let returned = channel.content::<basic::Return>();
    assert_eq!(returned.method.exchange.as_str(), "e.transient");

    channel.publish_mandatory("amq.topic", "key", "by way of both bindings");
    channel.publish_mandatory("e.durable", "unbound", "to nobody");
    let returned = channel.content::<basic::Return>();
    assert_eq!(returned.text(), "to nobody");
    channel.await_ready("q.durable", 1);
    assert_eq!(channel.take("q.durable"), "by way of both bindings");
    for queue in ["q.transient", "q.exclusive"] {
        assert_eq!(channel.ready(queue), 0, "{queue}");
    }
}

fn passive_queue(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: true,
        ..Default::default()
    }
}

fn is_missing(channel: &Channel, method: impl Method, name: &str, kind: &str) {
    let class: AMQPClass = method.into_class();
    let text = format!("NOT_FOUND - no {kind} '{name}' in vhost '/'");
    channel.fails_class(&class, 404, &text);
    channel.reopen();
}

#[test]
fn transient_messages_in_a_durable_queue_go_with_the_process() {
    let node = Node::new();
    let broker = node.start();
    let connection = broker.connect();
    declare_queue(&connection);
    let mut transient = Plan::new(1, QUEUE);
    transient.delivery_mode = 1;
    let mut persistent = Plan::new(2, QUEUE);
    persistent.window = 1;
    // By turns, so that either kind is before and behind the other.
    let transient_connection = broker.connect();
    let mut transient = Publisher::open(&transient_connection, transient);
    let persistent_connection = broker.connect();
    let mut persistent = Publisher::open(&persistent_connection, persistent);
    for _ in 0..10 {
        transient.publish_all(1);
        persistent.publish_all(1);
    }
    broker.kill();
    let found = messages(&take_all(&node.start().connect(), QUEUE));
    let publisher = 2;
    let expected = (1..=10).map(|number| Message { publisher, number });
    assert_eq!(found, expected.collect::<Vec<_>>());
}
