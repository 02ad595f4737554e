//! PLAIN (RFC 4616): an empty authorization identity, the name and the password, each behind a NUL.

use leveret_wire::ReplyCode;

use super::Credentials;
use crate::exception::Exception;

pub(super) fn read(response: &[u8]) -> Result<Credentials, Exception> {
    parse(response).ok_or_else(|| {
        // The response may hold a password: it is not repeated.
        Exception::connection(ReplyCode::SyntaxError, "response to PLAIN is invalid")
    })
}

fn parse(response: &[u8]) -> Option<Credentials> {
    let rest = response.strip_prefix(b"\0")?;
    let nul = rest.iter().position(|byte| *byte == 0)?;
    let (user, password) = (rest.get(..nul)?, rest.get(nul + 1..)?);
    if password.contains(&0) {
        return None;
    }
    let user = String::from_utf8(user.to_vec()).ok()?;
    Some(Credentials {
        user,
        password: password.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_and_password() {
        let read = parse(b"\0guest\0secret").expect("well formed");
        assert_eq!(
            (read.user.as_str(), read.password.as_slice()),
            ("guest", &b"secret"[..])
        );
        assert_eq!(parse(b"\0\0").expect("empty ones").user, "");
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            &b""[..],
            b"guest",
            b"\0guest",
            b"id\0guest\0secret",
            b"\0a\0b\0c",
            b"\0\xff\0x",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
