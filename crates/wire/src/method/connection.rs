//! Class connection: the negotiation, the end of a connection, and new credentials for it.
//!
//! `blocked` and `unblocked` go from the server to the client only.

use leveret_message::TableRef;

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 10;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    StartOk(StartOk<'a>),
    SecureOk(SecureOk<'a>),
    TuneOk(TuneOk),
    Open(Open<'a>),
    Close(Close<'a>),
    CloseOk(CloseOk),
    UpdateSecret(UpdateSecret<'a>),
}

impl Method<'_> {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            StartOk::METHOD_ID => StartOk::decode(arguments).map(Method::StartOk),
            SecureOk::METHOD_ID => SecureOk::decode(arguments).map(Method::SecureOk),
            TuneOk::METHOD_ID => TuneOk::decode(arguments).map(Method::TuneOk),
            Open::METHOD_ID => Open::decode(arguments).map(Method::Open),
            Close::METHOD_ID => Close::decode(arguments).map(Method::Close),
            CloseOk::METHOD_ID => CloseOk::decode(arguments).map(Method::CloseOk),
            UpdateSecret::METHOD_ID => UpdateSecret::decode(arguments).map(Method::UpdateSecret),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `connection.start-ok`: who the client is and how it logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct StartOk<'a> {
    pub client_properties: TableRef<'a>,
    pub mechanism: &'a str,
    pub response: &'a [u8],
    pub locale: &'a str,
}

impl<'a> StartOk<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 11;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<StartOk<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let client_properties = fields.table()?;
        let mechanism = fields.short_string()?;
        let response = fields.long_bytes()?;
        let locale = fields.short_string()?;
        fields.end()?;
        Ok(StartOk {
            client_properties,
            mechanism,
            response,
            locale,
        })
    }
}

/// `connection.secure-ok`: the answer to a mechanism's challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct SecureOk<'a> {
    pub response: &'a [u8],
}

impl<'a> SecureOk<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 21;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<SecureOk<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let response = fields.long_bytes()?;
        fields.end()?;
        Ok(SecureOk { response })
    }
}

/// `connection.tune-ok`: the limits the client has chosen; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct TuneOk {
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
}

impl TuneOk {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 31;

    pub(crate) fn decode(arguments: &[u8]) -> Result<TuneOk, MethodError> {
        let mut fields = Arguments::new(arguments);
        let channel_max = fields.short()?;
        let frame_max = fields.long()?;
        let heartbeat = fields.short()?;
        fields.end()?;
        Ok(TuneOk {
            channel_max,
            frame_max,
            heartbeat,
        })
    }
}

/// `connection.open`: chooses the vhost; answered by `open-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Open<'a> {
    pub virtual_host: &'a str,
}

impl<'a> Open<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 40;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Open<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let virtual_host = fields.short_string()?;
        fields.short_string()?;
        fields.bits()?;
        fields.end()?;
        Ok(Open { virtual_host })
    }
}

/// `connection.close`: ends the connection; answered by `close-ok`.
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
    pub const METHOD_ID: u16 = 50;

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

/// `connection.close-ok`: the answer to the broker's close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOk;

impl CloseOk {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 51;

    pub(crate) fn decode(arguments: &[u8]) -> Result<CloseOk, MethodError> {
        Arguments::new(arguments).end()?;
        Ok(CloseOk)
    }
}

/// `connection.update-secret`: new credentials; answered by `update-secret-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct UpdateSecret<'a> {
    pub new_secret: &'a [u8],
    pub reason: &'a str,
}

impl<'a> UpdateSecret<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 70;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<UpdateSecret<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let new_secret = fields.long_bytes()?;
        let reason = fields.short_string()?;
        fields.end()?;
        Ok(UpdateSecret { new_secret, reason })
    }
}
