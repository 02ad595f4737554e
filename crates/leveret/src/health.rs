//! `leveret health`: asks a running broker over HTTP, for places that have no other HTTP client, such as its container.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

use crate::config::{Config, ListenAddress};

/// How long connecting, sending and each read may take.
const WAIT: Duration = Duration::from_secs(3);
/// Enough for the status line.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Why a broker is not known to be well.
#[derive(Debug, Error)]
pub(crate) enum Unwell {
    /// The configuration has no address to ask.
    #[error("no management listener is configured, so there is no address to ask")]
    NoAddress,
    /// It could not be asked.
    #[error("no answer from {address}: {error}")]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// It answered, but not with 200.
    #[error("{address} answered `{status}`")]
    Answered {
        /// Who was asked.
        address: SocketAddr,
        /// The first line of the answer.
        status: String,
    },
}

/// Asks the first management listener of `config` for its health.
pub(crate) fn ask(config: &Config) -> Result<(), Unwell> {
    let address = config
        .listeners
        .management
        .iter()
        .find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(reachable(*address)),
            ListenAddress::Unix(_) => None,
        });
    let address = address.ok_or(Unwell::NoAddress)?;
    let answer = exchange(address).map_err(|error| Unwell::NoAnswer { address, error })?;
    let status = answer.lines().next().unwrap_or_default().to_owned();
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(Unwell::Answered { address, status })
}

/// An address to connect to, for one that may stand for all addresses of the machine.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
