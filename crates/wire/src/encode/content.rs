//! The frames of a content: its header, and its body whole, in frames or by reference.

use super::{FRAME_END, size_octets};
use crate::frame::{FRAME_OVERHEAD, kind};
use crate::method::basic;

/// Octets of a content header frame before its properties.
pub(super) const HEADER_FIXED: usize = 7 + 12;

/// Writes a content header frame of the basic class around `properties`, flags and list as stored.
#[inline]
pub fn content_header(out: &mut Vec<u8>, channel: u16, body_size: u64, properties: &[u8]) {
    out.reserve(HEADER_FIXED + properties.len() + 1);
    out.extend_from_slice(&header_start(channel, body_size, properties.len()));
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

#[inline]
pub(super) fn header_start(
    channel: u16,
    body_size: u64,
    properties_len: usize,
) -> [u8; HEADER_FIXED] {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size_octets(12 + properties_len);
    let [i0, i1] = basic::CLASS_ID.to_be_bytes();
    let [b0, b1, b2, b3, b4, b5, b6, b7] = body_size.to_be_bytes();
    [
        kind::HEADER,
        c0,
        c1,
        s0,
        s1,
        s2,
        s3,
        i0,
        i1,
        0,
        0,
        b0,
        b1,
        b2,
        b3,
        b4,
        b5,
        b6,
        b7,
    ]
}

/// Writes a body in as many frames as `frame_max` asks for, none if it is empty.
///
/// `frame_max` is payload and the 8 octets around it; no limit is `u32::MAX`.
pub fn body(out: &mut Vec<u8>, channel: u16, payload: &[u8], frame_max: u32) {
    let part = usize::try_from(frame_max.saturating_sub(FRAME_OVERHEAD).max(1));
    let part = part.unwrap_or(usize::MAX);
    let frames = payload.len().div_ceil(part);
    out.reserve(payload.len() + frames * 8);
    for payload in payload.chunks(part) {
        out.extend_from_slice(&body_start(channel, size_octets(payload.len())));
        out.extend_from_slice(payload);
        out.push(FRAME_END);
    }
}

/// Writes the start of a body frame whose `len` octets of payload and [`FRAME_END`] follow from
/// elsewhere.
#[inline]
pub fn body_frame_start(out: &mut Vec<u8>, channel: u16, len: u32) {
    out.extend_from_slice(&body_start(channel, len.to_be_bytes()));
}

#[inline]
pub(super) fn body_start(channel: u16, [s0, s1, s2, s3]: [u8; 4]) -> [u8; 7] {
    let [c0, c1] = channel.to_be_bytes();
    [kind::BODY, c0, c1, s0, s1, s2, s3]
}
