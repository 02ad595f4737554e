//! What a message carries: bodies of every size, properties and headers byte for byte.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::types::{AMQPValue, DecimalValue, FieldArray};
use leveret_tests::client::{
    Channel, Connection, Frame, Kind, Login, Method, header_payload, table, text,
};

fn body_of(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

fn publish_to(queue: &str) -> basic::Publish {
    basic::Publish {
        routing_key: queue.into(),
        ..Default::default()
    }
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    let full = channel.connection().frame_max() as usize - 8;
    for size in [
        0,
        1,
        255,
        4096,
        full - 1,
        full,
        full + 1,
        2 * full,
        1_000_000,
    ] {
        let body = body_of(size);
        channel.publish_content(publish_to(&queue), &AMQPProperties::default(), &body);
        let message = channel.deliver();
        assert!(message.body == body, "a body of {size} octets was changed");
        assert_eq!(
            message.body_frames,
            size.div_ceil(full),
            "frames of {size} octets"
        );
    }
}

#[test]
fn bodies_are_split_at_the_consumers_frame_size() {
    let publisher = Connection::open().channel(1);
    let small = Login {
        frame_max: 4096,
        ..Login::default()
    };
    let consumer = Connection::open_as(&small).channel(1);
    let queue = consumer.queue();
    consumer.consume_no_ack(&queue);
    let body = body_of(100_000);
    publisher.publish_content(publish_to(&queue), &AMQPProperties::default(), &body);
    let message = consumer.deliver();
    assert!(message.body == body);
    assert_eq!(message.body_frames, 100_000_usize.div_ceil(4096 - 8));
}

#[test]
fn a_body_may_come_in_frames_of_any_size() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    let body = body_of(1000);
    channel.send(publish_to(&queue));
    let connection = channel.connection();
    connection.send_frame(&Frame::header(1, 1000, &AMQPProperties::default()));
    let (first, rest) = body.split_at(1);
    let (second, third) = rest.split_at(700);
    for part in [first, &[], second, third] {
        connection.send_frame(&Frame::new(Kind::Body, 1, part));
    }
    assert_eq!(channel.deliver().body, body);
}

#[test]
fn frames_of_other_channels_may_come_between_the_frames_of_a_content() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let (queue, other) = (one.queue(), two.queue());
    one.send(publish_to(&queue));
    two.send(publish_to(&other));
    connection.send_frame(&Frame::header(1, 6, &AMQPProperties::default()));
    connection.send_frame(&Frame::header(2, 6, &AMQPProperties::default()));
    connection.send_frame(&Frame::new(Kind::Body, 1, *b"one"));
    connection.send_frame(&Frame::new(Kind::Heartbeat, 0, []));
    connection.send_frame(&Frame::new(Kind::Body, 2, *b"two"));
    connection.send_frame(&Frame::new(Kind::Body, 2, *b"TWO"));
    connection.send_frame(&Frame::new(Kind::Body, 1, *b"ONE"));
    one.await_ready(&queue, 1);
    two.await_ready(&other, 1);
    assert_eq!(
        (one.take(&queue).as_str(), two.take(&other).as_str()),
        ("oneONE", "twoTWO")
    );
}

#[test]
fn all_properties_arrive_as_sent() {
    let properties = AMQPProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("none".into())
        .with_headers(table([("a", 1.into())]))
        .with_delivery_mode(2)
        .with_priority(200)
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_expiration("60000".into())
        .with_message_id("m".into())
        .with_timestamp(u64::from(u32::MAX) + 1)
        .with_type("t".into())
        .with_user_id("guest".into())
        .with_app_id("a".into())
        .with_cluster_id("".into());
    check_header(&header_payload(4, &properties));
}

#[test]
fn properties_that_are_unset_stay_unset() {
    check_header(&header_payload(4, &AMQPProperties::default()));
    check_header(&header_payload(
        4,
        &AMQPProperties::default().with_headers(table([])),
    ));
    check_header(&header_payload(
        4,
        &AMQPProperties::default().with_app_id("".into()),
    ));
}

#[test]
fn every_field_type_arrives_byte_for_byte() {
    let deep = table([("deeper", table([("deepest", AMQPValue::Void)]).into())]);
    let mixed = vec![
        1.into(),
        text("two"),
        deep.clone().into(),
        FieldArray::default().into(),
    ];
    let values: [(&str, AMQPValue); 18] = [
        ("t", true.into()),
        ("b", i8::MIN.into()),
        ("B", u8::MAX.into()),
        ("s", i16::MIN.into()),
        ("u", u16::MAX.into()),
        ("I", i32::MIN.into()),
        ("i", u32::MAX.into()),
        ("l", i64::MIN.into()),
        ("f", 0.1_f32.into()),
        ("d", 0.1_f64.into()),
        (
            "D",
            DecimalValue {
                scale: 2,
                value: 31_415,
            }
            .into(),
        ),
        ("S", AMQPValue::LongString(vec![0, 255, b'x'].into())),
        ("T", AMQPValue::Timestamp(u64::from(u32::MAX) * 2)),
        ("x", AMQPValue::ByteArray(vec![0, 255].into())),
        ("V", AMQPValue::Void),
        ("F", deep.into()),
        ("A", FieldArray::from(mixed).into()),
        ("empty", table([]).into()),
    ];
    check_header(&header_payload(
        4,
        &AMQPProperties::default().with_headers(table(values)),
    ));
}

#[test]
fn the_order_and_the_doubles_of_header_fields_are_kept() {
    let mut table = Vec::new();
    for (name, value) in [("z", 1), ("a", 2), ("z", 3)] {
        table.push(1);
        table.extend_from_slice(name.as_bytes());
        table.extend_from_slice(&[b'B', value]);
    }
    let mut payload = header_payload(4, &AMQPProperties::default());
    payload[12..14].copy_from_slice(&(1_u16 << 13).to_be_bytes());
    payload.extend_from_slice(&u32::try_from(table.len()).expect("short").to_be_bytes());
    payload.extend_from_slice(&table);
    check_header(&payload);
}

/// Publishes a message of four octets with this content header, and wants it back unchanged, both
/// as a delivery and from a get.
#[track_caller]
fn check_header(header: &[u8]) {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    publish_raw(&channel, &queue, header);
    channel.await_ready(&queue, 1);
    let got = channel.get(&queue).expect("the message");
    assert_eq!(
        (got.header.as_slice(), got.body.as_slice()),
        (header, &b"body"[..])
    );
    channel.ack(got.method.delivery_tag);
    publish_raw(&channel, &queue, header);
    channel.consume_no_ack(&queue);
    let delivered = channel.deliver();
    assert_eq!(
        (delivered.header.as_slice(), delivered.body.as_slice()),
        (header, &b"body"[..])
    );
}

fn publish_raw(channel: &Channel, queue: &str, header: &[u8]) {
    let number = channel.number();
    let mut bytes = Frame::method(number, &publish_to(queue).into_class()).encode();
    bytes.extend(Frame::new(Kind::Header, number, header).encode());
    bytes.extend(Frame::new(Kind::Body, number, *b"body").encode());
    channel.connection().send_bytes(&bytes);
}
