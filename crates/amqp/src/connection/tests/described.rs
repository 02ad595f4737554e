//! What a connection tells of itself when it is asked.

use leveret_broker::figures::{ConnectionFigures, ConnectionState, Described, MessageCounts};
use parking_lot::Mutex;

use super::*;

pub(super) fn describe(stage: &mut Stage) -> ConnectionFigures {
    let answer = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&answer);
    let described = Described::new(move |figures| *taken.lock() = Some(figures));
    let link = Arc::clone(&stage.connection.link);
    link.events.push(Event::Describe(described));
    stage.settle();
    let figures = answer.lock().take();
    figures.expect("an open connection answers")
}

#[test]
fn an_open_connection_tells_its_channels_and_consumers() {
    let mut stage = Stage::new(0);
    stage.publish("q", false, b"taken");
    stage.publish("nobody", false, b"lost");
    stage.publish("nobody", true, b"sent back");
    let figures = describe(&mut stage);
    assert_eq!(figures.state, ConnectionState::Running);
    let [channel] = figures.channels.as_slice() else {
        panic!("it has one channel: {figures:?}");
    };
    let counts = MessageCounts {
        published: 3,
        returned: 1,
        dropped: 1,
        delivered_no_ack: 1,
        ..MessageCounts::default()
    };
    assert_eq!(channel.counts, counts);
    let [consumer] = channel.consumers.as_slice() else {
        panic!("it has one consumer: {channel:?}");
    };
    assert_eq!((&*consumer.tag, &*consumer.queue), ("c", "q"));
    assert!(consumer.no_ack);
}

#[test]
fn the_broker_sums_what_connections_did_and_what_ended_ones_had_done() {
    let mut stage = Stage::new(0);
    stage.publish("q", false, b"taken");
    stage.publish("nobody", false, b"lost");
    let traffic = stage.broker.connections.traffic();
    assert_eq!((traffic.channels, traffic.channels_opened), (1, 1));
    assert_eq!((traffic.published, traffic.dropped), (2, 1));
    assert_eq!(traffic.queues_declared, 1);
    let exchange = stage.broker.vhost("/").unwrap().exchange("").unwrap();
    assert_eq!(exchange.published(), (2, 1));
    stage.connection.abandon();
    let traffic = stage.broker.connections.traffic();
    assert_eq!((traffic.channels, traffic.channels_opened), (0, 1));
    assert_eq!(traffic.published, 2);
    assert_eq!(stage.broker.connections.count(), 0);
}
