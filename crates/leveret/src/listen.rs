//! Listeners: sockets that are bound, and the loops that accept on them.
//!
//! All sockets are bound before anything else starts, so that a port that is taken ends the program with nothing to undo. What
//! is done with a connection is not here; it goes to [`crate::serve`].
//!
//! An IPv6 socket takes IPv6 only, so that `0.0.0.0` and `[::]` can have the same port and a peer's address is never an IPv4
//! address in IPv6 clothes.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_management::Handshake;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::config::{ListenAddress, Listeners};
use crate::tls::{Encryption, Tls};

mod accept;
mod open;
mod proxy;
#[cfg(test)]
mod tests;

use accept::accept;
pub(crate) use open::Open;

/// Connections that may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}")]
pub(crate) struct ListenError {
    address: ListenAddress,
    error: io::Error,
}

/// All bound sockets.
#[derive(Debug)]
pub(crate) struct Bound {
    amqp: Vec<Listener>,
    management: Vec<(TcpListener, Option<Handshake>)>,
}

impl Bound {
    /// Where is listened, as management tells it; a Unix socket has its path for an address, and no port.
    pub(crate) fn listeners(&self) -> io::Result<Vec<leveret_management::Listener>> {
        let of = |protocol, address| match address {
            ListenAddress::Tcp(address) => leveret_management::Listener {
                protocol,
                ip: address.ip().to_string(),
                port: address.port(),
            },
            ListenAddress::Unix(path) => leveret_management::Listener {
                protocol,
                ip: path.display().to_string(),
                port: 0,
            },
        };
        let amqp = self.amqp.iter();
        let amqp = amqp.map(|listener| Ok(of(listener.protocol(), listener.address()?)));
        let http = self.management.iter();
        let http = http.map(|(listener, handshake)| {
            let address = ListenAddress::Tcp(listener.local_addr()?);
            Ok(of(http_protocol(handshake.as_ref()), address))
        });
        amqp.chain(http).collect()
    }
}

/// RabbitMQ's word for HTTP with or without a handshake before.
fn http_protocol(handshake: Option<&Handshake>) -> &'static str {
    match handshake {
        Some(_) => "https",
        None => "http",
    }
}

/// Binds every address and begins to listen.
///
/// Connections are kept by the system until they are accepted. Of the pair `0.0.0.0` and `[::]` the latter is left out, with a
/// warning, where the machine has no IPv6.
///
/// **Errors**: the first address that cannot be had.
pub(crate) fn bind(
    listeners: &Listeners,
    tls: &Encryption,
    timeout: Duration,
) -> Result<Bound, ListenError> {
    let mut wrapping = Wrapping {
        proxy: listeners.proxy_protocol,
        tls: None,
        timeout,
    };
    let mut amqp = Vec::new();
    for address in &listeners.amqp {
        match Listener::bind(address, &wrapping) {
            Ok(listener) => amqp.push(listener),
            Err(error) if is_spare(address, &listeners.amqp) && is_without_ipv6(&error) => {
                tracing::warn!(%address, %error, "no IPv6 on this machine, listener left out");
            }
            Err(error) => {
                return Err(ListenError {
                    address: address.clone(),
                    error,
                });
            }
        }
    }
    wrapping.tls = tls.amqp.clone();
    for address in &listeners.amqps {
        let listener = Listener::bind(address, &wrapping).map_err(|error| ListenError {
            address: address.clone(),
            error,
        });
        amqp.push(listener?);
    }
    let mut management = bind_management(&listeners.management, None)?;
    if let Some(tls) = &tls.management {
        management.extend(bind_management(
            &listeners.management_tls,
            Some(&tls.handshake()),
        )?);
    }
    Ok(Bound { amqp, management })
}

fn bind_management(
    addresses: &[ListenAddress],
    handshake: Option<&Handshake>,
) -> Result<Vec<(TcpListener, Option<Handshake>)>, ListenError> {
    let bind = |address: &ListenAddress| {
        let listener = match address {
            ListenAddress::Tcp(ip_and_port) => bind_tcp(*ip_and_port),
            ListenAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        let listener = listener.map_err(|error| ListenError {
            address: address.clone(),
            error,
        });
        Ok((listener?, handshake.cloned()))
    };
    addresses.iter().map(bind).collect()
}

/// Whether `address` is `[::]` and `0.0.0.0` is there with the same port.
fn is_spare(address: &ListenAddress, all: &[ListenAddress]) -> bool {
    let ListenAddress::Tcp(SocketAddr::V6(address)) = address else {
        return false;
    };
    let twin = SocketAddr::from(([0, 0, 0, 0], address.port()));
    address.ip().is_unspecified() && all.contains(&ListenAddress::Tcp(twin))
}

fn is_without_ipv6(error: &io::Error) -> bool {
    let reason = Errno::from_io_error(error);
    matches!(reason, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// A socket that listens for AMQP.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener, Wrapping),
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// What stands between a TCP connection and AMQP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrapping {
    /// It begins with a PROXY header.
    proxy: bool,
    /// It is encrypted.
    tls: Option<Arc<Tls>>,
    /// How long both may take.
    timeout: Duration,
}

impl Listener {
    fn bind(address: &ListenAddress, wrapping: &Wrapping) -> io::Result<Listener> {
        match address {
            ListenAddress::Tcp(address) => {
                bind_tcp(*address).map(|listener| Listener::Tcp(listener, wrapping.clone()))
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                Ok(Listener::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// RabbitMQ's word for what is spoken.
    fn protocol(&self) -> &'static str {
        match self {
            Listener::Tcp(_, Wrapping { tls: Some(_), .. }) => "amqp/ssl",
            Listener::Tcp(..) | Listener::Unix(..) => "amqp",
        }
    }

    /// What it was bound with.
    fn wrapping(&self) -> Wrapping {
        match self {
            Listener::Tcp(_, wrapping) => wrapping.clone(),
            Listener::Unix(..) => Wrapping::default(),
        }
    }

    /// The address with the port that was really taken.
    fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Listener::Tcp(listener, _) => listener.local_addr().map(ListenAddress::Tcp),
            Listener::Unix(_, file) => Ok(ListenAddress::Unix(file.0.clone())),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of the run before may linger on the port; a socket that listens there still makes the bind fail.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Removes the socket file of a broker that is gone; one that answers stays, and the bind then fails.
fn remove_stale(path: &Path) -> io::Result<()> {
    // Connecting to a file of another kind is refused in the same way.
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|file| file.file_type().is_socket());
    if is_socket && StdUnixStream::connect(path).is_err_and(|error| is_refused(&error)) {
        return std::fs::remove_file(path);
    }
    Ok(())
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// The file of a Unix socket, removed with its listener.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "socket file not removed");
        }
    }
}
