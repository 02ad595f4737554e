//! The mechanisms by which a client says who it is, a file each.
//!
//! A mechanism only reads the client's response; whether the password is right is for `Users` to say.

mod amqplain;
mod plain;

use crate::exception::Exception;
use crate::settings::{AmqpSettings, Peer};
use leveret_wire::ReplyCode;

/// The mechanisms offered to a peer in `connection.start`, separated by spaces.
pub(crate) fn offered(peer: &Peer, settings: &AmqpSettings) -> String {
    let mut offered = "PLAIN AMQPLAIN".to_owned();
    if peer.certificate_user.is_some() {
        offered.push_str(" EXTERNAL");
    }
    if settings.anonymous_user.is_some() {
        offered.push_str(" ANONYMOUS");
    }
    offered
}

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Somebody with this password.
    Password(Credentials),
    /// Somebody whom its certificate or the operator vouches for.
    Trusted(String),
}

/// A name and a password, as a client gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Vec<u8>,
}

/// Reads a response.
///
/// **Errors**: 503 for a mechanism that was not offered, 502 for a response that is none of the mechanism's.
pub(crate) fn claim(
    mechanism: &str,
    response: &[u8],
    peer: &Peer,
    settings: &AmqpSettings,
) -> Result<Claim, Exception> {
    let trusted = |user: &Option<String>| user.clone().map(Claim::Trusted);
    let claim = match mechanism {
        "PLAIN" => Some(Claim::Password(plain::read(response)?)),
        "AMQPLAIN" => Some(Claim::Password(amqplain::read(response)?)),
        // What the client says beside its certificate does not count.
        "EXTERNAL" => trusted(&peer.certificate_user),
        "ANONYMOUS" => trusted(&settings.anonymous_user),
        _ => None,
    };
    claim.ok_or_else(|| {
        Exception::connection(
            ReplyCode::CommandInvalid,
            format!("unknown authentication mechanism '{mechanism}'"),
        )
    })
}
