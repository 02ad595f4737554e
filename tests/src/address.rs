//! Loopback addresses for brokers to listen at. A socket that is bound there and does not listen holds each: the system gives its port to nobody who asks for
//! any, as other processes do all the time, and brokers, which ask for that port and share addresses, can have it. So they can come back to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;

use socket2::{Domain, Socket, Type};

/// An address that nobody else gets until this is dropped.
#[derive(Debug)]
pub struct HeldAddress {
    address: SocketAddr,
    _socket: Socket,
}

impl HeldAddress {
    /// Takes one that is free.
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .set_reuse_address(true)
            .expect("an option of each socket");
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .expect("a free loopback port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self {
            address: address.as_socket().expect("an address of IPv4"),
            _socket: socket,
        }
    }
}

impl Default for HeldAddress {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for HeldAddress {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.address
    }
}

#[cfg(test)]
mod tests;
