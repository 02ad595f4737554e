//! The PROXY protocol, versions 1 and 2: the first bytes of a connection, in which a load balancer says for whom it was opened.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header of version 1, its line end included.
const LINE_MAX: usize = 107;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What version 2 may have behind its head: addresses and extensions.
const REST_MAX: usize = 4096;

/// The addresses of the client and of what it connected to.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// Reads a header; none where the proxy speaks for itself, or does not know the addresses.
///
/// **Waits** for the peer. **Errors**: what is no header, and what the socket says. **Effect**: what follows the header is not read.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    match stream.read_u8().await? {
        b'P' => {
            let mut line = vec![b'P'];
            while !line.ends_with(b"\r\n") {
                if line.len() >= LINE_MAX {
                    return Err(refused());
                }
                line.push(stream.read_u8().await?);
            }
            text(&line).ok_or_else(refused)
        }
        first => {
            let mut head = [first; 16];
            stream.read_exact(&mut head[1..]).await?;
            let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
            if !head.starts_with(&SIGNATURE) || len > REST_MAX {
                return Err(refused());
            }
            let mut rest = vec![0; len];
            stream.read_exact(&mut rest).await?;
            binary(head[12], head[13], &rest).ok_or_else(refused)
        }
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY header")
}

/// The outer none is a header that is none.
fn text(line: &[u8]) -> Option<Option<Ends>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return None;
    }
    match words.next()? {
        "UNKNOWN" => Some(None),
        kind @ ("TCP4" | "TCP6") => {
            let mut ip = || words.next()?.parse::<IpAddr>().ok();
            let (from, to) = (ip()?, ip()?);
            let mut port = || words.next()?.parse::<u16>().ok();
            let (from_port, to_port) = (port()?, port()?);
            let is_as_said = from.is_ipv4() == (kind == "TCP4") && to.is_ipv4() == from.is_ipv4();
            let ends = (
                SocketAddr::new(from, from_port),
                SocketAddr::new(to, to_port),
            );
            (is_as_said && words.next().is_none()).then_some(Some(ends))
        }
        _ => None,
    }
}

/// The outer none is a header that is none.
fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Option<Option<Ends>> {
    match version_and_command {
        // A health check of the proxy itself.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    let port = |at: usize| {
        rest.get(at..at + 2)?
            .try_into()
            .ok()
            .map(u16::from_be_bytes)
    };
    let ends = match family {
        0x11 => {
            let ip = |at: usize| Some(IpAddr::from(*rest.get(at..)?.first_chunk::<4>()?));
            ((ip(0)?, port(8)?), (ip(4)?, port(10)?))
        }
        0x21 => {
            let ip = |at: usize| Some(IpAddr::from(*rest.get(at..)?.first_chunk::<16>()?));
            ((ip(0)?, port(32)?), (ip(16)?, port(34)?))
        }
        // Unix sockets and what is not specified.
        _ => return Some(None),
    };
    Some(Some((ends.0.into(), ends.1.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_from(bytes: &[u8]) -> (io::Result<Option<Ends>>, usize) {
        let mut rest = bytes;
        let read = read(&mut rest).await;
        (read, rest.len())
    }

    fn ends(from: &str, to: &str) -> Option<Ends> {
        Some((
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        ))
    }

    #[tokio::test]
    async fn version_1_names_both_ends_and_takes_no_byte_more() {
        let (read, left) = read_from(b"PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\nAMQP").await;
        assert_eq!(read.expect("a header"), ends("10.0.0.1:5", "10.0.0.2:6"));
        assert_eq!(left, 4);
        let (read, _) = read_from(b"PROXY TCP6 ::1 ::2 5 6\r\n").await;
        assert_eq!(read.expect("a header"), ends("[::1]:5", "[::2]:6"));
        let (read, _) = read_from(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n").await;
        assert_eq!(read.expect("a header"), None);
    }

    #[tokio::test]
    async fn version_2_names_both_ends_and_may_have_extensions() {
        let mut header = SIGNATURE.to_vec();
        header.extend([
            0x21, 0x11, 0, 15, 10, 0, 0, 1, 10, 0, 0, 2, 0, 5, 0, 6, 4, 0, 0,
        ]);
        header.extend(b"AMQP");
        let (read, left) = read_from(&header).await;
        assert_eq!(read.expect("a header"), ends("10.0.0.1:5", "10.0.0.2:6"));
        assert_eq!(left, 4);
        let mut local = SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(read_from(&local).await.0.expect("a header"), None);
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        let mut cut = SIGNATURE.to_vec();
        cut.extend([0x21, 0x11, 0, 2, 10, 0]);
        let mut vast = SIGNATURE.to_vec();
        vast.extend([0x21, 0x11, 0xff, 0xff]);
        let mut newer = SIGNATURE.to_vec();
        newer.extend([0x31, 0x11, 0, 0]);
        for bad in [
            &b"AMQP\0\0\x09\x01 and more bytes"[..],
            b"PROXY TCP4 10.0.0.1 ::2 5 6\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 5 70000\r\n",
            b"PROXY TCP4 10.0.0.1\r\n",
            b"POST / HTTP/1.1\r\n",
            &long,
            &cut,
            &vast,
            &newer,
        ] {
            let (read, _) = read_from(bad).await;
            assert!(read.is_err(), "{bad:?}: {read:?}");
        }
    }
}
