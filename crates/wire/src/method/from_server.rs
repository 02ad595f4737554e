//! The methods a server sends, for clients: owned, and read through amq-protocol's parser.
//!
//! This is for what is rare, answers and closes. A client that takes deliveries and confirms by the
//! million reads their few octets itself.

use amq_protocol::protocol::{AMQPClass, parse_class};

use super::MethodError;

/// Reads a method from a server.
///
/// **Errors**: [`MethodError::Syntax`] for everything that is no method or has octets behind it.
/// **Cost**: copies the arguments and allocates.
pub fn decode(class_id: u16, method_id: u16, arguments: &[u8]) -> Result<AMQPClass, MethodError> {
    let mut payload = Vec::with_capacity(4 + arguments.len());
    payload.extend_from_slice(&class_id.to_be_bytes());
    payload.extend_from_slice(&method_id.to_be_bytes());
    payload.extend_from_slice(arguments);
    match parse_class(payload.as_slice()) {
        Ok(([], class)) => Ok(class),
        _ => Err(MethodError::Syntax),
    }
}

#[cfg(test)]
mod tests;
