//! Frames as they are on the wire: kind, channel, payload, end octet.
//!
//! Nothing here judges a frame: tests build wrong ones on purpose.

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::{AMQPProperties, gen_properties};
use amq_protocol::protocol::{AMQPClass, gen_class, parse_class};

/// The octet that ends each frame.
pub const END: u8 = 0xCE;

/// The first octet of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A method and its arguments.
    Method = 1,
    /// The content header: class, body size, properties.
    Header = 2,
    /// A part of the content body.
    Body = 3,
    /// A sign of life, on channel 0.
    Heartbeat = 8,
}

/// One frame that came, or is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The frame type octet; a [`Kind`], or anything in hostile tests.
    pub kind: u8,
    /// The channel number.
    pub channel: u16,
    /// What is between the length and the end octet.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Makes a frame of a known kind.
    pub fn new(kind: Kind, channel: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: kind as u8,
            channel,
            payload: payload.into(),
        }
    }

    /// Makes the frame of a method.
    pub fn method(channel: u16, method: &AMQPClass) -> Self {
        Self::new(Kind::Method, channel, method_payload(method))
    }

    /// Makes a content header frame for a body of `size` octets.
    pub fn header(channel: u16, size: u64, properties: &AMQPProperties) -> Self {
        Self::new(Kind::Header, channel, header_payload(size, properties))
    }

    /// Returns the octets of the frame, its end octet included.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.payload.len() + 8);
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.channel.to_be_bytes());
        let size = u32::try_from(self.payload.len()).expect("test frames are below 4 GiB");
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes.push(END);
        bytes
    }

    /// Returns the method that the frame is, which it must be.
    #[track_caller]
    pub fn as_method(&self) -> AMQPClass {
        assert_eq!(
            self.kind,
            Kind::Method as u8,
            "expected a method, got {self:?}"
        );
        let (_, class) = parse_class(self.payload.as_slice())
            .unwrap_or_else(|e| panic!("the broker sent a method that cannot be read: {e:?}"));
        class
    }

    /// Takes one whole frame from the front of `bytes`, if there is one.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let head: [u8; 7] = bytes.get(..7)?.try_into().ok()?;
        let [kind, c1, c0, size @ ..] = head;
        let end = 7 + u32::from_be_bytes(size) as usize;
        assert_eq!(
            *bytes.get(end)?,
            END,
            "the broker sent a frame without its end octet"
        );
        let payload = bytes[7..end].to_vec();
        bytes.drain(..=end);
        Some(Self {
            kind,
            channel: u16::from_be_bytes([c1, c0]),
            payload,
        })
    }
}

/// Returns a method frame's payload: class, method, arguments.
pub fn method_payload(method: &AMQPClass) -> Vec<u8> {
    let write = gen_class(method);
    write(WriteContext::from(Vec::new()))
        .expect("writing to memory")
        .into_inner()
        .0
}

/// Returns a content header's payload for class `basic`.
pub fn header_payload(size: u64, properties: &AMQPProperties) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend_from_slice(&size.to_be_bytes());
    let write = gen_properties(properties);
    let (list, _) = write(WriteContext::from(Vec::new()))
        .expect("writing to memory")
        .into_inner();
    payload.extend_from_slice(&list);
    payload
}
