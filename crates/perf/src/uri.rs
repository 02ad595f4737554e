//! AMQP URIs: `amqp://user:password@host:port/vhost`, each part of which may be left out.

use std::str::FromStr;

use thiserror::Error;

const SCHEME: &str = "amqp://";
const PORT: u16 = 5672;

/// Which broker, as whom, in which vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the parts of a URI")]
pub struct Uri {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub vhost: String,
}

/// Why a text is no AMQP URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UriError {
    /// Another scheme.
    #[error("a URI begins with amqp://; connections over TLS (amqps) are not made")]
    Scheme,
    /// No number up to 65,535.
    #[error("the port is no number up to 65535")]
    Port,
    /// A `%` without two hexadecimal digits, or octets that are no text.
    #[error("a % stands before two hexadecimal digits, and together they are UTF-8")]
    Escape,
    /// More than a short string of AMQP can have.
    #[error("the vhost is longer than 255 bytes")]
    Vhost,
}

impl Default for Uri {
    /// `guest` at this machine, in the vhost `/`.
    fn default() -> Uri {
        Uri {
            host: "127.0.0.1".to_owned(),
            port: PORT,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    /// Reads a URI. What is not there is as in [`Uri::default`]; an empty path stands for the vhost `/` too.
    fn from_str(text: &str) -> Result<Uri, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UriError::Scheme)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.split('?').next().unwrap_or_default();
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut uri = Uri::default();
        if !login.is_empty() {
            let (user, password) = login.split_once(':').unwrap_or((login, "guest"));
            (uri.user, uri.password) = (unescape(user)?, unescape(password)?);
        }
        let (host, port) = split_port(place)?;
        uri.port = port;
        if !host.is_empty() {
            host.clone_into(&mut uri.host);
        }
        if !path.is_empty() {
            uri.vhost = unescape(path)?;
        }
        match uri.vhost.len() {
            0..=255 => Ok(uri),
            _ => Err(UriError::Vhost),
        }
    }
}

/// The host, without the brackets of an IPv6 address, and the port.
fn split_port(place: &str) -> Result<(&str, u16), UriError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
        None => match place.split_once(':') {
            Some((host, _)) => place.split_at(host.len()),
            None => (place, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| UriError::Port)?,
        None => PORT,
    };
    Ok((host, port))
}

fn unescape(text: &str) -> Result<String, UriError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(UriError::Escape)?;
        let digits = str::from_utf8(digits).map_err(|_| UriError::Escape)?;
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| UriError::Escape)?);
        rest = after;
    }
    String::from_utf8(octets).map_err(|_| UriError::Escape)
}

#[cfg(test)]
mod tests;
