//! AMQP 0-9-1 between bytes and frames, methods and contents.
//!
//! * [`Decoder`] splits what was read into borrowed [`Frame`]s, and takes a small content in one step.
//! * [`method::decode`] reads what a client may send, in the specification's names, and
//!   [`method::from_server`] what a client is answered.
//! * [`encode`] writes what the broker sends into a `Vec<u8>`, and by its generator any method.
//!
//! No socket, no channel state, no broker. Input never panics and never makes anything be
//! allocated: all that is decoded borrows from the input, and no length a peer claims is believed
//! before the bytes are there.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod decoder;
pub mod encode;
pub mod frame;
pub mod method;
pub mod reply_code;

pub use amq_protocol::{protocol, types};

pub use decoder::Decoder;
pub use frame::{ContentHeader, Frame, FrameError};
pub use method::{Method, MethodError};
pub use reply_code::ReplyCode;

/// What a client sends first, and what the broker answers to any other header before it closes.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
