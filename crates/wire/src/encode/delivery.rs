//! The methods that hand a message to a client: deliver, get-ok and return, and a small delivery in
//! one go.
//!
//! `exchange_and_key` is always the pair as `basic.publish` sent it: length, exchange, length,
//! routing key.

use super::content::{HEADER_FIXED, body_start, header_start};
use super::{FRAME_END, cut, size_octets};
use crate::frame::kind;
use crate::reply_code::ReplyCode;

/// Octets of a frame's start and the two ids of a method.
const METHOD_FIXED: usize = 7 + 4;

/// What is the same in every `basic.deliver` to one consumer, made once when it starts.
#[derive(Debug, Clone)]
pub struct DeliverPrefix {
    /// The frame up to the consumer tag, its size still 0.
    bytes: Box<[u8]>,
    channel: u16,
}

impl DeliverPrefix {
    /// The prefix for a consumer of a channel. A tag is a short string; what is above 255 bytes is
    /// cut off.
    pub fn new(channel: u16, consumer_tag: &[u8]) -> DeliverPrefix {
        let mut bytes = Vec::with_capacity(METHOD_FIXED + 1 + consumer_tag.len());
        bytes.extend_from_slice(&method_start(channel, 0, 60));
        put_short(&mut bytes, consumer_tag);
        DeliverPrefix {
            bytes: bytes.into_boxed_slice(),
            channel,
        }
    }

    /// The consumer's channel.
    pub fn channel(&self) -> u16 {
        self.channel
    }
}

/// Writes deliver, header and body frame of a message whose body fits one frame; no body frame if
/// it is empty.
///
/// **Cost**: at most one growth of `out`, seven copies.
#[inline]
#[expect(
    clippy::too_many_arguments,
    reason = "the fields of three frames, by the million"
)]
pub fn small_delivery(
    out: &mut Vec<u8>,
    prefix: &DeliverPrefix,
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
    properties: &[u8],
    body: &[u8],
) {
    let method_len = prefix.bytes.len() + 9 + exchange_and_key.len();
    out.reserve(method_len + 1 + HEADER_FIXED + properties.len() + 1 + 7 + body.len() + 1);
    put_deliver(out, prefix, delivery_tag, redelivered, exchange_and_key);
    out.extend_from_slice(&after_end::<_, { HEADER_FIXED + 1 }>(header_start(
        prefix.channel,
        body.len() as u64,
        properties.len(),
    )));
    out.extend_from_slice(properties);
    if !body.is_empty() {
        out.extend_from_slice(&after_end::<_, 8>(body_start(
            prefix.channel,
            size_octets(body.len()),
        )));
        out.extend_from_slice(body);
    }
    out.push(FRAME_END);
}

/// A deliver frame without its frame end.
#[inline]
fn put_deliver(
    out: &mut Vec<u8>,
    prefix: &DeliverPrefix,
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&prefix.bytes);
    out.extend_from_slice(&tag_and_bit(delivery_tag, redelivered));
    out.extend_from_slice(exchange_and_key);
    let size = size_octets(out.len() - start - 7);
    if let Some(octets) = out.get_mut(start + 3..start + 7) {
        octets.copy_from_slice(&size);
    }
}

/// Writes `basic.deliver` to a consumer whose prefix was made before; header and body are for the
/// caller.
pub fn deliver_with_prefix(
    out: &mut Vec<u8>,
    prefix: &DeliverPrefix,
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
) {
    out.reserve(prefix.bytes.len() + 9 + exchange_and_key.len() + 1);
    put_deliver(out, prefix, delivery_tag, redelivered, exchange_and_key);
    out.push(FRAME_END);
}

/// Writes `basic.deliver`; header and body are for the caller.
pub fn deliver(
    out: &mut Vec<u8>,
    channel: u16,
    consumer_tag: &[u8],
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
) {
    let tag_len = consumer_tag.len().min(255);
    let size = 4 + 1 + tag_len + 9 + exchange_and_key.len();
    out.reserve(size + 8);
    out.extend_from_slice(&method_start(channel, size, 60));
    put_short(out, consumer_tag);
    out.extend_from_slice(&tag_and_bit(delivery_tag, redelivered));
    out.extend_from_slice(exchange_and_key);
    out.push(FRAME_END);
}

/// Writes `basic.get-ok`; header and body are for the caller.
pub fn get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
    message_count: u32,
) {
    let size = 4 + 9 + exchange_and_key.len() + 4;
    out.reserve(size + 8);
    out.extend_from_slice(&method_start(channel, size, 71));
    out.extend_from_slice(&tag_and_bit(delivery_tag, redelivered));
    out.extend_from_slice(exchange_and_key);
    out.extend_from_slice(&message_count.to_be_bytes());
    out.push(FRAME_END);
}

/// Writes `basic.return`; header and body are for the caller. A text above 255 bytes is cut at a
/// character.
pub fn return_message(
    out: &mut Vec<u8>,
    channel: u16,
    reply_code: ReplyCode,
    reply_text: &str,
    exchange_and_key: &[u8],
) {
    let reply_text = cut(reply_text).as_bytes();
    let size = 4 + 2 + 1 + reply_text.len() + exchange_and_key.len();
    out.reserve(size + 8);
    out.extend_from_slice(&method_start(channel, size, 50));
    out.extend_from_slice(&reply_code.code().to_be_bytes());
    put_short(out, reply_text);
    out.extend_from_slice(exchange_and_key);
    out.push(FRAME_END);
}

#[inline]
fn method_start(channel: u16, size: usize, method_id: u8) -> [u8; METHOD_FIXED] {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size_octets(size);
    [kind::METHOD, c0, c1, s0, s1, s2, s3, 0, 60, 0, method_id]
}

#[inline]
fn tag_and_bit(delivery_tag: u64, redelivered: bool) -> [u8; 9] {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = delivery_tag.to_be_bytes();
    [t0, t1, t2, t3, t4, t5, t6, t7, u8::from(redelivered)]
}

/// The frame end of one frame and the start of the next, as one copy.
#[inline]
fn after_end<const N: usize, const M: usize>(start: [u8; N]) -> [u8; M] {
    const { assert!(M == N + 1) };
    let mut octets = [FRAME_END; M];
    for (to, from) in octets.iter_mut().skip(1).zip(start) {
        *to = from;
    }
    octets
}

/// Writes a short string, without what is above 255 bytes.
fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..255).unwrap_or(text);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}
