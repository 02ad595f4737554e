//! Class access: `access.request`, kept for clients of AMQP 0-8 and answered with ticket 1 always.

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 30;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    Request(Request<'a>),
}

impl Method<'_> {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            Request::METHOD_ID => Request::decode(arguments).map(Method::Request),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `access.request`: asks for a ticket; answered by `request-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Request<'a> {
    pub realm: &'a str,
    pub exclusive: bool,
    pub passive: bool,
    pub active: bool,
    pub write: bool,
    pub read: bool,
}

impl<'a> Request<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Request<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let realm = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Request {
            realm,
            exclusive: bits.is_set(0),
            passive: bits.is_set(1),
            active: bits.is_set(2),
            write: bits.is_set(3),
            read: bits.is_set(4),
        })
    }
}
