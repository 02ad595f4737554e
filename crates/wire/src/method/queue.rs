//! Class queue: queues and their bindings.

use leveret_message::TableRef;

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 50;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    Declare(Declare<'a>),
    Bind(Bind<'a>),
    Purge(Purge<'a>),
    Delete(Delete<'a>),
    Unbind(Unbind<'a>),
}

impl Method<'_> {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            Declare::METHOD_ID => Declare::decode(arguments).map(Method::Declare),
            Bind::METHOD_ID => Bind::decode(arguments).map(Method::Bind),
            Purge::METHOD_ID => Purge::decode(arguments).map(Method::Purge),
            Delete::METHOD_ID => Delete::decode(arguments).map(Method::Delete),
            Unbind::METHOD_ID => Unbind::decode(arguments).map(Method::Unbind),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `queue.declare`: makes sure a queue exists; answered by `declare-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Declare<'a> {
    pub queue: &'a str,
    pub passive: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Declare<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Declare<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Declare {
            queue,
            passive: bits.is_set(0),
            durable: bits.is_set(1),
            exclusive: bits.is_set(2),
            auto_delete: bits.is_set(3),
            nowait: bits.is_set(4),
            arguments,
        })
    }
}

/// `queue.bind`: binds a queue to an exchange; answered by `bind-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Bind<'a> {
    pub queue: &'a str,
    pub exchange: &'a str,
    pub routing_key: &'a [u8],
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Bind<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 20;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Bind<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let exchange = fields.short_string()?;
        let routing_key = fields.short_bytes()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Bind {
            queue,
            exchange,
            routing_key,
            nowait: bits.is_set(0),
            arguments,
        })
    }
}

/// `queue.purge`: drops all ready messages; answered by `purge-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Purge<'a> {
    pub queue: &'a str,
    pub nowait: bool,
}

impl<'a> Purge<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 30;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Purge<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Purge {
            queue,
            nowait: bits.is_set(0),
        })
    }
}

/// `queue.delete`: deletes a queue; answered by `delete-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Delete<'a> {
    pub queue: &'a str,
    pub if_unused: bool,
    pub if_empty: bool,
    pub nowait: bool,
}

impl<'a> Delete<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 40;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Delete<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Delete {
            queue,
            if_unused: bits.is_set(0),
            if_empty: bits.is_set(1),
            nowait: bits.is_set(2),
        })
    }
}

/// `queue.unbind`: takes a binding away; answered by `unbind-ok`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Unbind<'a> {
    pub queue: &'a str,
    pub exchange: &'a str,
    pub routing_key: &'a [u8],
    pub arguments: TableRef<'a>,
}

impl<'a> Unbind<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 50;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Unbind<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let exchange = fields.short_string()?;
        let routing_key = fields.short_bytes()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Unbind {
            queue,
            exchange,
            routing_key,
            arguments,
        })
    }
}
