//! Class `confirm`: one confirm for every publish, whatever becomes of the message.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{confirm, queue};
use leveret_tests::client::{Channel, Connection, table, unique};

fn confirming() -> Channel {
    let channel = Connection::open().channel(1);
    channel.confirm_select();
    channel
}

#[test]
fn select_may_be_repeated() {
    let channel = confirming();
    channel.confirm_select();
    channel.publish("", &channel.queue(), "confirmed");
    assert_eq!(channel.confirms(1), [1]);
}

#[test]
fn select_without_waiting_is_not_answered() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.send(confirm::Select { nowait: true });
    channel.publish("", &queue, "confirmed");
    assert_eq!(channel.confirms(1), [1]);
}

#[test]
fn each_publish_is_confirmed_once_from_1_on() {
    let channel = confirming();
    let queue = channel.queue();
    for _ in 0..1000 {
        channel.publish("", &queue, "confirmed");
    }
    let mut tags = channel.confirms(1000);
    tags.sort_unstable();
    assert!(tags.into_iter().eq(1..=1000));
    channel.quiet(&queue);
}

#[test]
fn publishes_before_select_are_not_counted() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.publish("", &queue, "before");
    channel.confirm_select();
    channel.publish("", &queue, "after");
    assert_eq!(channel.confirms(1), [1]);
    channel.quiet(&queue);
}

#[test]
fn persistent_messages_in_durable_queues_are_confirmed() {
    let channel = confirming();
    let queue = unique("durable");
    let declare = queue::Declare {
        queue: queue.as_str().into(),
        durable: true,
        ..Default::default()
    };
    channel.call(declare);
    for _ in 0..10 {
        let persistent = AMQPProperties::default().with_delivery_mode(2);
        channel.publish_with("", &queue, persistent, "kept");
    }
    assert_eq!(channel.confirms(10).len(), 10);
    channel.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn confirms_are_numbered_by_channel() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let queue = one.queue();
    for channel in [&one, &two] {
        channel.confirm_select();
        channel.publish("", &queue, "confirmed");
    }
    assert_eq!((one.confirms(1), two.confirms(1)), (vec![1], vec![1]));
}

#[test]
fn an_unroutable_message_is_confirmed() {
    let channel = confirming();
    channel.publish("", &unique("nowhere"), "dropped");
    channel.publish("amq.fanout", &unique("nowhere"), "dropped");
    assert_eq!(channel.confirms(2).len(), 2);
}

#[test]
fn a_return_comes_before_its_confirm() {
    let channel = confirming();
    for tag in 1..=3 {
        channel.publish_mandatory("", &unique("nowhere"), "returned");
        channel.content::<basic::Return>();
        assert_eq!(channel.expect::<basic::Ack>().delivery_tag, tag);
    }
}

#[test]
fn a_message_to_several_queues_is_confirmed_once() {
    let channel = confirming();
    let exchange = channel.exchange("fanout");
    let queues: Vec<String> = (0..3).map(|_| channel.queue()).collect();
    for queue in &queues {
        channel.bind(queue, &exchange, "");
    }
    channel.publish(&exchange, "", "three copies");
    assert_eq!(channel.confirms(1), [1]);
    for queue in &queues {
        assert_eq!(channel.ready(queue), 1);
    }
}

#[test]
fn a_confirmed_message_is_in_the_queue() {
    let channel = confirming();
    let queue = channel.queue();
    let watcher = channel.connection().channel(2);
    for count in 1..=20 {
        channel.publish("", &queue, "confirmed");
        let confirmed: basic::Ack = channel.expect();
        assert_eq!(
            (confirmed.delivery_tag, watcher.ready(&queue)),
            (u64::from(count), count)
        );
    }
}

#[test]
fn purged_expired_and_dropped_messages_are_confirmed() {
    let channel = confirming();
    let (purged, short) = (channel.queue(), table([("x-max-length", 0.into())]));
    let (expired, full) = (
        channel.queue_with(table([("x-message-ttl", 0.into())])),
        channel.queue_with(short),
    );
    for queue in [&purged, &expired, &full] {
        channel.publish("", queue, "confirmed");
    }
    channel.send(queue::Purge {
        queue: purged.as_str().into(),
        nowait: true,
    });
    assert_eq!(channel.confirms(3).len(), 3);
}

#[test]
fn messages_that_a_consumer_rejects_are_confirmed() {
    let channel = confirming();
    let reader = channel.connection().channel(2);
    let name = unique("rejecting");
    channel.call(queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        ..Default::default()
    });
    reader.consume(&name);
    for tag in 1..=50 {
        let persistent = AMQPProperties::default().with_delivery_mode(2);
        channel.publish_with("", &name, persistent, "unwanted");
        reader.deliver();
        reader.send(basic::Reject {
            delivery_tag: tag,
            requeue: false,
        });
    }
    assert_eq!(channel.confirms(50).len(), 50);
    channel.quiet(&name);
    channel.call(queue::Delete {
        queue: name.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn confirms_and_deliveries_share_a_channel() {
    let channel = confirming();
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    for _ in 0..10 {
        channel.publish("", &queue, "to myself");
    }
    let (mut confirmed, mut delivered) = (0, 0);
    while confirmed < 10 || delivered < 10 {
        use amq_protocol::protocol::{AMQPClass, basic::AMQPMethod};
        match channel.connection().expect_any(1) {
            AMQPClass::Basic(AMQPMethod::Ack(ack)) => confirmed = ack.delivery_tag,
            AMQPClass::Basic(AMQPMethod::Deliver(_)) => {
                channel.connection().next_on(1).expect("a header");
                channel.connection().next_on(1).expect("a body");
                delivered += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}
