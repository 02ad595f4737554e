//! What is written is what a peer reads: held against amq-protocol's parser and generator.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{self as spec, basic::AMQPMethod};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::reply_code::ReplyCode;

/// Reads all frames with amq-protocol's parser.
fn frames(mut bytes: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("a valid frame");
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn pair(exchange: &str, routing_key: &str) -> Vec<u8> {
    let mut pair = vec![exchange.len() as u8];
    pair.extend_from_slice(exchange.as_bytes());
    pair.push(routing_key.len() as u8);
    pair.extend_from_slice(routing_key.as_bytes());
    pair
}

fn by_generator(channel: u16, basic: AMQPMethod) -> Vec<u8> {
    let mut out = Vec::new();
    method(&mut out, channel, AMQPClass::Basic(basic));
    out
}

proptest! {
    #[test]
    fn hot_methods_are_written_as_the_generator_writes_them(
        (channel, delivery_tag, message_count) in any::<(u16, u64, u32)>(),
        [consumer_tag, exchange, routing_key] in [".{0,60}", ".{0,60}", ".{0,60}"],
        (redelivered, multiple) in any::<(bool, bool)>(),
    ) {
        let exchange_and_key = pair(&exchange, &routing_key);
        let (exchange, routing_key) = (short_string(&exchange), short_string(&routing_key));
        let mut out = Vec::new();
        deliver(&mut out, channel, consumer_tag.as_bytes(), delivery_tag, redelivered, &exchange_and_key);
        let tag = short_string(&consumer_tag);
        let wanted = spec::basic::Deliver {
            consumer_tag: tag, delivery_tag, redelivered,
            exchange: exchange.clone(), routing_key: routing_key.clone(),
        };
        prop_assert_eq!(&out, &by_generator(channel, AMQPMethod::Deliver(wanted)));

        let prefix = DeliverPrefix::new(channel, consumer_tag.as_bytes());
        let mut prefixed = Vec::new();
        deliver_with_prefix(&mut prefixed, &prefix, delivery_tag, redelivered, &exchange_and_key);
        prop_assert_eq!(&prefixed, &out);

        out.clear();
        get_ok(&mut out, channel, delivery_tag, redelivered, &exchange_and_key, message_count);
        let wanted = spec::basic::GetOk {
            delivery_tag, redelivered, message_count,
            exchange: exchange.clone(), routing_key: routing_key.clone(),
        };
        prop_assert_eq!(&out, &by_generator(channel, AMQPMethod::GetOk(wanted)));

        out.clear();
        return_message(&mut out, channel, ReplyCode::NoRoute, &consumer_tag, &exchange_and_key);
        let wanted = spec::basic::Return {
            reply_code: 312, reply_text: short_string(&consumer_tag), exchange, routing_key,
        };
        prop_assert_eq!(&out, &by_generator(channel, AMQPMethod::Return(wanted)));

        out.clear();
        ack(&mut out, channel, delivery_tag, multiple);
        let wanted = spec::basic::Ack { delivery_tag, multiple };
        prop_assert_eq!(&out, &by_generator(channel, AMQPMethod::Ack(wanted)));

        out.clear();
        nack(&mut out, channel, delivery_tag, multiple, redelivered);
        let wanted = spec::basic::Nack { delivery_tag, multiple, requeue: redelivered };
        prop_assert_eq!(&out, &by_generator(channel, AMQPMethod::Nack(wanted)));
    }

    #[test]
    fn a_small_delivery_is_deliver_header_and_body(
        (channel, delivery_tag, redelivered) in any::<(u16, u64, bool)>(),
        (consumer_tag, routing_key) in (".{0,60}", ".{0,60}"),
        properties in vec(any::<u8>(), 2..40),
        payload in vec(any::<u8>(), 0..300),
        before in vec(any::<u8>(), 0..10),
    ) {
        let exchange_and_key = pair("amq.topic", &routing_key);
        let prefix = DeliverPrefix::new(channel, consumer_tag.as_bytes());
        prop_assert_eq!(prefix.channel(), channel);
        let mut out = before.clone();
        small_delivery(
            &mut out, &prefix, delivery_tag, redelivered, &exchange_and_key, &properties, &payload,
        );
        let mut wanted = before;
        deliver(&mut wanted, channel, consumer_tag.as_bytes(), delivery_tag, redelivered, &exchange_and_key);
        content_header(&mut wanted, channel, payload.len() as u64, &properties);
        body(&mut wanted, channel, &payload, 131_072);
        prop_assert_eq!(out, wanted);
    }

    #[test]
    fn a_body_is_split_at_the_frame_max(
        payload in vec(any::<u8>(), 0..500),
        frame_max in 9_u32..100,
    ) {
        let mut out = Vec::new();
        body(&mut out, 3, &payload, frame_max);
        let mut joined = Vec::new();
        let parts = frames(&out);
        prop_assert_eq!(parts.len(), payload.len().div_ceil(frame_max as usize - 8));
        for part in parts {
            let AMQPFrame::Body(3, part) = part else { panic!("{part:?}") };
            prop_assert!(!part.is_empty() && part.len() + 8 <= frame_max as usize);
            joined.extend_from_slice(&part);
        }
        prop_assert_eq!(joined, payload);
    }
}

#[test]
fn a_body_by_reference_is_a_body_frame() {
    let mut out = Vec::new();
    body_frame_start(&mut out, 3, 5);
    out.extend_from_slice(b"hello");
    out.push(FRAME_END);
    let mut wanted = Vec::new();
    body(&mut wanted, 3, b"hello", u32::MAX);
    assert_eq!(out, wanted);
}

#[test]
fn a_content_header_is_read_by_amq_protocol() {
    let mut out = Vec::new();
    content_header(&mut out, 9, 1 << 40, b"\x90\0\x0atext/plain\x02");
    let [AMQPFrame::Header(9, header)] = &frames(&out)[..] else {
        panic!("{out:?}")
    };
    assert_eq!((header.class_id, header.body_size), (60, 1 << 40));
    assert_eq!(
        header.properties.content_type().as_ref().unwrap().as_str(),
        "text/plain"
    );
    assert_eq!(header.properties.delivery_mode(), &Some(2));
}

#[test]
fn a_heartbeat_and_the_protocol_header_have_eight_octets() {
    let mut out = Vec::new();
    heartbeat(&mut out);
    assert_eq!(out, [8, 0, 0, 0, 0, 0, 0, 0xCE]);
    assert_eq!(frames(&out), [AMQPFrame::Heartbeat]);
    assert_eq!(PROTOCOL_HEADER, [b'A', b'M', b'Q', b'P', 0, 0, 9, 1]);
}

#[test]
fn what_a_short_string_cannot_hold_is_cut() {
    let text = "ü".repeat(200);
    assert_eq!(short_string(&text).as_str(), "ü".repeat(127));
    let mut out = Vec::new();
    return_message(&mut out, 1, ReplyCode::NoRoute, &text, &pair("e", "k"));
    let [AMQPFrame::Method(1, AMQPClass::Basic(AMQPMethod::Return(returned)))] = &frames(&out)[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(returned.reply_text.as_str(), "ü".repeat(127));
    out.clear();
    let prefix = DeliverPrefix::new(1, &[b't'; 300]);
    small_delivery(&mut out, &prefix, 1, false, &pair("e", "k"), &[0, 0], b"");
    assert_eq!(frames(&out).len(), 2);
}

#[test]
fn access_request_ok_gives_ticket_1() {
    use spec::access::{AMQPMethod, RequestOk};
    let mut out = Vec::new();
    method(
        &mut out,
        1,
        AMQPClass::Access(AMQPMethod::RequestOk(RequestOk {})),
    );
    assert_eq!(out, [1, 0, 1, 0, 0, 0, 6, 0, 30, 0, 11, 0, 1, 0xCE]);
    let mut by_hand = Vec::new();
    access_request_ok(&mut by_hand, 1);
    assert_eq!(by_hand, out);
}

#[test]
fn reply_texts_begin_with_the_name() {
    assert_eq!(
        ReplyCode::NotFound.text("no queue 'q'"),
        "NOT_FOUND - no queue 'q'"
    );
    assert_eq!(ReplyCode::NotFound.code(), 404);
    assert_eq!(format!("{:<12}|", ReplyCode::NoRoute), "NO_ROUTE    |");
}
