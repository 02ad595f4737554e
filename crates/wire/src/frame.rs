//! Frames as they borrow from what was read, and what can be wrong with one.
//!
//! ```text
//! u8 type | u16 channel | u32 size | size octets of payload | 0xCE
//! ```

mod error;

pub use self::error::{FrameError, Octets};

/// The octet that ends each frame.
pub const FRAME_END: u8 = 0xCE;

/// Type, channel, size and end: what a frame is longer than its payload.
pub const FRAME_OVERHEAD: u32 = 8;

/// The ceiling for frames until `connection.tune-ok`, RabbitMQ's `initial_frame_max`.
pub const INITIAL_FRAME_MAX: u32 = 8192;

/// The frame types of AMQP 0-9-1.
pub(crate) mod kind {
    pub(crate) const METHOD: u8 = 1;
    pub(crate) const HEADER: u8 = 2;
    pub(crate) const BODY: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 8;
}

/// A frame, or a part of a large body frame, that borrows from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A method; `arguments` are for [`method::decode`](crate::method::decode).
    Method {
        /// The channel of the frame.
        channel: u16,
        /// The class, such as 60 for basic.
        class_id: u16,
        /// The method in its class.
        method_id: u16,
        /// What follows the two ids.
        arguments: &'a [u8],
    },
    /// The header of a content.
    Header {
        /// The channel of the frame.
        channel: u16,
        /// The header's fields.
        header: ContentHeader<'a>,
    },
    /// A body frame, or the next part of one whose payload is above 4 KiB.
    Body {
        /// The channel of the frame.
        channel: u16,
        /// Octets of the body, empty only for an empty frame.
        payload: &'a [u8],
        /// Tells whether the frame ends with this part; its frame-end octet has been checked then.
        end: bool,
    },
    /// A heartbeat. On a channel other than 0 it is 505 `UNEXPECTED_FRAME`, which the connection
    /// raises.
    Heartbeat {
        /// The channel of the frame.
        channel: u16,
    },
}

/// The payload of a content header frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the method that the content belongs to.
    pub class_id: u16,
    /// Unused, 0.
    pub weight: u16,
    /// The size of the body in octets, as claimed.
    pub body_size: u64,
    /// Flags and property list, not checked: see `leveret_message::Properties::parse`.
    pub properties: &'a [u8],
}
