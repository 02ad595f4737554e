//! Class channel: a channel's beginning, flow and end.

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 20;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    Open(Open),
    Flow(Flow),
    FlowOk(FlowOk),
    Close(Close<'a>),
    CloseOk(CloseOk),
}

impl Method<'_> {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            Open::METHOD_ID => Open::decode(arguments).map(Method::Open),
            Flow::METHOD_ID => Flow::decode(arguments).map(Method::Flow),
            FlowOk::METHOD_ID => FlowOk::decode(arguments).map(Method::FlowOk),
            Close::METHOD_ID => Close::decode(arguments).map(Method::Close),
            CloseOk::METHOD_ID => CloseOk::decode(arguments).map(Method::CloseOk),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `channel.open`: opens the channel; answered by `open-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open;

impl Open {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Open, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short_string()?;
        fields.end()?;
        Ok(Open)
    }
}

/// `channel.flow`: asks the broker to stop or go on delivering; answered by `flow-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Flow {
    pub active: bool,
}

impl Flow {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 20;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Flow, MethodError> {
        let mut fields = Arguments::new(arguments);
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Flow {
            active: bits.is_set(0),
        })
    }
}

/// `channel.flow-ok`: the answer to a flow the broker never sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct FlowOk {
    pub active: bool,
}

impl FlowOk {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 21;

    pub(crate) fn decode(arguments: &[u8]) -> Result<FlowOk, MethodError> {
        let mut fields = Arguments::new(arguments);
        let bits = fields.bits()?;
        fields.end()?;
        Ok(FlowOk {
            active: bits.is_set(0),
        })
    }
}

/// `channel.close`: ends the channel; answered by `close-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Close<'a> {
    pub reply_code: u16,
    pub reply_text: &'a str,
    pub class_id: u16,
    pub method_id: u16,
}

impl<'a> Close<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 40;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Close<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let reply_code = fields.short()?;
        let reply_text = fields.short_string()?;
        let class_id = fields.short()?;
        let method_id = fields.short()?;
        fields.end()?;
        Ok(Close {
            reply_code,
            reply_text,
            class_id,
            method_id,
        })
    }
}

/// `channel.close-ok`: the answer to the broker's close; the number is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOk;

impl CloseOk {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 41;

    pub(crate) fn decode(arguments: &[u8]) -> Result<CloseOk, MethodError> {
        Arguments::new(arguments).end()?;
        Ok(CloseOk)
    }
}
