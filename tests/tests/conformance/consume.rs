//! `basic.consume`, `basic.deliver`, `basic.cancel`, and the cancel that the broker sends.

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Channel, Connection, Login, table, text, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn consume(queue: &str, tag: &str) -> basic::Consume {
    basic::Consume {
        queue: queue.into(),
        consumer_tag: tag.into(),
        ..Default::default()
    }
}

fn delete(queue: &str) -> queue::Delete {
    queue::Delete {
        queue: queue.into(),
        ..Default::default()
    }
}

#[test]
fn a_delivery_tells_tag_exchange_and_key() {
    let channel = channel();
    let (queue, exchange) = (channel.queue(), channel.exchange("fanout"));
    channel.bind(&queue, &exchange, "");
    channel.call(consume(&queue, "mine"));
    for tag in 1..=3 {
        channel.publish(&exchange, "a.key", "delivered");
        let expected = basic::Deliver {
            consumer_tag: "mine".into(),
            delivery_tag: tag,
            redelivered: false,
            exchange: exchange.as_str().into(),
            routing_key: "a.key".into(),
        };
        assert_eq!(channel.deliver().method, expected);
    }
}

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    let channel = channel();
    let queue = channel.queue();
    channel.fill(&queue, &["waiting"; 20]);
    channel.send(consume(&queue, "mine"));
    channel.expect::<basic::ConsumeOk>();
    assert_eq!(channel.deliveries(20), ["waiting"; 20]);
}

#[test]
fn consume_without_waiting_is_not_answered() {
    let channel = channel();
    let queue = channel.queue();
    channel.fill(&queue, &["waiting"]);
    channel.send(basic::Consume {
        nowait: true,
        ..consume(&queue, "mine")
    });
    assert_eq!(channel.deliver().method.consumer_tag.as_str(), "mine");
    channel.send(basic::Cancel {
        consumer_tag: "mine".into(),
        nowait: true,
    });
    channel.publish("", &queue, "nobody is there");
    channel.await_ready(&queue, 1);
}

#[test]
fn consume_from_a_missing_queue_is_not_found() {
    let name = unique("missing");
    let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    channel().fails(consume(&name, ""), 404, &text);
}

#[test]
fn a_consumer_tag_in_use_is_not_allowed() {
    let channel = channel();
    let queue = channel.queue();
    channel.call(consume(&queue, "mine"));
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'mine'";
    channel.breaks(consume(&queue, "mine"), 530, text);
}

#[test]
fn a_consumer_tag_may_be_reused_after_cancel_and_on_other_channels() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let queue = one.queue();
    one.call(consume(&queue, "mine"));
    two.call(consume(&queue, "mine"));
    one.cancel("mine");
    one.call(consume(&queue, "mine"));
    assert_eq!(two.inspect(&queue).consumer_count, 2);
}

#[test]
fn cancel_of_an_unknown_consumer_succeeds() {
    let cancel = basic::Cancel {
        consumer_tag: "nobody".into(),
        nowait: false,
    };
    assert_eq!(channel().call(cancel).consumer_tag.as_str(), "nobody");
}

#[test]
fn nothing_is_delivered_after_cancel_ok() {
    let channel = channel();
    let queue = channel.queue();
    let tag = channel.consume(&queue);
    channel.cancel(&tag);
    channel.publish("", &queue, "kept");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
}

#[test]
fn unacked_messages_of_a_cancelled_consumer_stay_unacked() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    let tag = channel.consume(&queue);
    channel.publish("", &queue, "one");
    channel.publish("", &queue, "two");
    let (one, two) = (channel.deliver().method, channel.deliver().method);
    channel.cancel(&tag);
    assert_eq!(channel.ready(&queue), 0);
    channel.ack(one.delivery_tag);
    channel.close();
    let other = connection.channel(2);
    other.await_ready(&queue, 1);
    assert_eq!((other.take(&queue).as_str(), two.delivery_tag), ("two", 2));
}

#[test]
fn messages_go_round_the_consumers() {
    let connection = Connection::open();
    let channels: Vec<Channel> = (1..=3).map(|n| connection.channel(n)).collect();
    let queue = channels[0].queue();
    for channel in &channels {
        channel.consume_no_ack(&queue);
    }
    let publisher = connection.channel(4);
    for n in 0..9 {
        publisher.publish("", &queue, &n.to_string());
    }
    for channel in &channels {
        let got: Vec<i32> = channel
            .deliveries(3)
            .iter()
            .map(|n| n.parse().expect("a number"))
            .collect();
        assert_eq!((got[1] - got[0], got[2] - got[1]), (3, 3), "{got:?}");
    }
}

#[test]
fn a_message_that_needs_no_ack_is_gone_when_delivered() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    channel.publish("", &queue, "gone");
    channel.deliver();
    channel.close();
    let other = connection.channel(2);
    other.await_counts(&queue, |ok| ok.consumer_count == 0);
    assert_eq!(other.ready(&queue), 0);
}

#[test]
fn no_local_is_ignored() {
    let channel = channel();
    let queue = channel.queue();
    channel.call(basic::Consume {
        no_local: true,
        ..consume(&queue, "")
    });
    channel.publish("", &queue, "to myself");
    assert_eq!(channel.deliver().text(), "to myself");
}

#[test]
fn an_exclusive_consumer_shuts_others_out() {
    let connection = Connection::open();
    let (owner, other) = (connection.channel(1), connection.channel(2));
    let queue = owner.queue();
    let exclusive = || basic::Consume {
        exclusive: true,
        ..consume(&queue, "mine")
    };
    owner.call(exclusive());
    let text = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    for refused in [consume(&queue, ""), exclusive()] {
        other.fails(refused, 403, &text);
        other.reopen();
    }
    owner.cancel("mine");
    other.consume(&queue);
    owner.fails(exclusive(), 403, &text);
}

#[test]
fn deleting_a_queue_cancels_its_consumers() {
    let connection = Connection::open();
    let (reader, deleter) = (connection.channel(1), connection.channel(2));
    let queue = reader.queue();
    reader.call(consume(&queue, "mine"));
    reader.publish("", &queue, "unacked");
    let tag = reader.deliver().method.delivery_tag;
    deleter.call(delete(&queue));
    let cancel: basic::Cancel = reader.expect();
    assert_eq!(
        (cancel.consumer_tag.as_str(), cancel.nowait),
        ("mine", true)
    );
    reader.ack(tag);
    reader.sync();
}

#[test]
fn whoever_deletes_a_queue_is_answered_before_its_own_consumers_are_cancelled() {
    let channel = Connection::open().channel(1);
    let name = unique("deleted");
    let durable = queue::Declare {
        queue: name.as_str().into(),
        durable: true,
        ..Default::default()
    };
    let queues = [channel.queue(), channel.call(durable).queue.to_string()];
    for queue in queues {
        for tag in ["mine", "yours"] {
            channel.call(consume(&queue, tag));
        }
        channel.call(delete(&queue));
        let mut cancelled = [(); 2].map(|()| {
            let cancel: basic::Cancel = channel.expect();
            cancel.consumer_tag.to_string()
        });
        cancelled.sort();
        assert_eq!(cancelled, ["mine", "yours"]);
    }
}

#[test]
fn a_queue_that_is_deleted_without_an_answer_cancels_the_deleters_consumers() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.call(consume(&queue, "mine"));
    channel.send(queue::Delete {
        nowait: true,
        ..delete(&queue)
    });
    let cancel: basic::Cancel = channel.expect();
    assert_eq!(cancel.consumer_tag.as_str(), "mine");
    channel.sync();
}

#[test]
fn clients_that_do_not_know_the_brokers_cancel_are_not_sent_it() {
    let old = Login {
        client_properties: FieldTable::default(),
        ..Login::default()
    };
    let connection = Connection::open_as(&old);
    let (reader, deleter) = (connection.channel(1), connection.channel(2));
    let (queue, other) = (reader.queue(), reader.queue());
    reader.call(consume(&queue, "mine"));
    deleter.call(delete(&queue));
    reader.call(consume(&other, "yours"));
    deleter.publish("", &other, "alive");
    assert_eq!(reader.deliver().text(), "alive");
}

#[test]
fn a_tag_can_be_used_again_after_the_brokers_cancel() {
    let connection = Connection::open();
    let (reader, deleter) = (connection.channel(1), connection.channel(2));
    let (queue, other) = (reader.queue(), reader.queue());
    reader.call(consume(&queue, "mine"));
    deleter.call(delete(&queue));
    reader.expect::<basic::Cancel>();
    reader.call(consume(&other, "mine"));
}

fn with_priority(queue: &str, priority: i32) -> basic::Consume {
    let arguments = table([("x-priority", priority.into())]);
    basic::Consume {
        arguments,
        no_ack: false,
        ..consume(queue, "")
    }
}

#[test]
fn lower_consumers_wait_while_a_higher_one_has_credit() {
    let connection = Connection::open();
    let (low, high) = (connection.channel(1), connection.channel(2));
    let queue = low.queue();
    low.call(with_priority(&queue, -1));
    high.qos(2, false);
    high.call(with_priority(&queue, 7));
    let publisher = connection.channel(3);
    for body in ["one", "two", "three", "four"] {
        publisher.publish("", &queue, body);
    }
    assert_eq!(high.deliveries(2), ["one", "two"]);
    assert_eq!(low.deliveries(2), ["three", "four"]);
    high.send(basic::Ack {
        delivery_tag: 0,
        multiple: true,
    });
    high.sync();
    publisher.publish("", &queue, "five");
    assert_eq!(high.deliver().text(), "five");
    low.quiet(&queue);
}

#[test]
fn a_consumer_without_priority_has_priority_0() {
    let connection = Connection::open();
    let (none, low, publisher) = (
        connection.channel(1),
        connection.channel(2),
        connection.channel(3),
    );
    let queue = none.queue();
    low.call(with_priority(&queue, -1));
    none.call(consume(&queue, ""));
    for body in ["one", "two", "three"] {
        publisher.publish("", &queue, body);
    }
    assert_eq!(none.deliveries(3), ["one", "two", "three"]);
    low.quiet(&queue);
}

#[test]
fn a_priority_that_is_no_integer_is_refused() {
    let channel = channel();
    let queue = channel.queue();
    let arguments = table([("x-priority", text("high"))]);
    let refused = basic::Consume {
        arguments,
        ..consume(&queue, "")
    };
    let text = "PRECONDITION_FAILED - invalid arg 'x-priority' for queue";
    channel.send(refused);
    let close: amq_protocol::protocol::channel::Close = channel.expect();
    assert_eq!(close.reply_code, 406);
    assert!(
        close.reply_text.as_str().starts_with(text),
        "{}",
        close.reply_text
    );
}

#[test]
fn channel_close_ends_its_consumers() {
    let connection = Connection::open();
    let (reader, other) = (connection.channel(1), connection.channel(2));
    let queue = reader.queue();
    reader.consume(&queue);
    reader.consume(&queue);
    assert_eq!(other.inspect(&queue).consumer_count, 2);
    reader.close();
    other.await_counts(&queue, |ok| ok.consumer_count == 0);
    other.publish("", &queue, "kept");
    other.await_ready(&queue, 1);
}

#[test]
fn one_channel_may_have_many_consumers() {
    let channel = channel();
    let queues: Vec<String> = (0..100).map(|_| channel.queue()).collect();
    for queue in &queues {
        channel.call(basic::Consume {
            no_ack: true,
            ..consume(queue, queue)
        });
    }
    for queue in &queues {
        channel.publish("", queue, queue);
    }
    let mut got: Vec<String> = Vec::new();
    for _ in &queues {
        let message = channel.deliver();
        assert_eq!(message.method.consumer_tag.as_str(), message.text());
        got.push(message.text().to_owned());
    }
    got.sort_unstable();
    let mut queues = queues;
    queues.sort_unstable();
    assert_eq!(got, queues);
}

#[test]
fn a_delivery_that_is_not_settled_in_time_goes_back_and_its_consumer_is_cancelled() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.publish("", &queue, "one");
    let tag = channel.consume_with(basic::Consume {
        arguments: table([("x-consumer-timeout", 200.into())]),
        ..consume(&queue, "late")
    });
    assert_eq!(channel.deliver().text(), "one");
    let cancel: basic::Cancel = channel.expect();
    assert_eq!(cancel.consumer_tag.as_str(), tag);
    let again = channel.get(&queue).expect("it went back");
    assert_eq!((again.text(), again.method.redelivered), ("one", true));
    // What the channel says of its first delivery does no harm.
    channel.ack(1);
    channel.ack(2);
    channel.sync();
}
