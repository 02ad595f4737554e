//! What is wrong with a frame, in RabbitMQ's words.

use std::fmt;

use crate::reply_code::ReplyCode;

/// A frame that ends the connection: the decoder has lost its place in the stream.
///
/// Prints as the explanation of the reply text, such as `type 1, all octets = <<>>:
/// {frame_too_large,9000,8184}`. An unknown type is 501 on every channel, 0 included: RabbitMQ
/// raises `unknown_frame` as a frame error wherever it occurs and keeps 505 for known frames in the
/// wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The size is above the ceiling; told as soon as the size has come, before its payload.
    #[error("type {kind}, all octets = <<>>: {{frame_too_large,{size},{max}}}")]
    TooLarge {
        /// The frame type.
        kind: u8,
        /// The payload's size.
        size: u32,
        /// The largest payload: `frame_max` less the 8 octets around it.
        max: u32,
    },
    /// The octet after the payload is not 0xCE.
    #[error("type {kind}, {octets}: {{invalid_frame_end_marker,{marker}}}")]
    BadEnd {
        /// The frame type.
        kind: u8,
        /// The payload.
        octets: Octets,
        /// What was found.
        marker: u8,
    },
    /// An unknown frame type, or a payload that its type cannot have: a method frame without ids, a
    /// content header without its fixed fields, a heartbeat with octets.
    #[error("type {kind}, {octets}: unknown_frame")]
    Unknown {
        /// The frame type.
        kind: u8,
        /// The payload.
        octets: Octets,
    },
}

impl FrameError {
    /// The reply code: always 501 `FRAME_ERROR`.
    pub fn code(&self) -> ReplyCode {
        ReplyCode::FrameError
    }
}

/// The beginning of a payload, at most 16 octets, that a reply text quotes as RabbitMQ does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Octets {
    first: [u8; 16],
    len: u8,
    more: bool,
}

impl Octets {
    /// Keeps the beginning of a payload.
    pub fn of(payload: &[u8]) -> Octets {
        Octets::of_part(payload, payload.len())
    }

    /// Keeps the beginning of a payload of `size` octets that has come only in part.
    pub(crate) fn of_part(payload: &[u8], size: usize) -> Octets {
        let mut octets = Octets {
            first: [0; 16],
            len: 0,
            more: size > 16,
        };
        for (kept, octet) in octets.first.iter_mut().zip(payload) {
            *kept = *octet;
            octets.len += 1;
        }
        octets
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.first.get(..usize::from(self.len)).unwrap_or_default();
        f.write_str(if self.more {
            "first 16 octets = <<"
        } else {
            "all octets = <<"
        })?;
        // Erlang prints a binary of printable characters as a string.
        let printable = |octet: &u8| octet.is_ascii_graphic() || *octet == b' ';
        if !octets.is_empty() && octets.iter().all(printable) {
            let text = String::from_utf8_lossy(octets)
                .replace('\\', "\\\\")
                .replace('"', "\\\"");
            write!(f, "\"{text}\"")?;
        } else {
            for (index, octet) in octets.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma}{octet}")?;
            }
        }
        f.write_str(">>")
    }
}
