//! Class `tx`: what a channel publishes and settles takes effect when it commits, and not before.

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{basic, confirm, exchange, queue, tx};
use leveret_tests::client::{Channel, Connection, Login, unique};

/// A transactional channel, another one of the same connection, and a queue of theirs.
fn transactional() -> (Channel, Channel, String) {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    channel.call(tx::Select {});
    let queue = other.queue();
    (channel, other, queue)
}

/// The transactional channel has these messages unacked, and the queue has no other.
fn with_unacked(bodies: &[&str]) -> (Channel, Channel, String) {
    let (channel, other, queue) = transactional();
    other.fill(&queue, bodies);
    for body in bodies {
        assert_eq!(channel.get(&queue).expect("a message").text(), *body);
    }
    (channel, other, queue)
}

/// Closes a channel, and expects these messages in the queue.
#[track_caller]
fn left_unacked(channel: &Channel, other: &Channel, queue: &str, bodies: &[&str]) {
    channel.close();
    holds(other, queue, bodies);
}

/// Expects these messages in a queue, and takes them.
#[track_caller]
fn holds(channel: &Channel, queue: &str, bodies: &[&str]) {
    channel.await_ready(queue, u32::try_from(bodies.len()).expect("few bodies"));
    let held: Vec<String> = bodies.iter().map(|_| channel.take(queue)).collect();
    assert_eq!(held, bodies);
}

fn commit(channel: &Channel) {
    channel.call(tx::Commit {});
}

fn rollback(channel: &Channel) {
    channel.call(tx::Rollback {});
}

#[test]
fn select_may_be_repeated_and_forgets_nothing() {
    let (channel, other, queue) = transactional();
    channel.publish("", &queue, "kept");
    channel.call(tx::Select {});
    commit(&channel);
    holds(&other, &queue, &["kept"]);
}

#[test]
fn what_is_published_is_there_from_the_commit_on_in_order() {
    let (channel, other, queue) = transactional();
    let second = other.queue();
    channel.publish("", &queue, "1");
    channel.publish("", &second, "2");
    channel.publish("", &queue, "3");
    channel.sync();
    assert_eq!((other.ready(&queue), other.ready(&second)), (0, 0));
    commit(&channel);
    assert_eq!((other.ready(&queue), other.ready(&second)), (2, 1));
    holds(&other, &queue, &["1", "3"]);
    holds(&other, &second, &["2"]);
}

#[test]
fn a_commit_is_answered_when_the_messages_are_in_all_queues() {
    let (channel, other, _) = transactional();
    let exchange = other.exchange("fanout");
    let queues: Vec<String> = (0..40).map(|_| other.queue()).collect();
    for queue in &queues {
        other.bind(queue, &exchange, "");
    }
    for round in 1..=5 {
        channel.publish(&exchange, "", "to all");
        commit(&channel);
        for queue in &queues {
            assert_eq!(other.ready(queue), round);
        }
    }
}

#[test]
fn a_commit_takes_persistent_messages_and_large_ones() {
    let (channel, other, _) = transactional();
    let queue = unique("tx");
    other.call(queue::Declare {
        queue: queue.as_str().into(),
        durable: true,
        ..Default::default()
    });
    let body = "large ".repeat(50_000);
    let persistent = AMQPProperties::default().with_delivery_mode(2);
    for _ in 0..3 {
        channel.publish_with("", &queue, persistent.clone(), &body);
    }
    commit(&channel);
    holds(&other, &queue, &[&body, &body, &body]);
    other.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn a_consumer_gets_what_was_committed() {
    let (channel, other, queue) = transactional();
    other.consume(&queue);
    channel.publish("", &queue, "1");
    channel.publish("", &queue, "2");
    channel.sync();
    other.quiet(&queue);
    commit(&channel);
    assert_eq!(other.deliveries(2), ["1", "2"]);
}

#[test]
fn a_rollback_forgets_what_was_published() {
    let (channel, other, queue) = transactional();
    channel.publish("", &queue, "forgotten");
    rollback(&channel);
    channel.publish("", &queue, "kept");
    commit(&channel);
    commit(&channel);
    holds(&other, &queue, &["kept"]);
}

#[test]
fn commit_and_rollback_of_nothing_are_answered() {
    let (channel, ..) = transactional();
    commit(&channel);
    rollback(&channel);
    commit(&channel);
}

#[test]
fn what_is_not_committed_goes_with_its_channel() {
    let (channel, other, queue) = transactional();
    channel.publish("", &queue, "lost");
    channel.close();
    other.sync();
    assert_eq!(other.ready(&queue), 0);
}

#[test]
fn what_is_not_committed_goes_with_its_connection() {
    let (observer, lost) = (Connection::open().channel(1), Connection::open());
    let queue = unique("tx");
    let declare = queue::Declare {
        queue: queue.as_str().into(),
        ..Default::default()
    };
    observer.call(declare);
    observer.fill(&queue, &["comes back"]);
    let channel = lost.channel(1);
    channel.call(tx::Select {});
    assert!(channel.get(&queue).is_some());
    channel.ack(1);
    channel.publish("", &queue, "lost");
    channel.sync();
    lost.cut();
    observer.await_ready(&queue, 1);
    let message = observer.get_with(&queue, true).expect("a message");
    assert_eq!(
        (message.text(), message.method.redelivered),
        ("comes back", true)
    );
    assert!(observer.get(&queue).is_none());
    observer.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn a_mandatory_message_comes_back_with_the_commit_and_before_its_answer() {
    let (channel, other, queue) = transactional();
    channel.publish_mandatory("", &unique("nobody"), "returned");
    channel.publish_mandatory("", &queue, "routed");
    channel.sync();
    channel.send(tx::Commit {});
    let returned = channel.content::<basic::Return>();
    assert_eq!(returned.text(), "returned");
    assert_eq!(returned.method.reply_code, 312);
    assert_eq!(returned.method.reply_text.as_str(), "NO_ROUTE");
    channel.expect::<tx::CommitOk>();
    holds(&other, &queue, &["routed"]);
}

#[test]
fn a_mandatory_message_does_not_come_back_after_a_rollback() {
    let (channel, ..) = transactional();
    channel.publish_mandatory("", &unique("nobody"), "forgotten");
    rollback(&channel);
    commit(&channel);
    channel.sync();
}

#[test]
fn a_missing_exchange_is_refused_when_it_is_published_to() {
    let (channel, other, queue) = transactional();
    channel.publish("", &queue, "lost");
    let missing = unique("missing");
    channel.publish(&missing, "", "refused");
    let text = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    channel.expect_close(404, &text);
    assert_eq!(other.ready(&queue), 0);
    channel.reopen();
    channel.fails(
        tx::Commit {},
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    );
}

#[test]
fn a_message_goes_where_its_bindings_led_when_it_was_published() {
    let (channel, other, queue) = transactional();
    let exchange = other.exchange("direct");
    other.bind(&queue, &exchange, "before");
    channel.publish(&exchange, "before", "routed");
    channel.publish(&exchange, "after", "dropped");
    channel.sync();
    other.bind(&queue, &exchange, "after");
    other.call(queue::Unbind {
        queue: queue.as_str().into(),
        exchange: exchange.as_str().into(),
        routing_key: "before".into(),
        ..Default::default()
    });
    commit(&channel);
    holds(&other, &queue, &["routed"]);
}

#[test]
fn a_queue_that_is_gone_at_the_commit_takes_nothing() {
    let (channel, other, queue) = transactional();
    let gone = other.queue();
    other.fill(&gone, &["unacked"]);
    assert!(channel.get(&gone).is_some());
    channel.ack(1);
    channel.publish("", &gone, "dropped");
    channel.publish("", &queue, "kept");
    channel.sync();
    other.call(queue::Delete {
        queue: gone.as_str().into(),
        ..Default::default()
    });
    commit(&channel);
    holds(&other, &queue, &["kept"]);
}

#[test]
fn a_mandatory_message_comes_back_where_its_queues_are_gone_at_the_commit() {
    let (channel, other, queue) = transactional();
    let gone = other.queue();
    channel.publish_mandatory("", &gone, "returned");
    channel.publish_mandatory("", &queue, "kept");
    channel.publish("", &gone, "dropped");
    channel.sync();
    other.call(queue::Delete {
        queue: gone.as_str().into(),
        ..Default::default()
    });
    channel.send(tx::Commit {});
    let returned = channel.content::<basic::Return>();
    assert_eq!(returned.text(), "returned");
    assert_eq!(returned.method.reply_code, 312);
    channel.expect::<tx::CommitOk>();
    holds(&other, &queue, &["kept"]);
}

#[test]
fn acks_take_effect_with_the_commit() {
    let (channel, other, queue) = with_unacked(&["1", "2", "3"]);
    channel.ack(2);
    commit(&channel);
    left_unacked(&channel, &other, &queue, &["1", "3"]);
}

#[test]
fn acks_that_are_not_committed_are_forgotten_with_the_channel() {
    let (channel, other, queue) = with_unacked(&["1", "2"]);
    channel.ack(1);
    channel.send(basic::Reject {
        delivery_tag: 2,
        requeue: false,
    });
    left_unacked(&channel, &other, &queue, &["1", "2"]);
}

#[test]
fn a_nack_requeues_with_the_commit() {
    let (channel, other, queue) = with_unacked(&["1", "2", "3"]);
    channel.send(basic::Nack {
        delivery_tag: 2,
        multiple: true,
        requeue: true,
    });
    channel.sync();
    assert_eq!(other.ready(&queue), 0);
    commit(&channel);
    holds(&other, &queue, &["1", "2"]);
    left_unacked(&channel, &other, &queue, &["3"]);
}

#[test]
fn a_rollback_makes_settled_messages_unacked_again_and_delivers_nothing() {
    let (channel, other, queue) = with_unacked(&["1", "2", "3"]);
    channel.ack(1);
    channel.send(basic::Nack {
        delivery_tag: 2,
        multiple: false,
        requeue: true,
    });
    rollback(&channel);
    assert_eq!(other.ready(&queue), 0);
    channel.ack(2);
    commit(&channel);
    left_unacked(&channel, &other, &queue, &["1", "3"]);
}

#[test]
fn an_unknown_tag_is_refused_at_once() {
    let (channel, other, queue) = with_unacked(&["1"]);
    channel.publish("", &queue, "lost");
    let text = "PRECONDITION_FAILED - unknown delivery tag 7";
    channel.fails(
        basic::Ack {
            delivery_tag: 7,
            multiple: false,
        },
        406,
        text,
    );
    holds(&other, &queue, &["1"]);
}

#[test]
fn a_tag_that_the_transaction_has_settled_is_unknown() {
    let (channel, other, queue) = with_unacked(&["1"]);
    channel.ack(1);
    let again = basic::Ack {
        delivery_tag: 1,
        multiple: false,
    };
    let text = "PRECONDITION_FAILED - unknown delivery tag 1";
    channel.fails(again, 406, text);
    holds(&other, &queue, &["1"]);
}

#[test]
fn publishes_and_acks_are_committed_together() {
    let (channel, other, queue) = with_unacked(&["request"]);
    let answers = other.queue();
    channel.publish("", &answers, "answer");
    channel.ack(1);
    channel.sync();
    assert_eq!(other.ready(&answers), 0);
    commit(&channel);
    left_unacked(&channel, &other, &queue, &[]);
    holds(&other, &answers, &["answer"]);
}

#[test]
fn credit_comes_back_with_the_commit() {
    for global in [false, true] {
        let (channel, other, queue) = transactional();
        channel.qos(1, global);
        channel.consume(&queue);
        other.publish("", &queue, "1");
        other.publish("", &queue, "2");
        assert_eq!(channel.deliver().text(), "1");
        channel.ack(1);
        channel.sync();
        channel.quiet(&queue);
        rollback(&channel);
        channel.quiet(&queue);
        channel.ack(1);
        channel.send(tx::Commit {});
        // Which of the two comes first is not said.
        let next = || channel.connection().next_on(1).expect("a frame");
        let frames: Vec<_> = (0..4).map(|_| next()).collect();
        let bodies = frames.iter().filter(|frame| frame.payload == b"2");
        assert_eq!(bodies.count(), 1, "global={global}: {frames:?}");
    }
}

#[test]
fn recover_requeues_at_once_what_the_transaction_has_not_settled() {
    let (channel, other, queue) = with_unacked(&["1", "2"]);
    channel.ack(1);
    channel.call(basic::Recover { requeue: true });
    holds(&other, &queue, &["2"]);
    commit(&channel);
    left_unacked(&channel, &other, &queue, &[]);
}

#[test]
fn other_channels_of_the_connection_are_in_no_transaction() {
    let (channel, other, queue) = transactional();
    other.confirm_select();
    channel.publish("", &queue, "later");
    other.publish("", &queue, "now");
    assert_eq!(other.confirms(1), [1]);
    holds(&other, &queue, &["now"]);
    commit(&channel);
    holds(&other, &queue, &["later"]);
}

#[test]
fn topology_is_in_no_transaction() {
    let (channel, other, queue) = transactional();
    let exchange = unique("e");
    channel.call(exchange::Declare {
        exchange: exchange.as_str().into(),
        kind: "fanout".into(),
        auto_delete: true,
        ..Default::default()
    });
    channel.bind(&queue, &exchange, "");
    rollback(&channel);
    other.publish(&exchange, "", "by the binding");
    holds(&other, &queue, &["by the binding"]);
}

#[test]
fn a_confirming_channel_cannot_become_transactional() {
    let channel = Connection::open().channel(1);
    channel.confirm_select();
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    channel.fails(tx::Select {}, 406, text);
}

#[test]
fn a_transactional_channel_cannot_confirm() {
    let (channel, ..) = transactional();
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    channel.fails(confirm::Select { nowait: false }, 406, text);
}

#[test]
fn commit_and_rollback_need_a_transactional_channel() {
    let channel = Connection::open_as(&Login::default()).channel(1);
    let text = "PRECONDITION_FAILED - channel is not transactional";
    channel.fails(tx::Commit {}, 406, text);
    channel.reopen();
    channel.fails(tx::Rollback {}, 406, text);
}
