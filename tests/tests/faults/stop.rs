//! The broker is stopped in order, with SIGTERM: the next one knows what was delivered.

use amq_protocol::protocol::queue;
use leveret_tests::client::Connection;
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
