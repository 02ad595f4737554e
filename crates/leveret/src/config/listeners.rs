//! `[listeners]`: the addresses on which the broker is reached.
//!
//! An address is an IP address with a port, or `unix:` with a path. Names of hosts are not looked up: which of their
//! addresses is meant would be a guess.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listeners {
    /// AMQP 0-9-1.
    pub(crate) amqp: Vec<ListenAddress>,
    /// AMQP 0-9-1 over TLS; needs a certificate.
    pub(crate) amqps: Vec<ListenAddress>,
    /// Whether every AMQP connection begins with a PROXY header, of version 1 or 2.
    pub(crate) proxy_protocol: bool,
    /// HTTP; none to go without.
    pub(crate) management: Vec<ListenAddress>,
    /// HTTP over TLS; needs a certificate.
    pub(crate) management_tls: Vec<ListenAddress>,
}

impl Listeners {
    /// Whether something is listened on that needs a certificate.
    pub(crate) fn need_certificate(&self) -> bool {
        !self.amqps.is_empty() || !self.management_tls.is_empty()
    }
}

impl Default for Listeners {
    fn default() -> Self {
        Listeners {
            amqp: vec![tcp([0, 0, 0, 0], 5672), tcp([0; 8], 5672)],
            amqps: Vec::new(),
            proxy_protocol: false,
            management: vec![tcp([127, 0, 0, 1], 15672)],
            management_tls: Vec::new(),
        }
    }
}

fn tcp(ip: impl Into<IpAddr>, port: u16) -> ListenAddress {
    ListenAddress::Tcp(SocketAddr::new(ip.into(), port))
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum ListenAddress {
    /// An IP address with a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("`unix:` needs a path behind it".to_owned()),
            Some(path) => Ok(ListenAddress::Unix(PathBuf::from(path))),
            None => text.parse().map(ListenAddress::Tcp).map_err(|_| {
                format!(
                    "`{text}` is not an address; write IP:PORT, as in 127.0.0.1:5672 or \
                     [::1]:5672, or unix:/PATH"
                )
            }),
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
