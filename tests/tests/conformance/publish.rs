//! `basic.publish`: what is checked, and what comes back with `basic.return`.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{exchange, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Channel, Connection, FLOOD_BODY, Frame, table, text, unique};

const IDS: Option<(u16, u16)> = Some((60, 40));

fn channel() -> Channel {
    Connection::open().channel(1)
}

#[test]
fn an_unroutable_message_is_dropped() {
    let channel = channel();
    channel.publish("", &unique("nowhere"), "dropped");
    channel.sync();
}

#[test]
fn an_unroutable_mandatory_message_is_returned_whole() {
    let channel = channel();
    let key = unique("nowhere");
    let properties = AMQPProperties::default()
        .with_message_id("id".into())
        .with_headers(table([("a", text("b"))]));
    let publish = basic::Publish {
        exchange: "amq.direct".into(),
        routing_key: key.as_str().into(),
        mandatory: true,
        immediate: false,
    };
    let large = "returned in many frames".repeat(20_000);
    for body in ["returned", "", &large] {
        channel.publish_content(publish.clone(), &properties, body.as_bytes());
        let returned = channel.content::<basic::Return>();
        let basic::Return {
            reply_code,
            reply_text,
            exchange,
            routing_key,
        } = &returned.method;
        assert_eq!((*reply_code, reply_text.as_str()), (312, "NO_ROUTE"));
        assert_eq!(
            (exchange.as_str(), routing_key.as_str()),
            ("amq.direct", key.as_str())
        );
        assert_eq!(returned.properties, properties);
        assert_eq!(returned.text(), body);
    }
}

#[test]
fn a_mandatory_message_that_is_routed_is_not_returned() {
    let channel = channel();
    let queue = channel.queue();
    channel.publish_mandatory("", &queue, "routed");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
}

#[test]
fn a_mandatory_message_that_the_alternate_exchange_routed_is_not_returned() {
    let channel = channel();
    let (alternate, queue, name) = (channel.exchange("fanout"), channel.queue(), unique("x"));
    channel.call(exchange::Declare {
        exchange: name.as_str().into(),
        kind: "direct".into(),
        arguments: table([("alternate-exchange", text(&alternate))]),
        ..Default::default()
    });
    channel.bind(&queue, &alternate, "");
    channel.publish_mandatory(&name, "k", "routed after all");
    channel.await_ready(&queue, 1);
    channel.quiet(&queue);
    channel.call(exchange::Delete {
        exchange: name.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn immediate_is_not_implemented() {
    let channel = channel();
    let publish = basic::Publish {
        immediate: true,
        ..Default::default()
    };
    channel.publish_content(publish, &AMQPProperties::default(), b"");
    channel
        .connection()
        .expect_close_for(540, "NOT_IMPLEMENTED - immediate=true", IDS);
}

#[test]
fn a_missing_exchange_is_not_found() {
    let channel = channel();
    let name = unique("missing");
    channel.publish(&name, "k", "refused");
    let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    channel.expect_close_for(404, &text, IDS);
    channel.reopen();
    channel.sync();
}

#[test]
fn publishes_before_a_refused_one_count_and_those_after_do_not() {
    let channel = channel();
    let queue = channel.queue();
    channel.publish("", &queue, "before");
    channel.publish(&unique("missing"), "k", "refused");
    channel.publish("", &queue, "after");
    let close: amq_protocol::protocol::channel::Close = channel.expect();
    assert_eq!(close.reply_code, 404);
    channel.send(amq_protocol::protocol::channel::CloseOk {});
    channel.reopen();
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "before");
}

#[test]
fn an_expiration_that_is_no_number_is_refused() {
    let channel = channel();
    for (expiration, reason) in [
        ("abc", "{error,{leftover_string,\"abc\"}}"),
        ("1x", "{leftover_string,\"x\"}"),
        ("", "no_integer"),
        ("-1", "{value_negative,-1}"),
    ] {
        let properties = AMQPProperties::default().with_expiration(expiration.into());
        channel.publish_with("amq.direct", "k", properties, "refused");
        let close: amq_protocol::protocol::channel::Close = channel.expect();
        let head = format!("PRECONDITION_FAILED - invalid expiration '{expiration}': ");
        assert_eq!(close.reply_code, 406, "{reason}");
        assert!(
            close.reply_text.as_str().starts_with(&head),
            "{}",
            close.reply_text
        );
        channel.send(amq_protocol::protocol::channel::CloseOk {});
        channel.reopen();
    }
}

#[test]
fn the_user_id_must_be_the_users_own() {
    let channel = channel();
    let queue = channel.queue();
    let as_user = |user: &str| AMQPProperties::default().with_user_id(user.into());
    channel.publish_with("", &queue, as_user("guest"), "own");
    channel.await_ready(&queue, 1);
    channel.publish_with("", &queue, as_user("somebody"), "forged");
    let text = "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user \
                was 'guest'";
    channel.expect_close_for(406, text, IDS);
}

#[test]
fn a_body_larger_than_the_maximum_is_refused() {
    let channel = channel();
    channel.send(basic::Publish::default());
    let size = 600 * 1024 * 1024;
    let header = Frame::header(channel.number(), size, &AMQPProperties::default());
    channel.connection().send_frame(&header);
    // The method behind it shows a broker that would wait for the body.
    channel.send(queue::Purge::default());
    let close: amq_protocol::protocol::channel::Close = channel.expect();
    let head = format!("PRECONDITION_FAILED - message size {size} is larger than ");
    assert_eq!(close.reply_code, 406);
    assert!(
        close.reply_text.as_str().starts_with(&head),
        "{}",
        close.reply_text
    );
}

#[test]
fn a_body_larger_than_16_mib_is_refused() {
    let channel = channel();
    let queue = channel.queue();
    let publish = basic::Publish {
        routing_key: queue.as_str().into(),
        ..Default::default()
    };
    let max = 16 * 1024 * 1024;
    channel.publish_content(publish.clone(), &AMQPProperties::default(), &vec![0; max]);
    channel.await_ready(&queue, 1);
    channel.publish_content(publish, &AMQPProperties::default(), &vec![0; max + 1]);
    // The method behind it shows a broker that took the message.
    channel.send(basic::Recover { requeue: true });
    let text = "PRECONDITION_FAILED - message size 16777217 is larger than configured max size \
                16777216";
    channel.expect_close_for(406, text, IDS);
}

#[test]
fn messages_of_one_channel_keep_their_order() {
    let channel = channel();
    let queue = channel.queue();
    let bodies: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    for body in &bodies {
        channel.publish("", &queue, body);
    }
    let reader = channel.connection().channel(2);
    reader.consume_no_ack(&queue);
    assert_eq!(reader.deliveries(bodies.len()), bodies);
}

#[test]
fn publishing_to_a_deleted_queue_is_unroutable() {
    let channel = channel();
    let queue = channel.queue();
    channel.publish("", &queue, "routed");
    channel.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    channel.publish_mandatory("", &queue, "returned");
    assert_eq!(channel.content::<basic::Return>().text(), "returned");
}

#[test]
fn a_client_that_does_not_read_on_may_publish() {
    let (from, to) = (Connection::open().channel(1), Connection::open().channel(1));
    let (flood, target) = (from.flood(FieldTable::default()), from.queue());
    let body = "x".repeat(FLOOD_BODY);
    to.consume(&flood);
    for _ in 0..500 {
        to.publish("", &target, &body);
    }
    from.await_ready(&target, 500);
    from.call(queue::Delete {
        queue: flood.as_str().into(),
        ..Default::default()
    });
}
