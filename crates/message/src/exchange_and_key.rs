//! Exchange and routing key as they stand in `basic.publish` and `basic.deliver`: `u8 length, exchange, u8 length, routing key`.

/// The two as one; none where one is longer than 255 bytes.
pub fn join(exchange: &[u8], routing_key: &[u8]) -> Option<Vec<u8>> {
    let mut both = Vec::with_capacity(2 + exchange.len() + routing_key.len());
    for part in [exchange, routing_key] {
        both.push(u8::try_from(part.len()).ok()?);
        both.extend_from_slice(part);
    }
    Some(both)
}

/// The exchange and the routing key; none where they are cut short.
pub fn split(both: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = both.split_first()?;
    let (exchange, key) = rest.split_at_checked(usize::from(*len))?;
    Some((exchange, key.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        for (exchange, key) in [("", ""), ("an exchange", "a.key"), ("", "a.key")] {
            let both = join(exchange.as_bytes(), key.as_bytes()).expect("they are short");
            let parts = Some((exchange.as_bytes(), key.as_bytes()));
            assert_eq!(split(&both), parts);
        }
        assert_eq!(join(&[b'x'; 256], b""), None);
        assert_eq!(join(b"", &[b'x'; 256]), None);
    }

    #[test]
    fn what_is_cut_short_is_not_split() {
        for short in [&b""[..], b"\x03ab", b"\x02ab"] {
            assert_eq!(split(short), None);
        }
    }
}
