//! The methods a client may send, read from the arguments of a method frame.
//!
//! A file for each class, a struct for each method, with the specification's names. Everything
//! borrows from the frame. Methods that only a server sends are unknown here but for
//! [`from_server`], which is for clients.

pub mod access;
pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
pub mod exchange;
pub mod from_server;
pub mod queue;
pub mod tx;

mod arguments;

use crate::reply_code::ReplyCode;

pub(crate) use self::arguments::Arguments;

/// A method from a client, by class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method<'a> {
    /// Class 10.
    Connection(connection::Method<'a>),
    /// Class 20.
    Channel(channel::Method<'a>),
    /// Class 30, a leftover of AMQP 0-8 that old clients still send.
    Access(access::Method<'a>),
    /// Class 40.
    Exchange(exchange::Method<'a>),
    /// Class 50.
    Queue(queue::Method<'a>),
    /// Class 60.
    Basic(basic::Method<'a>),
    /// Class 85.
    Confirm(confirm::Method),
    /// Class 90.
    Tx(tx::Method),
}

/// Why the arguments of a method frame are not a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// No method with these ids that a client may send: 503 `COMMAND_INVALID`.
    #[error("unimplemented method")]
    Unknown,
    /// Arguments that end too early or too late, a name that is not UTF-8, a malformed table:
    /// 502 `SYNTAX_ERROR`.
    #[error("malformed method arguments")]
    Syntax,
}

impl MethodError {
    /// The reply code; both close the connection.
    pub fn code(&self) -> ReplyCode {
        match self {
            MethodError::Unknown => ReplyCode::CommandInvalid,
            MethodError::Syntax => ReplyCode::SyntaxError,
        }
    }
}

/// Reads a method from a client.
///
/// All of `arguments` must belong to the method, as in RabbitMQ.
///
/// **Errors**: [`MethodError::Unknown`] is 503 `COMMAND_INVALID`, [`MethodError::Syntax`] 502
/// `SYNTAX_ERROR`.
#[inline]
pub fn decode(class_id: u16, method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
    match class_id {
        basic::CLASS_ID => basic::Method::decode(method_id, arguments).map(Method::Basic),
        queue::CLASS_ID => queue::Method::decode(method_id, arguments).map(Method::Queue),
        exchange::CLASS_ID => exchange::Method::decode(method_id, arguments).map(Method::Exchange),
        channel::CLASS_ID => channel::Method::decode(method_id, arguments).map(Method::Channel),
        connection::CLASS_ID => {
            connection::Method::decode(method_id, arguments).map(Method::Connection)
        }
        confirm::CLASS_ID => confirm::Method::decode(method_id, arguments).map(Method::Confirm),
        tx::CLASS_ID => tx::Method::decode(method_id, arguments).map(Method::Tx),
        access::CLASS_ID => access::Method::decode(method_id, arguments).map(Method::Access),
        _ => Err(MethodError::Unknown),
    }
}

#[cfg(test)]
mod tests;
