//! Frames that break the rules: sizes, ends, kinds, order. Each ends its connection, and only it.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::connection;
use leveret_tests::client::{Connection, Frame, Kind, Login, PROTOCOL_HEADER, text};

const MAX: usize = 131_072;

/// Opens a connection with channel 1, sends octets, and expects the connection to be closed.
#[track_caller]
fn closes(bytes: &[u8], code: u16) -> String {
    let connection = Connection::open();
    connection.channel(1);
    connection.send_bytes(bytes);
    let close: connection::Close = connection.expect(0);
    assert_eq!(close.reply_code, code, "{}", close.reply_text);
    connection.send(0, connection::CloseOk {});
    connection.expect_socket_closed();
    Connection::open().channel(1).sync();
    close.reply_text.to_string()
}

fn publish() -> Vec<u8> {
    use leveret_tests::client::Method;
    Frame::method(1, &basic::Publish::default().into_class()).encode()
}

fn header(size: u64) -> Vec<u8> {
    Frame::header(1, size, &AMQPProperties::default()).encode()
}

fn body(payload: &[u8]) -> Vec<u8> {
    Frame::new(Kind::Body, 1, payload).encode()
}

#[test]
fn a_frame_of_frame_max_is_accepted() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    channel.publish("", &queue, &"x".repeat(MAX - 8));
    channel.await_ready(&queue, 1);
}

#[test]
fn a_payload_may_be_as_long_as_frame_max_and_no_longer() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    let method = basic::Publish {
        routing_key: queue.as_str().into(),
        ..Default::default()
    };
    channel.send(method);
    let size = MAX as u64;
    channel.connection().send_bytes(&header(size));
    channel.connection().send_bytes(&body(&vec![7; MAX]));
    channel.await_ready(&queue, 1);

    let bytes = [publish(), header(size + 1), body(&vec![7; MAX + 1])].concat();
    let expected = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}";
    assert_eq!(closes(&bytes, 501), expected);
}

#[test]
fn a_frame_longer_than_frame_max_is_a_frame_error() {
    let mut bytes = publish();
    bytes.extend(header(1_000_000));
    bytes.extend(body(&vec![0; MAX + 9]));
    let expected = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131081,131064}";
    assert_eq!(closes(&bytes, 501), expected);
}

#[test]
fn a_giant_length_is_a_frame_error_before_its_payload_comes() {
    for size in [0x0fff_ffff_u32, 0x7fff_ffff, 0xffff_ffff] {
        let mut bytes = vec![Kind::Method as u8, 0, 1];
        bytes.extend(size.to_be_bytes());
        bytes.extend([0, 60, 0, 40]);
        let expected =
            format!("FRAME_ERROR - type 1, all octets = <<>>: {{frame_too_large,{size},131064}}");
        assert_eq!(closes(&bytes, 501), expected);
    }
}

#[test]
fn the_negotiated_frame_max_holds() {
    let connection = Connection::open_as(&Login {
        frame_max: 4096,
        ..Login::default()
    });
    connection.channel(1);
    connection.send_bytes(&publish());
    connection.send_bytes(&header(8000));
    connection.send_bytes(&body(&[0; 5000]));
    let close: connection::Close = connection.expect(0);
    assert_eq!(close.reply_code, 501);
}

#[test]
fn a_wrong_frame_end_is_a_frame_error() {
    let mut bytes = Frame::new(Kind::Method, 1, [0, 60, 0, 110, 1]).encode();
    *bytes.last_mut().expect("a frame has an end") = 0xCD;
    let expected = "FRAME_ERROR - type 1, all octets = <<0,60,0,110,1>>: \
                    {invalid_frame_end_marker,205}";
    assert_eq!(closes(&bytes, 501), expected);
}

#[test]
fn an_unknown_frame_type_is_a_frame_error() {
    for kind in [0, 4, 9, 255] {
        for channel in [0, 1] {
            let frame = Frame {
                kind,
                channel,
                payload: vec![7],
            };
            let expected = format!("FRAME_ERROR - type {kind}, all octets = <<7>>: unknown_frame");
            assert_eq!(closes(&frame.encode(), 501), expected);
        }
    }
}

#[test]
fn a_heartbeat_with_a_payload_is_a_frame_error() {
    let frame = Frame::new(Kind::Heartbeat, 0, [1, 2]);
    let expected = "FRAME_ERROR - type 8, all octets = <<1,2>>: unknown_frame";
    assert_eq!(closes(&frame.encode(), 501), expected);
}

#[test]
fn content_without_a_publish_is_an_unexpected_frame() {
    let expected = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    assert_eq!(closes(&body(b"orphan"), 505), expected);
    assert_eq!(closes(&header(4), 505), expected);
}

#[test]
fn a_body_without_a_header_is_an_unexpected_frame() {
    let text = closes(&[publish(), body(b"orphan")].concat(), 505);
    let expected = "UNEXPECTED_FRAME - expected content header for class 60, got non content \
                    header frame instead";
    assert_eq!(text, expected);
}

#[test]
fn a_method_instead_of_a_header_is_an_unexpected_frame() {
    let text = closes(&[publish(), publish()].concat(), 505);
    let expected = "UNEXPECTED_FRAME - expected content header for class 60, got non content \
                    header frame instead";
    assert_eq!(text, expected);
}

#[test]
fn a_method_instead_of_a_body_is_an_unexpected_frame() {
    let text = closes(&[publish(), header(4), publish()].concat(), 505);
    let expected = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    assert_eq!(text, expected);
}

#[test]
fn a_second_header_is_an_unexpected_frame() {
    let text = closes(&[publish(), header(4), header(4)].concat(), 505);
    let expected = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    assert_eq!(text, expected);
}

#[test]
fn a_header_of_another_class_is_an_unexpected_frame() {
    let mut payload = vec![0, 50, 0, 0];
    payload.extend([0; 10]);
    let frame = Frame::new(Kind::Header, 1, payload).encode();
    let text = closes(&[publish(), frame].concat(), 505);
    let expected = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 \
                    instead";
    assert_eq!(text, expected);
}

#[test]
fn a_body_longer_than_its_header_said_is_refused() {
    // The method behind it shows a broker that would wait for more.
    closes(
        &[publish(), header(4), body(b"12345"), publish()].concat(),
        501,
    );
}

#[test]
fn content_on_channel_0_is_an_unexpected_frame() {
    let frame = Frame::new(Kind::Body, 0, [7, 8]).encode();
    assert_eq!(
        closes(&frame, 505),
        "UNEXPECTED_FRAME - type 3, all octets = <<7,8>>"
    );
    let frame = Frame::header(0, 4, &AMQPProperties::default()).encode();
    let expected = "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,4,0,0>>";
    assert_eq!(closes(&frame, 505), expected);
}

#[test]
fn arguments_that_cannot_be_read_are_a_syntax_error() {
    let truncated: [&[u8]; 5] = [
        // queue.declare that ends in its name, then in its table's length.
        &[0, 50, 0, 10, 0, 0, 200, b'q'],
        &[0, 50, 0, 10, 0, 0, 1, b'q', 0, 0, 0, 0, 200],
        // queue.declare whose table holds an unknown field type.
        &[0, 50, 0, 10, 0, 0, 1, b'q', 0, 0, 0, 0, 3, 1, b'a', b'?'],
        // basic.ack without its flags; confirm.select without its flag.
        &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 85, 0, 10],
    ];
    for payload in truncated {
        closes(&Frame::new(Kind::Method, 1, payload).encode(), 502);
    }
}

#[test]
fn a_method_frame_without_a_whole_method_id_is_a_frame_error() {
    for payload in [&[][..], &[0], &[0, 60], &[0, 60, 0]] {
        closes(&Frame::new(Kind::Method, 1, payload).encode(), 501);
    }
}

#[test]
fn an_unknown_method_is_refused() {
    for (class, method) in [(60, 99), (99, 10), (50, 12), (0, 0)] {
        let payload = [0, class, 0, method];
        closes(&Frame::new(Kind::Method, 1, payload).encode(), 503);
    }
}

#[test]
fn start_ok_may_be_as_long_as_8192_octets() {
    let mut login = Login::default();
    login
        .client_properties
        .insert("filler".into(), text(&"x".repeat(7800)));
    Connection::open_as(&login).channel(1).sync();
}

#[test]
fn a_longer_frame_before_tune_is_refused() {
    let connection = Connection::raw();
    connection.send_bytes(&PROTOCOL_HEADER);
    connection.expect::<connection::Start>(0);
    let mut bytes = vec![Kind::Method as u8, 0, 0];
    bytes.extend(100_000_u32.to_be_bytes());
    bytes.extend([0, 10, 0, 11]);
    connection.send_bytes(&bytes);
    if let Some(frame) = connection.next_on(0) {
        assert!(
            frame
                .payload
                .starts_with(&[0, 10, 0, 50, 501_u16.to_be_bytes()[0]])
        );
    }
}

#[test]
fn a_frame_may_come_octet_by_octet() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    let payload = [
        &[0, 60, 0, 40, 0, 0, 0, queue.len() as u8],
        queue.as_bytes(),
        &[0],
    ]
    .concat();
    let bytes = [
        Frame::new(Kind::Method, 1, payload).encode(),
        header(5),
        body(b"slow!"),
    ]
    .concat();
    for octet in bytes {
        connection.send_bytes(&[octet]);
    }
    channel.await_ready(&queue, 1);
    assert_eq!(channel.take(&queue), "slow!");
}
