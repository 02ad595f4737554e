//! What the broker sends, written at the end of a `Vec<u8>`.
//!
//! Methods that are rare go through amq-protocol's generator ([`method`]); what goes out by the
//! million, contents and settles, is written by hand with one `reserve` and copies of slices.
//! Nothing here knows which channel is open or what may be sent.

mod content;
mod delivery;

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::{AMQPClass, gen_class};
use amq_protocol::types::ShortString;

use crate::frame::kind;

pub use self::content::{body, body_frame_start, content_header};
pub use self::delivery::{
    DeliverPrefix, deliver, deliver_with_prefix, get_ok, return_message, small_delivery,
};
pub use crate::PROTOCOL_HEADER;
pub use crate::frame::FRAME_END;

/// Writes a method frame through amq-protocol's generator.
///
/// Texts that come from elsewhere must go through [`short_string`] first: amq-protocol panics above
/// 255 bytes.
pub fn method(out: &mut Vec<u8>, channel: u16, class: AMQPClass) {
    let written = gen_class(&class)(WriteContext::from(Vec::with_capacity(64)));
    let (payload, _) = written.expect("writing to a Vec cannot fail").into_inner();
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size_octets(payload.len());
    out.reserve(payload.len() + 8);
    out.extend_from_slice(&[kind::METHOD, c0, c1, s0, s1, s2, s3]);
    out.extend_from_slice(&payload);
    out.push(FRAME_END);
}

/// A short string for [`method`], cut at a character if the text is longer than 255 bytes.
pub fn short_string(text: &str) -> ShortString {
    ShortString::from(cut(text))
}

/// Writes `access.request-ok` with ticket 1, as RabbitMQ does: clients of AMQP 0-8 days ask for one
/// and send it ever after.
pub fn access_request_ok(out: &mut Vec<u8>, channel: u16) {
    let [c0, c1] = channel.to_be_bytes();
    out.extend_from_slice(&[kind::METHOD, c0, c1, 0, 0, 0, 6]);
    out.extend_from_slice(&[0, 30, 0, 11, 0, 1, FRAME_END]);
}

/// Writes `basic.ack` from the broker, a confirm.
pub fn ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    settle(out, channel, 80, delivery_tag, u8::from(multiple));
}

/// Writes `basic.nack` from the broker, a refused publish.
pub fn nack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) {
    let bits = u8::from(multiple) | u8::from(requeue) << 1;
    settle(out, channel, 120, delivery_tag, bits);
}

fn settle(out: &mut Vec<u8>, channel: u16, method_id: u8, delivery_tag: u64, bits: u8) {
    let [c0, c1] = channel.to_be_bytes();
    out.reserve(21);
    out.extend_from_slice(&[kind::METHOD, c0, c1, 0, 0, 0, 13, 0, 60, 0, method_id]);
    out.extend_from_slice(&delivery_tag.to_be_bytes());
    out.extend_from_slice(&[bits, FRAME_END]);
}

/// Writes a heartbeat.
pub fn heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind::HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END]);
}

/// The text, or as many of its characters as fit a short string.
fn cut(text: &str) -> &str {
    text.split_at(text.floor_char_boundary(255)).0
}

/// A payload's size. Payloads are parts of messages and frames, far below 4 GiB.
#[inline]
fn size_octets(size: usize) -> [u8; 4] {
    u32::try_from(size)
        .expect("a frame is smaller than 4 GiB")
        .to_be_bytes()
}

#[cfg(test)]
mod tests;
