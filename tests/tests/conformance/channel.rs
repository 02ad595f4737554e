//! Class `channel`, and what a channel exception does to its channel and to others.

use amq_protocol::protocol::{access, basic, channel, connection, exchange, queue};
use leveret_tests::client::{Channel, Connection, Kind, Method, unique};

/// A method that closes its channel with 404.
fn missing_queue(name: &str) -> queue::Purge {
    queue::Purge {
        queue: name.into(),
        nowait: false,
    }
}

fn no_queue(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

#[test]
fn a_second_open_is_a_channel_error() {
    let channel = Connection::open().channel(1);
    channel.breaks(
        channel::Open {},
        504,
        "CHANNEL_ERROR - second 'channel.open' seen",
    );
}

#[test]
fn any_method_before_open_is_a_channel_error() {
    let text = "CHANNEL_ERROR - expected 'channel.open'";
    Channel::unopened(Connection::open(), 1).breaks(queue::Declare::default(), 504, text);
    let channel = Channel::unopened(Connection::open(), 1);
    channel.publish("", "k", "refused");
    channel.connection().expect_close(504, text);
}

#[test]
fn a_closed_number_must_be_opened_again() {
    let channel = Connection::open().channel(1);
    channel.close();
    channel.reopen();
    channel.close();
    channel.breaks(
        basic::Qos::default(),
        504,
        "CHANNEL_ERROR - expected 'channel.open'",
    );
}

#[test]
fn close_is_answered_after_what_came_before_it() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = connection.channel(2).queue();
    channel.publish("", &queue, "before");
    channel.close();
    Channel::unopened(connection, 2).await_ready(&queue, 1);
}

#[test]
fn flow_true_is_answered() {
    let channel = Connection::open().channel(1);
    assert!(channel.call(channel::Flow { active: true }).active);
}

#[test]
fn flow_false_is_not_implemented() {
    let channel = Connection::open().channel(1);
    channel.breaks(
        channel::Flow { active: false },
        540,
        "NOT_IMPLEMENTED - active=false",
    );
}

#[test]
fn access_request_is_answered_with_ticket_1() {
    let channel = Connection::open().channel(1);
    channel.send(access::Request {
        realm: "/data".into(),
        read: true,
        ..Default::default()
    });
    let frame = channel.connection().next_on(1).expect("an answer");
    assert_eq!(
        (frame.kind, frame.payload),
        (Kind::Method as u8, vec![0, 30, 0, 11, 0, 1])
    );
}

#[test]
fn a_channel_exception_leaves_other_channels_alone() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let queue = two.queue();
    two.consume_no_ack(&queue);
    let name = unique("missing");
    one.fails(missing_queue(&name), 404, &no_queue(&name));
    two.publish("", &queue, "alive");
    assert_eq!(two.deliver().text(), "alive");
}

#[test]
fn after_a_channel_exception_everything_but_close_ok_is_dropped() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let (missing, dropped) = (unique("missing"), unique("dropped"));
    channel.send(missing_queue(&missing));
    channel.send(exchange::Declare {
        exchange: dropped.as_str().into(),
        kind: "fanout".into(),
        ..Default::default()
    });
    channel.publish("", "nowhere", "dropped");
    channel.send(missing_queue(&missing));
    channel.expect_close(404, &no_queue(&missing));
    channel.reopen();
    let passive = exchange::Declare {
        exchange: dropped.as_str().into(),
        passive: true,
        ..Default::default()
    };
    let text = format!("NOT_FOUND - no exchange '{dropped}' in vhost '/'");
    channel.fails(passive, 404, &text);
}

#[test]
fn a_close_that_crosses_the_brokers_close_is_answered() {
    let channel = Connection::open().channel(1);
    let name = unique("missing");
    channel.send(missing_queue(&name));
    channel.send(channel::Close {
        reply_code: 200,
        ..Default::default()
    });
    let close: channel::Close = channel.expect();
    assert_eq!(close.reply_code, 404);
    channel.expect::<channel::CloseOk>();
    channel.send(channel::CloseOk {});
    channel.reopen();
    channel.sync();
}

#[test]
fn after_close_ok_the_number_can_be_opened_at_once() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    for _ in 0..20 {
        let name = unique("missing");
        channel.fails(missing_queue(&name), 404, &no_queue(&name));
        channel.send(channel::Open {});
        channel.send(queue::Declare {
            exclusive: true,
            ..Default::default()
        });
        channel.expect::<channel::OpenOk>();
        channel.expect::<queue::DeclareOk>();
    }
}

#[test]
fn a_new_channel_of_an_old_number_starts_afresh() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.confirm_select();
    channel.publish("", &queue, "first");
    channel.confirms(1);
    assert_eq!(
        channel
            .get(&queue)
            .expect("the message")
            .method
            .delivery_tag,
        1
    );
    channel.close();
    channel.reopen();
    channel.publish("", &queue, "second");
    channel.await_ready(&queue, 2);
    let again = channel.get(&queue).expect("the first message, again");
    assert_eq!((again.method.delivery_tag, again.text()), (1, "first"));
}

#[test]
fn methods_of_several_channels_are_answered_each_on_its_own() {
    let connection = Connection::open();
    let channels: Vec<Channel> = (1..=20).map(|n| connection.channel(n)).collect();
    for channel in &channels {
        channel.send(queue::Declare {
            exclusive: true,
            ..Default::default()
        });
        channel.send(basic::Qos::default());
    }
    for channel in channels.iter().rev() {
        channel.expect::<queue::DeclareOk>();
        channel.expect::<basic::QosOk>();
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_refused() {
    let channel = Connection::open().channel(1);
    channel.send(queue::DeclareOk::default());
    let close: connection::Close = channel.connection().expect(0);
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (503, 50, 11)
    );
}

#[test]
fn whatever_does_not_wait_for_an_answer_still_raises_errors() {
    let channel = Connection::open().channel(1);
    let missing = unique("missing");
    let name = || missing.as_str().into();
    let no_exchange = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    let nowait = true;
    let of_queues = [
        queue::Bind {
            queue: name(),
            exchange: "amq.direct".into(),
            nowait,
            ..Default::default()
        }
        .into_class(),
        queue::Purge {
            queue: name(),
            nowait,
        }
        .into_class(),
        basic::Consume {
            queue: name(),
            nowait,
            ..Default::default()
        }
        .into_class(),
    ];
    for method in of_queues {
        channel.fails_class(&method, 404, &no_queue(&missing));
        channel.reopen();
    }
    let bind = exchange::Bind {
        destination: name(),
        source: "amq.direct".into(),
        nowait,
        ..Default::default()
    };
    channel.fails(bind, 404, &no_exchange);
    channel.reopen();
    let system = exchange::Delete {
        exchange: "amq.direct".into(),
        nowait,
        ..Default::default()
    };
    let refused =
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed";
    channel.fails(system, 403, refused);
    channel.reopen();
    let full = channel.queue();
    channel.fill(&full, &["one"]);
    let if_empty = queue::Delete {
        queue: full.as_str().into(),
        if_empty: true,
        nowait,
        ..Default::default()
    };
    let not_empty = format!("PRECONDITION_FAILED - queue '{full}' in vhost '/' not empty");
    channel.fails(if_empty, 406, &not_empty);
}
