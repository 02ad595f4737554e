//! Names: generated ones, reserved ones, the empty name, and what is stripped from them.

use amq_protocol::protocol::{basic, exchange, queue};
use leveret_tests::client::{Channel, Connection, Frame, Kind, Method, method_payload, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

#[test]
fn a_nameless_queue_is_given_a_name() {
    let channel = channel();
    let (one, two) = (channel.queue(), channel.queue());
    assert!(
        one.starts_with("amq.gen-") && one.len() > "amq.gen-".len(),
        "{one}"
    );
    assert_ne!(one, two);
}

#[test]
fn a_nameless_consumer_is_given_a_tag() {
    let channel = channel();
    let queue = channel.queue();
    let (one, two) = (channel.consume(&queue), channel.consume(&queue));
    assert!(
        one.starts_with("amq.ctag-") && one.len() > "amq.ctag-".len(),
        "{one}"
    );
    assert_ne!(one, two);
}

#[test]
fn a_reserved_queue_name_cannot_be_declared() {
    let channel = channel();
    for name in ["amq.", "amq.mine", "amq.gen-mine"] {
        let declare = queue::Declare {
            queue: name.into(),
            exclusive: true,
            ..Default::default()
        };
        let text = format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'");
        channel.fails(declare, 403, &text);
        channel.reopen();
    }
}

#[test]
fn a_given_name_can_be_declared_again_as_it_is() {
    let channel = channel();
    let queue = channel.queue();
    let declare = queue::Declare {
        queue: queue.as_str().into(),
        exclusive: true,
        ..Default::default()
    };
    assert_eq!(channel.call(declare).queue.as_str(), queue);
    channel.inspect(&queue);
}

#[test]
fn the_empty_name_means_the_queue_declared_last() {
    let channel = channel();
    let (first, last) = (channel.queue(), channel.queue());
    channel.publish("", &last, "for the last");
    channel.await_ready(&last, 1);
    assert_eq!(channel.take(""), "for the last");

    channel.call(queue::Bind {
        exchange: "amq.direct".into(),
        routing_key: unique("k").as_str().into(),
        ..Default::default()
    });
    channel.fill(&last, &["purged"]);
    assert_eq!(channel.call(queue::Purge::default()).message_count, 1);

    channel.consume("");
    assert_eq!(channel.inspect(&last).consumer_count, 1);
    assert_eq!(channel.inspect(&first).consumer_count, 0);
    // The question about `first` was a declaration too, and now it is the last one.
    channel.call(queue::Delete::default());
    channel.await_queue_gone(&first);
}

#[test]
fn the_routing_key_follows_the_empty_name_in_bind() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("direct"), channel.queue());
    channel.call(queue::Bind {
        exchange: exchange.as_str().into(),
        ..Default::default()
    });
    channel.publish(&exchange, &queue, "by its name");
    channel.await_ready(&queue, 1);
}

#[test]
fn the_empty_name_without_a_declared_queue_is_not_found() {
    let channel = channel();
    let text = "NOT_FOUND - no previously declared queue";
    let methods = [
        queue::Bind {
            exchange: "amq.direct".into(),
            ..Default::default()
        }
        .into_class(),
        queue::Unbind {
            exchange: "amq.direct".into(),
            ..Default::default()
        }
        .into_class(),
        queue::Purge::default().into_class(),
        queue::Delete::default().into_class(),
        basic::Get::default().into_class(),
        basic::Consume::default().into_class(),
    ];
    for method in methods {
        channel.fails_class(&method, 404, text);
        channel.reopen();
    }
}

#[test]
fn line_ends_are_stripped_from_queue_names() {
    let channel = channel();
    let name = unique("q");
    let declare = queue::Declare {
        queue: format!("\r{name}\n").as_str().into(),
        exclusive: true,
        ..Default::default()
    };
    assert_eq!(channel.call(declare).queue.as_str(), name);
    channel.inspect(&name);
}

#[test]
fn line_ends_are_stripped_from_exchange_names() {
    let channel = channel();
    let name = unique("x");
    channel.call(exchange::Declare {
        exchange: format!("\n{name}\r\n").as_str().into(),
        kind: "direct".into(),
        ..Default::default()
    });
    channel.call(exchange::Delete {
        exchange: name.as_str().into(),
        if_unused: true,
        nowait: false,
    });
    let passive = exchange::Declare {
        exchange: name.as_str().into(),
        passive: true,
        ..Default::default()
    };
    channel.fails(
        passive,
        404,
        &format!("NOT_FOUND - no exchange '{name}' in vhost '/'"),
    );
}

#[test]
fn names_of_255_octets_and_of_any_script_are_allowed() {
    let channel = channel();
    let mut long = unique("long");
    long.push_str(&"x".repeat(255 - long.len()));
    for name in [long, unique("žluťoučký 兎"), unique("a/b c?*#'\"")] {
        let declare = queue::Declare {
            queue: name.as_str().into(),
            exclusive: true,
            ..Default::default()
        };
        assert_eq!(channel.call(declare).queue.as_str(), name);
        channel.fill(&name, &["by name"]);
        assert_eq!(channel.take(&name), "by name");
    }
}

#[test]
fn a_name_that_is_not_utf8_does_no_harm() {
    let connection = Connection::open();
    let declare = queue::Declare {
        queue: "??".into(),
        exclusive: true,
        ..Default::default()
    };
    let mut payload = method_payload(&declare.into_class());
    let at = payload
        .iter()
        .position(|&octet| octet == b'?')
        .expect("the name is in the method");
    payload[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
    connection.channel(1);
    connection.send_frame(&Frame::new(Kind::Method, 1, payload));
    let reply = connection.next_frame().expect("an answer");
    assert_eq!(reply.kind, Kind::Method as u8);
    Connection::open().channel(1).sync();
}
