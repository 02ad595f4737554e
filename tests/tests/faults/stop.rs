//! The broker is stopped in order, with SIGTERM: the next one knows what was delivered.

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, Connection};
use leveret_tests::load::{Plan, Publisher, take_all};
use leveret_tests::node::{Node, Running};

const QUEUE: &str = "kept";

/// A queue with ten messages; two get a tag each from basic.get, and the first of these an ack.
fn with_three_deliveries(broker: &Running) -> Connection {
    let connection = broker.connect();
    let channel = connection.channel(3);
    channel.call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });
    Publisher::open(&connection, Plan::new(1, QUEUE)).publish_all(10);
    let deliveries: Vec<_> = (0..3).filter_map(|_| channel.get(QUEUE)).collect();
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|got| !got.method.redelivered));
    channel.ack(deliveries[0].method.delivery_tag);
    channel.sync();
    connection
}

/// The nine that were not acked are there, and the two of them that were delivered say so.
fn check(broker: &Running) {
    let taken = take_all(&broker.connect(), QUEUE);
    let seen = taken
        .iter()
        .map(|taken| (taken.message.number, taken.redelivered));
    let expected: Vec<(u64, bool)> = (2..=10).map(|number| (number, number <= 3)).collect();
    assert_eq!(seen.collect::<Vec<_>>(), expected, "{}", broker.errors());
}

#[test]
fn what_was_delivered_and_went_back_is_marked_after_a_stop_and_nothing_else() {
    let node = Node::new();
    let broker = node.start();
    with_three_deliveries(&broker).close();
    broker.stop();
    check(&node.start());
}

#[test]
fn what_clients_have_when_the_broker_stops_goes_back_marked() {
    let node = Node::new();
    let broker = node.start();
    let connection = with_three_deliveries(&broker);
    broker.ask_to_stop();
    let reason = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    connection.expect_close(320, reason);
    let ended = broker.await_end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    check(&node.start());
}

#[test]
fn messages_that_no_client_had_are_not_marked_after_any_number_of_stops() {
    let node = Node::new();
    let broker = node.start();
    let connection = with_three_deliveries(&broker);
    connection.close();
    broker.stop();
    node.start().stop();
    check(&node.start());
}

#[test]
fn a_stop_counts_no_failure_and_lowers_no_count() {
    let node = Node::new();
    let mut broker = node.start();
    let connection = broker.connect();
    connection.channel(9).call(queue::Declare {
        queue: FAILED.into(),
        durable: true,
        ..Default::default()
    });
    Publisher::open(&connection, Plan::new(1, FAILED)).publish_all(2);
    let channel = connection.channel(3);
    for _ in 0..2 {
        let got = channel.get(FAILED).expect("there are two");
        channel.send(basic::Reject {
            delivery_tag: got.method.delivery_tag,
            requeue: true,
        });
    }
    for _ in 0..2 {
        broker.stop();
        broker = node.start();
        let channel = broker.connect().channel(1);
        // Given back, not failed with.
        assert_eq!(failures(&channel), [Some(2), None]);
        channel.send(basic::Nack {
            delivery_tag: 0,
            multiple: true,
            requeue: true,
        });
        channel.sync();
    }
}

const FAILED: &str = "failed";

/// What the two messages say of failures.
fn failures(channel: &Channel) -> [Option<i64>; 2] {
    [1, 2].map(|_| {
        let got = channel.get(FAILED).expect("there are two");
        let headers = got.properties.headers().clone()?;
        match headers.inner().get("x-delivery-count")? {
            AMQPValue::LongLongInt(count) => Some(*count),
            other => panic!("a count is {other:?}"),
        }
    })
}
