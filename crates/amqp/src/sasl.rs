//! The mechanisms by which a client says who it is, a file each.
//!
//! A mechanism only reads the client's response; whether the password is right is for `Users` to say.

mod amqplain;
mod plain;

use crate::exception::Exception;
use leveret_wire::ReplyCode;

/// The mechanisms offered in `connection.start`, separated by spaces.
pub(crate) const OFFERED: &str = "PLAIN AMQPLAIN";

/// A name and a password, as a client gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Vec<u8>,
}

/// Reads a response.
///
/// **Errors**: 503 for a mechanism that was not offered, 502 for a response that is none of the mechanism's.
pub(crate) fn credentials(mechanism: &str, response: &[u8]) -> Result<Credentials, Exception> {
    match mechanism {
        "PLAIN" => plain::read(response),
        "AMQPLAIN" => amqplain::read(response),
        unknown => Err(Exception::connection(
            ReplyCode::CommandInvalid,
            format!("unknown authentication mechanism '{unknown}'"),
        )),
    }
}
