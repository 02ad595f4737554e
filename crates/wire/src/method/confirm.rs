//! Class confirm: publisher confirms.

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 85;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method {
    Select(Select),
}

impl Method {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method, MethodError> {
        match method_id {
            Select::METHOD_ID => Select::decode(arguments).map(Method::Select),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `confirm.select`: turns publisher confirms on; answered by `select-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Select {
    pub nowait: bool,
}

impl Select {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Select, MethodError> {
        let mut fields = Arguments::new(arguments);
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Select {
            nowait: bits.is_set(0),
        })
    }
}
