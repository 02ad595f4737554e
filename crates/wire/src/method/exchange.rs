//! Class exchange: exchanges and the bindings between them.

use leveret_message::TableRef;

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 40;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    Declare(Declare<'a>),
    Delete(Delete<'a>),
    Bind(Bind<'a>),
    Unbind(Unbind<'a>),
}

impl Method<'_> {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            Declare::METHOD_ID => Declare::decode(arguments).map(Method::Declare),
            Delete::METHOD_ID => Delete::decode(arguments).map(Method::Delete),
            Bind::METHOD_ID => Bind::decode(arguments).map(Method::Bind),
            Unbind::METHOD_ID => Unbind::decode(arguments).map(Method::Unbind),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `exchange.declare`: makes sure an exchange exists; answered by `declare-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Declare<'a> {
    pub exchange: &'a str,
    pub kind: &'a str,
    pub passive: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Declare<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Declare<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let exchange = fields.short_string()?;
        let kind = fields.short_string()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Declare {
            exchange,
            kind,
            passive: bits.is_set(0),
            durable: bits.is_set(1),
            auto_delete: bits.is_set(2),
            internal: bits.is_set(3),
            nowait: bits.is_set(4),
            arguments,
        })
    }
}

/// `exchange.delete`: deletes an exchange; answered by `delete-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Delete<'a> {
    pub exchange: &'a str,
    pub if_unused: bool,
    pub nowait: bool,
}

impl<'a> Delete<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 20;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Delete<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let exchange = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Delete {
            exchange,
            if_unused: bits.is_set(0),
            nowait: bits.is_set(1),
        })
    }
}

/// `exchange.bind`: binds `destination` to `source`; answered by `bind-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Bind<'a> {
    pub destination: &'a str,
    pub source: &'a str,
    pub routing_key: &'a [u8],
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Bind<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 30;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Bind<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let destination = fields.short_string()?;
        let source = fields.short_string()?;
        let routing_key = fields.short_bytes()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Bind {
            destination,
            source,
            routing_key,
            nowait: bits.is_set(0),
            arguments,
        })
    }
}

/// `exchange.unbind`: takes a binding away; answered by `unbind-ok`, whose number is 51.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Unbind<'a> {
    pub destination: &'a str,
    pub source: &'a str,
    pub routing_key: &'a [u8],
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Unbind<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 40;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Unbind<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let destination = fields.short_string()?;
        let source = fields.short_string()?;
        let routing_key = fields.short_bytes()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Unbind {
            destination,
            source,
            routing_key,
            nowait: bits.is_set(0),
            arguments,
        })
    }
}
