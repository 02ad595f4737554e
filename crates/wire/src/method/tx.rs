//! Class tx: transactions.

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 90;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method {
    Select(Select),
    Commit(Commit),
    Rollback(Rollback),
}

impl Method {
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method, MethodError> {
        match method_id {
            Select::METHOD_ID => Select::decode(arguments).map(Method::Select),
            Commit::METHOD_ID => Commit::decode(arguments).map(Method::Commit),
            Rollback::METHOD_ID => Rollback::decode(arguments).map(Method::Rollback),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `tx.select`: makes the channel transactional; answered by `select-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select;

impl Select {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Select, MethodError> {
        Arguments::new(arguments).end()?;
        Ok(Select)
    }
}

/// `tx.commit`: commits the transaction; answered by `commit-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit;

impl Commit {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 20;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Commit, MethodError> {
        Arguments::new(arguments).end()?;
        Ok(Commit)
    }
}

/// `tx.rollback`: abandons the transaction; answered by `rollback-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollback;

impl Rollback {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 30;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Rollback, MethodError> {
        Arguments::new(arguments).end()?;
        Ok(Rollback)
    }
}
